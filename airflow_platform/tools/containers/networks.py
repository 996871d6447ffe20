"""Networks and volumes of an engine: found, made with labels, connected, removed."""

from __future__ import annotations

import http.client
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_platform.tools.containers import engine
from airflow_platform.tools.containers.spec import EngineObject

if TYPE_CHECKING:
    import docker


def in_use(name: str, containers: Sequence[str]) -> engine.EngineError:
    """The error for a network that others' containers are in."""
    return engine.EngineError(
        f"network {name}: containers of others are in it: {', '.join(sorted(containers))}.",
        status=http.client.CONFLICT,
        hint=f"Take them out, then run this again: `docker network disconnect {name} {min(containers)}`.",
    )


class Networks:
    """The networks of one engine."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._api: Any = client.api

    def named(self, name: str) -> EngineObject | None:
        """The network of that name; None when there is none."""
        with engine.translated(f"network {name}"):
            # The filter takes any network whose name contains the text.
            found = [each for each in self._api.networks(names=[name]) if each["Name"] == name]
        return EngineObject(name, found[0]["Labels"] or {}) if found else None

    def found(self, labels: Mapping[str, str]) -> tuple[EngineObject, ...]:
        """All networks with these labels, by name."""
        filters = {"label": [f"{key}={value}" for key, value in labels.items()]}
        with engine.translated("networks"):
            listed = self._api.networks(filters=filters)
        return tuple(
            EngineObject(each["Name"], each["Labels"])
            for each in sorted(listed, key=lambda each: each["Name"])
        )

    def make(self, name: str, labels: Mapping[str, str]) -> None:
        """Make a bridge network of its own; containers of others do not reach into it."""
        with engine.translated(f"network {name}"):
            self._api.create_network(name, driver="bridge", labels=dict(labels), check_duplicate=True)

    def remove(self, name: str, mine: Mapping[str, str]) -> None:
        """Remove a network; nothing happens when it is not there.

        Args:
            name: Its name.
            mine: Labels of the containers that may lose it.

        Raises:
            EngineError: Status 409: others are in it, and stay there.
        """
        if self.named(name) is None:
            return
        with engine.translated(f"network {name}"):
            inside = self._api.containers(all=True, filters={"network": name})
            strangers = [each for each in inside if not mine.items() <= each["Labels"].items()]
            if strangers:
                raise in_use(name, [each["Names"][0].lstrip("/") for each in strangers])
            for container in inside:
                self._api.disconnect_container_from_network(container["Id"], name, force=True)
            self._api.remove_network(name)

    def connect(self, name: str, container: str, alias: str) -> None:
        """Let a container be reached in a network under a name; nothing happens when it is there."""
        with engine.translated(f"network {name}"):
            if name not in self._api.inspect_container(container)["NetworkSettings"]["Networks"]:
                self._api.connect_container_to_network(container, name, aliases=[alias])


class Volumes:
    """The volumes of one engine."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._api: Any = client.api

    def named(self, name: str) -> EngineObject | None:
        """The volume of that name; None when there is none."""
        with engine.translated(f"volume {name}"):
            listed = self._api.volumes(filters={"name": name})["Volumes"] or []
            found = [each for each in listed if each["Name"] == name]
        return EngineObject(name, found[0]["Labels"] or {}) if found else None

    def make(self, name: str, labels: Mapping[str, str]) -> None:
        """Make a volume; what is mounted on it first fills it."""
        with engine.translated(f"volume {name}"):
            self._api.create_volume(name, labels=dict(labels))

    def remove(self, name: str) -> None:
        """Delete a volume and what is in it; nothing happens when it is not there."""
        if self.named(name) is not None:
            with engine.translated(f"volume {name}"):
                self._api.remove_volume(name)
