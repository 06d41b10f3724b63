"""What identifies is hidden, and nothing moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemm.modalities.reports import MASK, deidentify


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        ("barcode", "TCGA-AB-1234-01Z-00-DX1"),
        ("barcode", "TGGA -4670"),
        ("barcode", "TCGA-AB -1234"),
        ("uuid", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"),
        ("uuid", "UUID:0A1B2C3D-4E5F-6O71- 8293-A4B5C6D7E8F9"),
        ("date", "03/12/2009"),
        ("date", "3/12/09"),
        ("date", "2009-12-03"),
        ("date", "12.03.2009"),
        ("date", "March 12, 2009"),
        ("date", "12 Mar 2009"),
        ("date", "Mar 2009"),
        ("date", "12-Mar-09"),
        ("date", "11/2009"),
        ("email", "jane.doe@example.org"),
        ("phone", "(555) 123-4567"),
        ("record number", "S09-12345"),
        ("record number", "123-45-6789"),
        ("institution", "Elsewhere General Hospital"),
        ("institution", "University of Nowhere"),
    ],
)
def test_a_secret_is_replaced_by_a_mask_of_its_length(kind: str, secret: str) -> None:
    text = f"seen ({secret}) here"
    result = deidentify(text)
    assert result.text == f"seen ({MASK * len(secret)}) here"
    assert result.masked == {kind: 1}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Medical record #: 1234567", "Medical record #: " + MASK * 7),
        ("MRN: 00-4711", "MRN: " + MASK * 7),
        ("Accession No: X12-3456.", "Accession No: " + MASK * 8 + "."),
        ("reviewed by Dr. Quincy Adams.", "reviewed by Dr. " + MASK * 12 + "."),
        ("signed Jane Q. Doe, M.D.", "signed " + MASK * 11 + ", M.D."),
        ("a 93 year old woman", "a " + MASK * 2 + " year old woman"),
        ("Age: 91", "Age: " + MASK * 2),
    ],
)
def test_a_label_stays_and_its_secret_goes(text: str, shown: str) -> None:
    assert deidentify(text).text == shown


@pytest.mark.parametrize(
    "text",
    [
        "a 67 year old woman",
        "lymph nodes (1/10), 2/3 tubules, blocks A1-A10",
        "tumor 4.5 x 3.2 x 10.7 cm, grade 2-3/4",
        "Weight of specimen: 300 grams",
        "Ki-67 95%, ER 100%",
        "seen with Dr. The specimen is oriented.",
        "pT1c pN0 (0/12) M8500/3",
        "HER2/CEP17 ratio 5.7. 66 cells were counted",
    ],
)
def test_what_a_pathologist_measures_stays(text: str) -> None:
    result = deidentify(text)
    assert result.text == text
    assert result.masked == {}


def test_names_of_sites_are_hidden_whatever_their_case_and_spacing() -> None:
    result = deidentify(
        "ST.  ELSEWHERE and St. Elsewhere; site XY, not XYZ", site_names=["St. Elsewhere", "XY"]
    )
    assert result.text == f"{MASK * 14} and {MASK * 13}; site {MASK * 2}, not XYZ"
    assert result.masked == {"site name": 3}


def test_a_longer_name_is_hidden_before_a_shorter_one_within_it() -> None:
    result = deidentify("at Mercy North today", site_names=["Mercy", "Mercy North"])
    assert result.text == f"at {MASK * 11} today"


def test_invisible_characters_become_spaces() -> None:
    result = deidentify("ig\u200bnore\u202e this\ufeff\x00\r\n\tline")
    assert result.text == "ig nore  this  \r\n\tline"
    assert result.masked == {"invisible character": 4}


pieces = st.sampled_from(
    ["TCGA-AB-1234", "12/03/2009 ", "Dr. Adams ", "\u200b", "MRN: 1234", "\n", MASK, "S09-12345"]
)


@given(st.lists(pieces | st.text(max_size=20)).map("".join))
def test_length_and_everything_unmasked_stay(text: str) -> None:
    result = deidentify(text)
    assert len(result.text) == len(text)
    for before, after in zip(text, result.text, strict=True):
        assert after in {before, MASK, " "}


@given(st.text())
def test_hiding_twice_hides_no_more(text: str) -> None:
    once = deidentify(text).text
    assert deidentify(once).text == once
