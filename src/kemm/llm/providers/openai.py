"""Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, Azure, OpenAI."""

from __future__ import annotations

import asyncio
import email.utils
import json
import ssl
import time
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kemm.core.errors import KemmError, PolicyError, ServiceError, UsageError
from kemm.llm.backend import (
    ANSWER_BYTES,
    BACKENDS,
    CUT_OFF,
    REFUSED,
    Answer,
    Backend,
    Busy,
    NotTaken,
    Question,
    sendable,
)
from kemm.llm.privacy import KEY_VARIABLES, api_key, place_of, require_allowed
from kemm.llm.providers.transport import transport
from kemm.llm.settings import LLMConfig

if TYPE_CHECKING:
    import httpx2
    import openai

_WAYS = ("json_schema", "json_object", "text")
_PASSING = (408, 409, 425, 429)
_OF_THE_QUESTION = (400, 413, 422)
_QUOTED = 24  # A server's message that repeats this many characters of a question quotes it.


class OpenAIServer:
    """One server. Retries, redirects and proxies of the libraries below are off: what is sent is what is asked here."""

    identity = "openai/1"

    def __init__(self, config: LLMConfig) -> None:
        require_allowed(config.base_url, config.allow_host)
        try:
            import httpx2
            import openai
        except ImportError as error:
            raise UsageError(
                "llm.backend: openai needs the optional part: pip install 'kemm[llm]'"
            ) from error
        self._openai = openai
        self._config = config
        self._key = api_key(config.base_url)
        self.model = config.model
        self.host = place_of(config.base_url)
        self._ways: dict[str, str] = {}
        self._agreed: set[tuple[str, str]] = set()
        self._agreeing = asyncio.Lock()
        self._limit_name = "max_tokens"
        http = httpx2.AsyncClient(
            transport=transport(config),
            timeout=config.timeout_s,
            follow_redirects=False,
            trust_env=False,
            # A small compressed answer may unfold to a huge one.
            headers={"Accept-Encoding": "identity"},
        )
        self._server = openai.AsyncOpenAI(
            api_key=self._key.value,
            base_url=config.base_url,
            max_retries=0,
            http_client=http,
            # Said outright, so that no other variable of the environment (OPENAI_ADMIN_KEY) takes its place.
            default_headers={"Authorization": f"Bearer {self._key.value}"},
        )

    def __repr__(self) -> str:
        return f"OpenAIServer({self.model!r} at {self.host})"

    async def close(self) -> None:
        """Close its connections."""
        await self._server.close()

    async def ask(self, question: Question) -> Answer:
        """One answer; where the server does not take a schema, it is asked in a plainer way from then on."""
        kind = question.schema_hash
        way = self._way(question)
        try:
            answer = await self._ask_in(question, way)
        except NotTaken as refused:
            if way == "text" or self._config.structured != "auto" or (kind, way) in self._agreed:
                raise
            return await self._ask_more_plainly(question, way, refused)
        self._agreed.add((kind, way))
        return answer

    async def _ask_more_plainly(self, question: Question, way: str, refused: NotTaken) -> Answer:
        # One question finds out what the server takes; those beside it wait for what it found.
        kind = question.schema_hash
        async with self._agreeing:
            found = self._way(question)
            if found == way:
                for plainer in _WAYS[_WAYS.index(way) + 1 :]:
                    try:
                        answer = await self._ask_in(question, plainer)
                    except NotTaken:
                        continue
                    self._ways[kind] = plainer
                    self._agreed.add((kind, plainer))
                    return answer
                # It is not the way of asking that the server minds.
                raise refused
        return await self._ask_in(question, found)

    def _way(self, question: Question) -> str:
        if question.schema is None:
            return "text"
        if self._config.structured != "auto":
            return self._config.structured
        return self._ways.get(question.schema_hash, _WAYS[0])

    async def _ask_in(self, question: Question, way: str) -> Answer:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._config.timeout_s):
                body = await self._send(question, way)
        except (TimeoutError, self._openai.APITimeoutError):
            raise Busy(
                f"{self.host} gave no answer within {self._config.timeout_s:g} s. "
                "Raise llm.timeout_s, or lower llm.concurrency.",
                outcome="timeout",
            ) from None
        except self._openai.APIStatusError as error:
            # Neither cause nor context: they hold the request, and with it the key.
            raise self._failure(question, error) from None
        except self._openai.APIConnectionError as error:
            raise self._unreachable(error) from None
        return self._answer(body, way, time.monotonic() - started)

    async def _send(self, question: Question, way: str) -> bytes:
        try:
            response = await self._post(question, way)
        except self._openai.BadRequestError as error:
            # OpenAI's newer models take the limit under another name only.
            if self._limit_name != "max_tokens" or "max_completion_tokens" not in _said(error):
                raise
            self._limit_name = "max_completion_tokens"
            response = await self._post(question, way)
        return bytes(response.content)

    async def _post(self, question: Question, way: str) -> httpx2.Response:
        import httpx2

        # Not through the typed method: checking each message's type costs more than all else in a call.
        return await self._server.post(
            "/chat/completions", cast_to=httpx2.Response, body=self._request(question, way)
        )

    def _request(self, question: Question, way: str) -> dict[str, Any]:
        config = self._config
        request: dict[str, Any] = {
            "model": config.model,
            "messages": [
                {"role": turn.role, "content": sendable(turn.content)} for turn in question.messages
            ],
            self._limit_name: question.max_tokens or config.max_tokens,
        }
        if config.temperature is not None:
            request["temperature"] = config.temperature
        if config.seed is not None:
            request["seed"] = config.seed
        if way == "json_schema":
            described = {"name": question.schema_name, "schema": question.schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": described}
        elif way == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request

    def _answer(self, body: bytes, way: str, seconds: float) -> Answer:
        cut = len(body) >= ANSWER_BYTES
        try:
            found = _parsed(body, cut)
            choice = found["choices"][0]
            message = choice["message"]
            text, refusal = message.get("content") or "", message.get("refusal")
            usage = found.get("usage") or {}
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise ServiceError(
                f"{self.host} answered with something that is no chat completion "
                f"({_looks_like(body)}). Check llm.base_url; it usually ends in /v1."
            ) from None
        if isinstance(text, list):
            text = "".join(str(part.get("text", "")) for part in text if isinstance(part, Mapping))
        reason = str(choice.get("finish_reason") or "stop")
        if refusal or reason == "content_filter":
            text, reason = str(refusal or text), REFUSED
        return Answer(
            text=str(text),
            model=str(found.get("model") or self.model),
            finish_reason=CUT_OFF if cut else reason,
            tokens_in=_count(usage, "prompt_tokens"),
            tokens_out=_count(usage, "completion_tokens"),
            seconds=seconds,
            mode=way,
        )

    def _failure(self, question: Question, error: openai.APIStatusError) -> KemmError:
        """What a status means, and what to do."""
        status, told = error.status_code, self._told(question, error)
        if 300 <= status < 400:
            elsewhere = urlsplit(error.response.headers.get("location", "")).hostname or self.host
            return PolicyError(
                f"{self.host} answered with status {status}, a redirect to {elsewhere}, which is not followed: "
                "it could lead off this machine. Set llm.base_url to the final address."
            )
        if status == 429 and error.code == "insufficient_quota":
            return ServiceError(
                f"{self.host} answered with status 429: the account's quota is used up{told}. "
                "Add credit, or use another key; what was answered is kept."
            )
        if status in _PASSING or status >= 500:
            return Busy(
                f"{self.host} answered with status {status}{told}. It is overloaded or failing: "
                "look at its log, lower llm.concurrency, and run again; what was answered is kept.",
                outcome=str(status),
                retry_after=_retry_after(error.response.headers),
            )
        if status in _OF_THE_QUESTION:
            return NotTaken(
                f"{self.host} refused a question with status {status}{told}. If it is too long, lower "
                "llm.max_tokens or serve the model with a longer context; if a setting is not "
                "supported, change it (llm.structured, llm.temperature).",
                outcome=str(status),
            )
        remedies = {
            401: f"The key is missing or wrong: set {KEY_VARIABLES[0]} in the environment.",
            403: f"The key may not use this model: ask for access, or set another in {KEY_VARIABLES[0]}.",
            404: f"It knows no model {self.model!r}, or not this path: check llm.model, and llm.base_url, "
            "which usually ends in /v1.",
        }
        return ServiceError(
            f"{self.host} answered with status {status}{told}. "
            + remedies.get(status, "Check llm.base_url and llm.model.")
        )

    def _told(self, question: Question, error: openai.APIStatusError) -> str:
        """The server's own words, short; without the key, and not at all where they quote a patient's text."""
        said = self._key.hide(" ".join(_said(error).split()))[:300]
        if not said:
            return ""
        for turn in question.messages:
            plain = " ".join(turn.content.split())
            match = SequenceMatcher(None, said, plain, autojunk=False).find_longest_match()
            if turn.role != "system" and match.size >= min(_QUOTED, max(len(plain), 1)):
                return " (its message quotes the text, and is not shown)"
        return f" ({said})"

    def _unreachable(self, error: Exception) -> ServiceError:
        """The connection failed. Only kinds of error are told: their texts are the libraries' own."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLCertVerificationError):
                return ServiceError(
                    f"{self.host} does not speak https as this machine does. If it is a server without encryption, "
                    "write llm.base_url with http://."
                )
            if isinstance(cause, ssl.SSLCertVerificationError):
                return ServiceError(
                    f"{self.host} could not prove who it is (its TLS certificate was not accepted). "
                    "Install the certificate of its issuer on this machine, or correct llm.base_url."
                )
            cause = cause.__cause__ or cause.__context__
        return Busy(
            f"{self.host} cannot be reached, or dropped the connection. Start the server, or correct llm.base_url.",
            outcome="connection",
        )


def _parsed(body: bytes, cut: bool) -> Any:
    if not cut:
        return json.loads(body)
    from pydantic_core import from_json

    return from_json(body, allow_partial="trailing-strings")


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and value >= 0 else None


def _said(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, Mapping):
        return str(body.get("message") or body.get("detail") or body.get("error") or "")
    return body if isinstance(body, str) and not body.lstrip().startswith("<") else ""


def _looks_like(body: bytes) -> str:
    start = body[:200].lstrip().lower()
    if not start:
        return "an empty page"
    return "a web page" if start.startswith((b"<!doctype", b"<html")) else f"{len(body)} bytes"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, given as such or as a date."""
    told = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


@BACKENDS.register("openai")
def openai_server(config: LLMConfig) -> Backend:
    """A server at `base_url`."""
    return OpenAIServer(config)
