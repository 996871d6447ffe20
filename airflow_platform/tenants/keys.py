"""A tenant's keys and passwords: made once, kept for ever, in files that only the tenant can read."""

from __future__ import annotations

import base64
import json
import secrets as random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import state_files
from airflow_platform.engine import step
from airflow_platform.tenants import airflow_settings
from airflow_platform.tenants.contexts import TenantContext, TenantStep, owner
from airflow_platform.tools import files

MODE = 0o600

NAMES = ("fernet_key", "api_secret_key", "jwt_secret", "admin_password", "snowflake_password")
"""What every tenant's Airflow needs."""


@dataclass(frozen=True)
class Observed:
    """Files that are missing, files whose mode or owner is wrong, and the digest of all of them."""

    missing: tuple[str, ...]
    open: tuple[str, ...]
    fingerprint: str
    """Empty while one is missing."""


class Keys(TenantStep):
    """Outputs: `fingerprint` of all keys: another one means that components must restart."""

    name = "keys"

    def __init__(
        self, place: state_files.EnvironmentFiles, *, names: Sequence[str], has_data: Callable[[str], bool]
    ) -> None:
        """Make the step.

        Args:
            place: Where the environment's files are.
            names: What is made for each tenant, a file each.
            has_data: Whether a tenant has a metadata database, which was encrypted with its key.
        """
        self._place = place
        self._names = tuple(names)
        self._has_data = has_data

    def check(self, context: TenantContext) -> Iterable[errors.Fault]:
        place = self._place.tenant(context.tenant.name)
        if self._has_data(context.tenant.name) and not _is_there(place.keys / "fernet_key"):
            yield errors.Fault(
                str(place.keys / "fernet_key"),
                "It is gone or empty, and the metadata database was encrypted with it: a new key could not read that.",
                "Put the file back from a backup, or start again: `inv tenant-down --delete-data`.",
            )

    def observe(self, context: TenantContext) -> Observed:
        place = self._place.tenant(context.tenant.name)
        user = owner(place)
        names = [path for path in self._files(place) if not _is_there(path)]
        wrong = [
            path
            for path in self._files(place)
            if path not in names and not files.fits(path, mode=MODE, owner=user)
        ]
        if place.passwords not in names and _passwords(place) != place.passwords.read_text():
            names.append(place.passwords)
        return Observed(
            missing=tuple(path.name for path in names),
            open=tuple(path.name for path in wrong),
            fingerprint="" if names else self._fingerprint(place),
        )

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        if not observed.missing and not observed.open:
            return step.NoChange("keys are there, kept as they are", {"fingerprint": observed.fingerprint})
        parts = [f"make {', '.join(observed.missing)}"] if observed.missing else []
        parts += [f"close {', '.join(observed.open)} to others"] if observed.open else []
        return step.Change("; ".join(parts), {"missing": list(observed.missing)})

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        place = self._place.tenant(context.tenant.name)
        user = owner(place)
        for path in self._files(place):
            if path.name in change.details["missing"]:
                files.write(path, _make(path.name, place), mode=MODE, owner=user)
            elif not files.fits(path, mode=MODE, owner=user):
                files.write(path, path.read_text(), mode=MODE, owner=user)
        return {"fingerprint": self._fingerprint(place)}

    def _files(self, place: state_files.TenantFiles) -> tuple[Path, ...]:
        """In the order in which they are made: the password file holds the admin's password."""
        return (*(place.keys / name for name in self._names), place.passwords)

    def _fingerprint(self, place: state_files.TenantFiles) -> str:
        return step.digest([path.read_text() for path in self._files(place)])


def _is_there(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _make(name: str, place: state_files.TenantFiles) -> str:
    if name == place.passwords.name:
        return _passwords(place)
    return new(name)


def new(name: str) -> str:
    """A new value for one of the keys or passwords."""
    if name == "fernet_key":
        return base64.urlsafe_b64encode(random.token_bytes(32)).decode()
    return random.token_urlsafe(64 if name == "jwt_secret" else 32)


def _passwords(place: state_files.TenantFiles) -> str:
    """What Airflow's SimpleAuthManager reads: a password a user."""
    if not place.admin_password.is_file():
        return ""
    return json.dumps({airflow_settings.ADMIN: place.admin_password.read_text()})
