"""Stands between whoever pushes and the registry: checks ECR's tokens, counts, and fails as it is told.

The registry behind it knows one password for ever; the tokens that are good at a moment are the
proxy's. A fault that was never met fails the test: then it showed nothing.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

PIECE = 64 * 1024

UPLOAD = r"/blobs/uploads/"
MANIFEST = r"/manifests/"


@dataclass
class Request:
    """One request that came, and what became of it."""

    method: str
    path: str
    sent: int = 0
    """Bytes of its body that were passed on."""
    received: int = 0
    """Bytes of the answer's body."""
    status: int = 0
    """0 when the connection was cut."""
    over: bool = False
    """Whether nothing more becomes of it."""


@dataclass
class Fault:
    """What goes wrong with some requests."""

    method: str
    """A pattern."""
    path: str
    """A pattern."""
    times: int = 1
    status: int = 0
    """To answer, instead of passing the request on."""
    passed_on: bool = False
    """Whether the registry has got the request when that is answered."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_request_after: int = -1
    """Bytes of its body that are passed on before the connection is cut."""
    cut_answer_after: int = -1
    """Bytes of the answer's body before the connection is cut."""
    before: Callable[[], None] = lambda: None
    """Called when it is met."""
    met: int = 0


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on to the registry at `upstream`."""

    daemon_threads = True

    def __init__(self, upstream: str, password: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream
        self.password = password
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.tokens: set[str] = set()
        """Those that are good now; empty: whatever the registry itself takes."""
        self.checks_tokens = False
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.pace = 0.0
        """Seconds for each piece of a body; for tests that need time to interrupt."""
        self.alter = False
        """Whether layers arrive at who reads them with one bit turned."""
        self.lock = threading.Lock()

    def fail(self, method: str, path: str, **how: Any) -> Fault:
        """Have the next requests of this kind fail."""
        fault = Fault(method, path, **how)
        self.faults.append(fault)
        return fault

    def fault_of(self, request: Request) -> Fault | None:
        """The fault that this request meets."""
        with self.lock:
            for fault in self.faults:
                fits = re.search(fault.method, request.method) and re.search(fault.path, request.path)
                if fits and fault.met < fault.times:
                    fault.met += 1
                    return fault
        return None

    def bytes_written(self) -> int:
        """Bytes of layers and configurations that came in, also of those that were cut."""
        return sum(each.sent for each in self.requests if UPLOAD in each.path)

    def wait_until_over(self) -> None:
        """Wait until nothing more becomes of the requests that came: until then bytes are still counted."""
        deadline = time.monotonic() + 60
        while not all(each.over for each in self.requests):
            assert time.monotonic() < deadline, "a request goes on"
            time.sleep(0.02)

    def count(self, method: str, path: str) -> int:
        """How many requests of this kind came."""
        return sum(
            bool(re.search(method, each.method) and re.search(path, each.path)) for each in self.requests
        )

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever was cut off, or went away, is what tests are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: requests are kept instead."""

    def _handle(self) -> None:
        request = Request(self.command, self.path)
        self.server.requests.append(request)
        try:
            self._answer_or_pass_on(request)
        finally:
            request.over = True

    def _answer_or_pass_on(self, request: Request) -> None:
        fault = self.server.fault_of(request)
        if fault:
            fault.before()
        if self.server.checks_tokens and self._token() not in self.server.tokens:
            said = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
            challenge = {"WWW-Authenticate": 'Basic realm="ecr"'}
            self._answer(request, 401, challenge, said)
        elif fault and fault.status and not fault.passed_on:
            self._answer(request, fault.status, fault.headers, fault.body)
        else:
            self._pass_on(request, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _token(self) -> str:
        word = self.headers.get("Authorization", "").removeprefix("Basic ")
        return base64.b64decode(word).decode().partition(":")[2]

    def _answer(self, request: Request, status: int, headers: dict[str, str], body: bytes) -> None:
        request.status = status
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def _pass_on(self, request: Request, fault: Fault | None) -> None:
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=30)
        with contextlib.closing(upstream):
            try:
                self._send(upstream, request, fault)
            except _Cut:
                self._cut()
                return
            answer = upstream.getresponse()
            if fault and fault.passed_on:
                self._answer(request, fault.status, fault.headers, fault.body)
                return
            request.status = answer.status
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"connection", "transfer-encoding"}:
                    self.send_header(name, value)
            if answer.getheader("Content-Length") is None:
                self.send_header("Content-Length", "0")
            self.end_headers()
            while self.command != "HEAD" and (piece := answer.read(PIECE)):
                if fault and 0 <= fault.cut_answer_after <= request.received:
                    self._cut()
                    return
                if self.server.alter and "/blobs/sha256" in self.path:
                    piece = bytes([piece[0] ^ 1]) + piece[1:]
                self.wfile.write(piece)
                request.received += len(piece)
                time.sleep(self.server.pace)

    def _send(self, upstream: http.client.HTTPConnection, request: Request, fault: Fault | None) -> None:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        login = base64.b64encode(f"AWS:{self.server.password}".encode()).decode()
        for name, value in self.headers.items():
            known = name.lower() == "authorization" and self.server.checks_tokens
            upstream.putheader(name, f"Basic {login}" if known else value)
        upstream.endheaders()
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        for piece in self._body(chunked=chunked):
            if fault and 0 <= fault.cut_request_after <= request.sent:
                raise _Cut
            upstream.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            request.sent += len(piece)
            time.sleep(self.server.pace)
        if chunked:
            upstream.send(b"0\r\n\r\n")

    def _body(self, *, chunked: bool) -> Iterator[bytes]:
        if not chunked:
            yield from self._read(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline().strip() or b"0", 16):
            yield from self._read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _read(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read(min(size, PIECE))
            if not piece:
                raise _Cut
            size -= len(piece)
            yield piece

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class _Cut(Exception):
    """The connection is to end here."""


@contextlib.contextmanager
def running(upstream: str, password: str) -> Iterator[Proxy]:
    """A proxy, until the block ends; every fault must have been met."""
    with Proxy(upstream, password) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
    assert all(fault.met for fault in proxy.faults), "a fault was never met"
