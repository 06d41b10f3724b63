"""A ridge-penalised Cox regression on a table of features, by Newton's method."""

from kemm.survival.cox_regression.fit import CoxFit, fit_cox, fit_cox_path
from kemm.survival.cox_regression.likelihood import CoxFailure, PartialLikelihood
from kemm.survival.cox_regression.ridge import RidgeChoice, choose_ridge
from kemm.survival.cox_regression.stratified import StratifiedLikelihood, fit_stratified_cox

__all__ = [
    "CoxFailure",
    "CoxFit",
    "PartialLikelihood",
    "RidgeChoice",
    "StratifiedLikelihood",
    "choose_ridge",
    "fit_cox",
    "fit_cox_path",
    "fit_stratified_cox",
]
