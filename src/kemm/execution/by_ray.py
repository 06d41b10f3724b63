"""Tasks on Ray: a running cluster, or one that is started on this machine and ended again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any

from kemm.core.errors import PartialError, ServiceError, UsageError
from kemm.execution.mapper import Answer, Result, Task, answer, compute_on_one_thread, usable_cores
from kemm.execution.settings import RayConfig

TRIES = 2
"""A task whose worker was killed is tried once more, on another worker."""
UNLIMITED = 10_000
SECONDS_TO_CONNECT = 10.0


class Ray:
    """Tasks on the workers of Ray. A caller who has called `ray.init` keeps that connection.

    Raises:
        UsageError: Ray is not installed.
    """

    def __init__(self, config: RayConfig, workers: int | None = None) -> None:
        self.config, self.workers = config, workers
        self.ray = _imported()

    def __call__(
        self, function: Callable[[Any, Task], Result], context: Any, tasks: Sequence[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        """Results as they are done. An interrupt or an error ends the tasks under way.

        Raises:
            PartialError: A worker was killed twice at the same task; what was done before is kept.
            ServiceError: There is no cluster at that address.
        """
        if tasks:
            with self._connected():
                yield from self._done(function, context, tasks)

    def _done(
        self, function: Callable[[Any, Task], Result], context: Any, tasks: Sequence[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        ray = self.ray
        # As bytes: of arrays that Ray itself unpacks, no worker could change anything in place.
        work = bytes(ForkingPickler.dumps((function, context)))
        shared, key = ray.put(work), sha256(work).hexdigest()
        remote = ray.remote(num_cpus=self.config.cpus, max_retries=TRIES - 1)(_work)
        left = iter(tasks)
        under_way: dict[Any, Task] = {}
        try:
            while True:
                for task in islice(left, (self.workers or UNLIMITED) - len(under_way)):
                    under_way[remote.remote([shared], key, task)] = task
                if not under_way:
                    return
                ready, _ = ray.wait(list(under_way))
                task = under_way.pop(ready[0])
                result, error = self._answer(ready[0])
                if error is not None:
                    raise error
                yield task, result
        finally:
            for reference in under_way:
                with contextlib.suppress(Exception):  # the cluster may be gone
                    ray.cancel(reference, force=True)

    def _answer(self, reference: Any) -> Answer:
        try:
            found: Answer = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:300]
            raise PartialError(
                f"Ray lost a worker {TRIES} times at the same task, perhaps for want of memory ({reason}). "
                "What was finished is kept: run again to go on, with fewer tasks side by side "
                "(`--workers 1`, or `--set execution.ray.cpus=2`) if it happens again."
            ) from error
        return found

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """Connected to the cluster; Ray that was started here is ended."""
        ray, address = self.ray, self.config.address
        if ray.is_initialized():
            yield
            return
        here = {} if address else {"num_cpus": (self.workers or usable_cores()) * self.config.cpus}
        # Ray takes SIGTERM for itself; here it ends a run as Ctrl-C does.
        handler = signal.getsignal(signal.SIGTERM)
        try:
            with _quiet():
                _require_reachable(address)
                ray.init(
                    address=address or "local",
                    include_dashboard=None if address else False,
                    logging_level="ERROR",
                    log_to_driver=False,
                    **here,
                )
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise ServiceError(
                f"Ray could not be reached{f' at {address}' if address else ''} ({' '.join(str(error).split())[:300]}). "
                "Correct execution.ray.address (`ray status` shows a running cluster), give this machine the cluster's token "
                "if it asks for one, or leave the address out to start Ray here."
            ) from error
        finally:
            with contextlib.suppress(ValueError, TypeError):  # not in the main thread; not set from Python
                signal.signal(signal.SIGTERM, handler)
        try:
            yield
        finally:
            with _quiet():
                ray.shutdown()


_KNOWN: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {}


def _work(shared: list[Any], key: str, task: Any) -> Answer:
    """What a worker does. The work is fetched once, and kept for its next task."""
    if key not in _KNOWN:
        import ray

        _KNOWN.clear()
        _KNOWN[key] = ForkingPickler.loads(ray.get(shared[0]))
    compute_on_one_thread()
    function, context = _KNOWN[key]
    return answer(function, context, task)


def _require_reachable(address: str | None) -> None:
    """Raise `OSError` where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition("/")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), SECONDS_TO_CONNECT).close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray warns of what it will do in its next versions; that is nothing to a user of kemm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _imported() -> ModuleType:
    # Nothing leaves the machine by default, so no statistics of use either.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        with _quiet():
            import ray
    except ImportError as error:
        raise UsageError(
            "`--on ray` needs Ray, which is not installed. Run `pip install 'kemm[ray]'` here and on each machine of the cluster."
        ) from error
    module: ModuleType = ray
    return module
