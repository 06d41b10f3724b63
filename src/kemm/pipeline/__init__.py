"""The story of a run: read and check, prepare, train, evaluate, report; or refine alone.

Names load on first use: to know that nothing has changed, nothing that computes is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kemm.pipeline.asking import Plan as Plan
    from kemm.pipeline.comparing import Asked as Asked
    from kemm.pipeline.comparing import CompareResult as CompareResult
    from kemm.pipeline.comparing import compare as compare
    from kemm.pipeline.heatmaps import HeatmapResult as HeatmapResult
    from kemm.pipeline.heatmaps import draw_case as draw_case
    from kemm.pipeline.inputs import Inputs as Inputs
    from kemm.pipeline.inputs import describe as describe
    from kemm.pipeline.inputs import read_inputs as read_inputs
    from kemm.pipeline.progress import Progress as Progress
    from kemm.pipeline.progress import Silent as Silent
    from kemm.pipeline.refining import MOST_CASES as MOST_CASES
    from kemm.pipeline.refining import AuditResult as AuditResult
    from kemm.pipeline.refining import RefineResult as RefineResult
    from kemm.pipeline.refining import audit_study as audit_study
    from kemm.pipeline.refining import plan_refining as plan_refining
    from kemm.pipeline.refining import refine_study as refine_study
    from kemm.pipeline.running import check as check
    from kemm.pipeline.running import rebuild_report as rebuild_report
    from kemm.pipeline.running import run as run
    from kemm.pipeline.runs import DEFAULT_RUN as DEFAULT_RUN
    from kemm.pipeline.runs import RunResult as RunResult
    from kemm.pipeline.runs import models_frame as models_frame
    from kemm.pipeline.runs import read_run as read_run
    from kemm.pipeline.slides import SlidesResult as SlidesResult
    from kemm.pipeline.slides import extract_slides as extract_slides
    from kemm.pipeline.slides import import_slides as import_slides
    from kemm.pipeline.slides import preview_slides as preview_slides
    from kemm.pipeline.writing import write_background_file as write_background_file

_WHERE = {
    "Plan": "kemm.pipeline.asking",
    "Asked": "kemm.pipeline.comparing",
    "CompareResult": "kemm.pipeline.comparing",
    "compare": "kemm.pipeline.comparing",
    "HeatmapResult": "kemm.pipeline.heatmaps",
    "draw_case": "kemm.pipeline.heatmaps",
    "Inputs": "kemm.pipeline.inputs",
    "describe": "kemm.pipeline.inputs",
    "read_inputs": "kemm.pipeline.inputs",
    "Progress": "kemm.pipeline.progress",
    "Silent": "kemm.pipeline.progress",
    "MOST_CASES": "kemm.pipeline.refining",
    "AuditResult": "kemm.pipeline.refining",
    "RefineResult": "kemm.pipeline.refining",
    "audit_study": "kemm.pipeline.refining",
    "plan_refining": "kemm.pipeline.refining",
    "refine_study": "kemm.pipeline.refining",
    "check": "kemm.pipeline.running",
    "rebuild_report": "kemm.pipeline.running",
    "run": "kemm.pipeline.running",
    "DEFAULT_RUN": "kemm.pipeline.runs",
    "RunResult": "kemm.pipeline.runs",
    "models_frame": "kemm.pipeline.runs",
    "read_run": "kemm.pipeline.runs",
    "SlidesResult": "kemm.pipeline.slides",
    "extract_slides": "kemm.pipeline.slides",
    "import_slides": "kemm.pipeline.slides",
    "preview_slides": "kemm.pipeline.slides",
    "write_background_file": "kemm.pipeline.writing",
}
__all__ = [
    "DEFAULT_RUN",
    "MOST_CASES",
    "Asked",
    "AuditResult",
    "CompareResult",
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
    "compare",
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


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'kemm.pipeline' has no attribute {name!r}")
