"""The checklist as it was filled for one run."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import model_validator

from kemm.results.records import Record
from kemm.results.tripod.items import Applies

Status = Literal["filled", "partly", "needs a person"]
STATUSES: tuple[Status, ...] = ("filled", "partly", "needs a person")


class Artefact(Record):
    """Where in the run's folder an answer can be checked."""

    file: str
    """Relative to the folder of the run."""
    anchor: str = ""
    """Of a section of the page, where the file is one."""

    @property
    def link(self) -> str:
        """As a page in the same folder links to it."""
        return f"{self.file}#{self.anchor}" if self.anchor else self.file


class AnsweredItem(Record):
    """An item, and what the run can say of it."""

    number: str
    section: str
    topic: str
    applies: Applies
    asks: str
    status: Status
    answer: str = ""
    """What the records say; empty where a person must say everything."""
    person: str = ""
    """What a person has to add; empty where nothing is missing."""
    artefact: Artefact | None = None

    @model_validator(mode="after")
    def _stands_on_something(self) -> AnsweredItem:
        claims = self.status != "needs a person"
        if claims != bool(self.answer) or claims != (self.artefact is not None):
            raise ValueError(
                f"item {self.number}: a claim needs an answer and an artefact, and nothing else has them"
            )
        if (self.status == "filled") != (not self.person):
            raise ValueError(f"item {self.number}: what is not filled says what a person has to add")
        return self


class Checklist(Record):
    """All items, in the published order."""

    study: str
    run: str
    started: str
    version: str
    """Of kemm."""
    items: list[AnsweredItem]

    @property
    def counts(self) -> dict[Status, int]:
        """Items of each status."""
        counted = Counter(item.status for item in self.items)
        return {status: counted[status] for status in STATUSES}
