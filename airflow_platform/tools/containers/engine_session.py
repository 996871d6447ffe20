"""All of an engine at once, for those who need more than one kind of its objects."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_platform import errors
from airflow_platform.tools.containers import engine
from airflow_platform.tools.containers.containers import Containers
from airflow_platform.tools.containers.networks import Networks, Volumes

if TYPE_CHECKING:
    import docker


@dataclass(frozen=True)
class Engine:
    """What an engine has."""

    containers: Containers
    networks: Networks
    volumes: Volumes
    identity: Callable[[], str]
    """The id that it keeps for its life."""


Open = Callable[[], AbstractContextManager[Engine]]
"""How a step gets at an engine: for as long as it needs it."""


@contextlib.contextmanager
def opened(host: str | None) -> Iterator[Engine]:
    """The engine at an address, as `engine.connected` has it."""
    with engine.connected(host) as client:
        yield of(client)


def opened_here(host: str | None) -> AbstractContextManager[Engine]:
    """The same, of this machine.

    Raises:
        PreflightError: It is on another one.
    """
    engine.require_here(host)
    return opened(host)


def of(client: docker.DockerClient) -> Engine:
    """The engine that a client is connected to."""
    return Engine(Containers(client), Networks(client), Volumes(client), lambda: engine.identity(client))


REMOVAL = {"container": "docker rm --force", "network": "docker network rm", "volume": "docker volume rm"}
"""How a person removes an object, by its kind."""


class Labelled(Protocol):
    """A container, network or volume as it is."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Owner:
    """Whose objects of an engine are: all that bear a label with a value. Anybody may have taken our names."""

    label: str
    value: str

    @property
    def labels(self) -> dict[str, str]:
        """What all of its objects bear."""
        return {self.label: self.value}

    def owns(self, thing: Labelled | None) -> bool:
        """Whether an object exists and has the label."""
        return thing is not None and thing.labels.get(self.label) == self.value

    def stranger(self, kind: str, thing: Labelled | None) -> str:
        """Somebody else's object and whose it is, for people; "" for an own one, or none.

        Args:
            kind: One of `REMOVAL`.
            thing: Has a name that we need; None when there is no such object.
        """
        if thing is None or self.owns(thing):
            return ""
        return f"{kind} {thing.name}, and {self._whose(thing)}"

    def require(self, kind: str, thing: Labelled | None) -> None:
        """Refuse an object that somebody else made under a name that we need. Arguments as there.

        Raises:
            StepError: It is not ours.
        """
        if thing is not None and (stranger := self.stranger(kind, thing)):
            take_down = "Take it down from there, or remove" if self.label in thing.labels else "Remove"
            raise errors.StepError(
                f"There is a {stranger}.",
                hint=f"Nothing of it was changed. {take_down} it if nobody needs it: "
                f"`{REMOVAL[kind]} {thing.name}`.",
            )

    def _whose(self, thing: Labelled) -> str:
        other = thing.labels.get(self.label)
        return f"it belongs to {other}" if other else "this toolkit did not make it"
