"""The checklist as a page, for whoever writes the paper."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from kemm.results.document import render_document
from kemm.results.tripod.records import AnsweredItem, Checklist

CLASSES = {"filled": "filled", "partly": "partly", "needs a person": "person"}
"""Of the stylesheet, by status."""
BAR = 600
"""Width of the bar in its own units."""


@dataclass(frozen=True)
class Page:
    """What the template shows beyond the records."""

    checklist: Checklist

    @property
    def sections(self) -> list[tuple[str, str, list[AnsweredItem]]]:
        """Id, title and items of each section."""
        return [
            (title.lower().replace(" ", "-"), title, list(items))
            for title, items in groupby(self.checklist.items, key=lambda item: item.section)
        ]

    @property
    def contents(self) -> list[tuple[str, str]]:
        """Id and title of each section."""
        return [("overview", "Overview"), *((key, title) for key, title, _ in self.sections)]

    @property
    def bar(self) -> list[tuple[str, float, float]]:
        """Class, left and width of each part of the bar."""
        parts, left = [], 0.0
        for status, number in self.checklist.counts.items():
            width = BAR * number / max(1, len(self.checklist.items))
            parts.append((CLASSES[status], round(left, 2), round(width, 2)))
            left += width
        return parts


def render_checklist(checklist: Checklist) -> str:
    """The whole page as one HTML document, to lie beside the run's report; the same records give the same bytes."""
    return render_document(
        "kemm.results.tripod",
        "tripod.html.j2",
        everywhere={"classes": CLASSES, "bar_width": BAR},
        page=Page(checklist),
        checklist=checklist,
    )
