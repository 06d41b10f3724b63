from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemm.core.staging import NotAStage, stage_rank


@pytest.mark.parametrize(
    ("text", "rank"),
    [
        ("Stage 0", 0.0),
        ("Stage I", 1.0),
        ("IA", 1.0),
        ("IA1", 1.0),
        ("IA2", 1.05),
        ("Stage IB", 1.25),
        ("Stage IS", 1.75),
        ("II", 2.0),
        ("Stage IIB", 2.25),
        ("stage  iib", 2.25),
        ("2B", 2.25),
        ("AJCC stage: IIB (T3 N0 M0)", 2.25),
        ("Stage IIIC1", 3.5),
        ("Stage IIIC2", 3.55),
        ("FIGO IIIA1(ii)", 3.0),
        ("IVB", 4.25),
        ("I/II NOS", 1.5),
        ("Stage II-III", 2.5),
        ("in situ", 0.0),
    ],
)
def test_a_stage_group_has_its_place_on_the_ladder(text: str, rank: float) -> None:
    found = stage_rank(text)
    assert found is not None
    assert found == ("group", rank)


@pytest.mark.parametrize(
    "text",
    ["Stage X", "X", "[Discrepancy]", "[Not Available]", "unknown", "Stage Unknown", "", "TX", "NX", "MX"],
)
def test_an_unknown_stage_is_missing(text: str) -> None:
    assert stage_rank(text) is None


@pytest.mark.parametrize(
    ("text", "ladder", "rank"),
    [
        ("T2", "t", 2.0),
        ("pT2a", "t", 2.0),
        ("ypT4d", "t", 4.75),
        ("Tis", "t", 0.0),
        ("N1mi", "n", 1.0),
        ("N0 (i-)", "n", 0.0),
        ("cM0 (i+)", "m", 0.0),
        ("M1b", "m", 1.25),
    ],
)
def test_a_category_is_ranked_on_its_own_ladder(text: str, ladder: str, rank: float) -> None:
    assert stage_rank(text) == (ladder, rank)


@pytest.mark.parametrize("text", ["G2", "V", "IIIX", "stage five", "T2 N1", "12", "I/II/III", "high"])
def test_what_is_no_stage_is_refused_with_the_order(text: str) -> None:
    with pytest.raises(NotAStage, match=r"is not a stage on the AJCC order \(0, I, IA ... IV\)"):
        stage_rank(text)


def test_figo_has_no_t_category() -> None:
    with pytest.raises(NotAStage, match="'T2' is not a stage on the FIGO order"):
        stage_rank("T2", "figo")


_MAIN = st.sampled_from(["I", "II", "III", "IV"])
_SUB = st.sampled_from(["", "A", "A1", "A2", "B", "B1", "B2", "C", "C1", "C2", "D"])


@given(_MAIN, _SUB, _MAIN, _SUB)
def test_the_order_of_ranks_is_the_order_of_the_books(
    main: str, sub: str, other: str, other_sub: str
) -> None:
    left, right = stage_rank(f"Stage {main}{sub}"), stage_rank(f"{other}{other_sub}".lower(), "figo")
    assert left is not None
    assert right is not None
    mains = ["I", "II", "III", "IV"]
    if main != other:
        assert (left.rank < right.rank) == (mains.index(main) < mains.index(other))
    elif "" not in (sub, other_sub) and (sub[0] != other_sub[0] or len(sub) == len(other_sub)):
        assert (left.rank < right.rank) == (sub < other_sub)
