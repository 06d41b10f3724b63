"""How good predicted survival is, on censored cases.

Every measure that needs the censoring curve takes it from the training cases it is given. A
measure without a value for these cases raises `UndefinedMetric` with the reason; none returns NaN.
"""

from kemm.survival.metrics.added_value import (
    AddedInformation,
    ComparedFold,
    ConcordanceGain,
    concordance_gain,
    cross_fitted_weights,
    likelihood_ratio_test,
)
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
from kemm.survival.metrics.d_calibration import DCalibration, at_own_time, d_calibration
from kemm.survival.metrics.decision import DecisionCurve, decision_curve
from kemm.survival.metrics.kaplan_meier import KaplanMeier, kaplan_meier
from kemm.survival.metrics.logrank import LogRank, logrank
from kemm.survival.metrics.reclassification import (
    NetBenefitChange,
    Reclassification,
    ReclassifiedFold,
    continuous_nri,
    net_benefit_change,
)
from kemm.survival.metrics.undefined import UndefinedMetric

__all__ = [
    "AddedInformation",
    "BootstrappedConcordance",
    "BrierSkill",
    "CalibrationGroup",
    "CalibrationSlope",
    "ComparedFold",
    "Concordance",
    "ConcordanceGain",
    "DCalibration",
    "DecisionCurve",
    "Difference",
    "Estimate",
    "FoldRisks",
    "KaplanMeier",
    "LogRank",
    "NetBenefitChange",
    "Reclassification",
    "ReclassifiedFold",
    "UndefinedMetric",
    "at_own_time",
    "bootstrap_concordance",
    "brier",
    "brier_skill",
    "calibration_groups",
    "calibration_slope",
    "censoring_curve",
    "combined_concordance",
    "concordance_gain",
    "continuous_nri",
    "count_pairs",
    "cross_fitted_weights",
    "d_calibration",
    "decision_curve",
    "dynamic_auc",
    "harrell_c",
    "integrated_brier",
    "integrated_calibration_index",
    "kaplan_meier",
    "likelihood_ratio_test",
    "logrank",
    "net_benefit_change",
    "observed_over_expected",
    "uno_c",
    "usable_tau",
]
