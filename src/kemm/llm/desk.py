"""The journal's own thread: a slow disk holds up no call, and what comes together is written in one commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kemm.llm.backend import Answer
from kemm.llm.journal import Asked, Call, Journal

Result = TypeVar("Result")


class Desk:
    """Reads and writes a journal for an event loop, in the order in which it is asked to."""

    def __init__(self, journal: Journal, *, any_host: bool, mixture: bool) -> None:
        self._journal, self._any_host, self._mixture = journal, any_host, mixture
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kemm-journal")
        self._waiting: deque[tuple[Call, asyncio.Future[list[str]]]] = deque()

    def find(self, asked: Asked) -> Answer | None:
        """The journalled answer, now."""
        return self._journal.find(asked, any_host=self._any_host, mixture=self._mixture)

    def look_up(self, asked: Asked) -> asyncio.Future[Answer | None]:
        """The journalled answer, in turn."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self.find, asked)

    def write(self, call: Call) -> asyncio.Future[list[str]]:
        """See `Journal.record`. Begun when called, not when awaited: a run that is stopped in between still writes."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[list[str]] = loop.create_future()
        self._waiting.append((call, written))
        self._thread.submit(self._write_all, loop)
        return written

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)

    def _write_all(self, loop: asyncio.AbstractEventLoop) -> None:
        together = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not together:
            return  # an earlier turn has written it
        futures = [written for _, written in together]
        try:
            told = self._journal.record([call for call, _ in together], mixture=self._mixture)
        except BaseException as error:
            _tell(loop, futures, asyncio.Future.set_exception, [error] * len(futures))
        else:
            _tell(loop, futures, asyncio.Future.set_result, told)


def _tell(
    loop: asyncio.AbstractEventLoop,
    futures: list[asyncio.Future[list[str]]],
    how: Callable[[asyncio.Future[list[str]], Result], None],
    what: list[Result],
) -> None:
    def tell() -> None:
        for future, one in zip(futures, what, strict=True):
            if not future.done():
                how(future, one)

    if not loop.is_closed():
        loop.call_soon_threadsafe(tell)
