"""Tasks in jobs of Slurm, submitted through submitit.

A job is a worker: it takes one task after another, so that what it has read and fitted serves the next. Jobs and
the process that started them meet in a folder which all machines see:

    work             the function, its context and the tasks
    open-3           task 3 is nobody's
    taken-3.job-1    it is that job's
    answer-3         its result, or its error
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from hashlib import sha256
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import ModuleType
from typing import Any

from kemm.core.errors import IntegrityError, PartialError, ServiceError, UsageError
from kemm.core.files import write_bytes
from kemm.core.files.output import cannot_write
from kemm.execution.mapper import Result, Task, answer, compute_on_one_thread
from kemm.execution.settings import SlurmConfig

TRIES = 2
"""A task whose job was killed, or ran out of time, is tried once more, in another job."""
POLL_SECONDS = 1.0
SECONDS_TO_END = 5.0
SECONDS_TO_APPEAR = 10.0
"""A file that one machine of a network folder wrote may be seen by another so much later."""


class Slurm:
    """Tasks in Slurm jobs.

    Raises:
        UsageError: submitit is not installed, or there is no Slurm here.
    """

    def __init__(self, config: SlurmConfig, shared: Path, jobs: int | None = None) -> None:
        self.config, self.shared, self.jobs = config, shared, jobs or config.jobs
        self.submitit = _imported()
        if not config.here and shutil.which("sbatch") is None:
            raise UsageError(
                "`--on slurm` needs the command sbatch, which is not here. Run kemm on a login node of the cluster."
            )

    def __call__(
        self, function: Callable[[Any, Task], Result], context: Any, tasks: Sequence[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        """Results as they are done. An interrupt or an error cancels the jobs.

        Raises:
            PartialError: Two jobs were killed at the same task; what was done before is kept.
            InputError: The shared folder cannot be written.
        """
        if not tasks:
            return
        try:
            self.shared.mkdir(parents=True, exist_ok=True)
            # Only its owner may look in or write: jobs unpickle what is there.
            folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=self.shared))
        except OSError as error:
            raise cannot_write(self.shared, error) from error
        jobs = _Jobs(self._executor(folder), folder, list(tasks), self.submitit.core.utils.FailedJobError)
        try:
            jobs.start(
                bytes(ForkingPickler.dumps((function, context, list(tasks)))), min(self.jobs, len(tasks))
            )
            yield from jobs.answers()
        finally:
            jobs.end()
            shutil.rmtree(folder, ignore_errors=True)

    def _executor(self, folder: Path) -> Any:
        config = self.config
        given = {"slurm_partition": config.partition, "slurm_account": config.account}
        executor = self.submitit.AutoExecutor(
            folder=folder / "jobs", cluster="local" if config.here else "slurm"
        )
        executor.update_parameters(
            name="kemm",
            timeout_min=config.minutes,
            mem_gb=config.memory_gb,
            cpus_per_task=config.cpus,
            **{name: value for name, value in given.items() if value is not None},
        )
        return executor


class _Jobs:
    """The jobs of one call, and which tasks they have."""

    def __init__(self, executor: Any, folder: Path, tasks: list[Any], failed: type[Exception]) -> None:
        self.executor, self.folder, self.tasks, self.failed = executor, folder, tasks, failed
        self.running: dict[str, Any] = {}
        self.ended: dict[str, float] = {}
        """When a job was first seen to be over."""
        self.lost = Counter[int]()
        """By task, how often its job ended without an answer; -1: without having taken a task."""
        self.digest = ""
        self.all_answered = False

    def start(self, work: bytes, count: int) -> None:
        """Lay out the tasks, and submit so many jobs."""
        self.digest = sha256(work).hexdigest()
        write_bytes(self.folder / "work", work)
        for number in range(len(self.tasks)):
            (self.folder / f"open-{number}").touch()
        self._submit(count)

    def answers(self) -> Generator[tuple[Any, Any], None, None]:
        """Each task with its result, as they come."""
        left = set(range(len(self.tasks)))
        while left:
            there = set(os.listdir(self.folder))
            new = sorted(number for number in left if f"answer-{number}" in there)
            for number in new:
                result, error = ForkingPickler.loads((self.folder / f"answer-{number}").read_bytes())
                if error is not None:
                    raise error
                left.remove(number)
                yield self.tasks[number], result
            if left and not new:
                self._replace_lost(left)
                time.sleep(POLL_SECONDS)
        self.all_answered = True

    def end(self) -> None:
        """End all jobs that are queued or at work."""
        # Those that are processes of this machine. Of Slurm's own jobs there are none.
        here = [job._process for job in self.running.values() if getattr(job, "_process", None) is not None]
        if self.all_answered:
            _wait(here)
        for job in self.running.values():
            with contextlib.suppress(Exception):  # it may be over
                job.cancel(check=False)
        _wait(here)

    def _submit(self, count: int) -> None:
        names = [f"job-{len(self.ended) + len(self.running) + number}" for number in range(count)]
        try:
            with self.executor.batch():  # one submission, a job array
                jobs = [self.executor.submit(_work, self.folder, self.digest, name) for name in names]
        except self.failed as error:
            raise ServiceError(
                f"Slurm took no jobs ({' '.join(str(error).split())[:500]}). Correct execution.slurm in study.yaml."
            ) from error
        self.running |= dict(zip(names, jobs, strict=True))

    def _replace_lost(self, left: set[int]) -> None:
        now = time.monotonic()
        over = [name for name, job in self.running.items() if job.done()]
        for name in over:
            if now - self.ended.setdefault(name, now) < SECONDS_TO_APPEAR:
                continue
            job = self.running.pop(name)
            mine = [number for number in left if _taken(self.folder, number, name).exists()]
            for number in mine:
                self._count(number, job)
                _taken(self.folder, number, name).replace(self.folder / f"open-{number}")
            if mine:
                self._submit(1)
        if not self.running:
            # None of them got as far as taking a task.
            self._count(-1, job)
            self._submit(1)

    def _count(self, number: int, job: Any) -> None:
        self.lost[number] += 1
        if self.lost[number] < TRIES:
            return
        what = "before any task" if number < 0 else f"at the same task ({self.tasks[number]})"
        raise PartialError(
            f"{TRIES} jobs ended {what}, the last one, {job.job_id}, as {job.state}: {_last_words(job)}. "
            "What was finished is kept: run again to go on, with more of execution.slurm.memory_gb "
            "or execution.slurm.minutes if it happens again."
        )


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_END)


def _taken(folder: Path, number: int, name: str) -> Path:
    return folder / f"taken-{number}.{name}"


def _last_words(job: Any) -> str:
    try:
        lines = (job.stderr() or "").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:300] if lines else "it left no message"


def _work(folder: Path, digest: str, name: str) -> None:
    """What a job does: take a task, answer it, until none is left."""
    work = (folder / "work").read_bytes()
    if sha256(work).hexdigest() != digest:
        raise IntegrityError(f"{folder / 'work'} was changed since it was written. Run again.")
    function, context, tasks = ForkingPickler.loads(work)
    compute_on_one_thread()
    for number, task in enumerate(tasks):
        if _take(folder, number, name):
            found = bytes(ForkingPickler.dumps(answer(function, context, task)))
            if folder.is_dir():  # else nobody waits for it
                write_bytes(folder / f"answer-{number}", found)


def _take(folder: Path, number: int, name: str) -> bool:
    """Whether the task is this job's. Of several that rename the same file, one succeeds."""
    mine = _taken(folder, number, name)
    try:
        (folder / f"open-{number}").rename(mine)
    except FileNotFoundError:
        # A job that Slurm itself has started again has its task from before.
        return mine.exists() and not (folder / f"answer-{number}").exists()
    return True


def _imported() -> ModuleType:
    try:
        import submitit
    except ImportError as error:
        raise UsageError(
            "`--on slurm` needs submitit, which is not installed. Run `pip install 'kemm[slurm]'`."
        ) from error
    module: ModuleType = submitit
    return module
