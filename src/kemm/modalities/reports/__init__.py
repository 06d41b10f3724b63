"""Pathology reports: hide what identifies, read what matters for prognosis, keep the evidence."""

from kemm.modalities.reports.deidentify import MASK, Deidentified, deidentify
from kemm.modalities.reports.fields import CANNOT_BE_ASSESSED, FIELDS, Field, fields_for, verify
from kemm.modalities.reports.grounding import Grounded, ground
from kemm.modalities.reports.organs import organ_of
from kemm.modalities.reports.outcome import Removed, hide_orders, hide_outcomes
from kemm.modalities.reports.refiner import Dropped, Prepared, RefinedReport, Refiner, RulesRefiner, prepare
from kemm.modalities.reports.refiners import BY_MODEL, REFINERS
from kemm.modalities.reports.schema import report_model, report_schema, schema_version
from kemm.modalities.reports.source import ReportsConfig, read_reports

__all__ = [
    "BY_MODEL",
    "CANNOT_BE_ASSESSED",
    "FIELDS",
    "MASK",
    "REFINERS",
    "Deidentified",
    "Dropped",
    "Field",
    "Grounded",
    "Prepared",
    "RefinedReport",
    "Refiner",
    "Removed",
    "ReportsConfig",
    "RulesRefiner",
    "deidentify",
    "fields_for",
    "ground",
    "hide_orders",
    "hide_outcomes",
    "organ_of",
    "prepare",
    "read_reports",
    "report_model",
    "report_schema",
    "schema_version",
    "verify",
]
