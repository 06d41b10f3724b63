"""How work tells how far it is. The command line draws bars; from Python it is silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kemm.training.under_way import Training


class Step(Protocol):
    """A stage that is under way."""

    def advance(self, note: str = "", count: int = 1) -> None:
        """`count` more items are done; `note` says something about them."""
        ...

    def under_way(self, those: Sequence[Training]) -> None:
        """What trains at this moment. Called every second or so, by a thread of its own."""
        ...


class Progress(Protocol):
    """Told of each stage."""

    def stage(self, name: str, total: int, done: int = 0) -> AbstractContextManager[Step]:
        """A stage of `total` items begins, `done` of them finished by an earlier run; it ends with the context."""
        ...

    def say(self, line: str) -> None:
        """A line a person wants to see."""
        ...


class Silent:
    """Says nothing."""

    def advance(self, note: str = "", count: int = 1) -> None:
        """Nothing."""

    def under_way(self, those: Sequence[Training]) -> None:
        """Nothing."""

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Silent]:
        """Nothing."""
        yield self

    def say(self, line: str) -> None:
        """Nothing."""
