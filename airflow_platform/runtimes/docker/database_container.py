"""The container of the database server that the tenants of an environment share, for the steps that start it."""

from __future__ import annotations

import secrets as random

from airflow_platform import errors, secrets
from airflow_platform.config import state_files
from airflow_platform.config.components import METADATA_DATABASE
from airflow_platform.engine import step
from airflow_platform.runtimes.docker import manifest, resource_owner
from airflow_platform.tenants.contexts import EnvironmentContext
from airflow_platform.tools import files
from airflow_platform.tools.containers import engine_session
from airflow_platform.tools.containers.spec import Container, FoundContainer
from airflow_platform.tools.postgresql import postgresql_server, server_errors

READY_TIMEOUT = 120.0
"""Seconds until the server answers: 4 where its data are new, more after a crash."""

PSQL_TIMEOUT = 30.0
"""Seconds for one statement inside the container; it takes 0.1."""

USER = "postgres"
"""The administrator."""

PASSWORD = "its password"  # noqa: S105 - that it is missing.
"""What is missing where the server has another one than our file."""


def name_of(context: EnvironmentContext) -> str:
    """The name of the container, and of the volume with its data."""
    return manifest.server_name(context.environment.name)


def network_of(context: EnvironmentContext) -> str:
    """The name of the network that it is made in."""
    return manifest.prefix(context.environment.name)


class DatabaseContainer:
    """The container, as it should be and as it is started."""

    def __init__(self, place: state_files.EnvironmentFiles) -> None:
        self._place = place
        self._owner = resource_owner.of(place)

    def make_password(self) -> None:
        """Make the administrator's password, unless it is there."""
        path = self._place.server_password
        if not path.is_file():
            files.make_directory(path.parent, mode=0o700)
            files.write(path, random.token_urlsafe(32), mode=0o600)

    def wanted(self, context: EnvironmentContext, image: str) -> Container:
        """As it should be; its password must be there."""
        owner, password = self._owner.value, self._password()
        return manifest.server(context.environment, owner=owner, image=image, password=password)

    def start(self, context: EnvironmentContext, engine: engine_session.Engine, wanted: Container) -> None:
        """Start it in the place of one that may be there, let it in, and wait until it answers.

        Raises:
            StepError: Its name or its network's is somebody else's; or it does not answer in time.
        """
        network = engine.networks.named(network_of(context))
        self._owner.require("network", network)
        self._owner.require("container", engine.containers.named(wanted.name))
        if network is None:
            engine.networks.make(network_of(context), manifest.labels(self._owner.value))
        engine.containers.remove(wanted.name)
        engine.containers.start(wanted)
        self.let_in(context, engine)
        self.wait(context, engine)

    def wait(self, context: EnvironmentContext, engine: engine_session.Engine) -> None:
        """Wait until it answers, and have it take the password that its container was made with.

        Raises:
            StepError: It does not answer in time.
        """
        name = name_of(context)
        context.wait_for(
            "the database server",
            lambda: self._still_missing(context, engine, name),
            timeout=READY_TIMEOUT,
            hint=f"Look into its log: `docker logs {name}`.",
        )

    def missing(self, found: FoundContainer | None) -> str:
        """What keeps the administrator from logging in: `PASSWORD`, or words for people; "" for nothing."""
        if found is None or not found.running or not found.ports:
            return f"its container ({found.last_exit or found.state})" if found else "its container"
        if not self._place.server_password.is_file():
            return PASSWORD
        server = postgresql_server.Server(
            "127.0.0.1", found.ports[manifest.DATABASE_PORT], USER, self._password()
        )
        try:
            with postgresql_server.connected(server):
                return ""
        except server_errors.WrongPassword:
            return PASSWORD
        except errors.PlatformError as error:
            return error.message

    def let_in(self, context: EnvironmentContext, engine: engine_session.Engine) -> None:
        """Let it into all networks that it is missing from."""
        name = name_of(context)
        for network in self.closed(context, engine, engine.containers.named(name)):
            engine.networks.connect(network, name, METADATA_DATABASE)

    def closed(
        self, context: EnvironmentContext, engine: engine_session.Engine, found: FoundContainer | None
    ) -> tuple[str, ...]:
        """The networks of tenants that it is not in, also of those that nobody selected: they run on it.

        On the way down those of the selected ones do not count, because they are being removed.
        """
        leaving = {each.name for each in context.tenants} if context.goal is step.Goal.ABSENT else set()
        networks = engine.networks.found(self._owner.labels)
        tenants = {each.name: each.labels.get(manifest.TENANT) for each in networks}
        there = found.networks if found else ()
        return tuple(
            name for name, tenant in tenants.items() if tenant not in {None, *leaving} and name not in there
        )

    def outputs(self, found: FoundContainer) -> dict[str, step.Json]:
        """What later steps are told of it."""
        return {
            "host": "127.0.0.1",
            "port": found.ports[manifest.DATABASE_PORT],
            "user": USER,
            "password_file": str(self._place.server_password),
            "container": found.name,
        }

    def _still_missing(self, context: EnvironmentContext, engine: engine_session.Engine, name: str) -> str:
        missing = self.missing(engine.containers.named(name))
        return self._set_password(context, engine, name) if missing == PASSWORD else missing

    def _set_password(self, context: EnvironmentContext, engine: engine_session.Engine, name: str) -> str:
        """Have the server take the password that its container was made with: its data may be older than that.

        Returns:
            What is missing from then on: a look that logs in with it, or what went wrong.
        """
        context.programs.mask.add(self._password())
        said: list[str] = []
        code = engine.containers.execute(
            name,
            manifest.SET_PASSWORD,
            on_output=lambda is_error, data: said.append(data.decode(errors="replace")),
            interruption=context.programs.interruption,
            timeout=PSQL_TIMEOUT,
        )
        return f"{PASSWORD} ({context.programs.mask(''.join(said).strip())})" if code else "its new password"

    def _password(self) -> secrets.Secret:
        return secrets.Secret(self._place.server_password.read_text())
