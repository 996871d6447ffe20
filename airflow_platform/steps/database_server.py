"""The database server that the tenants of an environment share, in a container; and where its data is."""

from __future__ import annotations

import secrets as random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from airflow_platform import errors, secrets
from airflow_platform.config import built, places
from airflow_platform.engine import step
from airflow_platform.manifests import containers as manifest
from airflow_platform.steps.contexts import EnvironmentContext, EnvironmentStep
from airflow_platform.tools import files, postgresql
from airflow_platform.tools.containers import opened
from airflow_platform.tools.containers.spec import Container, Found

READY_TIMEOUT = 120.0
"""Seconds until the server answers: 4 where its data are new, more after a crash."""

USER = "postgres"
"""The administrator."""


class DatabaseVolume(EnvironmentStep):
    """The volume with the data of all tenants, and the password of the server that keeps them."""

    name = "database-volume"
    keeps_data = True
    required_by = ("directory",)  # So that it goes last on the way down, after the server.

    def __init__(self, place: places.EnvironmentPlace, engine: opened.Open) -> None:
        self._place = place
        self._open = engine
        self._mark = (manifest.OWNER, str(place.directory))

    def observe(self, context: EnvironmentContext) -> tuple[bool, bool]:
        """Whether the volume is there, and whether the password is."""
        name = _name(context)
        with self._open() as engine:
            found = engine.volumes.named(name)
        opened.require_ours("volume", name, found.labels if found else None, self._mark)
        return found is not None, self._place.server_password.is_file()

    def plan(self, context: EnvironmentContext, observed: tuple[bool, bool]) -> step.Change | step.NoChange:
        volume, password = observed
        if context.goal is step.Goal.ABSENT:
            return self._plan_removal(volume)
        if volume and not password:
            raise errors.StepError(
                f"{self._place.server_password} is gone, and nobody else knows the database server's password.",
                hint="Put the file back, or begin anew: `inv tenant-down --delete-data`.",
            )
        return step.NoChange("it is there") if volume else step.Change(f"make volume {_name(context)}")

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        name, password = _name(context), self._place.server_password
        with self._open() as engine:
            if context.goal is step.Goal.ABSENT:
                engine.volumes.remove(name)
                password.unlink(missing_ok=True)
                return {}
            # The password comes first: a volume without one would be locked for ever.
            if not password.is_file():
                files.make_directory(password.parent, mode=0o700)
                files.write(password, random.token_urlsafe(32), mode=0o600)
            engine.volumes.make(name, manifest.labels(self._mark[1], component=manifest.SERVER))
        return {}

    def _plan_removal(self, volume: bool) -> step.Change | step.NoChange:
        if not volume:
            return step.NoChange("it is not there")
        if inhabitants := self._place.found():
            return step.NoChange(f"tenants still use it: {', '.join(inhabitants)}")
        return step.Change("delete the volume with the databases; no tenant is left")


@dataclass(frozen=True)
class Observed:
    """What should run (None on the way down), what is there, and on the way down whose containers run."""

    wanted: Container | None
    found: Found | None
    network: bool
    """Whether its network is there."""
    inhabitants: tuple[str, ...]
    volume: bool = True
    """Whether its data are there."""


class DatabaseServer(EnvironmentStep):
    """Outputs: `host`, `port`, `user`, `password_file`, `container`."""

    name = "database-server"
    requires: ClassVar[Sequence[str]] = ("images", "database-volume")

    def __init__(self, place: places.EnvironmentPlace, engine: opened.Open) -> None:
        self._place = place
        self._open = engine
        self._mark = (manifest.OWNER, str(place.directory))

    def observe(self, context: EnvironmentContext) -> Observed:
        with self._open() as engine:
            network = engine.networks.named(_network(context))
            found = engine.containers.named(_name(context))
            others = engine.containers.found({self._mark[0]: self._mark[1]})
        for kind, thing in (("network", network), ("container", found)):
            if thing is not None:
                opened.require_ours(kind, thing.name, thing.labels, self._mark)
        return Observed(
            wanted=None if context.goal is step.Goal.ABSENT else self._wanted(context),
            found=found,
            network=network is not None,
            inhabitants=tuple(sorted({t for each in others if (t := each.labels.get(manifest.TENANT))})),
        )

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        found, wanted = observed.found, observed.wanted
        if wanted is None:
            return _plan_stop(observed)
        if found is None:
            return step.Change("start the database server")
        if found.digest != wanted.digest():
            return step.Change("restart the database server with other settings")
        if not found.running or not found.ports:
            return step.Change(f"start the database server again ({found.last_exit or found.state})")
        return step.NoChange("the database server runs", self._outputs(context, found))

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        name = _name(context)
        with self._open() as engine:
            if context.goal is step.Goal.ABSENT:
                engine.containers.remove(name)
                engine.networks.remove(_network(context))
                return {}
            found = self._start(context, engine, self._wanted(context))
        return self._outputs(context, found)

    def _start(self, context: EnvironmentContext, engine: opened.Engine, wanted: Container) -> Found:
        """Start it in the place of one that may be there, and wait until it answers."""
        if engine.networks.named(_network(context)) is None:
            engine.networks.make(_network(context), manifest.labels(self._mark[1]))
        engine.containers.remove(wanted.name)
        engine.containers.start(wanted)
        context.wait_for(
            "the database server",
            lambda: self._missing(context, engine),
            timeout=READY_TIMEOUT,
            hint=f"Look into its log: `docker logs {wanted.name}`.",
        )
        found = engine.containers.named(wanted.name)
        assert found is not None
        return found

    def _wanted(self, context: EnvironmentContext) -> Container:
        context.outputs("database-volume")  # With `--plan` it is unknown yet, and so is the password.
        return self._of_image(context, context.outputs("images")["images"][manifest.SERVER])

    def _of_image(self, context: EnvironmentContext, image: str) -> Container:
        password = secrets.Secret(self._place.server_password.read_text())
        context.programs.mask.add(password)
        owner = str(self._place.directory)
        return manifest.server(context.environment, owner=owner, image=image, password=password)

    def _missing(self, context: EnvironmentContext, engine: opened.Engine) -> str:
        """What keeps the server from answering; "" for nothing."""
        found = engine.containers.named(_name(context))
        if found is None or not found.running or not found.ports:
            return f"its container ({found.last_exit or found.state})" if found else "its container"
        try:
            with postgresql.connected(self._server(found)):
                return ""
        except errors.PlatformError as error:
            return error.message

    def _server(self, found: Found) -> postgresql.Server:
        password = secrets.Secret(self._place.server_password.read_text())
        return postgresql.Server("127.0.0.1", found.ports[manifest.DATABASE_PORT], USER, password)

    def _outputs(self, context: EnvironmentContext, found: Found) -> dict[str, step.Json]:
        return {
            "host": "127.0.0.1",
            "port": found.ports[manifest.DATABASE_PORT],
            "user": USER,
            "password_file": str(self._place.server_password),
            "container": found.name,
        }


class DatabaseAccess(DatabaseServer):
    """On the way down, before anything of the tenants is deleted: a server that was stopped is started.

    Only a server that runs can drop what a tenant has in it. On the way up there is nothing to do.
    """

    name = "database-access"
    requires = ("database-role",)
    keeps_data = True

    def __init__(self, place: places.EnvironmentPlace, engine: opened.Open, *, record: Path) -> None:
        """Make the step.

        Args:
            place: Where the environment's files are.
            engine: The way to the engine.
            record: What `inv build` wrote: on the way down, the step `images` is not asked.
        """
        super().__init__(place, engine)
        self._record = record

    def observe(self, context: EnvironmentContext) -> Observed:
        with self._open() as engine:
            found = engine.containers.named(_name(context))
            volume = engine.volumes.named(_name(context))
        return Observed(None, found, network=False, inhabitants=(), volume=volume is not None)

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        if context.goal is step.Goal.PRESENT:
            return step.NoChange("the tenants' databases can be reached")
        if not observed.volume:
            return step.NoChange("there is no database")
        if observed.found is not None and observed.found.running:
            return step.NoChange("the database server runs")
        return step.Change("start the database server, to drop what the tenants have in it")

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        recorded = built.read(self._record)
        if recorded is None or manifest.SERVER not in recorded.images:
            raise errors.StepError(
                f"The database server is stopped, and {self._record} does not name its image.",
                hint="Run `scripts/inv build`, then this again.",
            )
        with self._open() as engine:
            self._start(context, engine, self._of_image(context, recorded.images[manifest.SERVER].id))
        return {}


def _plan_stop(observed: Observed) -> step.Change | step.NoChange:
    if observed.found is None and not observed.network:
        return step.NoChange("it does not run")
    if observed.inhabitants:
        return step.NoChange(f"tenants still use it: {', '.join(observed.inhabitants)}")
    return step.Change("stop the database server; no tenant uses it")


def _name(context: EnvironmentContext) -> str:
    return f"{manifest.prefix(context.environment.name)}.{manifest.SERVER}"


def _network(context: EnvironmentContext) -> str:
    return manifest.prefix(context.environment.name)
