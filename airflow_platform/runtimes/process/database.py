"""A tenant's metadata database: copied from the template, migrated when Airflow changes, never downgraded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.config import state_files
from airflow_platform.engine import step
from airflow_platform.runtimes.process import manifest, supervisor_client
from airflow_platform.tenants.contexts import TenantContext, TenantStep
from airflow_platform.tools import files, sqlite_metadata, users

TIMEOUT = 1800.0
"""Seconds for the migration of a used database; an empty one takes 10."""

STOP_TIMEOUT = 60.0
"""Seconds for the components to stop before a migration."""

GIT_CONFIG = '[safe]\n\tdirectory = "{repository}"\n'
"""The repository is the toolkit's user's; Git reads it for the tenant's only when told that this is meant."""


@dataclass(frozen=True)
class Observed:
    """Revisions: the database's ("" when there is none), the template's, and all that are known."""

    revision: str
    wanted: str
    known: tuple[str, ...]
    backup: str = ""
    """The copy from before a migration that was begun and not ended; "" when none was."""


class TenantDatabase(TenantStep):
    """Outputs: `revision`."""

    name = "database"

    def __init__(self, place: state_files.EnvironmentFiles) -> None:
        self._place = place

    def observe(self, context: TenantContext) -> Observed:
        template = context.outputs("database-template")
        place = self._place.tenant(context.tenant.name)
        return Observed(
            revision=sqlite_metadata.revision(place.database),
            wanted=template["revision"],
            known=tuple(template["known"]),
            backup=_unfinished(place),
        )

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        outputs = {"revision": observed.wanted}
        if not observed.revision:
            return step.Change(
                f"copy the template at revision {observed.wanted}", {"outputs": outputs, "do": "copy"}
            )
        if observed.backup:
            return step.Change(
                f"put back {observed.backup}, since its migration was cut short, and migrate to {observed.wanted}",
                {"outputs": outputs, "do": "migrate", "from": observed.revision, "restore": observed.backup},
            )
        if observed.revision == observed.wanted:
            return step.NoChange(f"it is at revision {observed.wanted}", outputs)
        if observed.revision not in observed.known:
            raise errors.StepError(
                f"The metadata database is at revision {observed.revision}, which this Airflow does not know: "
                "a newer Airflow has migrated it.",
                hint="Go back to the newer Airflow in versions.toml; databases are never downgraded.",
            )
        return step.Change(
            f"back up, then migrate from revision {observed.revision} to {observed.wanted}",
            {"outputs": outputs, "do": "migrate", "from": observed.revision, "restore": ""},
        )

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        place = self._place.tenant(context.tenant.name)
        owner = users.of_tenant(place.directory)
        if change.details["do"] == "migrate":
            self._migrate(context, place, owner, change.details)
        else:
            template = Path(context.outputs("database-template")["database"])
            sqlite_metadata.copy(template, place.database, owner=owner, drafts=place.directory)
        outputs: step.Outputs = change.details["outputs"]
        return outputs

    def _migrate(
        self,
        context: TenantContext,
        place: state_files.TenantFiles,
        owner: int | None,
        details: Mapping[str, Any],
    ) -> None:
        """Migrate a database of which a good copy lies in the backups, whatever is killed and when."""
        context.progress("stopping the components")
        supervisor_client.stop(place.run, STOP_TIMEOUT, sleep=context.programs.interruption.sleep)
        if details["restore"]:
            good = place.backups / details["restore"]
            sqlite_metadata.copy(good, place.database, owner=owner, drafts=place.directory)
        else:
            # Until the mark is there nothing has been migrated, so that this copy may be made again.
            backup = place.backups / f"airflow-{details['from']}.db"
            sqlite_metadata.copy(place.database, backup)
            files.write(place.migrating, backup.name)
        programs = Path(context.outputs("airflow-packages")["programs"])
        context.progress("airflow db migrate")
        context.programs.run(
            [programs / "airflow", "db", "migrate"],
            env=manifest.migration_environment(place.home, programs),
            cwd=place.home,
            timeout=TIMEOUT,
            user=owner,
            hint=f"A copy from before is in {place.backups}.",
        )
        with errors.state_errors(place.migrating):
            place.migrating.unlink()


def _unfinished(place: state_files.TenantFiles) -> str:
    """The name of the good copy, while a migration is under way or was cut short."""
    try:
        return place.migrating.read_text()
    except FileNotFoundError:
        return ""


class GitConfiguration(TenantStep):
    """The tenant's Git settings: that it may read the toolkit's repository."""

    name = "git-configuration"

    def __init__(self, place: state_files.EnvironmentFiles) -> None:
        self._place = place

    def observe(self, context: TenantContext) -> bool:
        """Whether the file says what it must."""
        path, content = self._wanted(context)
        try:
            return files.read_untrusted(path, limit=len(content.encode())) == content.encode()
        except (OSError, ValueError):
            return False

    def plan(self, context: TenantContext, observed: bool) -> step.Change | step.NoChange:
        if observed:
            return step.NoChange("it may read the repository")
        return step.Change("let Git read the repository for the tenant")

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        path, content = self._wanted(context)
        place = self._place.tenant(context.tenant.name)
        owner = users.of_tenant(place.directory)
        files.write(path, content, mode=0o600, owner=owner, drafts=place.directory)
        return {}

    def _wanted(self, context: TenantContext) -> tuple[Path, str]:
        place = self._place.tenant(context.tenant.name)
        quoted = str(self._place.repository).replace("\\", "\\\\").replace('"', '\\"')
        return place.home / ".gitconfig", GIT_CONFIG.format(repository=quoted)
