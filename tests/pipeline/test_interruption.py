"""A run that was stopped, wherever and however, goes on when it is started again, and gives the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kemm import Study, run
from kemm.core.files import locked
from studies import Kemm, StudyFolder

ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PATIENCE = 60.0
INTERRUPTED = "kemm: interrupted. What was finished is kept; run again to go on.\n"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks of POSIX")


def stopped(study: StudyFolder, *stops: str) -> list[dict[str, Any]]:
    """Run `study` once for each stop; how each ended."""
    script = Path(__file__).with_name("stopping.py")
    done = subprocess.run(
        [sys.executable, script, study.path, *stops],
        env=ONE_THREAD,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ends: list[dict[str, Any]] = json.loads(done.stdout)
    return ends


def test_a_run_stopped_in_every_stage_loses_nothing_and_changes_no_byte(
    study: StudyFolder, finished: StudyFolder
) -> None:
    points = ("refine", "pack", "comparator", "epoch", "network", "evaluate", "write", "fsync", "report")
    stops = [f"{point}:{name}" for point in points for name in ("SIGINT", "SIGKILL")]
    stops.insert(2, "pack:SIGTERM")
    for stop, end in zip(stops, stopped(study, *stops), strict=True):
        if stop.endswith("KILL"):
            assert end["code"] == -signal.SIGKILL, stop
            assert end["err"] == "", stop
            assert "lock.json" in end["left"], stop
        else:
            assert end == {"code": 130, "err": INTERRUPTED, "left": []}, stop

    kept = {
        path: path.stat().st_mtime_ns
        for kind in ("refined", "slides", "units")
        for path in study.entries(kind)
    }
    assert len(kept) == sum(len(finished.entries(kind)) for kind in ("refined", "slides", "units"))
    run(Study.load(study.path), workers=1)
    assert study.predictions == finished.predictions
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert study.scratch() == []
    assert not (study / "runs" / "latest" / "lock.json").exists()


# --- several processes -------------------------------------------------------------------------


def eventually(question: Callable[[], bool], what: str) -> None:
    """Wait until it is so."""
    until = time.monotonic() + PATIENCE
    while not question():
        assert time.monotonic() < until, what
        time.sleep(0.02)


@contextmanager
def started(study: StudyFolder) -> Iterator[subprocess.Popen[str]]:
    """`kemm run` on two processes, in a group of its own, as a terminal starts it."""
    with subprocess.Popen(
        [sys.executable, "-m", "kemm", "run", str(study), "--workers", "2"],
        env=ONE_THREAD,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def workers_of(parent: int) -> list[int]:
    """The worker processes of a run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z" and b"spawn_main" in command:
            found.append(int(folder.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers through /proc")
def test_workers_that_are_killed_interrupted_or_orphaned_lose_nothing(
    study: StudyFolder, finished: StudyFolder, kemm: Kemm
) -> None:
    # The operating system kills a worker, as it does for want of memory.
    with started(study) as process:
        eventually(lambda: len(study.entries("units")) >= 1, "no unit was finished")
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE)
    assert err == (
        "kemm: a worker process was killed, perhaps for want of memory. What was finished is kept: "
        "run again to go on, with `--workers 1` if it happens again.\n"
    )
    assert process.returncode == 4

    # Ctrl-C in a terminal reaches the workers, too: they say nothing.
    before = len(study.entries("units"))
    with started(study) as process:
        eventually(lambda: len(study.entries("units")) > before, "the run did not go on")
        workers = workers_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert err == INTERRUPTED
    assert process.returncode == 130
    assert len(workers) == 2
    assert not any(map(is_alive, workers))

    # The first process is killed: its workers do not stay behind.
    before = len(study.entries("units"))
    with started(study) as process:
        eventually(lambda: len(study.entries("units")) > before, "the run did not go on")
        workers = workers_of(process.pid)
        assert kemm("run", study).code == 7
        process.kill()
        eventually(lambda: not any(map(is_alive, workers)), "workers outlived the run")
    assert len(workers) == 2

    run(Study.load(study.path), workers=1)
    assert study.predictions == finished.predictions


def test_a_second_run_is_refused_and_told_who_holds_it(study: StudyFolder, kemm: Kemm) -> None:
    with locked(study / "runs" / "latest"):
        said = kemm("run", study)
    assert said.code == 7
    assert f"{study}/runs/latest is in use by process {os.getpid()} on " in said.err
    assert "Wait for it, or use another --name" in said.err
