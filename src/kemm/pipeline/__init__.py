"""The story of a run: read and check, prepare, train, evaluate, report."""

from kemm.pipeline.inputs import Inputs, describe, read_inputs
from kemm.pipeline.progress import Progress, Silent
from kemm.pipeline.running import DEFAULT_RUN, RunResult, check, models_frame, read_run, rebuild_report, run

__all__ = [
    "DEFAULT_RUN",
    "Inputs",
    "Progress",
    "RunResult",
    "Silent",
    "check",
    "describe",
    "models_frame",
    "read_inputs",
    "read_run",
    "rebuild_report",
    "run",
]
