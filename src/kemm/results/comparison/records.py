"""What a comparison of models says, as plain records: as strict as those of an evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kemm.results.records import Cell, Record


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
