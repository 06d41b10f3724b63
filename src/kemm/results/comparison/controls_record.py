"""What the controls of a comparison say, as plain records."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kemm.results.records import Record

ControlName = Literal["permuted outcomes", "planted signal", "noise", "site alone"]


class Control(Record):
    """One control of one model."""

    name: ControlName
    model: str
    """The model's name."""
    done: str
    """What was done, in a sentence."""
    criterion: str
    """What must hold, with its tolerance."""
    value: float | None = None
    """What the criterion is about; None where it could not be had, and then `note` says why."""
    low: float | None = None
    high: float | None = None
    """Ends of its 95 % interval: over repeats, or over resampled patients."""
    standard_error: float | None = None
    """Of `value`, where it is a mean over repeats."""
    repeats: list[float] = Field(default_factory=list)
    """The value of each repeat."""
    passed: bool | None = None
    """None: not decided, for the reason in `note`."""
    is_fault: bool = True
    """Whether not passing it is a fault of the model or of the data's preparation; else it is a warning to the reader."""
    note: str = ""


class Controls(Record):
    """All controls of a comparison."""

    controls: list[Control]
    settings: dict[str, str] = Field(default_factory=dict)
    """How models were trained here, where that is cheaper than in the comparison."""

    @property
    def faults(self) -> list[Control]:
        """Those that failed, and are no mere warnings."""
        return [one for one in self.controls if one.passed is False and one.is_fault]

    @property
    def warnings(self) -> list[Control]:
        """What a reader must know before believing the table."""
        return [one for one in self.controls if one.passed is False and not one.is_fault]

    @property
    def undecided(self) -> list[Control]:
        """Those that could not be decided."""
        return [one for one in self.controls if one.passed is None]
