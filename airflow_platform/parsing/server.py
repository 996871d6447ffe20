"""The worker's loop: clients that ask, children that import, deadlines, and when to end."""

from __future__ import annotations

import collections
import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from airflow_platform.parsing import children, protocol, scratch

_LOOK_EVERY = 2.0
"""Seconds between two looks whether anybody still wants this worker."""

_FIRST_CLIENT = 60.0
"""Seconds that the first client has: it waits while Airflow is imported, and may have been killed since."""

_REASSURE_EVERY = 10.0
"""Seconds between two words to a client that waits."""

_TIDYING = 0.1
"""Seconds at a time for deleting what imports have left: most leave nothing, some a million of files."""

_LARGEST_ORDER = 64 * 1024**2
_CHUNK = 1024**2


class Airflow(Protocol):
    """What needs Airflow: the module `importing`, or a test's stand-in for it."""

    def files(self, root: str) -> list[str]:
        """The files that Airflow would import; RuntimeError or OSError where it would import none."""

    def warm(self, modules: Sequence[str]) -> None:
        """Import modules that children will need."""

    def import_file(self, file: protocol.File, order: protocol.Order) -> dict[str, Any]:
        """Import a file, in the process that may be harmed by it."""


@dataclass(frozen=True)
class _Job:
    """What one child does."""

    file: protocol.File | None
    """What it imports; None to list what there is to import."""
    order: protocol.Order


@dataclass(eq=False)
class _Client:
    """Somebody who asks, and what is done for them."""

    line: socket.socket
    asked: bytearray = field(default_factory=bytearray)
    told: bytearray = field(default_factory=bytearray)
    waiting: collections.deque[_Job] = field(default_factory=collections.deque)
    running: dict[children.Child, _Job] = field(default_factory=dict)
    done: int = 0
    wants_end: bool = False


class Server:
    """One worker."""

    def __init__(
        self,
        listener: socket.socket,
        load: Callable[[], Airflow],
        slots: Iterable[children.Slot],
        *,
        leftovers: Iterable[Path],
        idle: float,
        wanted: Callable[[], bool],
    ) -> None:
        """Make it.

        Args:
            listener: Where clients connect.
            load: Imports Airflow; called once.
            slots: What children have; as many run at the same time.
            leftovers: Directories that former imports have left, to be deleted.
            idle: Seconds without a client after which it ends; 0 to end with its first ones.
            wanted: Whether clients still find this worker.
        """
        self._listener = listener
        self._load = load
        self._slots = list(slots)
        self._leftovers = list(leftovers)
        self._idle = idle
        self._wanted = wanted
        self._selector = selectors.DefaultSelector()
        self._clients: list[_Client] = []
        self._quiet_since = self._reassured = time.monotonic()
        self._had_clients = False
        self._asked_to_end = False

    def run(self) -> None:
        """Serve until nobody needs it."""
        self._airflow = self._load()
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        while not self._is_over():
            self._start_children()
            for key, events in self._selector.select(self._patience()):
                key.data(events)
            self._end_late()
            self._reassure()
            self._tidy()
        for client in list(self._clients):
            self._forget(client)

    def _is_over(self) -> bool:
        if any(not each.wants_end for each in self._clients):
            return False
        if self._asked_to_end:
            return True
        quiet = time.monotonic() - self._quiet_since
        return quiet > (self._idle if self._had_clients else _FIRST_CLIENT) or not self._wanted()

    def _patience(self) -> float:
        """Seconds until something must be done that nobody tells of."""
        if self._leftovers and not self._is_busy():
            return 0.0
        deadlines = [child.deadline for client in self._clients for child in client.running]
        left = min(deadlines, default=float("inf")) - time.monotonic()
        return max(0.0, min(left, _LOOK_EVERY))

    def _accept(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            line, _ = self._listener.accept()
            line.setblocking(False)
            client = _Client(line)
            self._clients.append(client)
            self._had_clients = True
            self._selector.register(line, selectors.EVENT_READ, lambda events: self._hear(client, events))

    def _hear(self, client: _Client, events: int) -> None:
        """Take what a client says, and send what it has not been told."""
        try:
            if events & selectors.EVENT_WRITE and client.told:
                del client.told[: client.line.send(client.told)]
            chunk = client.line.recv(_CHUNK) if events & selectors.EVENT_READ else None
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if chunk == b"":
            self._forget(client)
            return
        client.asked += chunk or b""
        if client.asked.endswith(protocol.WHOLE.encode()):
            asked, client.asked = bytes(client.asked), bytearray()
            self._answer(client, asked)
        elif len(client.asked) > _LARGEST_ORDER:
            self._forget(client)
        self._watch(client)

    def _answer(self, client: _Client, asked: bytes) -> None:
        try:
            message = protocol.decode(asked)
            ask = message.get("ask")
            if ask == "end":
                self._asked_to_end = client.wants_end = True
            elif ask == "files":
                # Airflow follows links and reads what it finds: as little ours to bear as an import.
                order = protocol.Order(str(message["root"]), (), seconds=float(message["seconds"]))
                client.waiting.append(_Job(None, order))
            elif ask == "import":
                self._begin(client, protocol.Order.from_json(message))
            else:
                self._tell(client, {"error": f"nobody asks {ask!r}"})
        except (protocol.Malformed, KeyError, TypeError, ValueError, OSError) as error:
            self._tell(client, {"error": str(error)})

    def _begin(self, client: _Client, order: protocol.Order) -> None:
        self._airflow.warm(order.warm)
        client.waiting.extend(_Job(file, order) for file in order.files)
        client.done = 0
        if not order.files:
            self._tell(client, {"done": 0})

    def _start_children(self) -> None:
        """Give free slots to clients, in turns."""
        while self._slots:
            able = [each for each in self._clients if each.waiting and self._may_have_more(each)]
            if not able:
                return
            client = min(able, key=lambda each: len(each.running))
            self._start(client, client.waiting.popleft(), self._slots.pop())

    def _may_have_more(self, client: _Client) -> bool:
        jobs = client.waiting[0].order.jobs
        return not jobs or len(client.running) < jobs

    def _start(self, client: _Client, job: _Job, slot: children.Slot) -> None:
        directory = slot.directory()
        if job.file:
            self._tell(client, {"begun": job.file.path})
        child = children.start(
            job.file.path if job.file else "",
            lambda confined: self._work(job, confined),
            slot,
            directory,
            seconds=job.order.seconds,
            memory=job.order.memory,
        )
        client.running[child] = job
        self._selector.register(child.answer, selectors.EVENT_READ, lambda events: self._read(client, child))

    def _work(self, job: _Job, confined: bool) -> Mapping[str, Any]:
        """What a child does."""
        if job.file:
            return self._airflow.import_file(job.file, job.order)
        try:
            return {"files": self._airflow.files(job.order.root), "confined": confined}
        except MemoryError:
            return {
                "refused": f"MemoryError: Airflow takes more than {job.order.memory} MiB to list the files."
            }
        except (RuntimeError, OSError) as refusal:
            return {"refused": str(refusal)}

    def _read(self, client: _Client, child: children.Child) -> None:
        if child in client.running and not child.read():
            self._end(client, child)

    def _end_late(self) -> None:
        now = time.monotonic()
        for client in self._clients:
            for child in [each for each in client.running if each.deadline < now]:
                child.late = True
                self._end(client, child)

    def _reassure(self) -> None:
        now = time.monotonic()
        if now - self._reassured < _REASSURE_EVERY:
            return
        self._reassured = now
        for client in self._clients:
            if left := len(client.waiting) + len(client.running):
                self._tell(client, {"busy": left})

    def _tidy(self) -> None:
        """Delete something of what imports have left, while nobody waits for it."""
        if self._leftovers and not self._is_busy() and scratch.discard(self._leftovers[-1], seconds=_TIDYING):
            self._leftovers.pop()

    def _is_busy(self) -> bool:
        return any(client.waiting or client.running for client in self._clients)

    def _end(self, client: _Client, child: children.Child) -> None:
        job = client.running[child]
        facts = self._dismiss(client, child)
        if not job.file:
            self._tell(client, _listing(facts, job.order))
            return
        client.done += 1
        self._tell(client, {"file": child.path, "facts": facts})
        if not client.running and not client.waiting:
            self._tell(client, {"done": client.done})

    def _dismiss(self, client: _Client, child: children.Child) -> Mapping[str, Any]:
        self._selector.unregister(child.answer)
        job = client.running.pop(child)
        facts = child.end(job.order.root)
        self._slots.append(child.slot)
        if not scratch.discard(child.directory, seconds=_TIDYING):
            self._leftovers.append(child.directory)
        return facts

    def _forget(self, client: _Client) -> None:
        """A client has gone: nobody waits for its children."""
        client.waiting.clear()
        for child in list(client.running):
            self._dismiss(client, child)
        self._selector.unregister(client.line)
        client.line.close()
        self._clients.remove(client)
        self._quiet_since = time.monotonic()

    def _tell(self, client: _Client, message: Mapping[str, Any]) -> None:
        """Say it at once, as far as the line takes it: what is said survives us, should the next file end us."""
        client.told += protocol.encode(message)
        with contextlib.suppress(OSError):  # Whether the client has gone is found when it is listened to.
            del client.told[: client.line.send(client.told)]
        self._watch(client)

    def _watch(self, client: _Client) -> None:
        if client in self._clients:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.told else 0)
            self._selector.modify(client.line, events, lambda happened: self._hear(client, happened))


def _listing(facts: Mapping[str, Any], order: protocol.Order) -> Mapping[str, Any]:
    """What a client is told of the files that there are."""
    if "files" in facts:
        return facts
    if "refused" in facts:
        return {"refused": str(facts["refused"]).replace(f"{order.root}/", "").replace(order.root, "it")}
    if facts.get("ended") == protocol.LATE:
        # No refusal, which would be remembered: this machine may have been busy.
        return {
            "error": f"Airflow had not listed the files after {order.seconds:g} s: a link may lead to what has no end"
        }
    return {"error": f"the files could not be listed: {facts.get('ended')}"}
