"""A tenant's metadata database in PostgreSQL at the revision of its Airflow; never downgraded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_platform import errors, secrets
from airflow_platform.config import state_files
from airflow_platform.engine import step
from airflow_platform.runtimes.docker import manifest, resource_owner
from airflow_platform.runtimes.docker.inputs import handed
from airflow_platform.tenants.contexts import TenantContext, TenantStep
from airflow_platform.tools import files
from airflow_platform.tools.containers import engine_session, output_lines
from airflow_platform.tools.postgresql import database_copies, postgresql_server

TIMEOUT = 1800.0
"""Seconds for the migration of a used database; an empty one takes 10."""


@dataclass(frozen=True)
class Observed:
    """Revisions: the database's ("" when it is empty), the image's, and all that the image knows."""

    revision: str
    wanted: str
    known: tuple[str, ...]
    ended: str
    """To which a migration ended; Alembic writes its revision down before Airflow has made all that it needs."""


class Migration(TenantStep):
    """Outputs: `revision`.

    PostgreSQL makes each revision's changes whole or not at all, so one that was killed is run again; that
    one ended is in a file of the tenant's. A used database is copied before: the copy has its revision's
    name and stays.
    """

    name = "migration"

    def __init__(
        self,
        place: state_files.EnvironmentFiles,
        engine: engine_session.Open,
        server: Callable[[TenantContext], postgresql_server.Server],
    ) -> None:
        self._place = place
        self._open = engine
        self._server = server

    def observe(self, context: TenantContext) -> Observed:
        images = context.outputs("images")
        with self._open() as engine:
            resource_owner.of(self._place).require("container", engine.containers.named(_container(context)))
        # As the tenant, never as the administrator: a tenant decides what a table of its own does when read.
        role = context.outputs("database-role")["role"]
        place = self._place.tenant(context.tenant.name)
        password = secrets.Secret(place.database_password.read_text())
        tenant = self._server(context).as_tenant(role, password)
        revision = postgresql_server.revision(tenant)
        return Observed(revision, images["revision"], tuple(images["known"]), _ended(place))

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        outputs = {"revision": observed.wanted}
        if observed.revision == observed.wanted == observed.ended:
            return step.NoChange(f"the metadata database is at revision {observed.wanted}", outputs)
        if observed.revision == observed.wanted:
            summary = f"finish the migration to {observed.wanted}, of which nothing says that it ended"
            return step.Change(summary, {"outputs": outputs, "from": ""})
        if not observed.revision:
            return step.Change(
                f"migrate an empty database to {observed.wanted}", {"outputs": outputs, "from": ""}
            )
        if observed.revision not in observed.known:
            raise errors.StepError(
                f"The metadata database is at revision {observed.revision}, which this Airflow does not know: "
                "a newer Airflow has migrated it.",
                hint="Build the newer Airflow's images again; databases are never downgraded.",
            )
        return step.Change(
            f"back up, then migrate from revision {observed.revision} to {observed.wanted}",
            {"outputs": outputs, "from": observed.revision},
        )

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        outputs: step.Outputs = change.details["outputs"]
        migrated = self._place.tenant(context.tenant.name).migrated
        with self._open() as engine:
            if revision := change.details["from"]:
                self._stop(context, engine)
                self._back_up(context, revision)
            context.progress("airflow db migrate")
            container = handed(context, self._place, {}).migration()
            # It may tell of an older migration, or of a database that was dropped since.
            migrated.unlink(missing_ok=True)
            ended = engine.containers.run(
                container,
                timeout=TIMEOUT,
                interruption=context.programs.interruption,
                progress=lambda line: context.progress(context.programs.mask(line)),
            )
        if ended.code != 0:
            shown = output_lines.indented(map(context.programs.mask, ended.tail))
            raise errors.StepError(
                f"airflow db migrate exited {ended.code}; its last lines:{shown}",
                hint="A revision is applied completely or not at all; fix the cause and run this again.",
            )
        files.write(migrated, str(outputs["revision"]), mode=0o600)
        return outputs

    def _stop(self, context: TenantContext, engine: engine_session.Engine) -> None:
        """The components of the older Airflow must not write into a database of the newer one."""
        context.progress("stopping the components")
        mine = manifest.labels(str(self._place.directory), context.tenant.name)
        for each in engine.containers.found(mine):
            engine.containers.remove(each.name)

    def _back_up(self, context: TenantContext, revision: str) -> None:
        server, database = self._server(context), context.outputs("database-role")["database"]
        context.progress("copying the database")
        database_copies.copy(server, database, f"{database}.{revision}")


def _ended(place: state_files.TenantFiles) -> str:
    try:
        return place.migrated.read_text()
    except FileNotFoundError:
        return ""


def _container(context: TenantContext) -> str:
    return f"{manifest.prefix(context.environment.name, context.tenant.name)}.{manifest.MIGRATION}"
