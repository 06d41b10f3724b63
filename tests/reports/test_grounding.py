"""What a program claims stands on the report's own words, or is dropped with the reason."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kemm.core.errors import UnknownName
from kemm.modalities.reports import CANNOT_BE_ASSESSED, FIELDS, ground, verify

REPORT = """Kidney, left, radical nephrectomy:
Clear cell renal cell carcinoma, Fuhrman grade 3, 7.5 cm in greatest dimension.
No perineural invasion is present. Sarcomatoid features: not identified.
Margins: free of tumor – all of them (see “note”).
The tumor invades the renal vein. Lympho-
vascular invasion cannot be assessed. Well-
differentiated areas are rare.
Two of four lymph nodes with metastatic carcinoma (2/4). A lesser nodule of 1.2 cm.
AJCC: pT3a pN1
"""


def claim(value: Any, quote: Any) -> dict[str, Any]:
    return {"value": value, "quote": quote}


def one(name: str, value: Any, quote: Any, *, organ: str | None = "kidney") -> tuple[str | None, str | None]:
    """(value that stands, why it does not)."""
    found = ground({name: claim(value, quote)}, REPORT, organ)
    assert len(found.statements) + len(found.dropped) == 1
    if found.statements:
        statement = found.statements[0]
        assert REPORT[statement.start : statement.end] == statement.quote
        return statement.value, None
    return None, found.dropped[0].why


@pytest.mark.parametrize(
    ("name", "claimed", "quote", "value"),
    [
        ("grade", "3", "Fuhrman grade 3", "3"),
        ("grade", "G3", "Fuhrman grade 3", "3"),
        ("grade", "Grade 3", "Fuhrman grade 3", "3"),
        ("grade", "III", "Fuhrman grade 3", "3"),
        ("grade", 3, "Fuhrman grade 3", "3"),
        ("pT", "pT3a", "AJCC: pT3a pN1", "T3a"),
        ("pT", "T3a", "pT3a", "T3a"),
        ("pN", "N1", "pT3a pN1", "N1"),
        ("tumor_size_cm", "7.50", "7.5 cm in greatest dimension", "7.5"),
        ("tumor_size_cm", "75 mm", "7.5 cm in greatest dimension", "7.5"),
        ("tumor_size_cm", "7.5 cm", "7.5 CM in Greatest Dimension", "7.5"),
        ("laterality", "Left", "Kidney, left, radical nephrectomy", "left"),
        ("sarcomatoid", "Absent", "Sarcomatoid features: not identified", "absent"),
        ("renal_vein_invasion", "present", "tumor  invades\nthe renal vein", "present"),
        ("margins", "negative", 'Margins: free of tumor - all of them (see "note")', "negative"),
        (
            "lymphovascular_invasion",
            CANNOT_BE_ASSESSED,
            "Lymphovascular invasion cannot be assessed",
            CANNOT_BE_ASSESSED,
        ),
        ("grade", "1", "Well-differentiated areas", "1"),
        ("nodes_positive", "2", "Two of four lymph nodes with metastatic carcinoma", "2"),
        # A total over specimens may exceed what one quote shows.
        ("nodes_examined", "11", "metastatic carcinoma (2/4)", "11"),
    ],
)
def test_a_claim_the_report_bears_out_stands_in_the_registrys_words(
    name: str, claimed: Any, quote: str, value: str
) -> None:
    assert one(name, claimed, quote) == (value, None)


@pytest.mark.parametrize(
    ("name", "claimed", "quote", "why"),
    [
        ("grade", "1", "Fuhrman grade 3", "its quote says '3', not '1'"),
        ("grade", "3", "Fuhrman grade 4", "its quote is not in the report: copy the words exactly"),
        (
            "grade",
            "3",
            "Two of four lymph nodes",
            "its quote does not say tumour grade: quote the words that do",
        ),
        ("pT", "T3a", "T3", "its quote is shorter than 3 characters: quote the words around it too"),
        (
            "perineural_invasion",
            "present",
            "perineural invasion is present",
            "with the words around it, its quote says 'absent', not 'present'",
        ),
        (
            "perineural_invasion",
            "present",
            "neural invasion is present",
            "its quote is not in the report: copy the words exactly",
        ),
        ("tumor_size_cm", "2", "2 cm. A", "its quote is not in the report: copy the words exactly"),
        ("nodes_examined", "3", "(2/4)", "a total of 3 is less than the 4 in its quote"),
        ("nodes_examined", "many", "(2/4)", "its value is no whole number"),
        ("ER", "positive", "Fuhrman grade 3", "ER is not asked of kidney"),
        ("mood", "good", "Fuhrman grade 3", "it is no field"),
        ("grade", "3", None, "it needs a value and a quote, both text"),
        ("grade", ["3"], "Fuhrman grade 3", "it needs a value and a quote, both text"),
        (
            "grade",
            CANNOT_BE_ASSESSED,
            "Fuhrman grade 3",
            "its quote does not say that grade cannot be assessed",
        ),
        (
            "lymphovascular_invasion",
            "absent",
            "vascular invasion cannot be assessed",
            "its quote does not say lymphovascular invasion: quote the words that do",
        ),
    ],
)
def test_a_claim_the_report_does_not_bear_out_is_dropped_with_the_reason(
    name: str, claimed: Any, quote: Any, why: str
) -> None:
    assert one(name, claimed, quote) == (None, why)


def test_a_quote_that_names_nothing_is_widened_to_its_clause_and_to_the_label_before_it() -> None:
    text = (
        "Margins: free.\nPerineural invasion:\nNot identified.\nFuhrman grade 3, with necrosis. ER is absent."
    )
    found = ground(
        {
            "perineural_invasion": claim("absent", "Not identified"),
            "grade": claim("3", "3, with"),
            "necrosis": claim("absent", "absent"),
        },
        text,
    )
    assert [(s.kind, s.quote) for s in found.statements] == [
        ("grade", "Fuhrman grade 3, with necrosis"),
        ("perineural_invasion", "Perineural invasion:\nNot identified"),
    ]
    # A quote that says something is taken at its word, whatever stands beside it.
    other = ground({"margins": claim("positive", "Margins: free")}, text + "\nTumor at the margin.")
    assert other.dropped[0].why == "its quote says 'negative', not 'positive'"


def test_letters_that_only_look_alike_are_another_text() -> None:
    cyrillic = "Fuhrman gr\u0430de 3"
    assert one("grade", "3", cyrillic) == (None, "its quote is not in the report: copy the words exactly")
    assert one("grade", "3", "Fuhrman\u200bgrade 3")[0] is None
    assert one("grade", "3", "Fuhrman grade \uff13")[0] is None


def test_a_copy_of_the_report_is_no_quote_and_what_is_stored_of_it_is_short() -> None:
    found = ground({"grade": claim("3" * 10_000, REPORT * 100)}, REPORT, "kidney")
    assert found.statements == ()
    assert found.dropped[0].why == "its quote is longer than 400 characters: quote only the words that say it"
    assert len(str(found.dropped[0].quote)) < 210
    assert len(str(found.dropped[0].value)) < 210


def test_of_several_places_the_first_that_bears_the_claim_out_is_taken() -> None:
    text = "No vascular invasion was expected. In the deep part, vascular invasion is prominent."
    found = ground({"lymphovascular_invasion": claim("present", "vascular invasion is prominent")}, text)
    assert found.statements[0].start == text.index("vascular invasion is prominent")
    denied = ground({"lymphovascular_invasion": claim("present", "vascular invasion was expected")}, text)
    assert denied.dropped[0].why == "with the words around it, its quote says 'absent', not 'present'"


def test_what_is_not_stated_is_neither_kept_nor_dropped() -> None:
    assert ground({"grade": None, "pT": None}, REPORT, "kidney") == ((), (), ())


def test_statements_come_in_the_order_of_the_registry() -> None:
    claims = {
        "sarcomatoid": claim("absent", "Sarcomatoid features: not identified"),
        "grade": claim("3", "grade 3"),
    }
    assert [s.kind for s in ground(claims, REPORT, "kidney").statements] == ["grade", "sarcomatoid"]


def test_where_the_organ_is_unknown_only_what_all_are_asked_stands() -> None:
    assert one("sarcomatoid", "absent", "Sarcomatoid features: not identified", organ=None) == (
        None,
        "sarcomatoid is not asked of a report whose organ is unknown",
    )
    assert one("grade", "3", "Fuhrman grade 3", organ=None) == ("3", None)
    with pytest.raises(UnknownName, match="did you mean 'kidney'"):
        ground({}, REPORT, "kidny")


def test_sentences_are_spans_of_the_report_in_its_order_and_not_too_many() -> None:
    sentences = ["The tumor invades the renal vein.", "clear cell RENAL cell", "Never said.", 7, "a"]
    found = ground({}, REPORT, "kidney", sentences=[*sentences, sentences[0]])
    assert [s.text for s in found.sentences] == ["Clear cell renal cell", "The tumor invades the renal vein."]
    assert all(s.kind == "sentence" and verify(s, REPORT) is None for s in found.sentences)
    assert [d.why for d in found.dropped] == [
        "its quote is not in the report: copy the words exactly",
        "it is no text",
        "its quote is shorter than 3 characters: quote the words around it too",
        "it is there already",
    ]
    many = "\n".join(f"Focus number {n} is seen." for n in range(20))
    kept = ground({}, many, sentences=many.splitlines())
    assert len(kept.sentences) == 16
    assert {d.why for d in kept.dropped} == {"16 sentences are kept at most"}


SPANS = st.tuples(st.integers(0, len(REPORT)), st.integers(0, 120)).map(
    lambda span: REPORT[span[0] : span[0] + span[1]]
)
QUOTES = SPANS | SPANS.map(str.upper) | SPANS.map(lambda text: " ".join(text.split())) | st.text(max_size=20)
VALUES = (
    st.sampled_from(sorted({value for field in FIELDS.values() for value in field.values}))
    | st.sampled_from([CANNOT_BE_ASSESSED, "T3a", "7.5", "clear cell renal cell carcinoma", "4", "2"])
    | st.text(max_size=10)
)


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(sorted(FIELDS)) | st.text(max_size=5),
        st.none() | st.fixed_dictionaries({"value": VALUES, "quote": QUOTES}),
        max_size=8,
    ),
    st.lists(QUOTES, max_size=4),
    st.sampled_from([None, "kidney", "breast"]),
)
def test_whatever_is_claimed_every_statement_stands_and_nothing_is_lost(
    claims: dict[str, Any], sentences: list[str], organ: str | None
) -> None:
    found = ground(claims, REPORT, organ, sentences=sentences)
    for statement in (*found.statements, *found.sentences):
        assert verify(statement, REPORT) is None
    claimed = sum(one is not None for one in claims.values()) + len(sentences)
    assert len(found.statements) + len(found.sentences) + len(found.dropped) == claimed


@given(st.data())
def test_a_quote_survives_folding_with_its_place(data: st.DataObject) -> None:
    """Changed in case and white space, the words of the report are found where they stand."""
    words = [match.span() for match in re.finditer(r"\S+", REPORT)]
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, min(first + 8, len(words) - 1)))
    start, end = words[first][0], words[last][1]
    quote = data.draw(st.sampled_from([" ", "\n", " \t "])).join(REPORT[start:end].upper().split())
    found = ground({}, REPORT, sentences=[quote])
    if 3 <= len(quote) <= 400:
        assert " ".join(found.sentences[0].text.lower().split()) == " ".join(
            REPORT[start:end].lower().split()
        )
