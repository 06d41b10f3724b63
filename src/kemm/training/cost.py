"""What work cost: time, work of cores, memory. Measured, not estimated; never part of a result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from kemm.core.errors import KemmError
from kemm.core.files import read_json, write_json
from kemm.core.store import Store
from kemm.training.under_way import peak_bytes

KIND = "costs"
_FILE = "cost.json"
_OWN_PEAK = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """Of one unit: a model on a fold, with all its seeds."""

    seconds: float
    core_seconds: float
    """Summed over the process's threads: what stands for energy where none is metered."""
    peak_bytes: int | None
    """Of the process while it worked, mapped files included; None where the system does not tell. A GPU's is not in it."""
    resumed: bool
    """Whether an earlier process had done part of it: then the cost is of the rest."""


@contextmanager
def measuring(resumed: bool) -> Iterator[list[Cost]]:
    """Put the cost of the block into the list that is given."""
    found: list[Cost] = []
    is_own = _forget_peak()
    wall, cores = time.perf_counter(), time.process_time()
    yield found
    peak = peak_bytes() if is_own else None
    found.append(Cost(time.perf_counter() - wall, time.process_time() - cores, peak, resumed))


def keep_cost(store: Store, key: str, cost: Cost, units: int) -> None:
    """Keep what one of `units` units cost that were worked on together."""
    share = Cost(cost.seconds / units, cost.core_seconds / units, cost.peak_bytes, cost.resumed)
    with store.adding(KIND, key) as folder:
        write_json(folder / _FILE, asdict(share))


def read_cost(store: Store, key: str) -> Cost | None:
    """What the unit cost; None where it was not measured, or the record is damaged."""
    if not store.has(KIND, key):
        return None
    try:
        return Cost(**read_json(store.get(KIND, key).path(_FILE)))
    except (KemmError, TypeError):
        return None


def _forget_peak() -> bool:
    """Begin the process's peak of memory anew; whether the system lets one."""
    try:
        _OWN_PEAK.write_text("5")
    except OSError:
        return False
    return True
