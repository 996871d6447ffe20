"""A server that answers what it was told, in that order, and refuses everything else."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Answer:
    """What one request gets."""

    method: str
    path: str
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int = -1
    """Bytes of the body before the connection ends; -1 for the whole."""


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server(http.server.ThreadingHTTPServer):
    """Plays a script."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.script: list[Answer] = []
        self.asked: list[Asked] = []
        self.refused: list[str] = []
        self.lock = threading.Lock()

    def will(self, method: str, path: str, status: int = 200, body: bytes = b"", **how: object) -> None:
        """Add an answer to the script."""
        self.script.append(Answer(method, path, status, body, **how))  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that are cut are part of the script."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(
            Asked(self.command, self.path, {k.title(): v for k, v in self.headers.items()}, body)
        )
        with self.server.lock:
            answer = self.server.script.pop(0) if self.server.script else Answer("", "")
        if (answer.method, answer.path) != (self.command, self.path):
            self.server.refused.append(f"{self.command} {self.path}, expected {answer.method} {answer.path}")
            answer = Answer("", "", 418)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body if answer.cut_after < 0 else answer.body[: answer.cut_after])
        self.close_connection = answer.cut_after >= 0

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _handle  # noqa: N815


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server whose script must be played to its end."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
    assert server.refused == [], server.refused
    assert server.script == [], "not everything was asked for"
