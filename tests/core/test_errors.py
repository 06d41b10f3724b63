from __future__ import annotations

import pytest

from kemm.core.errors import Fault, Faults, InputError, InvalidInput, PolicyError, UnknownName, nearest
from kemm.core.registry import Registry


def test_a_fault_says_where_what_and_how_to_mend_it() -> None:
    fault = Fault(
        problem="'x' is not a number", remedy="Correct it.", file="a.csv", row=3, column="age", case="C1"
    )
    assert str(fault) == "a.csv, row 3, column 'age', case C1: 'x' is not a number. Correct it."
    assert str(Fault(problem="no cancer type", remedy="")) == "no cancer type"


def test_all_faults_come_in_one_message_twenty_spelt_out_and_the_rest_counted() -> None:
    faults = Faults()
    for row in range(1, 26):
        faults.add("negative", "Mend it.", file="a.csv", row=row)
    faults.warn("few events", "Choose another endpoint.")
    with pytest.raises(InvalidInput) as raised:
        faults.raise_if_any()
    message = str(raised.value)
    assert message.startswith("25 faults in the input:\n- a.csv, row 1: negative. Mend it.\n")
    assert "row 20" in message
    assert "row 21" not in message
    assert message.endswith("... and 5 more")
    assert "few events" not in message


def test_warnings_stop_nothing() -> None:
    faults = Faults()
    faults.warn("few events", "Choose another endpoint.")
    faults.raise_if_any()
    assert [str(warning) for warning in faults.warnings] == ["few events. Choose another endpoint."]


def test_an_error_caught_while_reading_joins_the_others() -> None:
    faults = Faults()
    faults.add_error(InvalidInput([Fault(problem="a", remedy=""), Fault(problem="b", remedy="")]))
    faults.add_error(InputError("c: there is no such file"))
    assert [fault.problem for fault in faults.errors] == ["a", "b", "c: there is no such file"]


def test_the_exit_code_of_collected_faults_is_theirs_if_they_agree_and_3_if_not() -> None:
    faults = Faults()
    faults.add_error(PolicyError("outside the study"))
    assert InvalidInput(faults.errors).exit_code == PolicyError.exit_code == 7
    faults.add("negative", "Mend it.")
    assert InvalidInput(faults.errors).exit_code == 3


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("OS_MONTH", ["os_months", "event"], "did you mean 'os_months'?"),
        ("zzz", ["b", "a"], "choose from: a, b"),
        ("zzz", [], "there is none"),
    ],
)
def test_the_nearest_name_is_suggested(name: str, known: list[str], hint: str) -> None:
    assert nearest(name, known) == hint


def test_a_registry_hands_out_what_was_registered_and_names_the_nearest_of_what_was_not() -> None:
    encoders: Registry[int] = Registry("text encoder")
    assert encoders.register("tfidf-svd")(1) == 1
    encoders.register("bert")(2)
    assert encoders["tfidf-svd"] == 1
    assert "bert" in encoders
    assert list(encoders) == ["bert", "tfidf-svd"]
    with pytest.raises(
        UnknownName, match=r"^no text encoder is called 'tfidf_svd'; did you mean 'tfidf-svd'\?$"
    ):
        encoders["tfidf_svd"]
    with pytest.raises(ValueError, match="two text encoders are called 'bert'"):
        encoders.register("bert")(3)
