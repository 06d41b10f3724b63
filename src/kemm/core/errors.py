"""Every fault kemm expects, in one small tree, each with what to do next.

A `KemmError` is printed by the command line in one paragraph and ends with its exit code. Anything
else is a bug and shows its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

SHOWN_FAULTS = 20


class KemmError(Exception):
    """A fault with a remedy: the value, the place, why, and how to mend it."""

    exit_code = 3

    def __reduce__(self) -> tuple[object, ...]:
        # A worker's error comes back pickled; by default its maker would be called with the finished message.
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[KemmError], args: tuple[object, ...], state: dict[str, object]) -> KemmError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(KemmError):
    """The command or a setting was wrong."""

    exit_code = 2


class InputError(KemmError):
    """A file or a table of the user's was wrong."""

    exit_code = 3


class PartialError(KemmError):
    """Items failed, each by itself; the others, if any, are done and kept."""

    exit_code = 4


class ServiceError(KemmError):
    """A service kemm was asked to use did not answer."""

    exit_code = 5


class IntegrityError(KemmError):
    """Something stored is not what was written."""

    exit_code = 6


class PolicyError(KemmError):
    """Refused for safety or privacy; the message names the permission it needs."""

    exit_code = 7


class UnknownName(UsageError):
    """A name that nothing is registered under; suggests the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no {kind} is called {name!r}; {nearest(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that was not found: the closest known one, else all of them."""
    names = sorted(known)
    if not names:
        return "there is none"
    by_lower = {candidate.lower(): candidate for candidate in names}
    close = get_close_matches(name.lower(), by_lower, n=1)
    if close:
        return f"did you mean {by_lower[close[0]]!r}?"
    shown = ", ".join(names[:SHOWN_FAULTS])
    return f"choose from: {shown}" + (", ..." if len(names) > SHOWN_FAULTS else "")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong with an input: what, where, and how to mend it."""

    problem: str
    remedy: str
    file: str = ""
    row: int | None = None
    """1 for the first row below the header, as a spreadsheet's user counts data."""
    column: str | None = None
    case: str | None = None
    severity: Literal["error", "warning"] = "error"
    """An error stops a run; a warning is shown and the run goes on."""
    exit_code: int = InputError.exit_code

    def __str__(self) -> str:
        place = [self.file] if self.file else []
        if self.row is not None:
            place.append(f"row {self.row}")
        if self.column is not None:
            place.append(f"column {self.column!r}")
        if self.case is not None:
            place.append(f"case {self.case}")
        where = ", ".join(place)
        # A list that was cut short ends in its own dots.
        ended = self.problem if self.problem.endswith("...") else f"{self.problem.rstrip('.')}."
        what = f"{ended} {self.remedy}" if self.remedy else self.problem
        return f"{where}: {what}" if where else what


class InvalidInput(InputError):
    """All the faults of the inputs at once; the first twenty are spelt out."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = list(faults)
        lines = [f"- {fault}" for fault in self.faults[:SHOWN_FAULTS]]
        if len(self.faults) > SHOWN_FAULTS:
            lines.append(f"... and {len(self.faults) - SHOWN_FAULTS} more")
        codes = {fault.exit_code for fault in self.faults}
        if len(codes) == 1:
            self.exit_code = codes.pop()
        plural = "fault" if len(self.faults) == 1 else "faults"
        super().__init__(f"{len(self.faults)} {plural} in the input:\n" + "\n".join(lines))


class Faults:
    """Collects the faults of all inputs, so that they are told together."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def add(
        self,
        problem: str,
        remedy: str,
        *,
        file: object = "",
        row: int | None = None,
        column: str | None = None,
        case: str | None = None,
    ) -> None:
        """A fault that stops a run."""
        self.found.append(
            Fault(problem=problem, remedy=remedy, file=str(file), row=row, column=column, case=case)
        )

    def warn(self, problem: str, remedy: str, *, file: object = "", column: str | None = None) -> None:
        """A doubt that is shown while the run goes on."""
        self.found.append(
            Fault(problem=problem, remedy=remedy, file=str(file), column=column, severity="warning")
        )

    def add_error(self, error: KemmError) -> None:
        """An error raised while reading, whose message already says place and remedy."""
        if isinstance(error, InvalidInput):
            self.found.extend(error.faults)
        else:
            self.found.append(Fault(problem=str(error), remedy="", exit_code=error.exit_code))

    @property
    def errors(self) -> list[Fault]:
        """What stops a run."""
        return [fault for fault in self.found if fault.severity == "error"]

    @property
    def warnings(self) -> list[Fault]:
        """What does not."""
        return [fault for fault in self.found if fault.severity == "warning"]

    def raise_if_any(self) -> None:
        """Raise `InvalidInput` with every error found."""
        if self.errors:
            raise InvalidInput(self.errors)
