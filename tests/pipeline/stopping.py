"""Runs a study several times, each time stopped at another point, as Ctrl-C or kill -9 would. A script, for tests.

python stopping.py STUDY POINT:SIGNAL ...    prints how each run ended, what it said, and what it left, as JSON
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from kemm.cli import main

POINTS = {
    # Where: the module and the function of it that is stopped at, and at which of its calls.
    "refine": ("kemm.pipeline.prepare", "write_json", 1),
    "pack": ("kemm.modalities.slides.packing", "read_features", 7),
    "comparator": ("kemm.training.units", "write_frame", 5),
    "epoch": ("kemm.training.checkpoint", "write_arrays", 2),
    "network": ("kemm.training.units", "explain", 1),
    "evaluate": ("kemm.pipeline.evaluating", "warnings_of", 1),
    "write": ("kemm.pipeline.running", "write_frame", 2),
    "fsync": ("os", "fsync", 3),
    "report": ("kemm.pipeline.running", "render_report", 1),
}


def stop_at(point: str, number: int) -> None:
    """From now on, this process is sent the signal when it comes to the point."""
    module_name, name, call = POINTS[point]
    module = import_module(module_name)
    if point == "epoch":
        # In a test no epoch takes long enough for one to be kept.
        module.Checkpoint.due = lambda self: True
    original: Callable[..., Any] = getattr(module, name)
    calls = 0

    def stopping(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    setattr(module, name, stopping)


def stopped_run(study: str, stop: str) -> dict[str, object]:
    """Run in a child of this process, which has started no thread yet, and so may be copied."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            point, _, name = stop.partition(":")
            if point:
                stop_at(point, getattr(signal, name))
            sys.argv = ["kemm", "run", study, "--workers", "1"]
            try:
                main()
            except SystemExit as leaving:
                os._exit(int(leaving.code or 0))
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(99)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        left = [path.name for path in Path(study).rglob("*") if path.name.endswith((".part", "lock.json"))]
        return {"code": os.waitstatus_to_exitcode(status), "err": said.read().decode(), "left": left}


if __name__ == "__main__":
    import kemm.pipeline  # noqa: F401  # imported once, for all children

    print(json.dumps([stopped_run(sys.argv[1], stop) for stop in sys.argv[2:]]))
