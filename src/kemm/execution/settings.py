"""Where tasks run: a setting of the person who runs a study, which shapes no result."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from kemm.core.settings import Section
from kemm.execution.mapper import Mapper, usable_cores
from kemm.execution.processes import Processes


class RayConfig(Section):
    """A Ray cluster, or Ray on this machine."""

    address: str | None = None
    """A running cluster's: `auto` (this machine is part of it) or HOST:PORT. By default Ray is started here, and ended."""
    cpus: int = Field(1, ge=1)
    """Cores that Ray keeps free for a task. A task computes on one thread; more make room for its memory."""


class SlurmConfig(Section):
    """Jobs of a Slurm cluster. What is not given is what the cluster gives by default."""

    partition: str | None = None
    """Where jobs are queued."""
    account: str | None = None
    """Who is charged."""
    minutes: int = Field(240, ge=1)
    """A job's time limit. What it has finished by then is kept, and its next task is given to another job."""
    memory_gb: int = Field(8, ge=1)
    """A job's memory."""
    cpus: int = Field(1, ge=1)
    """A job's cores. A task computes on one thread; some clusters give memory by the core."""
    jobs: int = Field(20, ge=1)
    """Jobs at once; each does one task after another. `--workers` overrules it."""
    here: bool = False
    """Start the jobs as processes of this machine, to try everything else without a cluster."""


class ExecutionConfig(Section):
    """Where a run's tasks are computed. It shapes no result and is no part of a run's identity."""

    # Not called "on": YAML reads that as true.
    engine: Literal["processes", "ray", "slurm"] = "processes"
    """Processes of this machine, or an engine; `--on` overrules it."""
    ray: RayConfig = Field(default_factory=RayConfig)
    slurm: SlurmConfig = Field(default_factory=SlurmConfig)


def make_mapper(config: ExecutionConfig, workers: int | None, shared: Path) -> Mapper:
    """The mapper that the settings name. `shared`: a folder that all machines see, for what Slurm jobs exchange.

    Raises:
        UsageError: The engine's library is not installed.
    """
    if config.engine == "ray":
        from kemm.execution.by_ray import Ray

        return Ray(config.ray, workers)
    if config.engine == "slurm":
        from kemm.execution.by_slurm import Slurm

        return Slurm(config.slurm, shared, workers)
    return Processes(workers or usable_cores())
