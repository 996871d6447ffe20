"""Feeding a child process and reading what it prints until it ends: for `programs` only."""

from __future__ import annotations

import collections
import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from typing import IO, Protocol

from airflow_platform import secrets


class Stop(Protocol):
    """What says that signals came, and how many: `programs.Interruption`."""

    signal_number: int
    count: int

    @property
    def requested(self) -> bool: ...


class Reading:
    """Feeds a child and reads both its outputs until it ends, in one loop that also keeps the deadline."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        mask: secrets.Mask,
        on_line: Callable[[str], None] | None,
        *,
        text: str,
        tail_lines: int,
    ) -> None:
        self._child = child
        self._input = memoryview(text.encode())
        self._mask = mask
        self._on_line = on_line
        self._chunks: list[bytes] = []
        self._partial: dict[int, bytes] = {}
        self.tail: collections.deque[str] = collections.deque(maxlen=tail_lines)

    @property
    def stdout(self) -> str:
        return b"".join(self._chunks).decode(errors="replace")

    def until_end(self, timeout: float, grace: float, interruption: Stop) -> bool:
        """Read until both outputs are closed and the child is reaped; False when the deadline passed."""
        deadline = time.monotonic() + timeout
        stopped_at: float | None = None
        in_time = True
        with selectors.DefaultSelector() as selector:
            for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
                assert stream is not None
                os.set_blocking(stream.fileno(), False)
                event = selectors.EVENT_WRITE if stream is self._child.stdin else selectors.EVENT_READ
                selector.register(stream, event)
            while not self._finished(selector):
                now = time.monotonic()
                if stopped_at is None and (interruption.requested or now > deadline):
                    in_time = interruption.requested
                    stopped_at = now
                    signal_group(self._child.pid, interruption.signal_number or signal.SIGTERM)
                if stopped_at is not None and now > stopped_at + (grace if interruption.count < 2 else 0.5):
                    signal_group(self._child.pid, signal.SIGKILL)
        self._child.wait()
        return in_time

    def _finished(self, selector: selectors.BaseSelector) -> bool:
        for key, event in selector.select(timeout=0.05) if selector.get_map() else ():
            more = self._give(key.fd) if event == selectors.EVENT_WRITE else self._take(key.fd)
            if not more:
                _close(selector, key)
        if self._child.poll() is None:
            if not selector.get_map():
                time.sleep(0.01)
            return False
        for key in list(selector.get_map().values()):  # A grandchild may keep a pipe open for ever.
            if key.events == selectors.EVENT_READ:
                self._take(key.fd)
            _close(selector, key)
        return True

    def _give(self, descriptor: int) -> bool:
        """Write what fits; False when all is written, or the child does not want it, which is no error."""
        try:
            while self._input:
                self._input = self._input[os.write(descriptor, self._input) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            pass
        return False

    def _take(self, descriptor: int) -> bool:
        """Take what is there; False at the end of the stream."""
        is_output = self._child.stdout is not None and not self._child.stdout.closed
        is_output = is_output and descriptor == _descriptor(self._child.stdout)
        while True:
            try:
                chunk = os.read(descriptor, 65536)
            except BlockingIOError:
                return True
            if is_output:
                self._chunks.append(chunk)
            self._split(descriptor, chunk, is_output=is_output)
            if not chunk:
                return False

    def _split(self, descriptor: int, chunk: bytes, *, is_output: bool) -> None:
        *lines, rest = (self._partial.get(descriptor, b"") + chunk).split(b"\n")
        if not chunk and rest:
            lines, rest = [*lines, rest], b""
        self._partial[descriptor] = rest
        for line in lines:
            text = self._mask(line.decode(errors="replace").rstrip())
            if text:
                self.tail.append(text)
            if text and self._on_line and not is_output:
                self._on_line(text)


def signal_group(group: int, number: int) -> None:
    """Send a signal to a program and all its children; one that has ended is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _close(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    assert not isinstance(key.fileobj, int)
    selector.unregister(key.fileobj)
    key.fileobj.close()  # type: ignore[attr-defined]


def _descriptor(stream: IO[bytes] | None) -> int:
    return -1 if stream is None else stream.fileno()
