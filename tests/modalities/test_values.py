"""What a report states as numbers: more, larger and worse are higher."""

import math

import pytest

from kemm.core.types import Statement
from kemm.modalities.reports import FIELDS, RefinedReport
from kemm.modalities.reports.values import FIELD_COVARIATES, field_values, value_of


def said(kind: str, value: str | None) -> Statement:
    return Statement(kind=kind, text="", value=value)


def number(kind: str, value: str) -> float:
    found = value_of(said(kind, value))
    assert isinstance(found, float), f"{kind} {value}: {found!r}"
    return found


@pytest.mark.parametrize(
    ("kind", "from_best_to_worst"),
    [
        ("grade", ("1", "2", "3", "4")),
        ("pT", ("T1", "T1b", "T2", "T2a", "T3", "T3c", "T4")[::1]),
        ("pN", ("N0", "N1", "N2")),
        ("pM", ("M0", "M1")),
        ("stage_group", ("I", "IB", "II", "IIIA", "IIIC", "IV")),
        ("nodes_positive", ("0", "1", "4", "20")),
        ("tumor_size_cm", ("0.4", "2", "7.5", "15")),
        ("margins", ("negative", "close", "positive")),
        ("HER2", ("negative", "equivocal", "positive")),
        ("necrosis", ("absent", "present")),
        ("myometrial_invasion", ("none", "<50%", ">=50%")),
    ],
)
def test_worse_is_never_lower(kind: str, from_best_to_worst: tuple[str, ...]) -> None:
    numbers = [number(kind, value) for value in from_best_to_worst]
    assert numbers == sorted(numbers)
    assert numbers[0] < numbers[-1]


def test_counts_and_sizes_are_logarithms_of_one_more() -> None:
    assert number("nodes_positive", "0") == 0
    assert number("nodes_examined", "9") == pytest.approx(math.log(10))
    assert number("tumor_size_cm", "4.5") == pytest.approx(math.log(5.5))
    assert number("nodes_positive", "2") - number("nodes_positive", "1") > (
        number("nodes_positive", "11") - number("nodes_positive", "10")
    )


def test_stages_stand_where_the_ladder_of_stages_puts_them() -> None:
    assert number("stage_group", "IIB") == 2.25
    assert number("pT", "T2a") == number("pT", "T2")


@pytest.mark.parametrize("value", ["TX", "NX", "MX"])
def test_what_could_not_be_assessed_has_no_value(value: str) -> None:
    assert value_of(said(f"p{value[0]}", value)) is None


def test_categories_stay_words() -> None:
    assert value_of(said("histologic_type", "clear cell carcinoma")) == "clear cell carcinoma"
    assert value_of(said("laterality", "left")) == "left"


@pytest.mark.parametrize(
    "statement",
    [
        said("sentence", None),
        said("grade", None),
        said("background slides high risk", "1"),
        said("pT", "huge"),
    ],
)
def test_what_is_no_value_of_a_field_is_none(statement: Statement) -> None:
    assert value_of(statement) is None


@pytest.mark.parametrize("field", FIELDS.values(), ids=list(FIELDS))
def test_every_value_a_field_can_take_has_a_number_or_is_a_category(field: object) -> None:
    """A field added to the registry without a scale would be silently missing."""
    name, values = field.name, field.values  # type: ignore[attr-defined]
    kind = next(one.kind for one in FIELD_COVARIATES if one.name == name)
    for value in values:
        found = value_of(said(name, value))
        if value == "indeterminate":
            assert found is None, "neither present nor absent, and nothing between"
            continue
        assert isinstance(found, str if kind == "categorical" else float), f"{name}: {value}"


def test_there_is_a_covariate_a_field_in_their_order() -> None:
    assert [one.name for one in FIELD_COVARIATES] == list(FIELDS)


def test_a_report_is_the_values_of_what_it_states() -> None:
    report = RefinedReport(
        statements=(said("grade", "3"), said("laterality", "left"), said("sentence", None)),
        text="",
        masked={},
    )
    values = field_values(report)
    assert values["grade"] == 3.0
    assert values["laterality"] == "left"
    assert values.get("necrosis") is None
    assert field_values(None) == {}
