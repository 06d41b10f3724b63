"""What a measurement costs: memory of this process and its workers, time they computed, and on which machine."""

from __future__ import annotations

import os
import platform
import resource
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

SECONDS_BETWEEN = 0.25
KIB_A_GB = 2**20


def processor_seconds() -> float:
    """Seconds that this process and those of its workers that ended have computed."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def machine() -> str:
    """Processor, cores and memory, in words; not which machine it is."""
    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.is_file():
        names = [
            line.partition(":")[2].strip() for line in cpus.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GB of memory, no GPU used"


@dataclass
class PeakMemory:
    """Watches this process and its workers while something runs. Linux; elsewhere only the largest of each kind."""

    main: float = 0.0
    """GB, at its highest."""
    workers: dict[int, float] = field(default_factory=dict)
    """GB of each worker at its highest, by its process."""
    together: float = 0.0
    """GB of all at one moment, memory they share counted once."""

    def __enter__(self) -> PeakMemory:
        self._ended = threading.Event()
        reset = Path("/proc/self/clear_refs")
        if reset.exists():
            reset.write_text("5")  # else the peak would be that of what ran before
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def at_most(self) -> float:
        """GB, the peaks of all processes added up, though they need not meet and share memory."""
        return self.main + sum(self.workers.values())

    def _watch(self) -> None:
        own = os.getpid()
        while True:
            ended = self._ended.wait(SECONDS_BETWEEN)
            if not Path("/proc/self/status").is_file():
                self.main = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_A_GB
                self.workers = {0: resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / KIB_A_GB}
            else:
                together = 0.0
                for process in (own, *_children(own)):
                    peak = _kib(process, "status", "VmHWM:") / KIB_A_GB
                    together += _kib(process, "smaps_rollup", "Pss:") / KIB_A_GB
                    if process == own:
                        self.main = max(self.main, peak)
                    elif peak:
                        self.workers[process] = max(self.workers.get(process, 0.0), peak)
                self.together = max(self.together, together)
            if ended:
                return


def _children(process: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [int(child) for child in path.read_text().split()]
        except OSError:
            continue  # the thread has ended
    return found + [below for child in found for below in _children(child)]


def _kib(process: int, file: str, name: str) -> float:
    try:
        for line in Path(f"/proc/{process}/{file}").read_text().splitlines():
            if line.startswith(name):
                return float(line.split()[1])
    except OSError:
        pass  # it has ended
    return 0.0
