"""How good predicted survival is, on censored cases.

Every measure that needs the censoring curve takes it from the training cases it is given. A
measure without a value for these cases raises `UndefinedMetric` with the reason; none returns NaN.
"""

from kemm.survival.metrics.auc import dynamic_auc
from kemm.survival.metrics.bootstrap import (
    BootstrappedConcordance,
    Difference,
    Estimate,
    FoldRisks,
    bootstrap_concordance,
)
from kemm.survival.metrics.brier import BrierSkill, brier, brier_skill, integrated_brier
from kemm.survival.metrics.calibration import (
    CalibrationGroup,
    CalibrationSlope,
    calibration_groups,
    calibration_slope,
    integrated_calibration_index,
    observed_over_expected,
)
from kemm.survival.metrics.censoring import censoring_curve, usable_tau
from kemm.survival.metrics.concordance import (
    Concordance,
    combined_concordance,
    count_pairs,
    harrell_c,
    uno_c,
)
from kemm.survival.metrics.decision import DecisionCurve, decision_curve
from kemm.survival.metrics.kaplan_meier import KaplanMeier, kaplan_meier
from kemm.survival.metrics.logrank import LogRank, logrank
from kemm.survival.metrics.undefined import UndefinedMetric

__all__ = [
    "BootstrappedConcordance",
    "BrierSkill",
    "CalibrationGroup",
    "CalibrationSlope",
    "Concordance",
    "DecisionCurve",
    "Difference",
    "Estimate",
    "FoldRisks",
    "KaplanMeier",
    "LogRank",
    "UndefinedMetric",
    "bootstrap_concordance",
    "brier",
    "brier_skill",
    "calibration_groups",
    "calibration_slope",
    "censoring_curve",
    "combined_concordance",
    "count_pairs",
    "decision_curve",
    "dynamic_auc",
    "harrell_c",
    "integrated_brier",
    "integrated_calibration_index",
    "kaplan_meier",
    "logrank",
    "observed_over_expected",
    "uno_c",
    "usable_tau",
]
