"""The database server that the tenants of an environment share, in a container; and where its data is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import built_images, state_files
from airflow_platform.config.components import METADATA_DATABASE
from airflow_platform.engine import step
from airflow_platform.runtimes.docker import manifest, resource_owner
from airflow_platform.runtimes.docker.database_container import (
    PASSWORD,
    DatabaseContainer,
    name_of,
    network_of,
)
from airflow_platform.runtimes.docker.resource_owner import ThingT
from airflow_platform.tenants.contexts import EnvironmentContext, EnvironmentStep, inhabitants
from airflow_platform.tools.containers import engine as engines
from airflow_platform.tools.containers import engine_pin, engine_session
from airflow_platform.tools.containers.spec import Container, FoundContainer


@dataclass(frozen=True)
class Data:
    """Whether the volume is there, whether the password is, and whose the volume is if it is not ours."""

    volume: bool
    password: bool
    stranger: str
    inhabitants: tuple[str, ...]
    """On the way down: tenants that have data in it, or are about to."""
    remembered: bool
    """Whether it is known which engine has the volume."""


class DatabaseVolume(EnvironmentStep):
    """The volume with the data of all tenants, and the password of the server that keeps them."""

    name = "database-volume"
    keeps_data = True

    def __init__(self, place: state_files.EnvironmentFiles, engine: engine_session.Open) -> None:
        self._place = place
        self._container = DatabaseContainer(place)
        self._open = engine
        self._owner = resource_owner.of(place)
        self._engine = engine_pin.Remembered(place.engine)

    def observe(self, context: EnvironmentContext) -> Data:
        with self._open() as engine:
            named = engine.volumes.named(name_of(context))
        found, stranger = resource_owner.own(self._owner, context.goal, "volume", named)
        going = context.goal is step.Goal.ABSENT
        users = inhabitants(context, self._place, self._place.found()) if going else ()
        return Data(
            volume=found is not None,
            password=self._place.server_password.is_file(),
            stranger=stranger,
            inhabitants=users,
            remembered=self._engine.known,
        )

    def plan(self, context: EnvironmentContext, observed: Data) -> step.Change | step.NoChange:
        if context.goal is step.Goal.ABSENT:
            return _plan_removal(observed)
        if not observed.volume:
            return step.Change(f"make volume {name_of(context)}")
        if not observed.password:
            path = self._place.server_password
            return step.Change(f"make a new password for the database server: {path} is gone")
        if not observed.remembered:
            return step.Change("note which Docker engine has it")
        return step.NoChange("it is there")

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        name = name_of(context)
        with self._open() as engine:
            if context.goal is step.Goal.ABSENT:
                if self._owner.owns(engine.volumes.named(name)):
                    engine.volumes.remove(name)
                self._place.server_password.unlink(missing_ok=True)
                self._engine.forget()
                return {}
            self._container.make_password()
            self._engine.remember(engine, engines.address(context.environment.docker.host))
            engine.volumes.make(name, manifest.labels(self._owner.value, component=METADATA_DATABASE))
        return {}


def _plan_removal(observed: Data) -> step.Change | step.NoChange:
    if not observed.volume and not observed.remembered:
        return step.NoChange(observed.stranger or "it is not there")
    if observed.inhabitants:
        return step.NoChange(f"tenants still use it: {', '.join(observed.inhabitants)}")
    if not observed.volume:
        return step.Change("forget the password and the Docker engine of a volume that is gone")
    return step.Change("delete the volume with the databases; no tenant is left")


@dataclass(frozen=True)
class Observed:
    """What should run (None on the way down), what is there, and on the way down whose containers run."""

    wanted: Container | None
    found: FoundContainer | None
    network: bool
    """Whether its network is there."""
    inhabitants: tuple[str, ...]
    closed: tuple[str, ...] = ()
    """On the way up: networks of tenants in which it is not, declared and selected or not."""
    missing: str = ""
    """On the way up: what keeps the administrator from logging in."""
    stranger: str = ""
    """On the way down: what has its names and is not ours."""


class DatabaseServer(EnvironmentStep):
    """Outputs: `host`, `port`, `user`, `password_file`, `container`."""

    name = "database-server"

    def __init__(self, place: state_files.EnvironmentFiles, engine: engine_session.Open) -> None:
        self._place = place
        self._container = DatabaseContainer(place)
        self._open = engine
        self._owner = resource_owner.of(place)

    def check(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        try:
            with self._open():
                pass
        except engine_pin.AnotherEngine as error:
            yield from error.faults()
        except errors.PreflightError as error:
            # On the way up the step `images` says what is wrong with the engine.
            yield from error.faults() if context.goal is step.Goal.ABSENT else ()
        if context.goal is step.Goal.ABSENT:
            return
        settings, tenants = context.environment.docker, len(context.environment.tenants)
        needed = manifest.OWN_CONNECTIONS + settings.connections * tenants
        if needed > settings.server_connections:
            yield errors.Fault(
                f"docker.server_connections of {context.environment.name}",
                f"It is {settings.server_connections}, and {needed} are needed: {manifest.OWN_CONNECTIONS} for "
                f"itself and {settings.connections} for each tenant.",
                "Raise it, which restarts the server once under all tenants; or lower docker.connections.",
            )

    def observe(self, context: EnvironmentContext) -> Observed:
        going = context.goal is step.Goal.ABSENT
        with self._open() as engine:
            network, theirs = self._own(context, "network", engine.networks.named(network_of(context)))
            found, stranger = self._own(context, "container", engine.containers.named(name_of(context)))
            closed = self._container.closed(context, engine, found)
            others = engine.containers.found(self._owner.labels) if going else ()
        users = {tenant for each in others if (tenant := each.labels.get(manifest.TENANT))}
        wanted = None if going else self._wanted(context)
        return Observed(
            wanted=wanted,
            found=found,
            network=network is not None,
            inhabitants=inhabitants(context, self._place, users) if going else (),
            closed=closed,
            missing=self._container.missing(found) if wanted else "",
            stranger="; ".join(filter(None, (stranger, theirs))),
        )

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        found, wanted = observed.found, observed.wanted
        if wanted is None:
            return _plan_stop(observed)
        if summary := _starting(found, wanted):
            return step.Change(summary, {"do": "start"})
        if observed.closed:
            return step.Change(f"let the database server into {', '.join(observed.closed)}", {"do": "let in"})
        if observed.missing:
            return step.Change(_waiting(observed.missing), {"do": "wait"})
        assert found is not None
        return step.NoChange("the database server runs", self._container.outputs(found))

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        name = name_of(context)
        with self._open() as engine:
            if context.goal is step.Goal.ABSENT:
                if self._owner.owns(engine.containers.named(name)):
                    engine.containers.remove(name)
                if self._owner.owns(engine.networks.named(network_of(context))):
                    engine.networks.remove(network_of(context), self._owner.labels)
                return {}
            if change.details["do"] == "start":
                self._container.start(context, engine, self._wanted(context))
            else:
                self._container.let_in(context, engine)
                self._container.wait(context, engine)
            found = engine.containers.named(name)
        assert found is not None
        return self._container.outputs(found)

    def _own(self, context: EnvironmentContext, kind: str, thing: ThingT | None) -> tuple[ThingT | None, str]:
        return resource_owner.own(self._owner, context.goal, kind, thing)

    def _wanted(self, context: EnvironmentContext) -> Container:
        context.outputs("database-volume")  # With `--plan` it is unknown yet, and so is the password.
        return self._container.wanted(context, context.outputs("images")["images"][METADATA_DATABASE])


@dataclass(frozen=True)
class Way:
    """Whether the server's container runs, and what keeps the administrator from logging in."""

    runs: bool
    missing: str
    volume: bool
    """Whether its data are there."""
    stranger: str
    """Whose the data are, if they are not ours."""


class DatabaseAccess(EnvironmentStep):
    """On the way down, before anything of the tenants is deleted: a server that was stopped is started.

    So is one that has another password than our file, which may have been lost. Only a server that runs can
    drop what a tenant has in it. On the way up there is nothing to do.
    """

    name = "database-access"
    keeps_data = True

    def __init__(
        self, place: state_files.EnvironmentFiles, engine: engine_session.Open, *, record: Path
    ) -> None:
        """Make the step.

        Args:
            place: Where the environment's files are.
            engine: The way to the engine.
            record: What `inv build` wrote: on the way down, the step `images` is not asked.
        """
        self._place = place
        self._container = DatabaseContainer(place)
        self._open = engine
        self._record = record
        self._owner = resource_owner.of(place)

    def observe(self, context: EnvironmentContext) -> Way:
        with self._open() as engine:
            found = engine.containers.named(name_of(context))
            volume = engine.volumes.named(name_of(context))
        runs = found is not None and found.running and self._owner.owns(found)
        asked = context.goal is step.Goal.ABSENT and self._owner.owns(volume)
        return Way(
            runs=runs,
            missing=self._container.missing(found if runs else None) if asked else "",
            volume=self._owner.owns(volume),
            stranger=self._owner.stranger("volume", volume),
        )

    def plan(self, context: EnvironmentContext, observed: Way) -> step.Change | step.NoChange:
        if context.goal is step.Goal.PRESENT:
            return step.NoChange("the tenants' databases can be reached")
        if not observed.volume:
            return step.NoChange(
                f"there is a {observed.stranger}" if observed.stranger else "there is no database"
            )
        if not observed.missing:
            return step.NoChange("the database server runs")
        if observed.runs and observed.missing != PASSWORD:
            return step.Change(_waiting(observed.missing), {"do": "wait"})
        # Only a container made now has the password that is in our file.
        summary = "start the database server, to drop what the tenants have in it"
        return step.Change(summary, {"do": "start"})

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        with self._open() as engine:
            if change.details["do"] == "wait":
                self._container.wait(context, engine)
            else:
                self._start(context, engine)
        return {}

    def _start(self, context: EnvironmentContext, engine: engine_session.Engine) -> None:
        recorded = built_images.read(self._record)
        if recorded is None or METADATA_DATABASE not in recorded.images:
            raise errors.StepError(
                f"The database server is stopped, and {self._record} does not name its image.",
                hint=f"Run `{built_images.command(context.environment.docker.host)}`, then this again.",
            )
        self._container.make_password()
        wanted = self._container.wanted(context, recorded.images[METADATA_DATABASE].id)
        self._container.start(context, engine, wanted)


def _starting(found: FoundContainer | None, wanted: Container) -> str:
    """Why a container is started, as a summary; "" for no reason."""
    if found is None:
        return "start the database server"
    if found.digest != wanted.digest():
        return "restart the database server with other settings"
    if not found.running or not found.ports:
        return f"start the database server again ({found.last_exit or found.state})"
    return ""


def _waiting(missing: str) -> str:
    if missing == PASSWORD:
        return "set the password of the database server"
    return f"wait until the database server answers ({missing.rstrip('.')})"


def _plan_stop(observed: Observed) -> step.Change | step.NoChange:
    if observed.found is None and not observed.network:
        return step.NoChange(observed.stranger or "it does not run")
    if observed.inhabitants:
        return step.NoChange(f"tenants still use it: {', '.join(observed.inhabitants)}")
    return step.Change("stop the database server; no tenant uses it")
