"""An engine in memory: containers, networks and volumes that exist only as what was asked for.

It refuses what a real one refuses (a name that is taken, an image or network that is not there), and
programs that it was not told about. `tests/containers/test_engine.py` runs on it and on a real engine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from airflow_platform.programs import programs
from airflow_platform.tools.containers import engine_session, output_lines
from airflow_platform.tools.containers.containers import Containers, Ended, late
from airflow_platform.tools.containers.engine import EngineError
from airflow_platform.tools.containers.networks import Networks, Volumes, in_use
from airflow_platform.tools.containers.spec import Container, EngineObject, FoundContainer

FIRST_PORT = 49152
"""The first of the ports that the engine chooses."""


def _missing(kind: str, name: str) -> EngineError:
    return EngineError(f"{kind} {name}: No such {kind}: {name}.", status=404)


def _taken(kind: str, name: str) -> EngineError:
    return EngineError(f"{kind} {name}: {kind} with name {name} already exists.", status=409)


@dataclass
class World:
    """What exists in the engine, and what its programs do."""

    images: set[str] = field(default_factory=set)
    """Ids of the images that are there."""
    containers: dict[str, FoundContainer] = field(default_factory=dict)
    networks: dict[str, EngineObject] = field(default_factory=dict)
    volumes: dict[str, EngineObject] = field(default_factory=dict)
    programs: dict[tuple[str, ...], tuple[int | None, str]] = field(default_factory=dict)
    """By command, what is printed and the exit code, None for one that never ends; others are refused."""
    logs: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    """What each container printed, and when."""
    specs: dict[str, Container] = field(default_factory=dict)
    """What each container was made from, also those that are gone."""

    ids: Iterator[str] = field(default_factory=lambda: (f"{number:064x}" for number in itertools.count(1)))
    """Of the containers that are still to be made."""
    ports: Iterator[int] = field(default_factory=lambda: itertools.count(FIRST_PORT))
    """Those that the engine chooses next."""
    clock: Iterator[int] = field(default_factory=lambda: itertools.count(1_000_000))
    """Unix seconds; a second later at each start."""
    identity: str = "engine-1"
    """The engine's id."""

    def set_state(self, name: str, state: str, *, last_exit: str = "", restarts: int = 0) -> None:
        """Have a container be in a state, as if it had ended or somebody had stopped it."""
        changed = {"state": state, "last_exit": last_exit, "restarts": restarts}
        self.containers[name] = dataclasses.replace(self.containers[name], **changed)  # type: ignore[arg-type]

    def engine(self) -> engine_session.Engine:
        """The way in."""
        return engine_session.Engine(
            _Containers(self), _Networks(self), _Volumes(self), lambda: self.identity
        )

    @contextlib.contextmanager
    def opened(self) -> Iterator[engine_session.Engine]:
        """The way in, as steps take it."""
        yield self.engine()


class _Containers(Containers):
    def __init__(self, world: World) -> None:
        self._world = world

    def found(self, labels: Mapping[str, str]) -> tuple[FoundContainer, ...]:
        everything = sorted(self._world.containers.values(), key=lambda each: each.name)
        return tuple(each for each in everything if labels.items() <= each.labels.items())

    def named(self, name: str) -> FoundContainer | None:
        return self._world.containers.get(name)

    def start(self, spec: Container) -> None:
        world = self._world
        if spec.name in world.containers:
            raise _taken("container", spec.name)
        if spec.image not in world.images:
            raise _missing("image", spec.image)
        if spec.network and spec.network not in world.networks:
            raise _missing("network", spec.network)
        taken = {at for each in world.containers.values() if each.running for at in each.ports.values()}
        if busy := taken & set(spec.ports.values()):
            raise EngineError(f"container {spec.name}: port {busy} is already allocated.", status=500)
        world.specs[spec.name] = spec
        for volume in spec.volumes.values():
            world.volumes.setdefault(volume, EngineObject(volume, {}))
        world.containers[spec.name] = FoundContainer(
            name=spec.name,
            id=next(world.ids),
            image=spec.image,
            state="running",
            restarts=0,
            last_exit="",
            started_at=float(next(world.clock)),
            labels=spec.marks(),
            networks=(spec.network,) if spec.network else (),
            ports={port: at or next(world.ports) for port, at in spec.ports.items()},
        )

    def remove(self, name: str, *, timeout: int | None = None) -> None:
        self._world.containers.pop(name, None)

    def run(
        self,
        spec: Container,
        *,
        timeout: float,
        interruption: programs.Interruption,
        progress: Callable[[str], None],
    ) -> Ended:
        self.remove(spec.name, timeout=0)
        self.start(spec)
        try:
            code, said = self._printed(spec.command)
            for line in said.splitlines():
                progress(line)
                interruption.raise_if_requested()
        finally:
            self.remove(spec.name, timeout=0)
        if code is None:
            raise late(spec.name, timeout)
        return Ended(code, tuple(said.splitlines()[-output_lines.TAIL :]))

    def execute(
        self,
        name: str,
        command: Iterable[str],
        *,
        on_output: Callable[[bool, bytes], None],
        interruption: programs.Interruption | None = None,
        timeout: float = math.inf,
    ) -> int:
        self._require(name)
        code, printed = self._printed(tuple(command))
        on_output(False, printed.encode())
        if interruption is not None:
            interruption.raise_if_requested()
        if code is None:
            assert timeout < math.inf, f"nobody would ever end {' '.join(command)}"
            raise late(name, timeout)
        return code

    def lines(self, name: str, *, last: int | None = None, since: float = 0.0) -> Iterator[tuple[float, str]]:
        printed = self._world.logs.get(name, [])
        yield from [line for line in printed[-last if last else 0 :] if line[0] > since]

    def _printed(self, command: tuple[str, ...]) -> tuple[int | None, str]:
        assert command in self._world.programs, f"nobody said what {' '.join(command)} does"
        return self._world.programs[command]

    def _require(self, name: str) -> None:
        if name not in self._world.containers:
            raise _missing("container", name)


class _Networks(Networks):
    def __init__(self, world: World) -> None:
        self._world = world

    def named(self, name: str) -> EngineObject | None:
        return self._world.networks.get(name)

    def found(self, labels: Mapping[str, str]) -> tuple[EngineObject, ...]:
        everything = sorted(self._world.networks.values(), key=lambda each: each.name)
        return tuple(each for each in everything if labels.items() <= each.labels.items())

    def make(self, name: str, labels: Mapping[str, str]) -> None:
        if name in self._world.networks:
            raise _taken("network", name)
        self._world.networks[name] = EngineObject(name, dict(labels))

    def remove(self, name: str, mine: Mapping[str, str]) -> None:
        if name not in self._world.networks:
            return
        inside = [each for each in self._world.containers.values() if name in each.networks]
        if strangers := [each.name for each in inside if not mine.items() <= each.labels.items()]:
            raise in_use(name, strangers)
        del self._world.networks[name]
        for each in inside:
            networks = tuple(network for network in each.networks if network != name)
            self._world.containers[each.name] = dataclasses.replace(each, networks=networks)

    def connect(self, name: str, container: str, alias: str) -> None:
        if name not in self._world.networks:
            raise _missing("network", name)
        if (found := self._world.containers.get(container)) is None:
            raise _missing("container", container)
        if not found.networks:
            raise EngineError(f"network {name}: the container was made without a network.", status=400)
        networks = tuple(sorted({*found.networks, name}))
        self._world.containers[container] = dataclasses.replace(found, networks=networks)


class _Volumes(Volumes):
    def __init__(self, world: World) -> None:
        self._world = world

    def named(self, name: str) -> EngineObject | None:
        return self._world.volumes.get(name)

    def make(self, name: str, labels: Mapping[str, str]) -> None:
        self._world.volumes.setdefault(name, EngineObject(name, dict(labels)))

    def remove(self, name: str) -> None:
        users = [spec.name for spec in self._world.specs.values() if name in spec.volumes.values()]
        if used := [each for each in users if each in self._world.containers]:
            raise EngineError(f"volume {name}: volume is in use - {used}.", status=409)
        self._world.volumes.pop(name, None)
