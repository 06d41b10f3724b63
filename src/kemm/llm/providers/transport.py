"""Connections to a server: never past this machine's loopback by a proxy, never more read than there is room for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kemm.llm.backend import ANSWER_BYTES
from kemm.llm.privacy import host_of, is_loopback
from kemm.llm.settings import LLMConfig

if TYPE_CHECKING:
    import httpx2

_TELLTALE = "x-stainless-"
"""Headers in which the library tells operating system, processor and Python."""


def transport(config: LLMConfig) -> httpx2.AsyncBaseTransport:
    """Connections to the server of the settings."""
    import httpx2

    host, scheme = host_of(config.base_url), urlsplit(config.base_url).scheme
    proxy = None
    # A proxy sees only that there is a connection, if that is encrypted. Loopback never goes through one.
    if not is_loopback(host) and scheme == "https" and not proxy_bypass(host):
        proxy = getproxies().get("https")
    room = httpx2.Limits(
        max_connections=config.concurrency, max_keepalive_connections=config.concurrency, keepalive_expiry=30
    )
    return _limited(httpx2.AsyncHTTPTransport(limits=room, trust_env=False, proxy=proxy))


def _limited(inner: httpx2.AsyncBaseTransport) -> httpx2.AsyncBaseTransport:
    """A transport that tells nothing of this machine, and whose responses end at `ANSWER_BYTES`, whatever is sent."""
    import httpx2

    class Cut(httpx2.AsyncByteStream):
        def __init__(self, stream: httpx2.AsyncByteStream) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            room = ANSWER_BYTES
            async for chunk in self._stream:
                yield chunk[:room]
                room -= len(chunk)
                if room <= 0:
                    return

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Limited(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            for name in [name for name in request.headers if name.lower().startswith(_TELLTALE)]:
                del request.headers[name]
            response = await inner.handle_async_request(request)
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = Cut(response.stream)
            return response

        async def aclose(self) -> None:
            await inner.aclose()

    return Limited()
