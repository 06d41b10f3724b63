"""The copy that rules read: as long as the text, with scanning errors undone and real words left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import reading_copy


@given(st.text())
def test_the_copy_is_as_long_as_the_text(text: str) -> None:
    assert len(reading_copy(text)) == len(text)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("4.5 em x", "4.5 cm x"),
        ("2,5 cm", "2.5 cm"),
        ("CARCIN0MA", "carcinoma"),
        ("Lynphatic", "lymphatic"),
        ("tumour", "tumor "),
        ("MARGINS ARE. FREE", "margins are  free"),
        ("measures 2 cm. in length", "measures 2 cm  in length"),
        ("free of tumor. No invasion", "free of tumor. no invasion"),
        ("invasion of the\nrenal vein", "invasion of the renal vein"),
        ("Margins: free\nGrade: 2", "margins: free\ngrade: 2"),
        ("Necrosis:\nNot identified", "necrosis: not identified"),
        ("DESCRIPTION\nThe lobe", "description\nthe lobe"),
    ],
)
def test_what_is_repaired_and_joined(written: str, read: str) -> None:
    assert reading_copy(written) == read


@pytest.mark.parametrize(
    "word", ["macroscopic", "capillary", "locality", "rejection", "prevent", "right", "serious"]
)
def test_a_word_of_its_own_is_not_taken_for_a_misread_one(word: str) -> None:
    assert reading_copy(word) == word


def test_sections_are_told_apart() -> None:
    layout = Layout(
        "FINAL DIAGNOSIS:\nalpha\nFROZEN SECTION DIAGNOSIS: beta\nMACROSCOPIC DESCRIPTION: gamma\nPre-op diagnosis: delta"
    )
    names = [layout.section_at(layout.text.index(word))[1] for word in ("alpha", "beta", "gamma", "delta")]
    assert names == ["diagnosis", "frozen", "gross", "clinical"]
