"""Pathology reports: hide what identifies, read what matters for prognosis, keep the evidence."""

from kemm.modalities.reports.deidentify import MASK, Deidentified, deidentify
from kemm.modalities.reports.fields import FIELDS, Field, verify
from kemm.modalities.reports.outcome import Removed, hide_orders, hide_outcomes
from kemm.modalities.reports.refiner import Dropped, Prepared, RefinedReport, Refiner, RulesRefiner, prepare
from kemm.modalities.reports.refiners import REFINERS
from kemm.modalities.reports.source import ReportsConfig, read_reports

__all__ = [
    "FIELDS",
    "MASK",
    "REFINERS",
    "Deidentified",
    "Dropped",
    "Field",
    "Prepared",
    "RefinedReport",
    "Refiner",
    "Removed",
    "ReportsConfig",
    "RulesRefiner",
    "deidentify",
    "hide_orders",
    "hide_outcomes",
    "prepare",
    "read_reports",
    "verify",
]
