"""One process a folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kemm.core.errors import PolicyError
from kemm.core.files.output import cannot_write

LOCK_NAME = "lock.json"


@contextlib.contextmanager
def locked(folder: Path, otherwise: str = ", or use another --name") -> Iterator[None]:
    """Hold `folder` for this process. A lock left by a dead process of this host is taken over.

    `otherwise` is what a user may do instead of waiting, for the message.

    Raises:
        PolicyError: Another live process holds it, or one on another host might; says which.
        InputError: The folder cannot be written.
    """
    lock = folder / LOCK_NAME
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "started": _started(os.getpid())}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder):
            _refuse_if_held(lock, otherwise)
            lock.write_text(json.dumps(mine))
    except OSError as error:
        raise cannot_write(lock, error) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if _holder(lock) == mine:
                lock.unlink()


def process_is_alive(pid: int, started: int | None = None) -> bool:
    """Whether the process runs on this host; with `started`, whether it is still that one."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and someone else's
    # Numbers of processes are given out again.
    return started is None or _started(pid) in (None, started)


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep two processes from looking at, and taking over, the same stale lock at the same moment."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network folders cannot; it only guards a moment
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _refuse_if_held(lock: Path, otherwise: str) -> None:
    holder = _holder(lock)
    if holder is None:
        return
    if holder.get("host") == socket.gethostname() and not process_is_alive(
        int(holder.get("pid", -1)), holder.get("started")
    ):
        return
    raise PolicyError(
        f"{lock.parent} is in use by process {holder.get('pid')} on {holder.get('host')}. "
        f"Wait for it{otherwise}; if that process is gone, delete {lock}."
    )


def _holder(lock: Path) -> dict[str, Any] | None:
    """Who holds the lock; None where nobody does, or its writer was killed while writing."""
    try:
        holder = json.loads(lock.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return holder if isinstance(holder, dict) else None


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
