"""The story of a run: read and check, prepare, train, evaluate, report; or refine alone."""

from kemm.pipeline.asking import Plan
from kemm.pipeline.heatmaps import HeatmapResult, draw_case
from kemm.pipeline.inputs import Inputs, describe, read_inputs
from kemm.pipeline.progress import Progress, Silent
from kemm.pipeline.refining import (
    MOST_CASES,
    AuditResult,
    RefineResult,
    audit_study,
    plan_refining,
    refine_study,
)
from kemm.pipeline.running import DEFAULT_RUN, RunResult, check, models_frame, read_run, rebuild_report, run
from kemm.pipeline.slides import SlidesResult, extract_slides, import_slides, preview_slides
from kemm.pipeline.writing import write_background_file

__all__ = [
    "DEFAULT_RUN",
    "MOST_CASES",
    "AuditResult",
    "HeatmapResult",
    "Inputs",
    "Plan",
    "Progress",
    "RefineResult",
    "RunResult",
    "Silent",
    "SlidesResult",
    "audit_study",
    "check",
    "describe",
    "draw_case",
    "extract_slides",
    "import_slides",
    "models_frame",
    "plan_refining",
    "preview_slides",
    "read_inputs",
    "read_run",
    "rebuild_report",
    "refine_study",
    "run",
    "write_background_file",
]
