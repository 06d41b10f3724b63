"""Records one can plug in, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from kemm.core.errors import UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """Makers of one kind of thing, by name. Asking for an unknown name suggests the nearest."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._makers: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: `maker` is known as `name` from now on."""

        def add(maker: T) -> T:
            if name in self._makers:
                raise ValueError(f"two {self.kind}s are called {name!r}")
            self._makers[name] = maker
            return maker

        return add

    def __getitem__(self, name: str) -> T:
        try:
            return self._makers[name]
        except KeyError:
            raise UnknownName(self.kind, name, self._makers) from None

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._makers))
