"""How an Airflow for tests comes up.

    network, volumes → database → migration → components → settings
                     → fakesnow
                     → broker

What is in one column starts at the same time.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_platform import errors, secrets
from airflow_platform.config import paths, secret_references
from airflow_platform.config.components import API_SERVER, FAKESNOW, METADATA_DATABASE
from airflow_platform.programs import programs
from airflow_platform.runtimes.docker import health, inputs
from airflow_platform.runtimes.docker import manifest as manifests
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tenants import declared_objects, keys
from airflow_platform.testing import testcontainers_adapter
from airflow_platform.testing.airflow_spec import SERVICES, AirflowSpec, Wanted
from airflow_platform.testing.local_airflow import LocalAirflow
from airflow_platform.tools import cache, certificates, ports, temporary
from airflow_platform.tools.airflow import airflow_client, airflow_objects
from airflow_platform.tools.containers import engine, engine_session, output_lines
from airflow_platform.tools.containers.spec import Container
from airflow_platform.tools.git import git

if TYPE_CHECKING:
    import docker

PORTS = range(18480, 18680)
"""Where its pages may be, on 127.0.0.1: behind tenants' ports, below those that the kernel gives away."""

ATTEMPTS = 5
"""Ports that are tried: another test run may take one between the look and the start."""

MIGRATION_TIMEOUT = 120
"""Seconds for `airflow db migrate` of an empty database; it takes 5."""

POLL = 0.25
"""Seconds between two looks at what starts."""

_log = logging.getLogger(__name__)


def start(
    stack: contextlib.ExitStack, order: AirflowSpec, client: docker.DockerClient, session: str
) -> LocalAirflow:
    """Bring an Airflow up.

    Args:
        stack: Gets what must be undone, apart from what has the session's label.
        order: What is wanted.
        client: Of the engine.
        session: The label's value.

    Raises:
        StepError: Something did not start: says what, with its last lines.
    """
    directory = stack.enter_context(temporary.directory(paths.cache() / cache.TESTS))
    wanted = Wanted(order, session, _files(directory, order), _snapshot(directory, order.dags))
    return _Bringing(stack, wanted, engine_session.of(client)).up()


class _Bringing:
    """One Airflow on its way up."""

    def __init__(self, stack: contextlib.ExitStack, wanted: Wanted, made_in: engine_session.Engine) -> None:
        self._stack = stack
        self._wanted = wanted
        self._engine = made_in
        self._began = time.monotonic()

    def up(self) -> LocalAirflow:
        with testcontainers_adapter.without_ryuk():
            self._make_surroundings()
            self._start_services()
            self._start_components()
        client = self._connect()
        names = {name: spec.name for name, spec in self._wanted.all().items()}
        self._wait(names, client)
        client.warm_up()
        self._put_settings(client)
        self._say("Airflow is ready")
        return LocalAirflow(
            url=client.session.url,
            user=manifest.ADMIN,
            password=self._wanted.files.keys["admin_password"],
            client=client,
            dags=self._wanted.order.dags,
            tenant=self._wanted.order.tenant,
            session=self._wanted.session,
            containers={**names, METADATA_DATABASE: self._wanted.server().name},
            open_engine=lambda: engine_session.opened(None),
        )

    def _make_surroundings(self) -> None:
        """Network and volumes, with our label, before a container makes them without."""
        self._engine.networks.make(self._wanted.network, self._wanted.labels)
        containers = (self._wanted.server(), *self._wanted.all().values())
        for name in {volume for each in containers for volume in each.volumes.values()}:
            self._engine.volumes.make(name, self._wanted.labels)

    def _start_services(self) -> None:
        """All that Airflow needs, until it is well; the database is migrated as soon as it is."""
        services = [spec for name, spec in self._wanted.all().items() if name in SERVICES]
        self._say("starting database and fakesnow")
        _at_once([self._start_database, *(_starting(self._start_well, each) for each in services)])

    def _start_database(self) -> None:
        self._start_well(self._wanted.server())
        migration = testcontainers_adapter.SpecContainer(self._wanted.migration())
        self._stack.callback(migration.close)
        self._say("airflow db migrate")
        if code := migration.run(timeout=MIGRATION_TIMEOUT):
            raise errors.StepError(f"airflow db migrate exited {code}; its last lines:{migration.tail()}")

    def _start_components(self) -> None:
        """The api-server first: it needs a port that others may want, and its name is told to all."""
        self._say("starting Airflow's components")
        candidates = random.sample(PORTS, len(PORTS))  # Others that start at the same time choose others.
        for port in ports.choose(candidates, taken=(), count=ATTEMPTS):
            self._wanted = replace(self._wanted, port=port)
            if self._could_publish(self._wanted.all()[API_SERVER]):
                break
        else:
            raise errors.StepError(
                f"Of the ports {PORTS.start} to {PORTS.stop - 1} on 127.0.0.1 none could be had.",
                hint="Stop what uses them.",
            )
        others = [spec for name, spec in self._wanted.all().items() if name not in (*SERVICES, API_SERVER)]
        _at_once(_starting(self._start, each) for each in others)

    def _could_publish(self, spec: Container) -> bool:
        """Start a container, unless somebody has taken its port meanwhile."""
        made = testcontainers_adapter.SpecContainer(spec)
        try:
            made.start()
        except engine.EngineError as error:
            made.stop()
            if "port is already allocated" in str(error) or "address already in use" in str(error):
                return False
            raise
        self._stack.callback(made.close)
        return True

    def _start(self, spec: Container) -> None:
        made = testcontainers_adapter.SpecContainer(spec)
        self._stack.callback(made.close)
        made.start()

    def _start_well(self, spec: Container) -> None:
        made = testcontainers_adapter.SpecContainer(spec, testcontainers_adapter.OwnHealthCheck())
        self._stack.callback(made.close)
        made.start()

    def _connect(self) -> airflow_client.Airflow:
        password = self._wanted.files.keys["admin_password"]
        client = airflow_client.Airflow(manifest.address(self._wanted.port), manifest.ADMIN, password)
        self._stack.callback(client.session.close)
        return client

    def _wait(self, names: dict[str, str], client: airflow_client.Airflow) -> None:
        timeout = self._wanted.order.timeout
        deadline = time.monotonic() + timeout
        while missing := self._missing(names, client):
            if time.monotonic() > deadline:
                raise errors.StepError(
                    f"Airflow was not healthy after {timeout:g} s: {missing} is missing.",
                    hint="The tests must run where the engine is: its ports are on 127.0.0.1 there.",
                )
            time.sleep(POLL)

    def _missing(self, names: dict[str, str], client: airflow_client.Airflow) -> str:
        """What is still missing; "" for nothing.

        Raises:
            StepError: A component has ended, so waiting is of no use.
        """
        found = {name: self._engine.containers.named(container) for name, container in names.items()}
        for name, each in found.items():
            if each is None or not each.running:
                how = "is gone" if each is None else each.last_exit
                lines = [
                    text for _, text in self._engine.containers.lines(names[name], last=output_lines.TAIL)
                ]
                raise errors.StepError(f"{name} {how}; its last lines:{output_lines.indented(lines)}")
        return health.missing(self._engine.containers, found, client)

    def _put_settings(self, client: airflow_client.Airflow) -> None:
        """Connections, variables and pools, as the step `settings` of a tenant puts them."""
        tenant, made = self._wanted.order.tenant, airflow_objects.Objects(client.session)
        password = self._wanted.files.keys["snowflake_password"]
        local = declared_objects.LocalSnowflake(FAKESNOW, manifests.SNOWFLAKE_PORT, password)
        for connection in declared_objects.connections(tenant, secret_references.resolve, local):
            made.put_connection(connection)
        for variable in declared_objects.variables(tenant, secret_references.resolve):
            made.put_variable(variable)
        for pool in declared_objects.pools(tenant):
            made.put_pool(pool)

    def _say(self, what: str) -> None:
        _log.info("%5.1f s: %s", time.monotonic() - self._began, what)


def _starting(start: Callable[[Container], None], spec: Container) -> Callable[[], None]:
    return lambda: start(spec)


def _at_once(works: Iterable[Callable[[], None]]) -> None:
    """Do all at the same time; the first error is raised when all have ended."""
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


def _snapshot(directory: Path, dags: Path) -> Path:
    """A bare repository with the folder as it is, which tenants serve in the same way."""
    repository, runner = directory / "dags.git", programs.Programs()
    git.make_bare(runner, repository, manifest.BRANCH)
    git.snapshot(runner, dags, repository, manifest.BRANCH, manifest.FOLDER)
    return repository


def _files(directory: Path, order: AirflowSpec) -> manifests.Files:
    """New keys, passwords and certificates."""
    made = {name: secrets.Secret(keys.new(name)) for name in (*inputs.KEYS, "admin_password")}
    certificates.create(directory, tenant=order.tenant.name, now=datetime.datetime.now(datetime.UTC))
    return manifests.Files(
        keys=made,
        passwords=secrets.Secret(json.dumps({manifest.ADMIN: made["admin_password"].reveal()})),
        authorities=(directory / certificates.BUNDLE).read_text(),
        certificate=(directory / certificates.CERTIFICATE).read_text(),
        certificate_key=secrets.Secret((directory / certificates.KEY).read_text()),
    )
