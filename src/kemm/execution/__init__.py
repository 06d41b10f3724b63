"""Runs tasks here, on several processes, or on a cluster, through one `map`. Only this package knows an engine."""

from kemm.execution.mapper import Mapper, keep_freed_memory, run_here, settle_process, usable_cores
from kemm.execution.processes import Processes
from kemm.execution.settings import ExecutionConfig, RayConfig, SlurmConfig, make_mapper

__all__ = [
    "ExecutionConfig",
    "Mapper",
    "Processes",
    "RayConfig",
    "SlurmConfig",
    "keep_freed_memory",
    "make_mapper",
    "run_here",
    "settle_process",
    "usable_cores",
]
