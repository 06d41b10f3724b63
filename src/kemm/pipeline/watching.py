"""Tells, while results are awaited, how far the networks are that train in other processes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator
from pathlib import Path

import torch

from kemm.pipeline.progress import Step
from kemm.results.document import numbers
from kemm.training.crossval import Crossval
from kemm.training.device import SLOW_BF16, cost_of_bf16, resolve_device, resolve_precision
from kemm.training.under_way import Watch

SECONDS_A_LOOK = 1.0
BESIDE = "0.5 to 1 GB"
"""What libraries and all other inputs were measured to take in a process that trains, with `training.batch` of 32."""


@contextlib.contextmanager
def watching(store: Path, keys: Collection[str], step: Step) -> Iterator[None]:
    """Tell `step` about every second what is under way of the units `keys`; leave no file of them behind."""
    watch, over = Watch(store, keys), threading.Event()
    watch.clear()  # a killed run's

    def look() -> None:
        while not over.wait(SECONDS_A_LOOK):
            step.under_way(watch.now())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        watch.clear()


def describe_memory(context: Crossval) -> list[str]:
    """A line on the memory that training on slides will need in each process; none without slides.

    Raises:
        UsageError: More than `training.memory_gb`.
    """
    needs = [memory for spec in context.models if (memory := context.memory(spec)) is not None]
    if not needs:
        return []
    for one in needs:
        one.require()
    one = max(needs, key=lambda memory: memory.peak)
    return [
        f"memory: patches take up to {numbers.memory(one.step)} in each process in a training step ({one.cases} cases of at most "
        f"{one.patches:,} patches, {one.width:,} numbers each, {one.networks} networks side by side), "
        f"{numbers.memory(one.prediction)} in a prediction"
        + (f", {numbers.memory(one.held)} for all patches in bf16" if one.held else "")
        + f"; all else about {BESIDE}"
    ]


def describe_precision(context: Crossval) -> list[str]:
    """A line where patches are to be computed with in bf16, on a processor that is slow at it."""
    training = context.training
    device = resolve_device(training.device)
    if device.type != "cpu" or resolve_precision(training.precision, device) != torch.bfloat16:
        return []
    if context.data.slides is None or (times := cost_of_bf16()) < SLOW_BF16:
        return []
    return [
        f"warning: training.precision is 'bf16', and a product in bf16 takes this processor {times:.0f} times as long as in "
        "fp32; 'auto' computes in fp32 on a processor"
    ]
