"""TRIPOD+AI: what a report of a prediction model must say, answered as far as a run's records can.

References:
    Collins et al. (2024), TRIPOD+AI statement, BMJ 385, doi:10.1136/bmj-2023-078378.
"""

from __future__ import annotations

from kemm.results.tripod.filling import fill_checklist
from kemm.results.tripod.items import ITEMS, Item
from kemm.results.tripod.page import render_checklist
from kemm.results.tripod.records import AnsweredItem, Artefact, Checklist

__all__ = [
    "ITEMS",
    "AnsweredItem",
    "Artefact",
    "Checklist",
    "Item",
    "fill_checklist",
    "render_checklist",
]
