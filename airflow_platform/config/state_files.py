"""What lies where inside an environment's state directory, for the runtimes of one machine.

As root, each tenant has a user id of its own. Then only `home` and `snowflake` belong to that
user; everything that the toolkit or the supervisor reads back lies in directories that root owns,
so that a tenant's code can neither replace a key nor have root start a program of its choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TenantFiles:
    """The files of one tenant."""

    directory: Path
    own_user: bool = True
    """Whether, as root, they belong to a user of the tenant's; containers get copies instead."""

    @property
    def keys(self) -> Path:
        """Keys and passwords, a file each, 0600."""
        return self.directory / "keys"

    @property
    def passwords(self) -> Path:
        """The file in which Airflow's SimpleAuthManager looks passwords up."""
        return self.keys / "passwords.json"

    @property
    def admin_password(self) -> Path:
        """The password of the user `admin`, for people."""
        return self.keys / "admin_password"

    @property
    def snowflake_password(self) -> Path:
        """The password that the tenant's fakesnow asks for."""
        return self.keys / "snowflake_password"

    @property
    def database_password(self) -> Path:
        """The password of the tenant's role in PostgreSQL."""
        return self.keys / "database_password"

    @property
    def certificates(self) -> Path:
        """The tenant's local certificate authority, and fakesnow's certificate and key."""
        return self.directory / "certificates"

    @property
    def ports(self) -> Path:
        """The ports that the tenant was given, as JSON."""
        return self.directory / "ports.json"

    @property
    def migrated(self) -> Path:
        """Where PostgreSQL has the database: the revision to which it was migrated, to the very end."""
        return self.directory / "migrated"

    @property
    def settings(self) -> Path:
        """Which connections, variables and pools the toolkit wrote, with keyed digests, as JSON."""
        return self.directory / "settings.json"

    @property
    def home(self) -> Path:
        """AIRFLOW_HOME and HOME; belongs to the tenant's user."""
        return self.directory / "home"

    @property
    def database(self) -> Path:
        """The metadata database."""
        return self.home / "airflow.db"

    @property
    def backups(self) -> Path:
        """Copies of the metadata database from before a migration."""
        return self.directory / "backups"

    @property
    def migrating(self) -> Path:
        """While a migration is under way: the name of the copy from before it."""
        return self.backups / "migrating"

    @property
    def snowflake(self) -> Path:
        """fakesnow's databases; belongs to the tenant's user."""
        return self.directory / "snowflake"

    @property
    def logs(self) -> Path:
        """What the components print, a file each."""
        return self.directory / "logs"

    @property
    def run(self) -> Path:
        """The supervisor's spec, status, lock and log."""
        return self.directory / "run"

    @property
    def restarts(self) -> Path:
        """When a restart of a component was asked for, as JSON."""
        return self.run / "restarts.json"

    def log(self, component: str) -> Path:
        """What a component printed."""
        return self.logs / f"{component}.log"


@dataclass(frozen=True)
class EnvironmentFiles:
    """The files of one environment."""

    directory: Path
    own_users: bool = True
    """As of its tenants."""

    @property
    def repository(self) -> Path:
        """The bare Git repository from which the tenants serve DAGs."""
        return self.directory / "dags.git"

    @property
    def ports_lock(self) -> Path:
        """Held while a tenant chooses its ports; one for all environments, none of which has a name with a dot."""
        return self.directory.parent / "ports.lock"

    @property
    def server_password(self) -> Path:
        """The password of the administrator of the environment's own database server."""
        return self.directory / "server" / "password"

    @property
    def engine(self) -> Path:
        """Which Docker engine has the containers and databases, as JSON."""
        return self.directory / "engine.json"

    @property
    def tenants(self) -> Path:
        """A directory a tenant."""
        return self.directory / "tenants"

    def tenant(self, name: str) -> TenantFiles:
        """The place of one tenant; may not exist yet."""
        return TenantFiles(self.tenants / name, self.own_users)

    def found(self) -> tuple[str, ...]:
        """The tenants that have a directory, declared or not."""
        if not self.tenants.is_dir():
            return ()
        return tuple(sorted(path.name for path in self.tenants.iterdir() if path.is_dir()))
