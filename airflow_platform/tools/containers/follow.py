"""A stream of an engine, followed so that a signal ends it: reading blocks, and a thread cannot be stopped."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from airflow_platform import programs

ItemT = TypeVar("ItemT")

TICK = 0.1
"""Seconds; how late a signal may be noticed."""


def items(
    stream: Iterable[ItemT], interruption: programs.Interruption, stop: Callable[[], None]
) -> Iterator[ItemT]:
    """What a stream gives, as it comes.

    Args:
        stream: Read in a thread of its own.
        interruption: What ends it.
        stop: Called when it is ended, so that whoever feeds the stream ends, too.

    Raises:
        Interrupted: A signal came.
    """
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
        try:
            kind, value = taken.get(timeout=TICK)
        except queue.Empty:
            if interruption.requested:
                stop()
                raise interruption.error() from None
            continue
        if kind == "end":
            return
        if kind == "error":
            assert isinstance(value, BaseException)
            raise value
        yield value  # type: ignore[misc]
