"""Bags in the precision of products."""

from __future__ import annotations

import pytest
import torch

from kemm.model import desk as module
from kemm.model.batch import Bags
from kemm.model.desk import Desk


@pytest.mark.parametrize("stored", [torch.float16, torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16])
def test_a_bag_is_brought_to_the_precision_asked_for_whatever_came_before_it(
    stored: torch.dtype, wanted: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_HALF_WAY", 3)
    patches = tuple(torch.randn(count, 5).to(stored) for count in (4, 7, 1, 0))
    desk = Desk(Bags(patches, precision=wanted), wanted)
    for bag in (1, 0, 0, 3, 2, 1):  # one after itself, too
        assert torch.equal(desk(bag), patches[bag].to(wanted))
