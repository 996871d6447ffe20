"""A Git server over HTTP on loopback: Git's own CGI program behind access tokens, which fails as it is told."""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

READ, WRITE = "read", "write"


@dataclass
class Fault:
    """What goes wrong with the next requests whose path has a text in it."""

    path: str
    times: int = 1
    status: int = 0
    """To answer, instead of asking Git."""
    after: float = 0.0
    """Seconds until anything is answered."""
    cut_after: int = -1
    """Bytes of the answer until the connection is cut; -1 for whole."""
    lose_answer: bool = False
    """Whether Git does the work, and the answer is never sent."""
    met: int = 0


@dataclass
class State:
    """What the server knows; tests change it."""

    root: Path
    url: str = ""
    """The server's own address."""
    tokens: dict[str, str] = field(default_factory=dict)
    """The rights that a token gives: `read` or `write`."""
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, int]] = field(default_factory=list)
    """Each request that was let in or refused, with the status."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One request: who asks, what goes wrong, else what Git answers."""

    protocol_version = "HTTP/1.1"
    state: State

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        self._serve(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def _serve(self, body: bytes) -> None:
        fault = self._fault()
        if fault:
            time.sleep(fault.after)
        if fault and fault.status:
            return self._answer(fault.status, [], b"the server is told to fail")
        refused = self._refusal()
        if refused:
            challenge = [("WWW-Authenticate", 'Basic realm="git"')] if refused == 401 else []
            return self._answer(refused, challenge, b"You are not allowed to push to this branch.")
        status, headers, answer = self._git(body)
        if fault and fault.lose_answer:
            return self._cut()
        if fault and fault.cut_after >= 0:
            self._answer(status, headers, answer, cut_after=fault.cut_after)
            return self._cut()
        return self._answer(status, headers, answer)

    def _fault(self) -> Fault | None:
        for fault in self.state.faults:
            if fault.path in self.path and fault.met < fault.times:
                fault.met += 1
                return fault
        return None

    def _refusal(self) -> int:
        scheme, _, given = (self.headers.get("Authorization") or "").partition(" ")
        token = base64.b64decode(given).decode().partition(":")[2] if scheme == "Basic" else ""
        rights = self.state.tokens.get(token)
        if rights is None:
            return 401
        return 403 if "receive-pack" in self.path and rights != WRITE else 0

    def _git(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.state.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "tester",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=True
        )
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().splitlines()]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        return status, [(name, value) for name, value in headers if name != "Status"], answer

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut_after: int | None = None
    ) -> None:
        self.state.asked.append((self.path, status))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut_after is None else body[:cut_after])

    def _cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.close()

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found


class Server(http.server.ThreadingHTTPServer):
    """Ends without waiting for a client that has gone."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, *arguments: object) -> None:
        """A connection that was cut is what some tests are about."""


@contextlib.contextmanager
def serving(root: Path) -> Iterator[State]:
    """A server for the repositories below a directory."""
    state = State(root)
    handler = type("Handler", (Handler,), {"state": state})
    with Server(("127.0.0.1", 0), handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
