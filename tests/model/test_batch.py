"""Tokens, and what a case without any is."""

import torch

from kemm.model.batch import CaseBatch, Tokens


def tokens(present: list[list[bool]], width: int = 2) -> Tokens:
    mask = torch.tensor(present)
    values = torch.arange(mask.numel() * width, dtype=torch.float32).view(*mask.shape, width)
    return Tokens(values, mask)


def test_a_case_is_present_where_any_of_its_tokens_is() -> None:
    some = tokens([[True, True], [False, True], [False, False]])
    assert some.case_present.tolist() == [True, True, False]


def test_dropped_tokens_are_absent_and_absent_ones_stay_so() -> None:
    some = tokens([[True, True, False]])
    less = some.without(torch.tensor([[True, False, False]]))
    assert less.present.tolist() == [[False, True, False]]
    assert some.present.tolist() == [[True, True, False]], "the original is left as it was"
    assert torch.equal(less.values, some.values)


def test_dropping_tokens_keeps_their_kinds() -> None:
    some = Tokens(torch.zeros(1, 2, 3), torch.tensor([[True, True]]), torch.tensor([[4, 5]]))
    kind = some.without(torch.tensor([[True, False]])).kind
    assert kind is not None
    assert kind.tolist() == [[4, 5]]


def test_tokens_of_the_same_cases_are_put_end_to_end() -> None:
    one, other = tokens([[True], [False]]), tokens([[True, False], [True, True]])
    both = Tokens.cat([one, other])
    assert both.present.tolist() == [[True, True, False], [False, True, True]]
    assert torch.equal(both.values[:, :1], one.values)
    assert torch.equal(both.values[:, 1:], other.values)


def test_a_batch_is_as_long_as_it_has_cases() -> None:
    assert len(CaseBatch({"genes": tokens([[True], [False], [True]])})) == 3
