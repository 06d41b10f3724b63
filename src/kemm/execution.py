"""Runs tasks here, one after another or on several processes, through one `map`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Protocol, TypeVar

from kemm.core.errors import PartialError

Task = TypeVar("Task")
Result = TypeVar("Result")


class Mapper(Protocol):
    """Has the shape of `map`, except that results come as they are done, each with its task."""

    def __call__(
        self, function: Callable[[Any, Task], Result], context: Any, tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """Call `function(context, task)` for each task."""
        ...


def run_here(
    function: Callable[[Any, Task], Result], context: Any, tasks: Sequence[Task]
) -> Iterator[tuple[Task, Result]]:
    """One task after another, in this process."""
    _one_thread()
    for task in tasks:
        yield task, function(context, task)


class Processes:
    """Tasks on several processes of this machine. Each worker computes on one thread.

    One thread a worker gives the same bytes whatever the number of workers; and for small
    tensors it is also the faster way to use several cores.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __call__(
        self, function: Callable[[Any, Task], Result], context: Any, tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """Results as they are done. An interrupt or an error ends the workers.

        Raises:
            PartialError: A worker was killed (out of memory?); what was done before is kept.
        """
        if self.workers == 1 or len(tasks) <= 1:
            yield from run_here(function, context, tasks)
            return
        pool = ProcessPoolExecutor(
            max_workers=min(self.workers, len(tasks)),
            # A forked child would inherit torch's thread pools in an undefined state.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(context,),
        )
        try:
            with _quiet_start():
                futures = {pool.submit(_call, function, task): task for task in tasks}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise PartialError(
                "a worker process was killed, perhaps for want of memory. What was finished is kept: "
                "run again to go on, with `--workers 1` if it happens again."
            ) from error
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Workers that start meanwhile neither run the caller's script again nor hear Ctrl-C.

    A script without `if __name__ == "__main__"` would start workers of its own in each worker; they
    import what they need from kemm. And Ctrl-C reaches all processes of a terminal: the first of them
    decides, and ends the others.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    can_block = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if can_block else set()
    try:
        yield
    finally:
        sys.modules["__main__"] = script
        if can_block:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


_context: Any = None


def _start_worker(context: Any) -> None:
    global _context
    _context = context
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # also where it could not be blocked from the start
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _one_thread()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for its next task for ever, and keep its memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _call(function: Callable[[Any, Task], Result], task: Task) -> Result:
    return function(_context, task)
