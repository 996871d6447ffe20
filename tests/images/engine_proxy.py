"""A way to the real engine that can be cut, or that answers by itself."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from airflow_platform.tools.containers import engine


class Proxy:
    """Passes on what is said, byte by byte, until the engine has said `cut_after`; then nobody answers any more."""

    def __init__(
        self, path: Path, *, cut_after: bytes = b"", instead: Mapping[str, bytes] | None = None
    ) -> None:
        """Listen.

        Args:
            path: The socket.
            cut_after: What the engine says last.
            instead: Bodies that answer requests with such a first line, as regular expressions, instead of the engine.
        """
        self.host = f"unix://{path}"
        self._cut_after = cut_after
        self._instead = {re.compile(request.encode()): body for request, body in (instead or {}).items()}
        self._engine = engine.address(None)
        assert self._engine.startswith("unix://"), (
            "these tests come between the toolkit and a socket of this machine"
        )
        self._cut = threading.Event()
        self._open: list[socket.socket] = []
        self._path = path
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cut.set()
        self._end()
        self._thread.join()

    def _accept(self) -> None:
        self._server.settimeout(0.05)
        while not self._cut.is_set():
            with contextlib.suppress(TimeoutError):
                near, _ = self._server.accept()
                near.settimeout(None)
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()
        self._server.close()
        self._path.unlink(missing_ok=True)

    def _serve(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX)
        self._open += [near, far]
        if self._cut.is_set():  # Whoever cut it may not have seen these two.
            self._end()
        with contextlib.suppress(OSError):  # They may be closed at any moment.
            far.connect(self._engine.removeprefix("unix://"))
            threading.Thread(target=self._pass_on, args=(far, near, self._cut_after), daemon=True).start()
            while data := near.recv(65536):
                for request, body in self._instead.items():
                    if request.match(data):
                        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        near.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
                        near.shutdown(socket.SHUT_RDWR)
                        return
                far.sendall(data)
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    def _pass_on(self, far: socket.socket, near: socket.socket, last: bytes) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                near.sendall(data)
                # The instruction itself is shown first; its output is a line of its own.
                if last and b'"' + last in data:
                    self._cut.set()
                    self._end()
        with contextlib.suppress(OSError):
            near.shutdown(socket.SHUT_WR)

    def _end(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
