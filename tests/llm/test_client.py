"""Many questions: nothing asked twice, nothing lost, nothing beyond the budget."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import Pauses, question

from chat_server import MODEL, ChatServer, Reply, error
from kemm.core.errors import InputError, KemmError, PartialError, PolicyError, ServiceError
from kemm.llm import Answer, Busy, Client, Journal, LLMConfig, NotTaken, Progress, Question
from kemm.llm.backend import Backend

ClientOf = Callable[..., Client]


def questions(count: int) -> list[tuple[str, Question]]:
    return [(f"case-{number}", question(f"text {number}")) for number in range(count)]


def all_asked(client: Client, items: Any) -> dict[str, Answer | ServiceError]:
    async def run() -> dict[str, Answer | ServiceError]:
        async with client:
            return {identifier: result async for identifier, result in client.ask_all(items)}

    return asyncio.run(run())


def stopped(client: Client, items: Any) -> tuple[dict[str, Any], KemmError]:
    """What came before the end, and the end."""
    found: dict[str, Any] = {}

    async def run() -> None:
        async with client:
            async for identifier, result in client.ask_all(items):
                found[identifier] = result

    with pytest.raises(KemmError) as caught:
        asyncio.run(run())
    return found, caught.value


# --- never twice -------------------------------------------------------------------------------


def test_a_second_run_sends_nothing(client_of: ClientOf) -> None:
    with ChatServer([Reply()]) as server:
        first = all_asked(client_of(server.url), questions(20))
        again = client_of(server.url)
        second = all_asked(again, questions(20))
    assert len(server.requests) == 20
    assert first == second
    assert again.progress == Progress(replayed=20)
    assert all(isinstance(answer, Answer) and answer.replayed for answer in second.values())


@pytest.mark.parametrize(
    "change", [{"temperature": 0.5}, {"seed": 1}, {"max_tokens": 9}, {"structured": "text"}]
)
def test_a_setting_that_shapes_answers_asks_again(change: dict[str, Any], client_of: ClientOf) -> None:
    with ChatServer([Reply()]) as server:
        all_asked(client_of(server.url), questions(1))
        all_asked(client_of(server.url, **change), questions(1))
        all_asked(client_of(server.url, concurrency=3, timeout_s=9, retries=0), questions(1))
    assert len(server.requests) == 2


def test_the_same_question_asked_twice_at_once_is_sent_once(client_of: ClientOf) -> None:
    items = [(f"case-{number}", question("the same")) for number in range(10)]
    with ChatServer([Reply(wait_s=0.05)]) as server:
        found = all_asked(client_of(server.url), items)
    assert len(server.requests) == 1
    assert len(found) == 10


def test_answers_that_are_none_are_paid_for_once_too(client_of: ClientOf) -> None:
    with ChatServer(
        [Reply(content=None, refusal="No."), Reply(content=""), Reply(finish_reason="length")]
    ) as server:
        first = all_asked(client_of(server.url, concurrency=1), questions(3))
        assert all_asked(client_of(server.url), questions(3)) == first
    assert len(server.requests) == 3


KILLED = """
import asyncio, sys
from kemm.llm import Client, Journal, LLMConfig, make_backend
from test_client import questions

async def run():
    config = LLMConfig(model="asked", base_url=sys.argv[1], concurrency=4)
    async with Client(make_backend(config), Journal(sys.argv[2]), config) as client:
        async for identifier, answer in client.ask_all(questions(40)):
            print(identifier, answer.text, flush=True)

asyncio.run(run())
"""


def run_apart(url: str, path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, url, str(path)], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_a_killed_run_asks_again_only_what_was_under_way(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with ChatServer(lambda request: Reply(wait_s=0.15)) as server:
        process = run_apart(server.url, path)
        assert process.stdout is not None
        told = [process.stdout.readline().split()[0] for _ in range(10)]
        process.send_signal(signal.SIGKILL)
        told += [line.split()[0] for line in process.stdout]
        process.wait()
        process.stdout.close()
        time.sleep(0.1)
        before = server.asked
        with Journal(path) as journal:
            kept = journal.spent(server.url.removeprefix("http://").removesuffix("/v1"), "asked").calls
        assert kept >= len(told)  # written before it is told
        again = run_apart(server.url, path)
        assert again.communicate()[0].count('{"grade": 2}') == 40
        after = server.asked
    assert len(before) < 40
    assert len(after) == 40
    twice = [text for text, count in after.items() if count > 1]
    assert max(after.values()) <= 2
    # Those under way: four being asked, and as many whose answers were on their way to the disk.
    assert len(twice) == sum(before.values()) - kept <= 8


def test_two_processes_share_what_they_know(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with ChatServer(lambda request: Reply(wait_s=0.02)) as server:
        both = [run_apart(server.url, path) for _ in range(2)]
        assert [process.communicate()[0].count('{"grade": 2}') for process in both] == [40, 40]
        assert run_apart(server.url, path).communicate()[0].count("case-") == 40
        assert len(server.asked) == 40
        assert sum(server.asked.values()) <= 80


# --- several at once ---------------------------------------------------------------------------


def test_as_many_are_under_way_as_allowed(client_of: ClientOf) -> None:
    with ChatServer([Reply(wait_s=0.05)]) as server:
        all_asked(client_of(server.url, concurrency=5), questions(30))
    assert server.most_under_way == 5


def test_questions_are_drawn_as_they_are_needed(client_of: ClientOf) -> None:
    drawn = done = most = 0

    def items() -> Iterator[tuple[str, Question]]:
        nonlocal drawn, most
        for item in questions(60):
            drawn += 1
            most = max(most, drawn - done)
            yield item

    async def run(client: Client) -> None:
        nonlocal done
        async with client:
            async for _ in client.ask_all(items()):
                done += 1

    with ChatServer([Reply()]) as server:
        asyncio.run(run(client_of(server.url, concurrency=3)))
    assert done == drawn == 60
    assert most <= 6


def test_a_source_that_fails_loses_no_answer_that_is_under_way(client_of: ClientOf) -> None:
    def items() -> Iterator[tuple[str, Question]]:
        yield from questions(3)
        raise InputError("report 4 cannot be read")

    with ChatServer([Reply(wait_s=0.05)]) as server:
        found, told = stopped(client_of(server.url), items())
    assert str(told) == "report 4 cannot be read"
    assert len(found) == len(server.requests) == 3


def test_who_stops_listening_leaves_nothing_running(client_of: ClientOf) -> None:
    async def run(client: Client) -> int:
        async with client:
            results = client.ask_all(questions(50))
            async for _ in results:
                break
            await results.aclose()
            return len(asyncio.all_tasks())

    with ChatServer([Reply(wait_s=0.02)]) as server:
        assert asyncio.run(run(client_of(server.url, concurrency=4))) == 1
        assert len(server.requests) <= 9


def test_an_answer_that_comes_as_a_run_is_stopped_is_written_down(client_of: ClientOf) -> None:
    client = client_of("http://localhost:1/v1", backend=lambda config: Scripted([answer()]))
    written: list[Any] = []
    record = client.journal.record

    def slow(*arguments: Any, **more: Any) -> list[str]:
        time.sleep(0.1)
        written.append(arguments)
        return record(*arguments, **more)

    client.journal.record = slow  # type: ignore[method-assign]

    async def run() -> None:
        async with client:
            task = asyncio.ensure_future(client.ask(question()))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert len(written) == 1
    assert client.is_known(question())


# --- failures ----------------------------------------------------------------------------------


class Scripted:
    """Answers, or fails, as told; the last for good."""

    identity, host, model = "scripted/1", "scripted", "asked"

    def __init__(self, script: list[Answer | Exception]) -> None:
        self.script, self.asked = script, 0

    async def ask(self, question: Question) -> Answer:
        self.asked += 1
        step = self.script[min(self.asked, len(self.script)) - 1]
        if isinstance(step, Exception):
            raise step
        return step

    async def close(self) -> None:
        self.closed = True


def answer(**more: Any) -> Answer:
    told = {"text": "{}", "model": MODEL, "finish_reason": "stop", "tokens_in": 10, "tokens_out": 5}
    return Answer(**{**told, **more})


def busy(**more: Any) -> Busy:
    return Busy("the server is busy.", outcome="503", **more)


def test_the_scripted_backend_is_one() -> None:
    assert isinstance(Scripted([]), Backend)


def test_pauses_double_and_are_drawn_up_to_a_minute(tmp_path: Path) -> None:
    pauses, backend = Pauses(), Scripted([busy()])
    config = LLMConfig(model="asked", retries=9)
    client = Client(
        backend, Journal(tmp_path / "j"), config, sleep=pauses, random=iter([0.5, 0, *[1.0] * 9]).__next__
    )
    found = all_asked(client, questions(1))
    client.journal.close()
    assert pauses == [0.5, 0, 4, 8, 16, 32, 60, 60, 60]
    assert backend.asked == 10
    assert [type(failure) for failure in found.values()] == [Busy]


def test_a_server_that_always_says_come_back_is_not_waited_for_for_ever(
    client_of: ClientOf, pauses: Pauses
) -> None:
    backend = Scripted([busy(retry_after=0.0)])
    all_asked(client_of("http://localhost:1/v1", backend=lambda config: backend), questions(1))
    assert sum(pauses) == 600


def test_one_question_that_is_not_taken_stops_no_other(client_of: ClientOf) -> None:
    def script(request: dict[str, Any]) -> Reply:
        return error(400, "too long") if request["messages"][-1]["content"] == "text 3" else Reply()

    with ChatServer(script) as server:
        client = client_of(server.url, structured="text")
        found = all_asked(client, questions(10))
    failed = {identifier: result for identifier, result in found.items() if not isinstance(result, Answer)}
    assert list(failed) == ["case-3"]
    assert isinstance(failed["case-3"], NotTaken)
    assert len(found) == 10
    assert (client.progress.answered, client.progress.failed, client.progress.calls) == (9, 1, 10)


def test_a_server_that_fails_again_and_again_ends_the_run(client_of: ClientOf) -> None:
    backend = Scripted([answer(), answer(), busy()])
    client = client_of("http://localhost:1/v1", backend=lambda config: backend, concurrency=4, retries=1)
    found, told = stopped(client, questions(100))
    assert "4 questions in a row were given up. The last: the server is busy." in str(told)
    assert told.exit_code == 5
    assert sum(isinstance(result, Answer) for result in found.values()) == 2
    assert backend.asked <= 2 + 8 * 2
    assert backend.closed


def test_a_wrong_key_ends_the_run_and_what_waited_is_not_sent(client_of: ClientOf) -> None:
    with ChatServer([error(401, "no")]) as server:
        _, told = stopped(client_of(server.url, concurrency=4), questions(100))
    assert "status 401" in str(told)
    assert len(server.requests) <= 4


# --- one model ---------------------------------------------------------------------------------


def changing(after: int) -> Callable[[dict[str, Any]], Reply]:
    seen: list[Any] = []

    def script(request: dict[str, Any]) -> Reply:
        seen.append(request)
        return Reply(model=MODEL if len(seen) <= after else "tiny-2")

    return script


def test_a_server_that_changes_its_model_ends_the_run(client_of: ClientOf) -> None:
    with ChatServer(changing(after=5)) as server:
        found, told = stopped(client_of(server.url, concurrency=2), questions(50))
        assert len(found) == 5
        assert "answered with the model tiny-2, where the journal" in str(told)
        assert f"holds answers of {MODEL}" in str(told)
        assert "llm.allow_mixture" in str(told)
        assert told.exit_code == 7
        sent = len(server.requests)
        assert sent <= 5 + 2 * 2  # those under way, and those that began as the first was written down
        # Allowed later, the answers of the other model are not paid for again.
        assert len(all_asked(client_of(server.url, allow_mixture=True), questions(50))) == 50
        assert len(server.requests) == 50
        with pytest.raises(PolicyError, match="holds answers of tiny-1 and tiny-2 to asked"):
            client_of(server.url)


# --- offline -----------------------------------------------------------------------------------


def test_an_offline_run_uses_the_journal_and_names_all_that_is_missing(client_of: ClientOf) -> None:
    with ChatServer([Reply()]) as server:
        all_asked(client_of(server.url), questions(40)[::2])
    found, told = stopped(client_of("http://localhost:1/v1", backend=None), questions(40))
    assert len(found) == 20
    assert isinstance(told, InputError)
    assert "20 answers by asked are missing, and the run is offline: case-1, case-11, case-13" in str(told)
    assert told.exit_code == 3
    assert all_asked(client_of("http://localhost:1/v1", backend=None), questions(40)[::2]) == found


def test_a_long_list_of_missing_answers_is_cut_short(client_of: ClientOf) -> None:
    _, told = stopped(client_of("http://localhost:1/v1", backend=None), questions(500))
    assert "500 answers" in str(told)
    assert "... and 480 more" in str(told)
    assert len(str(told)) < 700


# --- money -------------------------------------------------------------------------------------

PRICES = {"price_in": 1000.0, "price_out": 2000.0}
"""An answer of `Reply()` costs 10 * 0.001 + 5 * 0.002 = 0.02."""


def test_the_budget_is_kept_and_said_to_be_reached(client_of: ClientOf) -> None:
    with ChatServer([Reply(wait_s=0.01)]) as server:
        client = client_of(server.url, budget=1.0, max_tokens=5, concurrency=8, **PRICES)
        found, told = stopped(client, questions(200))
        sent = len(server.requests)
        assert isinstance(told, PartialError)
        assert told.exit_code == 4
        # A question is reckoned at about 0.06: there is room for one as long as 0.94 is not passed.
        assert 45 <= sent <= 50
        assert len(found) == sent
        assert client.spent == pytest.approx(sent * 0.02)
        assert f"of llm.budget 1, {sent * 0.02:.4f} is spent on asked and {1 - sent * 0.02:.4f} left" in str(
            told
        )
        # A run that goes on counts what is spent; what is journalled costs nothing.
        again, _ = stopped(client_of(server.url, budget=1.0, max_tokens=5, **PRICES), questions(200))
        assert len(server.requests) == sent
        # It ends at the first question without an answer: one that was overtaken may come before the last answered.
        assert again.items() <= found.items()
        assert len(again) >= sent - 8
        assert len(all_asked(client_of(server.url, budget=9.0, max_tokens=5, **PRICES), questions(60))) == 60


def test_tokens_that_a_server_does_not_count_are_estimated(client_of: ClientOf) -> None:
    with ChatServer([Reply(usage=None, content="x" * 40)]) as server:
        client = client_of(server.url, **PRICES)
        all_asked(client, [("case-1", question("y" * 382, schema=None))])
        assert client.spent == pytest.approx(100 * 0.001 + 10 * 0.002)
        assert client_of(server.url, **PRICES).spent == pytest.approx(client.spent)


def test_the_limit_of_calls_is_for_one_run(client_of: ClientOf) -> None:
    with ChatServer([Reply()]) as server:
        found, told = stopped(client_of(server.url, most_calls=7), questions(20))
        assert len(found) == len(server.requests) == 7
        assert "7 calls were sent, as many as llm.most_calls allows in one run" in str(told)
        assert told.exit_code == 4
        stopped(client_of(server.url, most_calls=7), questions(20))
        assert len(server.requests) == 14


def test_progress_is_told_as_it_happens(client_of: ClientOf) -> None:
    told: list[Progress] = []
    with ChatServer([error(500), Reply()]) as server:
        client = client_of(server.url, concurrency=1, **PRICES)
        client._tell = told.append
        all_asked(client, questions(2))
    last = told[-1]
    assert (last.calls, last.answered, last.replayed, last.failed) == (3, 2, 0, 0)
    assert (last.tokens_in, last.tokens_out) == (20, 10)
    assert last.money == pytest.approx(0.04)
    assert [progress.calls for progress in told] == [1, 2, 2, 3, 3]
