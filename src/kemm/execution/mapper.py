"""What every way of running tasks is, and the plainest: one after another, in this process."""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, TypeVar

from kemm.core.errors import KemmError

Task = TypeVar("Task")
Result = TypeVar("Result")


class Mapper(Protocol):
    """Has the shape of `map`, except that results come as they are done, each with its task."""

    def __call__(
        self, function: Callable[[Any, Task], Result], context: Any, tasks: Sequence[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        """Call `function(context, task)` for each task. Closing the generator ends what is under way.

        Raises:
            PartialError: A worker was killed (out of memory?); what was done before is kept.
        """
        ...


def run_here(
    function: Callable[[Any, Task], Result], context: Any, tasks: Sequence[Task]
) -> Generator[tuple[Task, Result], None, None]:
    """One task after another, in this process."""
    settle_process()
    for task in tasks:
        yield task, function(context, task)


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def settle_process() -> None:
    """From here on: sums in the same order, so the same bytes, wherever and beside whomever a task runs; and memory that
    was freed is used again rather than given back."""
    _compute_on_one_thread()
    keep_freed_memory()


def _compute_on_one_thread() -> None:
    # A pool can only be limited once the library that has it is loaded; scipy brings a BLAS of its own.
    import scipy.linalg  # noqa: F401
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    torch.set_num_threads(1)


def keep_freed_memory() -> None:
    """A training step asks for the same pieces again and again; glibc gives the larger ones back to the system, which
    clears each before it is used anew. Elsewhere nothing is done."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, LARGEST_KEPT_PIECE)
    mallopt(_TRIM_THRESHOLD, LARGEST_KEPT_PIECE)


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Of malloc.h."""
LARGEST_KEPT_PIECE = 2**25
"""Bytes; larger pieces, and more that is free at the end of the heap, go back to the system at once.

Steps of unlike bags ask for unlike pieces: kept up to 1 GB, they crumbled the heap, and a process grew by gigabytes."""


Answer = tuple[Any, Exception | None]


def answer(function: Callable[[Any, Task], Any], context: Any, task: Task) -> Answer:
    """What a worker sends back: the result, or the error as it can be sent."""
    try:
        return function(context, task), None
    except KemmError as error:
        return None, error
    except Exception:
        # As text: not every exception can be sent.
        return None, RuntimeError(f"a worker failed:\n{traceback.format_exc()}")
