"""Features that stay on a card, or in memory. What needs no card is tested without one."""

from __future__ import annotations

import mmap
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from kemm.modalities.slides import SlideBags
from kemm.training import resident as module
from kemm.training.resident import resident

CPU = torch.device("cpu")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def slides() -> SlideBags:
    features = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float16)
    return SlideBags(features, np.array([0, 3, 3, 7]), means=np.zeros((3, 4), dtype=np.float32))


def test_on_a_processor_nothing_is_held_that_needs_no_conversion_or_has_no_room(slides: SlideBags) -> None:
    assert resident(slides, CPU, torch.float32, 10**9) is None
    assert resident(slides, CPU, torch.bfloat16) is None
    assert resident(slides, CPU, torch.bfloat16, 7 * 4 * 2 - 1) is None


def test_rows_of_a_mapped_file_leave_memory_and_can_be_read_again(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(5000, 4)).astype(np.float16)
    np.save(tmp_path / "packed.npy", values)
    mapped = np.load(tmp_path / "packed.npy", mmap_mode="c")
    asked = []

    class Recorded:
        def madvise(self, advice: int, first: int, length: int) -> None:
            asked.append((advice, length))
            real.madvise(advice, first, length)

    real, mapped._mmap = mapped._mmap, Recorded()
    slides = SlideBags(mapped, np.array([0, 5000]), means=np.zeros((1, 4), dtype=np.float32))
    held = resident(slides, CPU, torch.bfloat16, 10**9)
    assert held is not None
    assert torch.equal(held, torch.from_numpy(values).bfloat16())
    assert [advice for advice, _ in asked] == [mmap.MADV_DONTNEED]
    np.testing.assert_array_equal(slides.features, values)


def test_what_a_prediction_was_the_first_to_ask_for_can_be_trained_on(slides: SlideBags) -> None:
    with torch.inference_mode():
        resident(slides, CPU, torch.bfloat16, 10**9)
    held = resident(slides, CPU, torch.bfloat16, 10**9)
    assert held is not None
    weight = torch.ones(4, 2, dtype=torch.bfloat16, requires_grad=True)
    (held @ weight).sum().backward()
    assert weight.grad is not None


def test_on_a_processor_what_was_converted_is_held_until_there_is_no_room(
    slides: SlideBags, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
    held = resident(slides, CPU, torch.bfloat16, 7 * 4 * 2)
    assert held is not None
    assert torch.equal(held, torch.from_numpy(slides.features).bfloat16())
    assert resident(slides, CPU, torch.bfloat16, 10**9) is held
    assert resident(slides, CPU, torch.bfloat16, 0) is None
    again = resident(slides, CPU, torch.bfloat16, 10**9)
    assert again is not held
    assert again is not None
    # What is held in another precision counts in nobody's memory; nor does what is held of other slides.
    gone = weakref.ref(again)
    del again
    assert resident(slides, CPU, torch.float32, 10**9) is None
    assert gone() is None
    last = resident(slides, CPU, torch.bfloat16, 10**9)
    assert last is not None
    gone = weakref.ref(last)
    del last
    others = SlideBags(slides.features, slides.offsets, means=slides.means)
    assert resident(others, CPU, torch.bfloat16, 10**9) is not None
    assert gone() is None


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_all_rows_are_sent_a_few_at_a_time(
    slides: SlideBags, kind: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * 7 * 4 * 2, 10**9))
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
    sent = module._sent(slides, CPU, kind)
    assert sent is not None
    torch.testing.assert_close(sent, torch.from_numpy(slides.features).to(kind), rtol=0, atol=0)


def test_what_half_of_the_free_memory_does_not_hold_is_not_sent(
    slides: SlideBags, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * 7 * 4 * 2 - 1, 10**9))
    assert module._sent(slides, CPU, torch.float16) is None


@GPU
def test_on_a_card_features_are_sent_once(slides: SlideBags) -> None:
    card = torch.device("cuda")
    held = resident(slides, card, torch.float32)
    assert held is not None
    assert held.dtype == torch.float16
    assert resident(slides, card, torch.float32) is held
