"""Measure how long kemm takes to start: importing it, its help, and a run that is finished already.

    python benchmarks/start.py [--study FOLDER] [--times 5]

Medians of wall time, each in a fresh process. Without a study, a made-up one is run first, with quick settings.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUICK = ("training.epochs=1", "training.seeds=[0]", "training.inner_parts=2", "folds.count=2")


def seconds(words: list[str]) -> float:
    """One fresh process, from start to end."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def measured(study: Path, settings: list[str], times: int) -> dict[str, list[float]]:
    """Seconds of each start. They take turns, so that a busy moment meets all alike."""
    run = ["-m", "kemm", "run", str(study), *(word for one in settings for word in ("--set", one))]
    starts = {
        "python alone": ["-c", "pass"],
        "import kemm": ["-c", "import kemm"],
        "kemm --help": ["-m", "kemm", "--help"],
        "kemm run, finished": run,
    }
    seconds(run)
    found: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(times):
        for name, words in starts.items():
            found[name].append(seconds(words))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--study", type=Path, help="a study of your own; it is run first, if it is not finished"
    )
    parser.add_argument("--cases", type=int, default=60, help="of the made-up study")
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        study, settings = given.study, []
        if study is None:
            study, settings = Path(scratch, "study"), list(QUICK)
            seconds(["-m", "kemm", "demo", str(study), "--cases", str(given.cases)])
        for name, values in measured(study, settings, given.times).items():
            print(f"{name:20} {statistics.median(values):6.2f} s   ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
