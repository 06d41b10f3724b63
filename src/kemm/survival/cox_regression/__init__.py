"""A penalised Cox regression on a table of features, by Newton's method: ridge, or elastic net."""

from kemm.survival.cox_regression.elastic_net import ElasticNetPath, penalty_grid
from kemm.survival.cox_regression.fit import CoxFit, fit_cox, fit_cox_path
from kemm.survival.cox_regression.likelihood import (
    CoxFailure,
    PartialLikelihood,
    log_partial_likelihood,
)
from kemm.survival.cox_regression.ridge import RidgeChoice, choose_ridge
from kemm.survival.cox_regression.stratified import StratifiedLikelihood, fit_stratified_cox

__all__ = [
    "CoxFailure",
    "CoxFit",
    "ElasticNetPath",
    "PartialLikelihood",
    "RidgeChoice",
    "StratifiedLikelihood",
    "choose_ridge",
    "fit_cox",
    "fit_cox_path",
    "fit_stratified_cox",
    "log_partial_likelihood",
    "penalty_grid",
]
