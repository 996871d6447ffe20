"""Finds and removes everything in an engine that has a label."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_platform.tools.containers import engine

if TYPE_CHECKING:
    import docker

CONTAINER, NETWORK, VOLUME = "container", "network", "volume"
"""The kinds of objects, in the order in which they can be removed: none is used by a later one."""

AT_ONCE = 8
"""Containers that are removed at the same time."""

GONE = 30
"""Seconds until the engine must have removed a container; it takes 0.1."""


@dataclass(frozen=True)
class Marked:
    """An object with the label."""

    kind: str
    name: str
    value: str
    """Of the label."""
    labels: frozenset[tuple[str, str]] = frozenset()
    """All of its labels."""
    state: str = ""
    """Of a container: created, running, exited, …"""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def found(client: docker.DockerClient, label: str, value: str = "") -> tuple[Marked, ...]:
    """All objects with a label.

    Containers are looked for last: whoever makes a container before all else, and removes it after all
    else, is seen with it or not at all.

    Args:
        client: Of the engine.
        label: Its name.
        value: Only those where it has this value; "" for any.
    """
    api: Any = client.api
    filters = {"label": f"{label}={value}" if value else label}
    with engine.translated("objects with a label"):
        volumes = api.volumes(filters=filters)["Volumes"] or ()
        networks = api.networks(filters=filters)
        # One that is just being removed may have lost its name.
        containers = [each for each in api.containers(all=True, filters=filters) if each["Names"]]
    return (
        *(
            _of(CONTAINER, each["Names"][0].lstrip("/"), label, each["Labels"], each["State"])
            for each in containers
        ),
        *(_of(NETWORK, each["Name"], label, each["Labels"]) for each in networks),
        *(_of(VOLUME, each["Name"], label, each["Labels"]) for each in volumes),
    )


def remove(client: docker.DockerClient, things: Sequence[Marked]) -> None:
    """Remove objects at once, containers without asking their programs; what is gone already is well."""
    api: Any = client.api
    containers = (each.name for each in things if each.kind == CONTAINER)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: remove_container(api, name), containers))
    for each in things:
        if each.kind == NETWORK:
            with _gone_or_going(), engine.translated(str(each)):
                api.remove_network(each.name)
    for each in things:
        if each.kind == VOLUME:
            with _gone_or_going(), engine.translated(str(each)):
                api.remove_volume(each.name)


def _of(kind: str, name: str, label: str, labels: dict[str, str], state: str = "") -> Marked:
    return Marked(kind, name, labels[label], frozenset(labels.items()), state)


def remove_container(api: Any, name: str) -> None:
    """Remove a container without asking its program, until it is gone: the engine may have begun by itself.

    Args:
        api: Of the engine.
        name: Its name or id.

    Raises:
        EngineError: It was not gone after `GONE`.
    """
    with _gone_or_going(), engine.translated(f"container {name}"):
        api.remove_container(name, force=True, v=True)
    with _gone_or_going(), engine.translated(f"container {name}"):
        api.wait(name, timeout=GONE, condition="removed")


@contextlib.contextmanager
def _gone_or_going() -> Iterator[None]:
    """Somebody else may remove the same thing at the same time."""
    try:
        yield
    except engine.EngineError as error:
        if error.status not in (404, 409):
            raise


def names(things: Iterable[Marked]) -> str:
    """For people."""
    return ", ".join(map(str, things))
