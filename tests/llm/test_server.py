"""A server over real HTTP: what it is sent, and what is made of what it does."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from asking import SCHEMA, Pauses, question
from pytest_httpserver import HTTPServer

from chat_server import MODEL, ChatServer, Reply, error
from kemm.core.errors import KemmError, PolicyError, ServiceError, UsageError
from kemm.llm import Answer, Busy, Client, LLMConfig, NotTaken, make_backend

ClientOf = Callable[..., Client]
SECRET = "sk-hidden-0123456789abcdef"


def asked(client: Client, *questions: Any) -> list[Answer]:
    async def all_of_them() -> list[Answer]:
        async with client:
            return [await client.ask(one) for one in questions or (question(),)]

    return asyncio.run(all_of_them())


def failure(client: Client, kind: type[KemmError] = ServiceError) -> KemmError:
    with pytest.raises(kind) as caught:
        asked(client)
    return caught.value


def test_a_question_is_sent_as_the_protocol_wants_it(client_of: ClientOf) -> None:
    with ChatServer([Reply()]) as server:
        (answer,) = asked(client_of(server.url, seed=7, max_tokens=99))
    assert (answer.text, answer.model, answer.finish_reason) == ('{"grade": 2}', MODEL, "stop")
    assert (answer.tokens_in, answer.tokens_out, answer.mode) == (10, 5, "json_schema")
    assert server.requests == [
        {
            "model": "asked",
            "messages": [
                {"role": "system", "content": "What is the grade?"},
                {"role": "user", "content": "A tumour of grade 2."},
            ],
            "max_tokens": 99,
            "temperature": 0.0,
            "seed": 7,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "grade", "schema": SCHEMA, "strict": True},
            },
        }
    ]
    assert server.headers[0]["authorization"] == "Bearer none"


def test_a_server_learns_nothing_of_this_machine_and_gets_no_other_key(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer other")
    with ChatServer([Reply()]) as server:
        asked(client_of(server.url))
    (headers,) = server.headers
    assert headers["authorization"] == "Bearer none"
    assert headers.keys() <= {
        *("host", "authorization", "content-type", "content-length"),
        *("accept", "accept-encoding", "connection", "user-agent"),
    }


def test_temperature_left_to_the_server_is_not_sent(client_of: ClientOf) -> None:
    with ChatServer([Reply()]) as server:
        asked(client_of(server.url, temperature=None), question(schema=None))
    assert server.requests[0].keys() == {"model", "messages", "max_tokens"}


def without(*refused: str) -> Callable[[dict[str, Any]], Reply]:
    """A server that knows nothing of some ways to ask for JSON."""

    def script(request: dict[str, Any]) -> Reply:
        kind = request.get("response_format", {}).get("type", "text")
        return error(400, f"response_format {kind} is not supported") if kind in refused else Reply()

    return script


@pytest.mark.parametrize(
    ("refused", "tried"),
    [
        ((), ["json_schema"]),
        (("json_schema",), ["json_schema", "json_object"]),
        (("json_schema", "json_object"), ["json_schema", "json_object", "text"]),
    ],
)
def test_the_strictest_way_that_a_server_takes_is_found_once(
    refused: Sequence[str], tried: list[str], client_of: ClientOf
) -> None:
    with ChatServer(without(*refused)) as server:
        answers = asked(client_of(server.url), question("one"), question("two"), question("three"))
    assert server.formats == [*tried, tried[-1], tried[-1]]
    assert [answer.mode for answer in answers] == [tried[-1]] * 3


def test_the_way_is_found_once_by_questions_sent_together(client_of: ClientOf) -> None:
    async def run(client: Client) -> None:
        async with client:
            many = [(str(number), question(f"text {number}")) for number in range(20)]
            assert [
                answer async for _, answer in client.ask_all(many) if not isinstance(answer, Answer)
            ] == []

    with ChatServer(without("json_schema", "json_object")) as server:
        asyncio.run(run(client_of(server.url, concurrency=4)))
    assert server.formats.count("json_object") == 1
    assert server.formats.count("json_schema") <= 4
    assert server.formats.count("text") == 20


def test_a_declared_way_is_kept(client_of: ClientOf) -> None:
    with ChatServer(without("json_schema")) as server:
        told = failure(client_of(server.url, structured="json_schema"), NotTaken)
    assert "llm.structured" in str(told)
    assert server.formats == ["json_schema"]


def test_a_question_refused_in_every_way_is_told_in_the_servers_words(client_of: ClientOf) -> None:
    with ChatServer([error(400, "maximum context length is 4096 tokens")]) as server:
        told = failure(client_of(server.url), NotTaken)
    assert "127.0.0.1" in str(told)
    assert "status 400 (maximum context length is 4096 tokens)" in str(told)
    assert "llm.max_tokens" in str(told)
    assert told.exit_code == 5


def test_the_limit_goes_by_its_newer_name_where_the_server_wants_it(client_of: ClientOf) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if "max_tokens" in request:
            return error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return Reply()

    with ChatServer(script) as server:
        asked(client_of(server.url), question("one"), question("two"))
    assert ["max_tokens" in request for request in server.requests] == [True, False, False]
    assert set(server.formats) == {"json_schema"}


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "KEMM_LLM_API_KEY"),
        (403, "ask for access"),
        (404, "check llm.model"),
        (418, "Check llm.base_url"),
    ],
)
def test_a_status_that_will_not_pass_is_told_at_once_with_what_to_do(
    status: int, remedy: str, client_of: ClientOf, pauses: Pauses
) -> None:
    with ChatServer([error(status, "no")]) as server:
        told = failure(client_of(server.url))
        assert (
            f"{server.url.removeprefix('http://').removesuffix('/v1')} answered with status {status}"
            in str(told)
        )
    assert remedy in str(told)
    assert told.exit_code == 5
    assert (len(server.requests), pauses) == (1, [])


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again(status: int, client_of: ClientOf, pauses: Pauses) -> None:
    with ChatServer([error(status), error(status), Reply()]) as server:
        (answer,) = asked(client_of(server.url))
    assert answer.text == '{"grade": 2}'
    assert pauses == [1.0, 2.0]  # twice as long each time, at the top of the chance


def test_a_server_that_says_when_to_come_back_is_heeded(client_of: ClientOf, pauses: Pauses) -> None:
    busy = error(429, "slow down", retry_after="7")
    with ChatServer([busy, busy, busy, Reply()]) as server:
        asked(client_of(server.url, retries=1))
    assert pauses == [8.0, 8.0, 8.0]  # as told, and up to a second more by chance; no failure of its own


def test_a_time_to_come_back_may_be_a_date(client_of: ClientOf, pauses: Pauses) -> None:
    from email.utils import formatdate

    later = error(503, retry_after=formatdate(time.time() + 30, usegmt=True))
    nonsense = error(503, retry_after="soon")
    with ChatServer([later, nonsense, Reply()]) as server:
        asked(client_of(server.url))
    assert pauses[0] == pytest.approx(31, abs=3)
    assert pauses[1] == 1


def test_a_server_that_asks_for_more_patience_than_there_is(client_of: ClientOf, pauses: Pauses) -> None:
    with ChatServer([error(429, "daily limit", retry_after="86400")]) as server:
        told = failure(client_of(server.url), Busy)
    assert "status 429 (daily limit)" in str(told)
    assert pauses == []


def test_a_used_up_quota_does_not_pass(client_of: ClientOf) -> None:
    with ChatServer([error(429, "You exceeded your quota", code="insufficient_quota")]) as server:
        assert "Add credit" in str(failure(client_of(server.url)))
    assert len(server.requests) == 1


def test_a_dropped_connection_is_tried_again(client_of: ClientOf) -> None:
    with ChatServer([Reply(drop=True), Reply()]) as server:
        asked(client_of(server.url))
    assert len(server.requests) == 2


def test_a_slow_answer_is_not_waited_for_beyond_the_limit(client_of: ClientOf) -> None:
    with ChatServer([Reply(wait_s=1.5)]) as server:
        told = failure(client_of(server.url, timeout_s=0.2, retries=1), Busy)
    assert "gave no answer within 0.2 s. Raise llm.timeout_s" in str(told)
    assert len(server.requests) == 2


def test_a_server_that_is_not_there(client_of: ClientOf) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        told = failure(client_of(url, retries=1), Busy)
    assert f"127.0.0.1:{url.split(':')[2].removesuffix('/v1')} cannot be reached" in str(told)
    assert "Start the server" in str(told)


def test_a_server_without_encryption_is_told_from_one_that_is_not_there(client_of: ClientOf) -> None:
    with ChatServer([Reply()]) as server:
        told = failure(client_of(server.url.replace("http:", "https:")))
    assert "write llm.base_url with http://" in str(told)


def test_a_certificate_that_is_not_accepted_is_told() -> None:
    backend: Any = make_backend(LLMConfig(model="m"))
    error = RuntimeError("connection")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed")
    told = backend._unreachable(error)
    assert "localhost:8000 could not prove who it is" in str(told)
    assert not isinstance(told, Busy)
    asyncio.run(backend.close())


@pytest.mark.parametrize(
    ("reply", "reason", "text"),
    [
        (Reply(content='{"grade":', finish_reason="length"), "length", '{"grade":'),
        (Reply(content=None, refusal="I cannot."), "refusal", "I cannot."),
        (Reply(content="Blocked", finish_reason="content_filter"), "refusal", "Blocked"),
        (Reply(content=""), "stop", ""),
        (Reply(content=None), "stop", ""),
    ],
)
def test_an_answer_that_is_none_says_why(reply: Reply, reason: str, text: str, client_of: ClientOf) -> None:
    with ChatServer([reply]) as server:
        (answer,) = asked(client_of(server.url))
    assert (answer.finish_reason, answer.text) == (reason, text)


def test_a_huge_answer_is_cut_off(client_of: ClientOf) -> None:
    with ChatServer([Reply(content='{"grade": "' + "y" * 9_000_000)]) as server:
        (answer,) = asked(client_of(server.url))
    assert answer.finish_reason == "length"
    assert answer.model == MODEL
    assert answer.text.startswith('{"grade": "yyy')
    assert 1_900_000 < len(answer.text) < 2_000_000


@pytest.mark.parametrize(
    ("body", "looks"),
    [
        (b"<!DOCTYPE html><p>Log in", "a web page"),
        (b"", "an empty page"),
        (b"[1]", "3 bytes"),
        (b"{}", "2 bytes"),
        (b"[" * 100_000, "100000 bytes"),
    ],
)
def test_what_is_no_completion_is_told_as_what_it_is(body: bytes, looks: str, client_of: ClientOf) -> None:
    with ChatServer([Reply(body=body)]) as server:
        assert f"no chat completion ({looks}). Check llm.base_url" in str(failure(client_of(server.url)))


def test_half_a_surrogate_pair_is_no_reason_to_fail(client_of: ClientOf) -> None:
    with ChatServer([Reply(content="\ud800")]) as server:
        (answer,) = asked(client_of(server.url), question("broken \udc00 text"))
    assert server.requests[0]["messages"][1]["content"] == "broken ? text"
    assert answer.finish_reason == "stop"


def test_a_redirect_is_not_followed(client_of: ClientOf, httpserver: HTTPServer) -> None:
    elsewhere = httpserver.url_for("/v1/chat/completions")
    for status in (301, 307, 308):
        with ChatServer([Reply(status=status, body=b"", headers={"Location": elsewhere})]) as server:
            told = failure(client_of(server.url), PolicyError)
        assert f"status {status}, a redirect to localhost, which is not followed" in str(told)
        assert told.exit_code == 7
    assert httpserver.log == []


def test_a_proxy_of_the_environment_does_not_see_loopback(
    client_of: ClientOf, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, httpserver.url_for(""))
    with ChatServer([Reply()]) as server:
        asked(client_of(server.url))
    assert len(server.requests) == 1
    assert httpserver.log == []


def test_the_key_is_sent_and_shown_nowhere(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import traceback

    monkeypatch.setenv("KEMM_LLM_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    caplog.set_level(logging.DEBUG)
    with ChatServer([error(401, f"Incorrect API key provided: {SECRET}.")]) as server:
        client = client_of(server.url)
        with pytest.raises(ServiceError) as caught:
            asked(client)
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert "(Incorrect API key provided: ***.)" in str(caught.value)
    shown = [
        *traceback.format_exception(caught.value),
        repr(client.backend),
        repr(client.config),
        repr(vars(client.backend)),
        json.dumps(client.config.model_dump()),
        caplog.text,
    ]
    written = b"".join(path.read_bytes() for path in client.journal.path.parent.glob("journal*"))
    assert [text for text in shown if SECRET in text] == []
    assert SECRET.encode() not in written
    assert caught.value.__cause__ is None
    assert "tumour" not in caplog.text  # nor is the text of a patient in any log


@pytest.mark.parametrize(
    "quoted", ["invalid input 'Mrs Example has a\ntumour of grade 2' at 3", "bad: Mrs Example has a tumour"]
)
def test_a_servers_message_that_quotes_the_patient_is_not_shown(quoted: str, client_of: ClientOf) -> None:
    with ChatServer([error(422, quoted)]) as server, pytest.raises(NotTaken) as caught:
        asked(client_of(server.url), question("Mrs Example has a tumour of grade 2, seen at 3 o'clock."))
    assert "(its message quotes the text, and is not shown)" in str(caught.value)
    assert "Example" not in str(caught.value)


def test_a_host_that_is_not_permitted_is_never_connected_to() -> None:
    with pytest.raises(PolicyError, match=r"points to llm\.example\.org, which is not this machine"):
        make_backend(LLMConfig(model="m", base_url="https://llm.example.org/v1"))


def test_an_unknown_backend_suggests_the_nearest() -> None:
    with pytest.raises(
        UsageError, match="no language model backend is called 'opnai'; did you mean 'openai'"
    ):
        make_backend(LLMConfig(model="m", backend="opnai"))


def test_a_missing_optional_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UsageError, match=r"pip install 'kemm\[llm\]'"):
        make_backend(LLMConfig(model="m"))


def test_importing_the_package_loads_no_optional_part() -> None:
    import subprocess
    import sys

    script = "import sys, kemm.llm; print({'openai', 'httpx2', 'transformers', 'torch', 'llguidance'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
