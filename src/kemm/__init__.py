"""kemm: knowledge-enhanced multimodal cancer survival prediction, evaluated honestly.

    import kemm

    study = kemm.Study.load("my-study")
    result = kemm.run(study)
    result.table            # a pandas frame, one row a model
    result.report           # the path of the HTML report

Names load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kemm.config import Study as Study
    from kemm.core.errors import KemmError as KemmError
    from kemm.demo import make_demo_study as make_demo_study
    from kemm.pipeline import Asked as Asked
    from kemm.pipeline import CompareResult as CompareResult
    from kemm.pipeline import RefineResult as RefineResult
    from kemm.pipeline import RunResult as RunResult
    from kemm.pipeline import audit_study as audit_study
    from kemm.pipeline import check as check
    from kemm.pipeline import compare as compare
    from kemm.pipeline import draw_case as draw_case
    from kemm.pipeline import rebuild_report as rebuild_report
    from kemm.pipeline import refine_study as refine_study
    from kemm.pipeline import run as run
    from kemm.scaffold import init_study as init_study

_WHERE = {
    "Study": "kemm.config",
    "KemmError": "kemm.core.errors",
    "make_demo_study": "kemm.demo",
    "Asked": "kemm.pipeline",
    "CompareResult": "kemm.pipeline",
    "RefineResult": "kemm.pipeline",
    "RunResult": "kemm.pipeline",
    "audit_study": "kemm.pipeline",
    "check": "kemm.pipeline",
    "compare": "kemm.pipeline",
    "draw_case": "kemm.pipeline",
    "rebuild_report": "kemm.pipeline",
    "refine_study": "kemm.pipeline",
    "run": "kemm.pipeline",
    "init_study": "kemm.scaffold",
}
__all__ = [
    "Asked",
    "CompareResult",
    "KemmError",
    "RefineResult",
    "RunResult",
    "Study",
    "audit_study",
    "check",
    "compare",
    "draw_case",
    "init_study",
    "make_demo_study",
    "rebuild_report",
    "refine_study",
    "run",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'kemm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
