"""How far networks are that train: in this process, in others, or on other machines that share the store.

Who trains writes a small file of its unit (`telling`); who waits reads those of its units (`Watch`). Whatever the
engine, the store's folder is all they have in common. Nothing here can stop a run: what cannot be written is not told.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from kemm.core.errors import KemmError
from kemm.core.files import write_json

FOLDER = "under-way"
"""In the store."""
SECONDS_A_LOOK = 0.5
"""A change is written at most so often."""
SECONDS_A_BEAT = 5.0
"""So often it is written without a change: who still writes is still there."""
SECONDS_UNTIL_LOST = 60.0
"""A file that has not changed for so long is of a process that was killed. Clocks of machines are not compared."""
DAY = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Training:
    """How far the networks of one unit are."""

    model: str
    fold: int
    epochs: int
    """At most; most end earlier."""
    cases: int
    """Of the training part: an epoch of all networks goes through them once."""
    networks: int = 0
    epoch: int = 0
    """Finished so far."""
    seconds: float = 0.0
    """Since the unit began."""
    seconds_an_epoch: float | None = None
    """Of those so far, mean; None in the first."""
    phase: Literal["begins", "trains", "predicts"] = "begins"
    peak_bytes: int | None = None
    """Most memory the process has had since the work began, mapped files it has touched included; None where the system
    does not tell."""
    beat: int = 0
    """Counts how often it was written."""

    @property
    def cases_a_second(self) -> float | None:
        """Cases of the training part a second; None in the first epoch."""
        return self.cases / self.seconds_an_epoch if self.seconds_an_epoch else None

    @property
    def seconds_left(self) -> float | None:
        """Of training, should it go on to the last epoch; None in the first."""
        return None if self.seconds_an_epoch is None else (self.epochs - self.epoch) * self.seconds_an_epoch


class Teller:
    """Keeps count; a thread writes it down, so that training waits for no disk."""

    def __init__(self, path: Path, state: Training) -> None:
        self._path, self._state = path, state
        self._began = self._first_epoch = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def trains(self, networks: int) -> None:
        """Training begins."""
        self._first_epoch = time.monotonic()
        self._state = replace(self._state, networks=networks, phase="trains")

    def epoch(self, epoch: int) -> None:
        """So many epochs are finished."""
        mean = (time.monotonic() - self._first_epoch) / max(epoch, 1)
        self._state = replace(self._state, epoch=epoch, seconds_an_epoch=mean, phase="trains")

    def predicts(self) -> None:
        """Training is over; what comes takes time as well."""
        self._state = replace(self._state, phase="predicts")

    def _start(self) -> None:
        self._thread.start()

    def _end(self) -> None:
        self._over.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        beat, written, told = 0, 0.0, None
        while not self._over.wait(SECONDS_A_LOOK):
            state, now = self._state, time.monotonic()
            if state is told and now - written < SECONDS_A_BEAT:
                continue
            told, written, beat = state, now, beat + 1
            whole = replace(state, beat=beat, seconds=now - self._began, peak_bytes=peak_bytes())
            with contextlib.suppress(KemmError, OSError):
                write_json(self._path, asdict(whole))


@contextlib.contextmanager
def telling(store: Path, key: str, state: Training) -> Iterator[Teller]:
    """Tell of the unit `key` until the block ends, however it ends."""
    teller = Teller(_file(store, key), state)
    teller._start()
    try:
        yield teller
    finally:
        teller._end()


@dataclass
class Watch:
    """What is under way of some units, by what their files say."""

    store: Path
    keys: Collection[str]
    _seen: dict[str, tuple[Training, float]] = field(default_factory=dict)
    """By key: what was read last, and when it was seen to change, by this process's clock."""

    def now(self) -> list[Training]:
        """Those that are at work, in the order of the keys; none whose file has not changed for a minute."""
        found, moment = [], time.monotonic()
        for key in self.keys:
            state = _read(_file(self.store, key))
            if state is None:
                self._seen.pop(key, None)
                continue
            before, changed = self._seen.get(key, (None, moment))
            if before != state:
                changed = moment
            self._seen[key] = (state, changed)
            if moment - changed < SECONDS_UNTIL_LOST:
                found.append(state)
        return found

    def clear(self) -> None:
        """Remove what killed processes left of these units, and of any unit a day ago."""
        folder, keys = self.store / FOLDER, set(self.keys)
        with contextlib.suppress(OSError):
            for path in list(folder.iterdir()):
                key = path.name.lstrip(".").partition(".")[0]
                with contextlib.suppress(OSError):
                    if key in keys or time.time() - path.stat().st_mtime > DAY:
                        path.unlink()
            folder.rmdir()  # unless another run is at work


def _file(store: Path, key: str) -> Path:
    return store / FOLDER / f"{key}.json"


def _read(path: Path) -> Training | None:
    try:
        return Training(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # not there, or not ours


def peak_bytes() -> int | None:
    """Most memory this process has had so far; None where the system does not tell."""
    try:
        # Not getrusage: a child's begins with its parent's peak.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    if os.name != "posix":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
