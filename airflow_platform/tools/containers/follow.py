"""A stream of an engine, followed so that a signal ends it: reading blocks, and a thread cannot be stopped."""

from __future__ import annotations

import contextlib
import io
import math
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from airflow_platform.programs import programs

ItemT = TypeVar("ItemT")

TICK = 0.1
"""Seconds; how late a signal may be noticed."""

HEADER = struct.Struct(">BxxxL")
"""Of a frame: which stream it is of, and how many bytes follow (Docker's API, "attach to a container")."""

STDERR = 2
"""The stream."""


class Late(Exception):
    """A stream did not end in time."""


@contextlib.contextmanager
def closing(channel: Any) -> Iterator[Any]:
    """A connection that was taken over from HTTP; the library closes neither it nor its answer."""
    answer = channel._response  # noqa: SLF001 - the library puts it there so that it lives as long.
    try:
        yield channel
    finally:
        # Closed by hand: the answer still counts as unread, and would look for more.
        _socket(channel).close()
        with contextlib.suppress(OSError, ValueError):
            answer.close()


def frames(channel: Any) -> Iterator[tuple[bool, bytes]]:
    """Whether it is standard error, and what was printed, of a program whose connection was taken over."""
    # The library's own way waits for the socket to be readable, which it is not while TLS has more at hand.
    _socket(channel).settimeout(None)
    raw = channel if isinstance(channel, socket.SocketIO) else channel.makefile("rb", buffering=0)
    stream = io.BufferedReader(raw)
    try:
        while len(header := stream.read(HEADER.size)) == HEADER.size:
            source, left = HEADER.unpack(header)
            while left and (data := stream.read1(left)):
                left -= len(data)
                yield source == STDERR, data
    finally:
        stream.detach()  # Else it would close the connection, which is not ours.


def cut(channel: Any) -> None:
    """End a connection that was taken over, so that whoever reads it is told that nothing more comes."""
    with contextlib.suppress(OSError):
        _socket(channel).shutdown(socket.SHUT_RDWR)


def _socket(channel: Any) -> socket.socket:
    """What the library hands out: a file of a socket, but behind TLS the socket itself."""
    found: socket.socket = getattr(channel, "_sock", channel)
    return found


def items(
    stream: Iterable[ItemT],
    interruption: programs.Interruption,
    stop: Callable[[], None],
    *,
    timeout: float = math.inf,
) -> Iterator[ItemT]:
    """What a stream gives, as it comes.

    Args:
        stream: Read in a thread of its own.
        interruption: What ends it, also one that never pauses.
        stop: Called when it is ended, so that whoever feeds the stream ends, too.
        timeout: Seconds that the whole stream may take.

    Raises:
        Interrupted: A signal came.
        Late: It did not end in time.
    """
    deadline = time.monotonic() + timeout
    taken: queue.SimpleQueue[tuple[str, ItemT | BaseException | None]] = queue.SimpleQueue()

    def read() -> None:
        try:
            for item in stream:
                taken.put(("item", item))
            taken.put(("end", None))
        except BaseException as error:  # noqa: BLE001 - it is raised where the stream is followed.
            taken.put(("error", error))

    threading.Thread(target=read, name="stream", daemon=True).start()
    while True:
        if interruption.requested:
            stop()
            raise interruption.error()
        if time.monotonic() > deadline:
            stop()
            raise Late
        try:
            kind, value = taken.get(timeout=TICK)
        except queue.Empty:
            continue
        if kind == "end":
            return
        if kind == "error":
            assert isinstance(value, BaseException)
            raise value
        yield value  # type: ignore[misc]
