"""Tasks on Ray and on Slurm: the same results, errors as they were raised, and killed workers.

Two local workers of each engine. A worker imports torch: seconds each, so each test asks several things.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kemm.core.errors import Fault, InvalidInput, PartialError, ServiceError, UsageError
from kemm.execution import ExecutionConfig, Mapper, Processes, RayConfig, SlurmConfig, make_mapper, run_here

ENGINES = ["ray", "slurm"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapper:
    """Two workers of an engine on this machine."""
    library = {"ray": "ray", "slurm": "submitit"}[request.param]
    pytest.importorskip(library, reason=f"{library} is not installed: pip install 'kemm[{request.param}]'")
    # Workers find this file.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    if request.param == "slurm":
        from kemm.execution import by_slurm

        monkeypatch.setattr(by_slurm, "POLL_SECONDS", 0.1)
        monkeypatch.setattr(by_slurm, "SECONDS_TO_APPEAR", 0.5)
    config = ExecutionConfig(engine=request.param, slurm=SlurmConfig(here=True))
    return make_mapper(config, 2, tmp_path / "shared")


def work(context: dict[str, Any], task: str) -> object:
    """What the tests have workers do."""
    import torch

    kind, _, value = task.partition(":")
    if kind == "sum":
        context["array"][0] += 1  # what a worker has is its own, and can be changed
        return os.getpid(), torch.get_num_threads(), float(context["array"][1:].sum()) + int(value)
    if kind == "kill" or (kind == "kill-once" and not Path(context["folder"], value).exists()):
        Path(context["folder"], value).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "faults":
        raise InvalidInput([Fault(problem="no number", remedy="Give one.", file="a.csv", row=3, exit_code=7)])
    if kind == "bug":
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, value)  # cannot be made from its message
    if kind == "sleep":
        Path(context["folder"], f"pid-{os.getpid()}").touch()
        time.sleep(120)
    return value


def is_alive(pid: int) -> bool:
    """A process that runs; one that was ended and not yet waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def soon(question: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if question():
            return True
        time.sleep(0.1)
    return False


def test_every_task_is_done_by_other_processes_and_a_killed_one_is_tried_again(
    engine: Mapper, tmp_path: Path
) -> None:
    import numpy as np

    context = {"folder": str(tmp_path), "array": np.ones(300_000)}
    sums = [f"sum:{number}" for number in range(6)]
    results = dict(engine(work, context, [*sums[:3], "kill-once:mark", *sums[3:]]))
    assert results.pop("kill-once:mark") == "mark"
    assert [total for _, _, total in (results[task] for task in sums)] == [299_999 + n for n in range(6)]
    assert {threads for _, threads, _ in results.values()} == {1}
    assert os.getpid() not in {pid for pid, _, _ in results.values()}
    assert context["array"][0] == 1
    assert list(tmp_path.glob("shared/*")) == []


def test_no_task_starts_nothing(engine: Mapper, tmp_path: Path) -> None:
    assert list(engine(work, {}, [])) == []


def test_a_task_that_kills_its_workers_ends_the_run_and_says_what_to_do(
    engine: Mapper, tmp_path: Path
) -> None:
    with pytest.raises(
        PartialError, match=r"What was finished is kept: run again to go on, with .* if it happens again"
    ):
        list(engine(work, {"folder": str(tmp_path)}, ["kill:mark", "quick:1"]))


def test_an_error_comes_back_as_it_was(engine: Mapper, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"1 fault in the input:\n- a\.csv, row 3: no number\.") as caught:
        list(engine(work, {"folder": str(tmp_path)}, ["faults:"]))
    assert caught.value.exit_code == 7


def test_a_bug_comes_back_as_text(engine: Mapper, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"a worker failed:\nTraceback [\s\S]*UnicodeDecodeError: .*odd"):
        list(engine(work, {"folder": str(tmp_path)}, ["bug:odd"]))


def test_closing_the_results_ends_what_is_under_way(engine: Mapper, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    results = engine(work, {"folder": str(tmp_path)}, ["quick:1", "sleep:", "sleep:"])
    assert next(results) == ("quick:1", "1")
    # Ctrl-C and a plain end of a run close the results.
    assert signal.getsignal(signal.SIGTERM) is before
    assert soon(lambda: any(tmp_path.glob("pid-*")))
    results.close()
    pids = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
    assert soon(lambda: not any(map(is_alive, pids)))


def test_without_the_library_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        UsageError, match=r"`--on ray` needs Ray, .* `pip install 'kemm\[ray\]'` here and on each"
    ):
        make_mapper(ExecutionConfig(engine="ray"), None, tmp_path)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match=r"`--on slurm` needs submitit, .* `pip install 'kemm\[slurm\]'`"):
        make_mapper(ExecutionConfig(engine="slurm"), None, tmp_path)


def test_a_machine_without_slurm_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'kemm[slurm]'")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="needs the command sbatch, which is not here"):
        make_mapper(ExecutionConfig(engine="slurm"), None, tmp_path)


def test_by_default_tasks_run_on_processes_of_this_machine(tmp_path: Path) -> None:
    mapper = make_mapper(ExecutionConfig(), 3, tmp_path)
    assert isinstance(mapper, Processes)
    assert mapper.workers == 3
    with pytest.raises(ValidationError, match="'processes', 'ray' or 'slurm'"):
        ExecutionConfig(engine="dask")  # type: ignore[arg-type]


def test_here_too_one_thread_computes() -> None:
    import threadpoolctl

    ((_, threads),) = run_here(
        lambda context, task: [pool["num_threads"] for pool in threadpoolctl.threadpool_info()], None, [1]
    )
    assert set(threads) == {1}


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:9"])
def test_a_cluster_that_is_not_there_is_told(address: str, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'kemm[ray]'")
    mapper = make_mapper(ExecutionConfig(engine="ray", ray=RayConfig(address=address)), None, tmp_path)
    with pytest.raises(
        ServiceError, match=f"Ray could not be reached at {address} .*Correct execution.ray.address"
    ):
        list(mapper(work, {}, ["quick:1"]))


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of Slurm that note what they were asked. The folder has what they were given."""
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'kemm[slurm]'")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, answer in {
        "sbatch": 'cp "$1" "$0.given"; [ ! -e "$0.refuses" ] || { echo "invalid partition specified: lang" >&2; exit 1; }\n'
        'echo "Submitted batch job 77"',
        "scancel": 'echo "$@" >> "$0.given"',
        "srun": "exit 1",
        "sacct": "exit 0",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{answer}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_jobs_ask_slurm_for_what_the_settings_say_and_are_cancelled(
    fake_slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kemm.execution import by_slurm

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(by_slurm.time, "sleep", interrupted)
    config = SlurmConfig(partition="long", account="lab", minutes=90, memory_gb=12, cpus=2, jobs=3)
    mapper = make_mapper(ExecutionConfig(engine="slurm", slurm=config), None, tmp_path / "shared")
    with pytest.raises(KeyboardInterrupt):
        list(mapper(work, {}, [f"quick:{number}" for number in range(8)]))
    script = (fake_slurm / "sbatch.given").read_text()
    for line in ("partition=long", "account=lab", "time=90", "mem=12GB", "cpus-per-task=2", "job-name=kemm"):
        assert f"#SBATCH --{line}\n" in script
    assert "#SBATCH --array=0-2%" in script
    assert "77_0" in (fake_slurm / "scancel.given").read_text()
    assert list((tmp_path / "shared").iterdir()) == []


def test_jobs_that_slurm_does_not_take_are_told(fake_slurm: Path, tmp_path: Path) -> None:
    (fake_slurm / "sbatch.refuses").touch()
    mapper = make_mapper(ExecutionConfig(engine="slurm"), None, tmp_path / "shared")
    with pytest.raises(
        ServiceError, match=r"Slurm took no jobs \(.*invalid partition specified.*Correct execution\.slurm"
    ):
        list(mapper(work, {}, ["quick:1", "quick:2"]))
    assert list((tmp_path / "shared").iterdir()) == []
