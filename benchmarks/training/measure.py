"""Measure one candidate in a process of its own, so that none sees another's memory, threads or caches.

    echo REQUEST | python -m benchmarks.training.measure

The request comes in as a line of JSON, the measurement goes out as one.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.training.candidates import Candidate, trainer_of
from benchmarks.training.ceilings import Ceilings, measure_ceilings, synchronise
from benchmarks.training.cohort import make_cohort
from benchmarks.training.work import Work
from kemm.core.errors import PartialError

ROOT = Path(__file__).resolve().parents[2]
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SHOWN_LINES = 5
"""Of what a failed process said."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The same for all candidates of a table."""

    device: str = "cpu"
    threads: int = 2


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Of one epoch of k-fold training."""

    seconds: float
    core_seconds: float
    """Summed over threads; on a machine with other work it is the steadier number."""
    peak_memory: int
    """Most bytes of the process in memory at once. Pages of a memory-mapped file count."""
    peak_device_memory: int
    """On the card, as its allocator counts; 0 without one."""


def store(candidate: Candidate, work: Work, folder: Path, machine: Machine) -> None:
    """Let a candidate write what it reads."""
    _in_own_process("store", machine, candidate=asdict(candidate), work=work.model_dump(), folder=str(folder))


def measure(
    candidate: Candidate, work: Work, folder: Path, machine: Machine, *, epochs_before: int = 0
) -> Measurement:
    """Prepare a candidate, and time one epoch: the first, or one after others, as all but one are.

    Raises:
        PartialError: the process failed; with the end of what it said.
    """
    request = {
        "candidate": asdict(candidate),
        "work": work.model_dump(),
        "folder": str(folder),
        "epochs_before": epochs_before,
    }
    return Measurement(**_in_own_process("measure", machine, **request))


def ceilings(work: Work, machine: Machine) -> Ceilings:
    """Of the machine, in the shapes of the work."""
    return Ceilings(**_in_own_process("ceilings", machine, work=work.model_dump()))


def _in_own_process(task: str, machine: Machine, **request: object) -> dict[str, Any]:
    threads = dict.fromkeys(THREAD_SETTINGS, str(machine.threads))
    # By default a thread that waits for another keeps its core busy. With other work on the machine this makes
    # thousands of short operations many times slower, and would punish the baseline for the load.
    waiting = {"OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training.measure"],
        input=json.dumps({"task": task, "machine": asdict(machine), **request}),
        env=os.environ | threads | waiting,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        asked = request.get("candidate")
        name = asked["name"] if isinstance(asked, dict) else task
        said = "\n".join(done.stderr.strip().splitlines()[-SHOWN_LINES:])
        raise PartialError(
            f"{name!r} could not be measured: its process ended with code {done.returncode} (a negative one is a "
            f"signal; -9 often means that memory ran out). Its last words:\n{said}"
        )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def peak_memory() -> int:
    """Most bytes of this process in memory at once."""
    try:
        with open("/proc/self/status", encoding="utf-8") as lines:
            # Not ru_maxrss: on Linux a new process inherits the peak of the one that started it.
            found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    except OSError:
        found = []
    if found:
        return found[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _measure_here(
    candidate: Candidate, work: Work, folder: Path, device: torch.device, epochs_before: int
) -> Measurement:
    trainer = trainer_of(candidate)
    trainer.prepare(make_cohort(work), folder, device)
    for _ in range(epochs_before):
        trainer.epoch()
    synchronise(device)
    began, began_cores = time.perf_counter(), time.process_time()
    trainer.epoch()
    synchronise(device)
    return Measurement(
        seconds=time.perf_counter() - began,
        core_seconds=time.process_time() - began_cores,
        peak_memory=peak_memory(),
        peak_device_memory=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
    )


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    machine = Machine(**request["machine"])
    torch.set_num_threads(machine.threads)
    device, work = torch.device(machine.device), Work(**request["work"])
    task: Literal["store", "measure", "ceilings"] = request["task"]
    if task == "ceilings":
        return asdict(measure_ceilings(device, machine.threads, features=work.features, width=work.width))
    candidate, folder = Candidate(**request["candidate"]), Path(request["folder"])
    if task == "store":
        trainer_of(candidate).store(make_cohort(work), folder)
        return {}
    return asdict(_measure_here(candidate, work, folder, device, request["epochs_before"]))


if __name__ == "__main__":
    print(json.dumps(_answer(json.loads(sys.stdin.read()))))
