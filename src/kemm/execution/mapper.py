"""What every way of running tasks is, and the plainest: one after another, in this process."""

from __future__ import annotations

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
    compute_on_one_thread()
    for task in tasks:
        yield task, function(context, task)


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compute_on_one_thread() -> None:
    """From here on: sums in the same order, so the same bytes, wherever and beside whomever a task runs."""
    # A pool can only be limited once the library that has it is loaded; scipy brings a BLAS of its own.
    import scipy.linalg  # noqa: F401
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    torch.set_num_threads(1)


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
