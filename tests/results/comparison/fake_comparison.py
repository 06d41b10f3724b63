"""A comparison made up by hand: small, but with every part."""

from __future__ import annotations

from typing import Any, Literal

import fake_results as fake

from kemm.results.comparison.controls_record import Control, ControlName, Controls
from kemm.results.comparison.leaks_record import Leak, LeakAudit
from kemm.results.comparison.records import (
    Ablated,
    AddedValue,
    Comparison,
    CurveCalibration,
    LeftOut,
    MeanRow,
    ModelCost,
    NetBenefitGain,
    RankedModel,
    RankedPair,
    Ranking,
    RepeatedDifference,
    SimultaneousDifference,
    StudyComparison,
    SubgroupRow,
    Subgroups,
    SubgroupTable,
)
from kemm.results.records import Cell, Evaluation, ModelResult

MAIN, CLINICAL = fake.MAIN, fake.CLINICAL
ABLATIONS: tuple[tuple[str, str, Literal["part", "modalities"], float], ...] = (
    ("-report", "without the report", "part", -0.021),
    ("-background", "without background knowledge", "part", -0.003),
    ("-gate", "a mean in place of the gate", "part", 0.019),
    ("only-genes", "genes only", "modalities", -0.090),
)


def around(value: float, width: float = 0.02, *, cases: int = 480, events: int = 165) -> Cell:
    return Cell(value=value, low=value - width, high=value + width, cases=cases, events=events)


def model(name: str, title: str, c: float, role: str, inputs: tuple[str, ...]) -> ModelResult:
    metrics = {"harrell_c": around(c, 0.025), "uno_c": around(c - 0.01), "ibs_skill": around(0.1)}
    return ModelResult.model_validate(
        {
            "name": name,
            "title": title,
            "description": f"{title}, in a sentence.",
            "role": role,
            "inputs": list(inputs),
            "metrics": metrics,
            "fold_c": [c - 0.02, c + 0.01, c, c + 0.02, c - 0.01],
        }
    )


def evaluation(**fields: Any) -> Evaluation:
    more = [
        model("mcat", "MCAT", 0.733, "baseline", ("genes", "slides")),
        model("abmil", "ABMIL", 0.641, "baseline", ("slides",)),
        *(model(name, f"KEMM, {change}", 0.78 + gain, "ablation", ()) for name, change, _, gain in ABLATIONS),
    ]
    base = fake.evaluation()
    return base.model_copy(update={"models": [*base.models, *more], "truth": None, "warnings": [], **fields})


def difference(model: str, baseline: str, value: float) -> SimultaneousDifference:
    return SimultaneousDifference(
        model=model,
        baseline=baseline,
        value=value,
        low=value - 0.010,
        high=value + 0.010,
        p=0.003,
        simultaneous_low=value - 0.015,
        simultaneous_high=value + 0.015,
        adjusted_p=0.014,
        cases=480,
    )


def added(model: str, gain: Cell, *, p: float | None = 0.0004) -> AddedValue:
    return AddedValue(
        model=model,
        reference=CLINICAL,
        cases=gain.cases,
        events=gain.events,
        chi_squared=Cell(value=12.34, cases=480, events=165)
        if p is not None
        else Cell(reason="4 events, fewer than 10"),
        inflation=2.0 if p is not None else None,
        p=p,
        hazard_ratio=around(1.45, 0.2),
        reference_coefficient=0.71,
        model_coefficient=0.37,
        new_share=Cell(value=0.23, cases=480, events=165),
        c_reference=around(0.752),
        c_combined=around(0.752 + (gain.value or 0)),
        c_gain=gain,
        c_gain_p=0.021,
        horizon_months=36.0,
        nri_with_event=around(0.12, 0.1),
        nri_event_free=around(0.08, 0.1),
        nri=around(0.2, 0.15),
        net_benefit=[
            NetBenefitGain(threshold=0.1, reference=0.21, model=0.212, gain=around(0.002, 0.004)),
            NetBenefitGain(threshold=0.2, reference=0.15, model=0.165, gain=around(0.015, 0.010)),
            NetBenefitGain(threshold=0.3, reference=0.10, model=0.118, gain=around(0.018, 0.012)),
            NetBenefitGain(threshold=0.7, reference=None, model=None, gain=Cell(reason="nobody is above it")),
        ],
    )


def ranking() -> Ranking:
    ranked = [(MAIN, 1.4), (CLINICAL, 2.2), ("mcat", 2.9), ("abmil", 3.5)]
    return Ranking(
        metric="harrell_c",
        blocks=15,
        models=[RankedModel(model=name, mean_rank=rank) for name, rank in ranked],
        statistic=20.1,
        degrees_of_freedom=3,
        p=0.0002,
        level=0.05,
        method="nemenyi",
        critical_difference=1.2,
        pairs=[RankedPair(better=MAIN, worse="abmil", p=None, adjusted_p=0.001, told_apart=True)],
        groups=[[MAIN, CLINICAL], [CLINICAL, "mcat"]],
        caution="The blocks share patients: p-values are too small.",
    )


def level(name: str, gain: Cell, interaction: Cell | None = None) -> SubgroupRow:
    return SubgroupRow(
        level=name,
        cases=240,
        events=80,
        model=around(0.77),
        reference=around(0.75),
        gain=gain,
        interaction=interaction,
    )


def subgroups() -> Subgroups:
    few = Cell(reason="4 events, fewer than 10", cases=12, events=4)
    return Subgroups(
        model=MAIN,
        reference=CLINICAL,
        whole=level("all patients", around(0.029)),
        tables=[
            SubgroupTable(
                variable="sex",
                rows=[level("female", around(0.02)), level("male", around(0.035), around(0.015, 0.04))],
                missing=2,
            ),
            SubgroupTable(
                variable="stage", rows=[level("Stage I", around(0.01)), level("Stage IV", few)], missing=0
            ),
        ],
    )


def control(name: ControlName, value: float | None, passed: bool | None, **fields: Any) -> Control:
    width = 0.02
    return Control.model_validate(
        {
            "name": name,
            "model": MAIN,
            "done": "What was done, in a sentence.",
            "criterion": "It stays within 0.02.",
            "value": value,
            "low": None if value is None else value - width,
            "high": None if value is None else value + width,
            "standard_error": 0.006,
            "repeats": [],
            "passed": passed,
            **fields,
        }
    )


def controls() -> Controls:
    return Controls(
        controls=[
            control("permuted outcomes", 0.503, True),
            control("planted signal", 0.06, True),
            control("noise", 0.055, False),
            control("noise", None, None, model="mcat", note="Too few repeats."),
            control(
                "site alone",
                0.58,
                False,
                model="site",
                is_fault=False,
                note="The hospital predicts the outcome.",
            ),
        ],
        settings={"epochs": "10", "seeds": "1"},
    )


SAME_REPORT = Leak(
    kind="same report",
    severity="error",
    told="Two cases on both sides of fold 1 have the same report.",
    remedy="Put them on one side.",
    cases=["A-1", "A-2"],
    columns=[],
    folds=[1],
)
TELLING_COLUMN = Leak(
    kind="covariate tells the outcome",
    severity="warning",
    told="The column ward tells the outcome.",
    remedy="Leave it out.",
    cases=[],
    columns=["ward"],
    folds=[],
)


def study(**fields: Any) -> StudyComparison:
    found = evaluation()
    others = [one.name for one in found.models if one.role != "ablation" and one.name not in (MAIN, "slides")]
    c = {one.name: one.metrics["harrell_c"].value or 0.5 for one in found.models}
    whole = StudyComparison(
        evaluation=found,
        run=fake.run_record(),
        main=MAIN,
        reference=CLINICAL,
        added_value=[
            added(MAIN, around(0.021, 0.018)),
            added("clinical+report", around(0.012, 0.017)),
            added("report", around(0.009, 0.006)),
            added("genes", around(-0.02, 0.01, cases=345, events=119)),
            added("mcat", Cell(reason="4 events, fewer than 10", cases=12, events=4), p=None),
        ],
        differences=[difference(MAIN, name, c[MAIN] - c[name]) for name in others],
        against_reference=[
            difference(name, CLINICAL, c[name] - c[CLINICAL])
            for name in (MAIN, "kemm", "mcat", "abmil", "report", "clinical+report")
        ],
        ablations=[
            Ablated(model=name, change=change, family=family) for name, change, family, _ in ABLATIONS
        ],
        ablation_differences=[difference(name, MAIN, value) for name, _, _, value in ABLATIONS],
        ranking=ranking(),
        subgroups=subgroups(),
        curve_calibration=[
            CurveCalibration(
                model=MAIN,
                counts=[52.0, 44.0, 48.0, 47.0, 50.0, 49.0, 41.0, 55.0, 46.0, 48.0],
                statistic=Cell(value=8.4, cases=480, events=165),
                degrees_of_freedom=9,
                p=0.49,
            ),
            CurveCalibration(
                model="mcat",
                counts=[],
                statistic=Cell(reason="3 events, fewer than 10"),
                degrees_of_freedom=9,
                p=None,
            ),
        ],
        costs=[
            ModelCost(
                model=MAIN,
                seconds=214.6,
                core_seconds=401.0,
                peak_bytes=1_240_000_000,
                parameters=812_345,
                partial=False,
            ),
            ModelCost(
                model="mcat",
                seconds=95.0,
                core_seconds=180.0,
                peak_bytes=None,
                parameters=2_100_000,
                partial=True,
            ),
            ModelCost(
                model=CLINICAL,
                seconds=0.4,
                core_seconds=0.4,
                peak_bytes=210_000_000,
                parameters=None,
                partial=False,
            ),
        ],
        repeats=[
            RepeatedDifference(
                model=MAIN,
                baseline=CLINICAL,
                value=0.027,
                low=-0.004,
                high=0.058,
                p=0.09,
                sd=0.031,
                splits=25,
            )
        ],
        left_out=[LeftOut(model="survpath", reason="it needs 20 gene groups, and 12 are known")],
        leaks=LeakAudit(leaks=[TELLING_COLUMN]),
        controls=controls(),
    )
    return whole.model_copy(update=fields)


def bare() -> StudyComparison:
    """Nothing but a table."""
    empty: dict[str, Any] = {
        "headline": None,
        "differences": [],
        "risk_groups": [],
        "calibration": [],
        "decision": None,
    }
    return study(
        evaluation=evaluation(**empty, time_auc=[], definitions={}, folds=[]),
        reference=None,
        added_value=[],
        differences=[],
        against_reference=[],
        ablations=[],
        ablation_differences=[],
        ranking=None,
        ranking_note="Fewer than five folds: no ranking.",
        subgroups=None,
        curve_calibration=[],
        costs=[],
        repeats=[],
        left_out=[],
        leaks=LeakAudit(leaks=[]),
        controls=None,
    )


def comparison(*studies: StudyComparison) -> Comparison:
    return Comparison(studies=list(studies) or [study()])


def several() -> Comparison:
    other = study(
        evaluation=evaluation(
            study="lung-demo", cohort=fake.cohort().model_copy(update={"name": "Synthetic lung cohort"})
        ),
        added_value=[added(MAIN, around(0.004, 0.02), p=0.3)],
        controls=None,
        leaks=LeakAudit(leaks=[]),
    )
    return Comparison(
        studies=[study(), other],
        mean=[
            MeanRow(model=CLINICAL, title="Clinical Cox", c=around(0.741), gain=None, cohorts=2),
            MeanRow(model="mcat", title="MCAT", c=around(0.705), gain=around(-0.036), cohorts=2),
            MeanRow(model=MAIN, title="KEMM with covariates", c=around(0.768), gain=around(0.027), cohorts=2),
        ],
        ranking=ranking(),
    )
