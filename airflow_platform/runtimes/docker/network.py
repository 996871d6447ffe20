"""A tenant's own network, in which its containers find each other and the database server, and nobody else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_platform.config import state_files
from airflow_platform.config.components import METADATA_DATABASE
from airflow_platform.engine import step
from airflow_platform.runtimes.docker import manifest, resource_owner
from airflow_platform.tenants.contexts import TenantContext, TenantStep
from airflow_platform.tools.containers import engine_session


@dataclass(frozen=True)
class Observed:
    """Whether the network is there, whether the database server is in it, and what has its name otherwise."""

    exists: bool
    has_server: bool
    stranger: str


class TenantNetwork(TenantStep):
    """Outputs: none; its name is derived."""

    name = "network"

    def __init__(self, place: state_files.EnvironmentFiles, engine: engine_session.Open) -> None:
        self._open = engine
        self._owner = resource_owner.of(place)

    def observe(self, context: TenantContext) -> Observed:
        name = _name(context)
        with self._open() as engine:
            named = engine.networks.named(name)
            server = engine.containers.named(manifest.server_name(context.environment.name))
        network, stranger = resource_owner.own(self._owner, context.goal, "network", named)
        return Observed(network is not None, server is not None and name in server.networks, stranger)

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        name = _name(context)
        if context.goal is step.Goal.ABSENT:
            gone = step.NoChange(observed.stranger or "it is gone")
            return step.Change(f"remove network {name}") if observed.exists else gone
        if not observed.exists:
            return step.Change(f"make network {name}")
        if not observed.has_server:
            return step.Change(f"let the database server into network {name}")
        return step.NoChange(f"network {name} is there")

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        name = _name(context)
        with self._open() as engine:
            if context.goal is step.Goal.ABSENT:
                engine.networks.remove(name, self._owner.labels)
                return {}
            if engine.networks.named(name) is None:
                engine.networks.make(name, manifest.labels(self._owner.value, context.tenant.name))
            engine.networks.connect(name, context.outputs("database-server")["container"], METADATA_DATABASE)
        return {}


class TenantVolumes(TenantStep):
    """The logs of the tenant's tasks and its fakesnow's databases: kept when its containers are created again."""

    name = "volumes"
    keeps_data = True

    def __init__(self, place: state_files.EnvironmentFiles, engine: engine_session.Open) -> None:
        self._open = engine
        self._owner = resource_owner.of(place)

    def observe(self, context: TenantContext) -> tuple[tuple[str, ...], str]:
        """The volumes that are there, and what has the name of one otherwise."""
        with self._open() as engine:
            named = [engine.volumes.named(name) for name in _volumes(context)]
        found = [resource_owner.own(self._owner, context.goal, "volume", each) for each in named]
        there = tuple(each.name for each, _ in found if each)
        return there, "; ".join(stranger for _, stranger in found if stranger)

    def plan(
        self, context: TenantContext, observed: tuple[tuple[str, ...], str]
    ) -> step.Change | step.NoChange:
        there, stranger = observed
        if context.goal is step.Goal.ABSENT:
            return _change("delete", there) if there else step.NoChange(stranger or "they are not there")
        missing = [name for name in _volumes(context) if name not in there]
        return _change("make", missing) if missing else step.NoChange("they are there")

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        with self._open() as engine:
            for name in change.details["volumes"]:
                if context.goal is step.Goal.ABSENT:
                    engine.volumes.remove(name)
                else:
                    engine.volumes.make(name, manifest.labels(self._owner.value, context.tenant.name))
        return {}


def _change(verb: str, volumes: Sequence[str]) -> step.Change:
    return step.Change(f"{verb} volumes {', '.join(volumes)}", {"volumes": list(volumes)})


def _name(context: TenantContext) -> str:
    return manifest.prefix(context.environment.name, context.tenant.name)


def _volumes(context: TenantContext) -> tuple[str, str]:
    where = (context.environment.name, context.tenant.name)
    return manifest.logs_volume(*where), manifest.snowflake_volume(*where)
