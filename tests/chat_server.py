"""A small server that speaks OpenAI's chat completions over real HTTP, and does what a test's script says."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "tiny-1"


@dataclass
class Reply:
    """What is sent back."""

    content: str | None = '{"grade": 2}'
    finish_reason: str = "stop"
    refusal: str | None = None
    model: str = MODEL
    usage: Mapping[str, int] | None = field(
        default_factory=lambda: {"prompt_tokens": 10, "completion_tokens": 5}
    )
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent as it is, instead of a completion."""
    wait_s: float = 0.0
    drop: bool = False
    """Cut the connection instead of answering."""

    def sent(self) -> bytes:
        if self.body is not None:
            return self.body
        message = {"role": "assistant", "content": self.content, "refusal": self.refusal}
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        told = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": self.model,
            "choices": [choice],
        }
        return json.dumps({**told, "usage": self.usage}).encode()


def error(status: int, message: str = "", code: str | None = None, **headers: str) -> Reply:
    """As OpenAI words errors. `retry_after="2"` becomes the header Retry-After."""
    body = json.dumps({"error": {"message": message, "type": "t", "param": None, "code": code}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, body=body, headers=named)


class ChatServer:
    """Serves in threads. `script` is called with each request's JSON, or is a list of replies, the last for good."""

    def __init__(self, script: Sequence[Reply] | Callable[[dict[str, Any]], Reply]) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.under_way = self.most_under_way = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are written apart; without this the second waits 40 ms for an acknowledgement.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(
                self, *_: object
            ) -> None:  # a client that went away is what some tests are about
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def asked(self) -> Counter[str]:
        """How often each question (its last user's message) arrived."""
        with self._lock:
            return Counter(request["messages"][-1]["content"] for request in self.requests)

    @property
    def formats(self) -> list[str]:
        """How each request asked for JSON."""
        return [request.get("response_format", {}).get("type", "text") for request in self.requests]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers["Content-Length"])
        request = json.loads(handler.rfile.read(length))
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self.under_way += 1
            self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            if callable(self.script):
                reply = self.script(request)
            else:
                reply = self.script[min(number, len(self.script) - 1)]
            time.sleep(reply.wait_s)
        finally:
            with self._lock:
                self.under_way -= 1
        if reply.drop:
            # Lingering for 0 seconds: the connection is reset, not closed in order.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.connection.close()
            return
        body = reply.sent()
        handler.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
