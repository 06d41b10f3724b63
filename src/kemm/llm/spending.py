"""What a run may cost: money is set aside before a call, and settled after."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kemm.core.errors import PartialError
from kemm.llm.settings import LLMConfig


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is."""

    calls: int = 0
    """Sent to the model in this run, failed ones included."""
    answered: int = 0
    """Answers that came in this run."""
    replayed: int = 0
    """Answers taken from the journal."""
    failed: int = 0
    """Questions given up."""
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    """Spent in this run."""


class Purse:
    """Keeps spending within the budget and calls within their limit.

    A call is sent only if the most it can cost is still there, beside what calls under way may cost. So the
    budget is never passed by more than the estimate of a question's tokens is off.
    """

    def __init__(self, config: LLMConfig, spent: float) -> None:
        self._config = config
        self.spent = spent
        """On this model at this host, earlier runs included."""
        self.calls = 0
        self._set_aside = 0.0
        self._changed = asyncio.Condition()

    async def take(self, most: float) -> None:
        """Set aside what a call may cost at most; waits while calls under way may turn out cheaper.

        Raises:
            PartialError: It would pass the budget or the limit of calls. Says what was spent and what is left.
        """
        config = self._config
        async with self._changed:
            while True:
                if config.most_calls is not None and self.calls >= config.most_calls:
                    raise PartialError(
                        f"{self.calls} calls were sent, as many as llm.most_calls allows in one run. "
                        "What was answered is kept; raise it, or leave it out, to go on."
                    )
                if config.budget is None or self.spent + self._set_aside + most <= config.budget:
                    self.calls += 1
                    self._set_aside += most
                    return
                if self._set_aside <= 0:
                    left = max(0.0, config.budget - self.spent)
                    raise PartialError(
                        f"of llm.budget {config.budget:g}, {self.spent:.4f} is spent on {config.model} and {left:.4f} left; "
                        f"the next question may cost {most:.4f}. What was answered is kept; raise the budget to go on."
                    )
                await self._changed.wait()

    async def settle(self, most: float, cost: float) -> None:
        """A call that was set aside for has ended, and cost this."""
        async with self._changed:
            self.spent += cost
            self._set_aside = max(0.0, self._set_aside - most)
            if self._set_aside < 1e-12:  # sums of fractions do not come back to 0
                self._set_aside = 0.0
            self._changed.notify_all()
