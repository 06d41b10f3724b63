"""Tells, while results are awaited, how far the networks are that train in other processes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator
from pathlib import Path

from kemm.pipeline.progress import Step, size
from kemm.training.crossval import Crossval
from kemm.training.memory import step_memory
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
    """A line on the memory that training on slides will need in each process; none without slides."""
    one = step_memory(context)
    if one is None:
        return []
    return [
        f"memory: a training step takes about {size(one.step)} of patches in each process ({one.cases} cases of at most "
        f"{one.patches:,} patches, {one.features:,} numbers each, {one.networks} networks of width {one.width}), "
        f"a prediction {size(one.prediction)}; all else about {BESIDE}"
    ]
