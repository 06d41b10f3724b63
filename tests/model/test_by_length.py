"""Cases computed together with those of about their length."""

from __future__ import annotations

import torch
from torch import Tensor

from kemm.model import by_length
from kemm.model.batch import Bags, CaseBatch, Tokens
from kemm.model.by_length import scores_by_length


def batch_of(lengths: list[int], bag_of: list[int]) -> CaseBatch:
    """Case i has i as its token and ten times i as its offset; bag i is of i in every patch."""
    cases = torch.arange(float(len(bag_of)))
    return CaseBatch(
        {"genes": Tokens(cases[:, None, None], torch.ones(len(bag_of), 1, dtype=torch.bool))},
        {"slides": Tokens(2 * cases[:, None, None], torch.ones(len(bag_of), 1, dtype=torch.bool))},
        10 * cases,
        {
            "slides": Bags(
                tuple(torch.full((n, 1), float(bag)) for bag, n in enumerate(lengths)), bag_of=tuple(bag_of)
            )
        },
    )


def test_some_cases_of_a_batch_keep_all_that_is_theirs() -> None:
    some = batch_of([3, 0, 2, 1], [2, -1, 0, 2, 1, 3]).take([3, 1, 2, 4])
    assert some.tokens["genes"].values.flatten().tolist() == [3, 1, 2, 4]
    assert some.background["slides"].values.flatten().tolist() == [6, 2, 4, 8]
    assert some.offset is not None
    assert some.offset.tolist() == [30, 10, 20, 40]
    bags = some.bags["slides"]
    assert bags.case_lengths == (2, 0, 3, 0)
    assert [bags.patches[bag][:1].flatten().tolist() for bag in bags.cases if bag >= 0] == [[2.0], [0.0], []]
    assert len(bags.patches) == 3, "a bag that none of them has is left behind"


def test_cases_without_any_bag_are_still_cases() -> None:
    bags = batch_of([3, 0], [0, -1, -1]).take([2, 1]).bags["slides"]
    assert bags.case_lengths == (0, 0)
    assert bags.case_present.tolist() == [False, False]


def test_scores_come_in_the_order_of_the_batch_from_groups_of_a_length_with_as_many_cases_of_each_network() -> (
    None
):
    lengths = [(7 * bag) % 20 for bag in range(20)]
    shared = [*range(20), *reversed(range(20))]  # two networks look at the same bags, in another order
    padded = []

    def compute(batch: CaseBatch) -> Tensor:
        first, second = batch.tokens["genes"].values.flatten().chunk(2)
        assert (first < 20).all()
        assert (second >= 20).all()
        padded.append(max(batch.bags["slides"].case_lengths))
        return batch.tokens["genes"].values

    said = scores_by_length(compute, batch_of(lengths, shared), members=2)
    assert said.flatten().tolist() == list(range(40))
    assert padded == [7, 15, 19]


def test_few_cases_are_computed_as_they_are() -> None:
    batch = batch_of([5] * by_length.CASES_OF_A_LENGTH, list(range(by_length.CASES_OF_A_LENGTH)))
    seen = []

    def compute(given: CaseBatch) -> Tensor:
        seen.append(given)
        return given.tokens["genes"].values

    scores_by_length(compute, batch, members=1)
    assert len(seen) == 1
    assert seen[0] is batch
