"""A tenant's role and database on the PostgreSQL server that the tenants of an environment share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from airflow_platform import errors, secrets
from airflow_platform.config import state_files
from airflow_platform.engine import step
from airflow_platform.tenants.contexts import TenantContext, TenantStep
from airflow_platform.tools.postgresql import catalog, postgresql_server, server_errors, tenant_databases
from airflow_platform.tools.postgresql.catalog import Described

LONGEST = 44
"""Bytes of a name. PostgreSQL takes 63; copies of the database append a dot and what they are of."""


class TenantDatabaseRole(TenantStep):
    """The role, the database of the same name that it owns, and on the way down their copies too.

    Outputs: `database` and `role`, which have the same name; never the password.
    """

    name = "database-role"
    keeps_data = True

    def __init__(
        self,
        *,
        server: Callable[[TenantContext], postgresql_server.Server | None],
        password: Callable[[TenantContext], secrets.Secret | None],
        owner: str,
        limit: int,
    ) -> None:
        """Make the step.

        Args:
            server: The server, as its administrator. On the way down no outputs can be read, and the
                server may be stopped: None says that there is none, and no data for one either.
            password: The tenant's password, as `from_file` reads it; None while there is none.
            owner: Whose the roles are, as every role on the server can read in their comments: what distinguishes
                this installation's `dev` from another's on the same server.
            limit: Connections that a tenant may have at the same time.
        """
        self._server = server
        self._password = password
        self._owner = owner
        self._limit = limit

    def observe(self, context: TenantContext) -> Described:
        server = self._server(context)
        if context.goal is step.Goal.PRESENT:
            return catalog.describe(_there(server), _name(context), self._masked_password(context))
        if server is None:
            return Described()
        try:
            return catalog.describe(server, _name(context), None)
        except server_errors.NotReachable as error:
            raise errors.StepError(
                f"The database server at {server} does not answer, and what {_name(context)} has there "
                "cannot be deleted.",
                hint=f"Start it (`inv tenant-up --env={context.environment.name}` does), then run this again.",
            ) from error

    def plan(self, context: TenantContext, observed: Described) -> step.Change | step.NoChange:
        name = _name(context)
        if context.goal is step.Goal.ABSENT:
            tenant_databases.require_ours(observed, name, self._mark(context))
            there = _there_is(observed, name)
            return step.Change(f"drop {', '.join(there)}") if there else step.NoChange("it is not there")
        says = tenant_databases.differences(observed, name, mark=self._mark(context), limit=self._limit)
        if says:
            return step.Change("; ".join(says))
        open_ones = ", ".join(observed.unclosable)
        warning = f"; but only their owner can close {open_ones} to other roles" if open_ones else ""
        return step.NoChange(f"role and database {name} are there{warning}", _outputs(name))

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        server, name, mark = _there(self._server(context)), _name(context), self._mark(context)
        if context.goal is step.Goal.ABSENT:
            tenant_databases.take_away(server, name, mark=mark)
            return {}
        password = self._masked_password(context)
        if password is None:
            raise errors.StepError(
                f"The password for role {name} is not there.", hint="Run this again: the keys are made first."
            )
        tenant_databases.bring(server, name, password=password, mark=mark, limit=self._limit)
        return _outputs(name)

    def _mark(self, context: TenantContext) -> str:
        return f"airflow-platform: tenant {context.tenant.name} of {self._owner}"

    def _masked_password(self, context: TenantContext) -> secrets.Secret | None:
        if password := self._password(context):
            context.programs.mask.add(password)
        return password


def name_of(environment: str, tenant: str) -> str:
    """The name of a tenant's role and of its database, other than every other tenant's.

    It is `<environment>_<tenant>` with hyphens as they are: underscores in their place would make one of
    `a-b_c` and `a_b-c`. What is too long is cut, and a digest of the whole follows two underscores, which no
    other name has. PostgreSQL keeps names that begin with `pg_` for itself, so these get another underscore.
    """
    whole = f"{environment}_{tenant}"
    if whole.startswith("pg_"):
        whole = f"_{whole}"
    if len(whole) <= LONGEST:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:12]
    return f"{whole[: LONGEST - 14]}__{digest}"


def from_file(place: state_files.EnvironmentFiles) -> Callable[[TenantContext], secrets.Secret | None]:
    """What reads a tenant's password where a runtime keeps keys in files; None when it is not there yet."""

    def read(context: TenantContext) -> secrets.Secret | None:
        try:
            text = place.tenant(context.tenant.name).database_password.read_text()
        except FileNotFoundError:
            return None
        return secrets.Secret(text) if text else None

    return read


def _name(context: TenantContext) -> str:
    return name_of(context.environment.name, context.tenant.name)


def _outputs(name: str) -> dict[str, str]:
    return {"database": name, "role": name}


def _there(server: postgresql_server.Server | None) -> postgresql_server.Server:
    if server is None:
        raise errors.StepError("There is no database server.", hint="Run this again: it is started first.")
    return server


def _there_is(found: Described, name: str) -> list[str]:
    return [
        *([f"database {name}"] if found.database else []),
        *(f"database {copy.name}" for copy in found.copies),
        *([f"role {name}"] if found.role else []),
    ]
