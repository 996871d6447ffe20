"""All of an engine at once, for those who need more than one kind of its objects."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

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


Open = Callable[[], AbstractContextManager[Engine]]
"""How a step gets at an engine: for as long as it needs it."""


@contextlib.contextmanager
def opened(host: str | None) -> Iterator[Engine]:
    """The engine at an address, as `engine.connected` has it."""
    with engine.connected(host) as client:
        yield of(client)


def of(client: docker.DockerClient) -> Engine:
    """The engine that a client is connected to."""
    return Engine(Containers(client), Networks(client), Volumes(client))


def require_ours(kind: str, name: str, labels: Mapping[str, str] | None, mark: tuple[str, str]) -> None:
    """Refuse an object that somebody else made under the name that we need.

    Args:
        kind: "network", "volume", "container".
        name: Its name.
        labels: Its labels; None when it does not exist, which is well.
        mark: The label that ours have, and its value.

    Raises:
        StepError: It is not ours.
    """
    if cause := not_ours(labels, mark):
        raise errors.StepError(
            f"There is a {kind} {name}, and {cause}.",
            hint=f"Nothing of it was changed. Remove it if nobody needs it: `docker {kind} rm {name}`.",
        )


def not_ours(labels: Mapping[str, str] | None, mark: tuple[str, str]) -> str:
    """Whose an object is, as words that follow "and"; "" for ours, or none."""
    if labels is None or labels.get(mark[0]) == mark[1]:
        return ""
    other = labels.get(mark[0])
    return f"it belongs to {other}" if other else "this toolkit did not make it"
