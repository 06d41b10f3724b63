"""A task that kills its worker. In a file of its own, which workers of an engine can import."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from kemm.execution import Mapper


@dataclass(frozen=True)
class Killing:
    """The function, but for one task."""

    function: Callable[[Any, Any], Any]
    at: Any

    def __call__(self, context: Any, task: Any) -> Any:
        if task == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.function(context, task)


@dataclass(frozen=True)
class KillingAtTheLast:
    """The mapper, but that the last of its tasks kills every worker that gets it."""

    mapper: Mapper

    def __call__(
        self, function: Callable[[Any, Any], Any], context: Any, tasks: Sequence[Any]
    ) -> Generator[tuple[Any, Any], None, None]:
        yield from self.mapper(Killing(function, tasks[-1]), context, tasks)
