"""What a comparison of models says, as plain records: as strict as those of an evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kemm.results.comparison.controls_record import Controls
from kemm.results.comparison.leaks_record import LeakAudit
from kemm.results.records import Cell, Evaluation, Record, RunRecord


class SimultaneousDifference(Record):
    """One of several paired differences on the same patients, `model` minus `baseline`, judged together."""

    model: str
    baseline: str
    metric: str = "harrell_c"
    value: float
    low: float
    """Of the interval for this difference alone."""
    high: float
    p: float
    """Two-sided bootstrap p-value of this difference alone."""
    simultaneous_low: float
    """Of the interval that holds together with those of all other differences."""
    simultaneous_high: float
    adjusted_p: float
    """The chance of any of the differences being so large, for its error, if none existed."""
    cases: int


class RankedModel(Record):
    """A model's place among all."""

    model: str
    mean_rank: float
    """Over blocks; 1 is best."""


class RankedPair(Record):
    """Two models, the one with the better mean rank first."""

    better: str
    worse: str
    p: float | None
    """Of the pair alone; None where the method has none."""
    adjusted_p: float
    """For all pairs."""
    told_apart: bool
    """Whether `adjusted_p` is below the level, and so is the p-value of the ranking as a whole."""


class Ranking(Record):
    """Models ranked within blocks (cohorts, folds of cohorts), and which of them are told apart."""

    metric: str
    blocks: int
    models: list[RankedModel]
    """Best mean rank first."""
    statistic: float
    """Friedman's, chi-squared if all models are alike."""
    degrees_of_freedom: int
    p: float
    level: float
    method: Literal["nemenyi", "wilcoxon-holm"]
    critical_difference: float | None
    """Of mean ranks, from which on two models are told apart; Nemenyi's only."""
    pairs: list[RankedPair]
    groups: list[list[str]]
    """Neighbours by mean rank of whom no two are told apart, as large as can be; groups may overlap."""
    caution: str = ""
    """What has to be known before believing the p-values."""


class SubgroupRow(Record):
    """One level of a variable. A number without value has its reason."""

    level: str
    cases: int
    events: int
    model: Cell
    """Harrell's C within the level, with its interval."""
    reference: Cell
    gain: Cell
    """C of the model less that of the reference, paired, with its interval."""
    interaction: Cell | None = None
    """This gain less that of the first level that has one, with its interval; None for that level itself.
    Whether a gain differs between levels is for this to say, not for which of them leave out zero."""


class SubgroupTable(Record):
    """All levels of one variable."""

    variable: str
    rows: list[SubgroupRow]
    missing: int
    """Cases whose level is not known."""


class Subgroups(Record):
    """What a model gains over a reference, among all patients and in parts of them."""

    model: str
    reference: str
    whole: SubgroupRow
    tables: list[SubgroupTable]


class RepeatedDifference(Record):
    """A difference over the folds of repeated cross-validation, its error made up for shared training cases."""

    model: str
    baseline: str
    metric: str = "harrell_c"
    value: float
    """Mean over splits."""
    low: float
    high: float
    p: float
    sd: float
    """Over splits."""
    splits: int


class NetBenefitGain(Record):
    """Acting on one model in place of another, at one threshold of predicted chance."""

    threshold: float
    reference: float | None
    model: float | None
    gain: Cell


class AddedValue(Record):
    """What a model's risk tells that the reference's does not."""

    model: str
    reference: str
    cases: int
    events: int
    chi_squared: Cell
    """Likelihood-ratio statistic of Cox models of the test cases, stratified by fold: reference alone
    against reference and model."""
    degrees_of_freedom: int = 1
    inflation: float | None
    """By what the statistic was divided for p, and the variance for the hazard ratio's interval: 2, as each pair of
    cases counts twice in risks from cross-validation."""
    p: float | None
    hazard_ratio: Cell
    """For one standard deviation (within folds) of the model's log risk, at the same reference."""
    reference_coefficient: float | None
    """Beside the model's; 0: the model knows all that the reference does."""
    model_coefficient: float | None
    new_share: Cell
    """Of what both together explain (log-likelihood), the share that needs the model."""
    c_reference: Cell
    c_combined: Cell
    """Of reference and model added up, weighed on the test cases of the other folds."""
    c_gain: Cell
    c_gain_p: float | None
    horizon_months: float | None
    """Of what follows."""
    nri_with_event: Cell
    """Continuous net reclassification; flawed (a useless risk can have it above 0), and never a proof."""
    nri_event_free: Cell
    nri: Cell
    net_benefit: list[NetBenefitGain] = Field(default_factory=list)


class CurveCalibration(Record):
    """D-calibration of one model: whether patients' own ends are spread evenly over their predicted curves."""

    model: str
    counts: list[float]
    """Patients by predicted survival at their own time, in equal bins from 0 to 1; empty where undefined."""
    statistic: Cell
    """Chi-squared with `degrees_of_freedom` if calibrated; too small with much censoring."""
    degrees_of_freedom: int
    p: float | None


class ModelCost(Record):
    """What a model cost on this cohort: all folds and seeds together."""

    model: str
    seconds: float
    """Of all its units one after another; of several at once, less time passes."""
    core_seconds: float
    """Work of all cores: stands for energy."""
    peak_bytes: int | None
    """The most memory of a process that worked on it; a GPU's is not in it."""
    parameters: int | None
    """Of one network; None for what is none."""
    partial: bool
    """Whether part of it was not measured: then it cost more."""


class LeftOut(Record):
    """A model that this study could not train, and why."""

    model: str
    reason: str


class Ablated(Record):
    """The main model without one of its parts: its row of the table, and what the part is."""

    model: str
    """Name in the table of models."""
    change: str
    """What is taken away or put in its place: "without the report"."""
    family: Literal["part", "modalities"] = "part"
    """Parts are taken away one at a time; of modalities every subset."""


class StudyComparison(Record):
    """Everything that a comparison says of one cohort."""

    evaluation: Evaluation
    """The table of all models, and the pictures of the main ones."""
    run: RunRecord
    main: str
    reference: str | None
    """The clinical model; None where the study has no covariates."""
    added_value: list[AddedValue]
    """Of the main model first, then of others, to the reference."""
    differences: list[SimultaneousDifference]
    """The main model minus each other one that is no ablation, as one family."""
    against_reference: list[SimultaneousDifference]
    """Each model that is neither control nor ablation minus the reference, as one family."""
    ablations: list[Ablated]
    ablation_differences: list[SimultaneousDifference]
    """Each ablation minus the main model, as one family: below 0, the part helps."""
    ranking: Ranking | None
    ranking_note: str = ""
    """Why there is none."""
    subgroups: Subgroups | None
    curve_calibration: list[CurveCalibration]
    costs: list[ModelCost]
    repeats: list[RepeatedDifference] = Field(default_factory=list)
    """The main model minus the reference over repeated folds; empty where folds were not repeated."""
    left_out: list[LeftOut]
    leaks: LeakAudit
    controls: Controls | None = None
    """None where they were not asked for."""


class MeanRow(Record):
    """A model over all cohorts, each of which counts the same."""

    model: str
    title: str
    c: Cell
    """Mean of the cohorts' Harrell's C; its interval resamples patients of each cohort by themselves."""
    gain: Cell | None
    """Mean paired gain over the reference; None for the reference itself, and where there is none."""
    cohorts: int


class Comparison(Record):
    """What `kemm compare` found."""

    studies: list[StudyComparison]
    mean: list[MeanRow] = Field(default_factory=list)
    """Models that every cohort has; empty for a single cohort."""
    ranking: Ranking | None = None
    """Over cohorts, which are different patients; None with fewer than five of them."""
