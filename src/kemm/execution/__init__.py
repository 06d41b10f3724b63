"""Runs tasks here, on several processes, or on a cluster, through one `map`. Only this package knows an engine."""

from kemm.execution.mapper import Mapper, compute_on_one_thread, run_here, usable_cores
from kemm.execution.processes import Processes
from kemm.execution.settings import ExecutionConfig, RayConfig, SlurmConfig, make_mapper

__all__ = [
    "ExecutionConfig",
    "Mapper",
    "Processes",
    "RayConfig",
    "SlurmConfig",
    "compute_on_one_thread",
    "make_mapper",
    "run_here",
    "usable_cores",
]
