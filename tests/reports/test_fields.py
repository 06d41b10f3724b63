"""The registry of fields, its parsers and the check every statement passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kemm.core.types import Statement
from kemm.modalities.reports import FIELDS, verify

TEXT = "Histologic grade: poorly differentiated. Two of four nodes positive. Margins are free."
GRADE = FIELDS["grade"].statement("3", "grade: poorly differentiated", 11)


def test_a_statement_that_says_what_its_quote_says_stands() -> None:
    assert verify(GRADE, TEXT) is None
    assert GRADE.text == "Tumour grade: G3"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (replace(GRADE, value="1"), "its quote says '3', not '1'"),
        (replace(GRADE, value="5"), "'5' is no value of grade"),
        (replace(GRADE, value=None), "None is no value of grade"),
        (replace(GRADE, start=12, end=40), "its quote is not the text at [12, 40)"),
        (replace(GRADE, start=-3, end=25), "its quote is not the text at [-3, 25)"),
        (replace(GRADE, quote=None), "it has no quote"),
        (replace(GRADE, kind="mood"), "'mood' is no field"),
        (replace(GRADE, kind="ER", value="positive"), "its quote does not speak of ER"),
    ],
)
def test_a_statement_that_does_not_stand_is_refused_with_the_reason(changed: Statement, why: str) -> None:
    assert verify(changed, TEXT) == why


def test_a_total_may_exceed_its_quote_and_never_fall_below() -> None:
    quote = "Two of four nodes positive"
    start = TEXT.index(quote)
    assert verify(FIELDS["nodes_examined"].statement("11", quote, start), TEXT) is None
    too_few = FIELDS["nodes_examined"].statement("3", quote, start)
    assert verify(too_few, TEXT) == "a total of 3 is less than the 4 in its quote"


def test_a_sentence_needs_its_quote_alone() -> None:
    sentence = Statement(kind="sentence", text="Margins are free", quote="Margins are free", start=69, end=85)
    assert verify(sentence, TEXT) is None
    assert verify(replace(sentence, start=0, end=16), TEXT) == "its quote is not the text at [0, 16)"


@pytest.mark.parametrize(
    ("field", "quote", "value"),
    [
        ("grade", "FUHRMAN NUCLEAR GRADE 2-3/4", "3"),
        ("grade", "Nottingham score 7/9", "2"),
        ("grade", "3+3+2=8", "3"),
        ("grade", "NHG2", "2"),
        ("grade", "moderate to poor differentiation", "3"),
        ("grade", "Histologic grade 3 of 3", "3"),
        ("tumor_size_cm", "4 x 6 x 7 cm", "7"),
        ("tumor_size_cm", "58 mm in maximal dimension", "5.8"),
        ("tumor_size_cm", "no size", None),
        ("pT", "pT2N1", "T2"),
        ("pN", "pT2N1", "N1"),
        ("pT", "AJCCpT1c", "T1c"),
        ("pT", "pTis", "Tis"),
        ("pM", "pM (not applicable)", None),
        ("stage_group", "FIGO IB", "IB"),
        ("stage_group", "Stage pT2", None),
        ("nodes_examined", "(No IX/XV)", "15"),
        ("nodes_positive", "(No IX/XV)", "9"),
        ("nodes_positive", "TWO (2) OUT OF SEVENTEEN (17) AXILLARY LYMPH NODES", "2"),
        ("nodes_examined", "A single (of 12) axillary lymph node", "12"),
        ("nodes_positive", "No regional lymph node metastasis", "0"),
        ("nodes_examined", "no lymph nodes identified", None),
        ("laterality", "Kidney, left", "left"),
        ("margins", "Margin status: R0", "negative"),
        ("HER2", "HER2 is not amplified", "negative"),
        ("HER2", "HER2: 3+", "positive"),
        ("ER", "estrogen receptor: 0%", "negative"),
        ("multifocal", "Tumor focality: unifocal", "absent"),
        ("multifocal", "MULTIFOCAL TUMOR: ABSENT", "absent"),
        ("extrarenal_extension", "not confined to the kidney", "present"),
        ("extrarenal_extension", "does not extend beyond the renal capsule", "absent"),
        ("renal_vein_invasion", "renal vein is identified", None),
        ("pleural_invasion", "extends into but not through visceral pleura", "present"),
        ("lymphovascular_invasion", "L1 V0 R0", "present"),
    ],
)
def test_a_value_is_derived_from_the_quote(field: str, quote: str, value: str | None) -> None:
    assert FIELDS[field].parse(quote) == value


def test_every_field_can_be_printed_and_parsed_from_any_text() -> None:
    for name, field in FIELDS.items():
        assert field.name == name
        assert field.parse("") is None
        assert field.statement("x", "x", 0).text.startswith(field.title + ": ")
