"""What evaluation and explanation say, as plain records: written as JSON, read by the report.

Survival times are in months, risks point up (higher = worse), and a number that is undefined is
absent with its reason; it is never 0 and never NaN.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """A finished fact. Strict, frozen, JSON without NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Cell(Record):
    """One number of a table, with how sure it is and what it stands on."""

    value: float | None = None
    """None where undefined; then `reason` says why."""
    sd: float | None = None
    """Standard deviation over folds (and seeds)."""
    low: float | None = None
    """Lower end of the 95 % patient-bootstrap interval."""
    high: float | None = None
    reason: str | None = None
    cases: int = 0
    events: int = 0


class ModelResult(Record):
    """A row of the table: one model on the outer parts of all folds."""

    name: str
    """As in the predictions table: "kemm+clinical"."""
    title: str
    """As a person reads it: "KEMM with covariates"."""
    description: str = ""
    """What it is fitted on, in a sentence."""
    inputs: list[str] = Field(default_factory=list)
    """Of: covariates, report, background, genes, slides, site."""
    role: Literal["kemm", "comparator", "control", "baseline", "ablation"] = "comparator"
    metrics: dict[str, Cell] = Field(default_factory=dict)
    """By metric name: "harrell_c", "uno_c", "ibs" (lower is better), "ibs_skill" (against
    Kaplan-Meier, above 0 is better), "auc@24" (at 24 months), "calibration_slope"."""
    fold_c: list[float | None] = Field(default_factory=list)
    """Harrell's C of each fold, in the order of folds."""


class Difference(Record):
    """A paired difference on the same patients and folds: `model` minus `baseline`."""

    model: str
    baseline: str
    metric: str = "harrell_c"
    value: float
    low: float
    high: float
    p: float
    """Two-sided bootstrap p-value."""
    cases: int


class Curve(Record):
    """A Kaplan-Meier curve of a risk group, as steps."""

    group: str
    months: list[float]
    survival: list[float]
    low: list[float]
    high: list[float]
    at_risk_months: list[float]
    at_risk: list[int]
    cases: int
    events: int


class RiskGroups(Record):
    """Kaplan-Meier by predicted risk; groups cut at the training part's median of each fold."""

    model: str
    curves: list[Curve]
    logrank_statistic: float | None = None
    logrank_p: float | None = None


class CalibrationPoint(Record):
    """A tenth (or so) of the patients: what was predicted, what was observed."""

    predicted: float
    """Mean predicted chance of the event by the horizon."""
    observed: float
    """One minus Kaplan-Meier at the horizon."""
    low: float
    high: float
    cases: int


class Calibration(Record):
    """Predicted against observed chance of the event by one horizon."""

    model: str
    horizon_months: float
    points: list[CalibrationPoint]
    slope: float | None = None
    """1 is ideal; below 1, predictions are too extreme."""
    ici: float | None = None
    """Integrated calibration index: mean absolute distance from the ideal; 0 is ideal."""


class DecisionCurve(Record):
    """Net benefit of treating above a threshold of predicted chance, by one horizon."""

    horizon_months: float
    thresholds: list[float]
    net_benefit: dict[str, list[float | None]]
    """By model name, and "treat all". Treating none is 0 everywhere."""


class TimeAUC(Record):
    """Cumulative/dynamic AUC over time."""

    model: str
    months: list[float]
    auc: list[float | None]


class CohortSummary(Record):
    """Who the patients are."""

    name: str
    endpoint: str
    cases: int
    events: int
    median_follow_up_months: float | None
    """Reverse Kaplan-Meier."""
    event_coding: str
    """For instance: "1 = death"."""
    sites: int
    modalities: dict[str, int]
    """Cases that have each: report, genes, slides, covariates."""
    missing: dict[str, int]
    """Cases without a value, by covariate."""
    cancer_types: dict[str, int]
    dropped: dict[str, int] = Field(default_factory=dict)
    """Cases left out, by reason."""
    other: dict[str, str] = Field(default_factory=dict)
    """More facts worth a line: gene groups used and absent, text masked, refiner coverage."""


class FoldSummary(Record):
    """One fold."""

    fold: int
    train_cases: int
    train_events: int
    test_cases: int
    test_events: int
    test_sites: int
    shared_site_share: float
    """Share of test patients whose site is also in the training part; 0 in site-disjoint folds."""


class Truth(Record):
    """Synthetic cohorts only: how close the estimate came to the planted hazard."""

    true_c: float
    """Harrell's C of the true log hazard: no model can be expected to beat it."""
    correlation: dict[str, float]
    """Spearman correlation of each model's risk with the true log hazard."""
    planted: list[PlantedSignal] = Field(default_factory=list)


class PlantedSignal(Record):
    """One planted effect, and what the model says of it."""

    name: str
    modality: str
    true_effect: float
    """Log hazard ratio a standard deviation."""
    estimated_effect: float | None
    """Rise of the model's log risk by this thing for a standard deviation of what was planted; None if not estimable."""
    error: float | None = None
    """Standard error of the estimate, over cases."""
    found: bool
    """The estimate has the sign of the truth, its 95 % interval leaves out zero, and the thing moves the risk more than
    any of its modality where nothing was planted."""


class Evaluation(Record):
    """Everything the report says in numbers."""

    study: str
    run: str
    fold_kind: str
    """"site-disjoint", "stratified" or "given"."""
    seeds: list[int]
    cohort: CohortSummary
    folds: list[FoldSummary]
    models: list[ModelResult]
    headline: Difference | None
    """The main model against the clinical comparator; None where there is no clinical comparator."""
    differences: list[Difference]
    risk_groups: list[RiskGroups]
    calibration: list[Calibration]
    decision: DecisionCurve | None
    time_auc: list[TimeAUC]
    truth: Truth | None = None
    definitions: dict[str, str] = Field(default_factory=dict)
    """How each metric is computed, by metric name."""
    warnings: list[str] = Field(default_factory=list)
    """For instance: "fewer than 100 events"."""
    bootstraps: int = 1000


class Driver(Record):
    """Something that moved the risk, over all outer cases: by leaving it out and predicting again."""

    modality: Literal["report", "background", "genes", "slides", "covariates"]
    name: str
    """Field of the report ("grade"), background statement, gene group, covariate."""
    mean_effect: float
    """Mean change of log risk from having it: above 0 means it raised the risk."""
    mean_abs_effect: float
    cases: int


class AttentionPair(Record):
    """Mean attention from a statement (query) to a gene group or slide token (key)."""

    query: str
    key: str
    weight: float
    """Relative to uniform attention: 2 means twice the even share."""


class StatementEffect(Record):
    """One statement of one case."""

    kind: str
    text: str
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    effect: float | None = None
    """Change of log risk from having it."""
    looked_at: list[str] = Field(default_factory=list)
    """The keys it attended to most, strongest first."""


class SlideHeatmap(Record):
    """Where the model looked on one slide, or what it made of its tiles, small enough for the report."""

    slide: str
    of: Literal["attention", "risk"] = "attention"
    """"risk": what each tile adds to the linear part of the log risk."""
    png: str = Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$", max_length=150_000)
    """Base64."""
    caption: str


class CaseStory(Record):
    """Why one case got its risk."""

    case: str
    months: float
    event: bool
    fold: int
    risk: float
    risk_percentile: float
    """0 to 100, among the outer cases of its fold."""
    spread: float
    """Standard deviation of log risk over seeds: high = uncertain."""
    certainty: Literal["most certain", "least certain", "highest risk", "lowest risk"]
    survival: dict[str, float]
    """Predicted survival, by horizon in months ("24")."""
    covariates: dict[str, str]
    covariate_effects: dict[str, float] = Field(default_factory=dict)
    """Contribution of each to the log risk, against the training mean."""
    statements: list[StatementEffect] = Field(default_factory=list)
    gene_groups: list[Driver] = Field(default_factory=list)
    slide_tokens: list[Driver] = Field(default_factory=list)
    heatmaps: list[SlideHeatmap] = Field(default_factory=list)
    slides_note: str = ""
    """What has to be known of the slides' part: that the network gave them no weight."""
    missing: list[str] = Field(default_factory=list)
    """Modalities this case does not have."""


class Explanation(Record):
    """What the main model's risk stands on. Where the model looked, not what causes the outcome."""

    model: str
    drivers: list[Driver]
    attention: list[AttentionPair]
    cases: list[CaseStory]
    notes: list[str] = Field(default_factory=list)


class RunRecord(Record):
    """Settings and provenance of a run, for the report's last section."""

    study_yaml: str
    """The settings as used, defaults filled in."""
    fingerprint: str
    environment: dict[str, str]
    inputs: dict[str, str]
    """File -> SHA-256."""
    background_author: str = ""
    started: str
    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall time by stage."""
    command: str = ""


Truth.model_rebuild()
