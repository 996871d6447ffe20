"""A tenant's own network, in which its containers find each other and the database server, and nobody else's."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_platform.config import places
from airflow_platform.engine import step
from airflow_platform.manifests import containers as manifest
from airflow_platform.steps.contexts import TenantContext, TenantStep
from airflow_platform.tools.containers import opened


@dataclass(frozen=True)
class Observed:
    """Whether the network is there, and whether the database server is in it."""

    exists: bool
    has_server: bool


class TenantNetwork(TenantStep):
    """Outputs: none; its name is derived."""

    name = "network"
    requires = ("database-server", "directory")

    def __init__(self, place: places.EnvironmentPlace, engine: opened.Open) -> None:
        self._open = engine
        self._mark = (manifest.OWNER, str(place.directory))

    def observe(self, context: TenantContext) -> Observed:
        name = _name(context)
        with self._open() as engine:
            network = engine.networks.named(name)
            server = engine.containers.named(f"{manifest.prefix(context.environment.name)}.{manifest.SERVER}")
        opened.require_ours("network", name, network.labels if network else None, self._mark)
        return Observed(network is not None, server is not None and name in server.networks)

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        name = _name(context)
        if context.goal is step.Goal.ABSENT:
            return step.Change(f"remove network {name}") if observed.exists else step.NoChange("it is gone")
        if not observed.exists:
            return step.Change(f"make network {name}")
        if not observed.has_server:
            return step.Change(f"let the database server into network {name}")
        return step.NoChange(f"network {name} is there")

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        name = _name(context)
        with self._open() as engine:
            if context.goal is step.Goal.ABSENT:
                engine.networks.remove(name)
                return {}
            if engine.networks.named(name) is None:
                engine.networks.make(name, manifest.labels(self._mark[1], context.tenant.name))
            server = context.outputs("database-server")["container"]
            found = engine.containers.named(server)
            if found is None or name not in found.networks:
                engine.networks.connect(name, server, manifest.SERVER)
        return {}


class TenantVolumes(TenantStep):
    """The logs of the tenant's tasks and its fakesnow's databases: kept when its containers are made anew."""

    name = "volumes"
    keeps_data = True
    requires = ("images", "directory")

    def __init__(self, place: places.EnvironmentPlace, engine: opened.Open) -> None:
        self._open = engine
        self._mark = (manifest.OWNER, str(place.directory))

    def observe(self, context: TenantContext) -> tuple[str, ...]:
        """The volumes that are there."""
        there = []
        with self._open() as engine:
            for name in _volumes(context):
                found = engine.volumes.named(name)
                opened.require_ours("volume", name, found.labels if found else None, self._mark)
                there += [name] if found else []
        return tuple(there)

    def plan(self, context: TenantContext, observed: tuple[str, ...]) -> step.Change | step.NoChange:
        if context.goal is step.Goal.ABSENT:
            if observed:
                return step.Change(f"delete volumes {', '.join(observed)}")
            return step.NoChange("they are not there")
        missing = [name for name in _volumes(context) if name not in observed]
        return (
            step.Change(f"make volumes {', '.join(missing)}") if missing else step.NoChange("they are there")
        )

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        with self._open() as engine:
            for name in _volumes(context):
                if context.goal is step.Goal.ABSENT:
                    engine.volumes.remove(name)
                elif engine.volumes.named(name) is None:
                    engine.volumes.make(name, manifest.labels(self._mark[1], context.tenant.name))
        return {}


def _name(context: TenantContext) -> str:
    return manifest.prefix(context.environment.name, context.tenant.name)


def _volumes(context: TenantContext) -> tuple[str, ...]:
    where = (context.environment.name, context.tenant.name)
    return (manifest.logs_volume(*where), manifest.snowflake_volume(*where))
