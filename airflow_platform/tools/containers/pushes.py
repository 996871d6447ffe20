"""Pushes an image through the engine, which compresses its layers and skips those that are there.

PushError (StepError)        the push failed; what arrived stays in the registry
├── NotAuthenticated         the registry did not take the login: it may have expired meanwhile
├── NotAllowed               the login is taken, but may not do this
├── TagTaken                 the tag is there already, and the repository does not let it be moved
└── CutShort                 the connection or the registry failed; another try may go through
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_platform import errors
from airflow_platform.tools.containers import engine
from airflow_platform.tools.registry.session import Credentials

if TYPE_CHECKING:
    import docker

SILENCE = 300
"""Seconds without an event; the engine reports nothing while a registry checks a large layer's digest."""

_SLICE = 0.1
"""Seconds between two looks whether the run was interrupted."""

_GIVING_UP = 2.0
"""Seconds to wait for an event after which the engine can be told; one that works has several a second."""

_THERE = ("Layer already exists",)
_DONE = ("Pushed", *_THERE)


Connect = Callable[[], "AbstractContextManager[docker.DockerClient]"]
"""The way to the engine that has the images."""


class PushError(errors.StepError):
    """The push failed; what arrived stays in the registry."""

    def __init__(self, thing: str, said: str) -> None:
        """Make the error of pushing `thing`, of which the engine said `said`."""
        super().__init__(f"{thing}: {said}.", hint="Run this again: what has arrived is not sent again.")
        self.said = said


class NotAuthenticated(PushError):
    """The registry did not take the login."""


class NotAllowed(PushError):
    """The login may not do this."""


class TagTaken(PushError):
    """The tag is there already, and the repository does not let it be moved."""


class CutShort(PushError):
    """The connection or the registry failed."""


_LOGIN = r"token has expired|no basic auth credentials|^unauthorized|authentication required|\b401\b"
_FAILED = r"toomanyrequests|too many requests|\b429\b|\b5\d\d\b"
_WENT_AWAY = (
    r"EOF|reset by peer|broken pipe|time(d )?out|connection refused|no such host|network is unreachable"
    r"|closed network connection|server closed"
)
_KINDS: tuple[tuple[str, type[PushError]], ...] = (
    (_LOGIN, NotAuthenticated),
    (r"^tag invalid|immutable", TagTaken),
    (r"^denied|not authorized|\b403\b|access .* denied", NotAllowed),
    (f"{_FAILED}|{_WENT_AWAY}", CutShort),
)
"""The engine passes on the registry's words, or those of its own HTTP client; the first that fits counts."""


@dataclass(frozen=True)
class Layer:
    """How far one layer is."""

    id: str
    """Its first 12 digits, as the engine shows it."""
    state: str = ""
    """In the engine's words: "Pushing", "Pushed", "Layer already exists", "Mounted from …"."""
    current: int = 0
    """Bytes read of it, unpacked."""
    total: int = 0

    @property
    def done(self) -> bool:
        """Whether the registry has it."""
        return self.state in _DONE or self.state.startswith("Mounted from")

    @property
    def sent(self) -> bool:
        """Whether it had to be sent."""
        return self.state == "Pushed"


@dataclass
class Progress:
    """How far a push is."""

    layers: dict[str, Layer] = field(default_factory=dict)
    """By id; the uppermost first, as the engine names them."""
    latest: str = ""
    """The id of the layer that moved last."""
    digest: str = ""
    """Of the manifest; "" until all is there."""

    @property
    def retrying(self) -> bool:
        """Whether the engine waits before it tries a layer again."""
        return any(layer.state.startswith("Retrying") for layer in self.layers.values())

    def take(self, event: dict[str, Any]) -> None:
        """Read one event of the engine."""
        self.digest = (event.get("aux") or {}).get("Digest", self.digest)
        if not (name := event.get("id", "")) or "progressDetail" not in event:
            return
        detail = event["progressDetail"] or {}
        known = self.layers.get(name, Layer(name))
        self.layers[name] = replace(
            known,
            state=event.get("status", ""),
            current=detail.get("current", known.current),
            total=detail.get("total", known.total),
        )
        self.latest = name

    def __str__(self) -> str:
        done = sum(layer.done for layer in self.layers.values())
        latest = self.layers.get(self.latest)
        text = f"{done} of {len(self.layers)} layers"
        if latest is None or latest.done or not latest.total:
            return text
        return f"{text}, {latest.id}: {latest.current / 1e6:.1f} of {latest.total / 1e6:.1f} MB"


def way_to(host: str | None) -> Connect:
    """The way to the engine at an address, as `engine.connected` has it."""
    return lambda: engine.connected(host, timeout=SILENCE)


def push(
    client: docker.DockerClient,
    image: str,
    *,
    repository: str,
    tag: str,
    credentials: Credentials,
    on_progress: Callable[[Progress], None],
) -> Progress:
    """Push an image by its id.

    Args:
        client: The engine.
        image: `sha256:…`, so that a tag that was moved meanwhile means nothing.
        repository: With the registry's host.
        tag: In that repository.
        credentials: The engine sends them to the registry only.
        on_progress: Called with each news, and often without; what it raises ends the push.

    Returns:
        How far it came: to the end.

    Raises:
        PushError: It failed; the kinds say what may help.
        EngineError: The engine said no, such as that it has no such image.
        EngineMissing: The engine went away.
    """
    api: Any = client.api
    thing = f"{repository}:{tag}"
    login = {"username": credentials.user, "password": credentials.password.reveal()}
    progress = Progress()
    heard = _events(lambda: api.push(repository, tag=tag, auth_config=login, stream=True, decode=True))
    with (
        _tagged(api, image, repository, tag),
        contextlib.closing(engine.streamed(thing, heard)) as events,
    ):
        for event in events:
            if said := engine.failure(event):
                raise _error(thing, said)
            progress.take(event)
            on_progress(progress)
    if not progress.digest:
        raise CutShort(thing, "the engine stopped telling before the push had ended")
    return progress


def missing(client: docker.DockerClient, images: dict[str, str]) -> dict[str, str]:
    """Which images are not what a record says.

    Args:
        client: The engine.
        images: References by id.

    Returns:
        By reference, what is wrong with it.

    Raises:
        EngineError: The engine said no.
        EngineMissing: The engine went away.
    """
    api: Any = client.api
    wrong = {}
    with engine.translated("images"):
        for image, reference in images.items():
            if _id_of(api, image) is None:
                wrong[reference] = "The engine has no such image any more"
            elif (now := _id_of(api, reference)) not in (None, image):
                wrong[reference] = f"It was altered since it was built: it is {now} now, and was {image}"
    return wrong


@contextlib.contextmanager
def _tagged(api: Any, image: str, repository: str, tag: str) -> Iterator[None]:
    """The image under the name that the engine pushes it to, for as long as that takes."""
    reference = f"{repository}:{tag}"
    with engine.translated(reference):
        before = _id_of(api, reference)
        api.tag(image, repository, tag, force=True)
    try:
        yield
    finally:
        # Whoever had this name in the engine, such as from a pull, finds it as it was.
        with engine.translated(reference):
            if before is None:
                api.remove_image(reference, noprune=True)
            elif before != image:
                api.tag(before, repository, tag, force=True)


def _events(begin: Callable[[], Iterable[dict[str, Any]]]) -> Generator[dict[str, Any]]:
    """The engine's events, and an empty one where it has been silent for a moment.

    A thread of its own reads them: the engine can be silent for minutes while a network is, and a user's
    Ctrl-C does not wait for that. The engine gives a push up when nobody listens any more: after its next
    event, or when this process ends.
    """
    heard: queue.SimpleQueue[dict[str, Any] | BaseException | None] = queue.SimpleQueue()
    given_up = threading.Event()

    def listen() -> None:
        try:
            for event in begin():
                heard.put(event)
                if given_up.is_set():
                    return  # Nothing refers to the answer any more, so its connection is closed.
            heard.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody can see it.
            heard.put(error)

    listener = threading.Thread(target=listen, name="push", daemon=True)
    listener.start()
    try:
        while True:
            try:
                event = heard.get(timeout=_SLICE)
            except queue.Empty:
                event = {}
            if event is None:
                return
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        given_up.set()
        listener.join(_GIVING_UP)


def _id_of(api: Any, reference: str) -> str | None:
    import docker.errors  # noqa: PLC0415

    try:
        return str(api.inspect_image(reference)["Id"])
    except docker.errors.NotFound:
        return None


def _error(thing: str, said: str) -> PushError:
    said = said.strip().rstrip(".")
    for pattern, kind in _KINDS:
        if re.search(pattern, said, re.IGNORECASE):
            return kind(thing, said)
    return PushError(thing, said)
