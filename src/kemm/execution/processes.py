"""Tasks on several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any

from kemm.core.errors import PartialError
from kemm.execution.mapper import Result, Task, answer, compute_on_one_thread, run_here

SECONDS_TO_END = 5.0


class Processes:
    """Tasks on several processes of this machine. Each worker computes on one thread.

    One thread a worker gives the same bytes whatever the number of workers; and for small
    tensors it is also the faster way to use several cores. Each worker has a pipe of its own: of one
    that is killed, at whatever moment, nothing is left that the others would wait for.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __call__(
        self, function: Callable[[Any, Task], Result], context: Any, tasks: Sequence[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        """Results as they are done. An interrupt or an error ends the workers.

        Raises:
            PartialError: A worker was killed (out of memory?); what was done before is kept.
        """
        if self.workers == 1 or len(tasks) <= 1:
            yield from run_here(function, context, tasks)
            return
        workers: list[_Worker] = []
        try:
            with _quiet_start():
                for _ in range(min(self.workers, len(tasks))):
                    workers.append(_Worker.start())
            yield from _dealt(workers, ForkingPickler.dumps((function, context)), tasks)
        finally:
            for worker in workers:
                worker.process.terminate()
            for worker in workers:
                worker.end()


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection

    @classmethod
    def start(cls) -> _Worker:
        # A forked child would inherit torch's thread pools in an undefined state.
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_work, args=(theirs,), daemon=True)
        process.start()
        theirs.close()  # else its end would not be seen when the worker is gone
        return cls(process, ours)

    def end(self) -> None:
        self.process.join(SECONDS_TO_END)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()
        self.pipe.close()


def _dealt(
    workers: Sequence[_Worker], work: memoryview, tasks: Sequence[Task]
) -> Generator[tuple[Task, Any], None, None]:
    """Each worker gets the work once, and a task whenever it has none."""
    left = deque(tasks)
    under_way: dict[Connection, Task] = {}
    with _killed_workers_told():
        for worker in workers:
            worker.pipe.send_bytes(work)
            under_way[worker.pipe] = left.popleft()
            worker.pipe.send(under_way[worker.pipe])
    while under_way:
        for pipe in wait(list(under_way)):
            assert isinstance(pipe, Connection)
            with _killed_workers_told():
                task, (result, error) = under_way.pop(pipe), pipe.recv()
                if error is None and left:
                    under_way[pipe] = left.popleft()
                    pipe.send(under_way[pipe])
            if error is not None:
                raise error
            yield task, result


@contextmanager
def _killed_workers_told() -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise PartialError(
            "a worker process was killed, perhaps for want of memory. What was finished is kept: "
            "run again to go on, with `--workers 1` if it happens again."
        ) from error


def _work(pipe: Connection) -> None:
    """What a worker does, until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # also where it could not be blocked from the start
    threading.Thread(target=_end_with_parent, daemon=True).start()
    function, context = pipe.recv()
    compute_on_one_thread()
    while True:
        task = pipe.recv()
        pipe.send(answer(function, context, task))


def _end_with_parent() -> None:
    """A worker whose parent was killed would go on with its task, for nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


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
