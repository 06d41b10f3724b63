"""Asks many questions: the journal first, then the model, patiently, within the budget."""

from __future__ import annotations

import asyncio
import copy
import json
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar
from weakref import WeakValueDictionary

from kemm.core.errors import SHOWN_FAULTS, InputError, KemmError, PolicyError, ServiceError
from kemm.llm.backend import Answer, Backend, Busy, NotTaken, Question
from kemm.llm.desk import Desk
from kemm.llm.estimate import CHARACTERS_A_TOKEN, tokens_of
from kemm.llm.journal import Asked, Call, Journal
from kemm.llm.settings import LLMConfig
from kemm.llm.spending import Progress, Purse

Work = TypeVar("Work")
Result = TypeVar("Result")

Written = asyncio.Future[list[str]]
"""Done when an answer is on disk: the journal's models, if the answer is by another."""

LONGEST_PAUSE_S = 60.0
PATIENCE_S = 600.0
"""A server that says when to come back is waited for this long in all, a question; else it counts as failing."""
_FIRST_PAUSE_S = 1.0
_FAILURES_IN_A_ROW = 3
_STALE_S = 2.0


class Missing(InputError):
    """An offline run has no answer to a question in its journal."""


class Client:
    """Answers questions from a journal, and by a backend those that are not there.

    Without a backend it is offline: the journal only, whichever host its answers came from.
    """

    def __init__(
        self,
        backend: Backend | None,
        journal: Journal,
        config: LLMConfig,
        *,
        progress: Callable[[Progress], None] = lambda progress: None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.backend, self.journal, self.config = backend, journal, config
        self.progress = Progress()
        self._tell, self._sleep, self._random = progress, sleep, random
        self._slots = asyncio.Semaphore(config.concurrency)
        # The same question asked twice at once waits for its own answer.
        self._asking: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()
        self._desk = Desk(journal, any_host=backend is None, mixture=config.allow_mixture)
        self._host = backend.host if backend else ""
        self._failures_in_a_row = 0
        self._ended_by: KemmError | None = None
        spent = journal.spent(self._host, config.model)
        self._purse = Purse(config, config.money(spent.tokens_in, spent.tokens_out))
        self._refuse_mixture()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Write down what was answered, and let the backend go. The journal stays open: it was not opened here."""
        await self._desk.close()
        if self.backend:
            await self.backend.close()

    @property
    def spent(self) -> float:
        """Money spent on this model at this host, earlier runs in the same journal included."""
        return self._purse.spent

    def is_known(self, question: Question) -> bool:
        """Whether the journal answers it."""
        return self._desk.find(self._asked(question)) is not None

    async def ask(self, question: Question) -> Answer:
        """The answer, from the journal or the model. Complete or not: what was paid for is kept and told again.

        Raises:
            Missing: Offline, and not in the journal.
            Busy: The model failed to answer, every time.
            NotTaken: The model does not take this question.
            PolicyError: Another model than the journal's answered.
            PartialError: The budget does not reach.
            ServiceError: Nothing more will be answered.
        """
        asked = self._asked(question)
        key = (question.prompt_hash, question.text_hash, question.schema_hash, asked.parameters)
        lock = self._asking.setdefault(key, asyncio.Lock())
        async with lock:
            try:
                if found := await self._look_up(asked):
                    return found
                if self.backend is None:
                    raise Missing(
                        f"{self.journal.path}: no answer to this question by {self.config.model}, and the run is "
                        "offline. Run once without offline."
                    )
                looked = time.monotonic()
                # A place is for a call under way; the journal is read and written outside.
                async with self._slots:
                    # Another process may have asked, if the wait for a place was long.
                    if time.monotonic() - looked > _STALE_S and (found := await self._look_up(asked)):
                        return found
                    answer, written = await self._ask_patiently(self.backend, asked)
                others = await asyncio.shield(written)
                if others:
                    raise self._mixed(answer, others)
            except (Busy, NotTaken):
                self._count(failed=1)
                raise
            except Missing:
                raise
            except KemmError as error:
                # Questions that wait for their turn would only meet the same end.
                self._ended_by = self._ended_by or error
                raise
        return answer

    async def ask_all(
        self, items: Iterable[tuple[str, Question]]
    ) -> AsyncGenerator[tuple[str, Answer | ServiceError], None]:
        """Each question's answer as it comes, or the failure that concerns it alone. See `each`."""
        async with aclosing(self.each(items, self.ask)) as results:
            async for identifier, result in results:
                yield identifier, result

    async def each(
        self, items: Iterable[tuple[str, Work]], work: Callable[[Work], Awaitable[Result]]
    ) -> AsyncGenerator[tuple[str, Result | ServiceError], None]:
        """Do `work` on items, several at once, and yield results as they come.

        Items are drawn as they are needed, never more than twice `concurrency` ahead. What goes wrong with
        one item is its result. What goes wrong with all ends the run, after the calls under way are done.

        Raises:
            Missing: Offline, and some answers are not in the journal: names all such items, at the end.
            KemmError: Nothing more will be answered (see `ask`).
        """
        source = iter(items)
        under_way: dict[asyncio.Task[Result], str] = {}
        stopped_by: BaseException | None = None
        missing: list[str] = []
        more = True
        try:
            while True:
                while more and stopped_by is None and len(under_way) < 2 * self.config.concurrency:
                    try:
                        identifier, item = next(source)
                    except StopIteration:
                        more = False
                        break
                    except Exception as failed:
                        stopped_by = failed
                        break
                    under_way[asyncio.ensure_future(_done(work, item))] = identifier
                if not under_way:
                    break
                done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    identifier = under_way.pop(task)
                    error = task.exception()
                    if error is None:
                        yield identifier, task.result()
                    elif isinstance(error, Busy | NotTaken):
                        yield identifier, error
                    elif isinstance(error, Missing):
                        missing.append(identifier)
                    else:
                        stopped_by = stopped_by or error
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
        if stopped_by is not None:
            raise stopped_by
        if missing:
            raise Missing(self._told_missing(missing))

    async def _look_up(self, asked: Asked) -> Answer | None:
        found = await self._desk.look_up(asked)
        if found is not None:
            self._count(replayed=1)
        return found

    async def _ask_patiently(self, backend: Backend, asked: Asked) -> tuple[Answer, Written]:
        failures, waited = 0, 0.0
        while True:
            try:
                answered = await self._ask_once(backend, asked)
            except Busy as error:
                pause = self._pause(error, failures, waited)
                # A server that says when to come back is working as it should: that is no failure.
                failures += error.retry_after is None
                if pause is None:
                    self._failures_in_a_row += 1
                    if self._failures_in_a_row >= max(_FAILURES_IN_A_ROW, self.config.concurrency):
                        raise ServiceError(
                            f"{self._failures_in_a_row} questions in a row were given up. The last: {error}"
                        ) from error
                    raise
                waited += pause
                await self._sleep(pause)
            else:
                self._failures_in_a_row = 0
                return answered

    def _pause(self, error: Busy, failures: int, waited: float) -> float | None:
        """Seconds until the next try; None to give up.

        Exponential, with full jitter: M. Brooker (2015), "Exponential Backoff And Jitter", AWS Architecture Blog.
        """
        if error.retry_after is not None and self.config.retries > 0:
            # Later by chance, so that not all come back at the same moment.
            pause = max(error.retry_after, _FIRST_PAUSE_S) + _FIRST_PAUSE_S * self._random()
            return pause if waited + pause <= PATIENCE_S else None
        if failures >= self.config.retries:
            return None
        return float(min(LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**failures) * self._random())

    async def _ask_once(self, backend: Backend, asked: Asked) -> tuple[Answer, Written]:
        if self._ended_by is not None:
            raise copy.copy(self._ended_by)
        question = asked.question
        expected = tokens_of(question)
        most = self.config.money(expected, question.max_tokens or self.config.max_tokens)
        await self._purse.take(most)
        self._count(calls=1)
        started, cost = time.monotonic(), 0.0
        try:
            answer = await backend.ask(question)
            # Paid for: from here on it is written down, even if whoever waits for it is stopped.
            written = self._desk.write(Call(asked, answer))
            tokens_in, tokens_out = _tokens(answer, expected)
            cost = self.config.money(tokens_in, tokens_out)
        except (Busy, NotTaken) as error:
            seconds = time.monotonic() - started
            await asyncio.shield(self._desk.write(Call(asked, None, error.outcome, seconds)))
            raise
        finally:
            await self._purse.settle(most, cost)
        self._count(answered=1, tokens_in=tokens_in, tokens_out=tokens_out, money=cost)
        return answer, written

    def _mixed(self, answer: Answer, others: list[str]) -> PolicyError:
        return PolicyError(
            f"{self._host} answered with the model {answer.model}, where the journal {self.journal.path} holds answers "
            f"of {', '.join(others)}. Serve that model again; or move the journal away, to ask everything of the new one; "
            "or set llm.allow_mixture to use both together."
        )

    def _asked(self, question: Question) -> Asked:
        config = self.config
        shaping = {
            "backend": config.backend,
            "structured": config.structured,
            "temperature": config.temperature,
            "seed": config.seed,
            "max_tokens": question.max_tokens or config.max_tokens,
        }
        return Asked(self._host, config.model, json.dumps(shaping, sort_keys=True), question)

    def _refuse_mixture(self) -> None:
        if self.config.allow_mixture:
            return
        models = self.journal.models(self.config.model, self._host if self.backend else None)
        if len(models) > 1:
            raise PolicyError(
                f"{self.journal.path} holds answers of {' and '.join(models)} to {self.config.model}. "
                "Name another journal, or set llm.allow_mixture to use them together."
            )

    def _told_missing(self, missing: list[str]) -> str:
        shown = ", ".join(sorted(missing)[:SHOWN_FAULTS])
        more = f", ... and {len(missing) - SHOWN_FAULTS} more" if len(missing) > SHOWN_FAULTS else ""
        return (
            f"{self.journal.path}: {len(missing)} answers by {self.config.model} are missing, and the run is offline: "
            f"{shown}{more}. Run once without offline, with the settings unchanged; or leave these out."
        )

    def _count(self, **more: float) -> None:
        was = self.progress
        self.progress = replace(was, **{name: getattr(was, name) + value for name, value in more.items()})
        self._tell(self.progress)


async def _done(work: Callable[[Work], Awaitable[Result]], item: Work) -> Result:
    return await work(item)


def _tokens(answer: Answer, expected: int) -> tuple[int, int]:
    """Of a question and its answer, reckoned where the server has not counted."""
    tokens_in, tokens_out = answer.tokens_in, answer.tokens_out
    return (
        expected if tokens_in is None else tokens_in,
        len(answer.text) // CHARACTERS_A_TOKEN if tokens_out is None else tokens_out,
    )
