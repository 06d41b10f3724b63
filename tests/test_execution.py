"""Tasks on several processes: results with their tasks, errors as they were raised, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kemm.core.errors import Fault, InvalidInput, PartialError, UnknownName
from kemm.execution import Processes, run_here, usable_cores

# Workers are processes that import torch: seconds each. So each test asks several things of one pair of them.


def work(context: dict[str, object], task: str) -> object:
    """What the tests have workers do."""
    kind, _, value = task.partition(":")
    if kind == "pid":
        Path(str(context["folder"]), str(os.getpid())).touch()
        return os.getpid(), context["weight"], value
    if kind == "faults":
        raise InvalidInput([Fault(problem="no number", remedy="Give one.", file="a.csv", row=3, exit_code=7)])
    if kind == "name":
        raise UnknownName("encoder", value, ["tfidf", "svd"])
    if kind == "bug":
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, value)  # cannot be made from its message
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
    return None


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_in_this_process_results_come_in_order_one_at_a_time() -> None:
    done: list[int] = []
    results = run_here(lambda context, task: done.append(task) or context * task, 10, [1, 2, 3])
    assert next(results) == (1, 10)
    assert done == [1]
    assert list(results) == [(2, 20), (3, 30)]


@pytest.mark.parametrize("tasks", [[], [5]])
def test_one_task_or_none_starts_no_process(tasks: list[int]) -> None:
    pids = [result for _, result in Processes(4)(lambda context, task: os.getpid(), None, tasks)]
    assert pids == [os.getpid()] * len(tasks)


def test_there_is_a_core_to_use() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_every_task_is_done_once_by_workers_that_get_the_context_and_then_end(tmp_path: Path) -> None:
    context = {"folder": str(tmp_path), "weight": b"w" * 300_000}  # more than a pipe holds
    tasks = [f"pid:{number}" for number in range(8)]
    results = dict(Processes(2)(work, context, tasks))
    assert sorted(results) == tasks
    assert {task.partition(":")[2] == value for task, (_, _, value) in results.items()} == {True}
    assert {weight for _, weight, _ in results.values()} == {context["weight"]}
    pids = {pid for pid, _, _ in results.values()}
    assert os.getpid() not in pids
    assert len(pids) <= 2
    assert not any(map(is_alive, pids))


@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        ("faults:", InvalidInput, r"1 fault in the input:\n- a\.csv, row 3: no number\. Give one\."),
        ("name:tfidv", UnknownName, r"no encoder is called 'tfidv'; did you mean 'tfidf'\?"),
        ("bug:odd", RuntimeError, r"a worker failed:\nTraceback [\s\S]*UnicodeDecodeError: .*odd"),
        ("kill:", PartialError, r"a worker process was killed, .*--workers 1"),
    ],
)
def test_an_error_comes_back_as_it_was_and_ends_the_others(
    task: str, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    context = {"folder": str(tmp_path), "weight": 0}
    started = time.monotonic()
    with pytest.raises(kind, match=message) as caught:
        # The other worker has said who it is, and sleeps.
        list(Processes(2)(work, context, ["pid:", "sleep:", task]))
    if isinstance(caught.value, InvalidInput):
        assert caught.value.exit_code == 7
        assert caught.value.faults[0].row == 3
    assert time.monotonic() - started < 40
    assert not any(is_alive(int(path.name)) for path in tmp_path.iterdir())


def test_closing_the_results_ends_the_workers(tmp_path: Path) -> None:
    results = Processes(2)(work, {"folder": str(tmp_path), "weight": 0}, ["pid:", "sleep:", "sleep:"])
    _, (pid, _, _) = next(results)
    results.close()
    assert not is_alive(pid)


def test_a_script_without_a_main_guard_may_use_several_processes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from kemm.execution import Processes, usable_cores\n"
        "print('begun', flush=True)\n"
        "print(len(dict(Processes(2)(divmod, 7, [1, 2, 3]))))\n"
    )
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert said.stderr == ""
    assert said.stdout == "begun\n3\n"
