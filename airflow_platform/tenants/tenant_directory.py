"""A tenant's directories and, as root, the user id that they belong to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import state_files
from airflow_platform.engine import step
from airflow_platform.tenants.contexts import TenantContext, TenantStep, owner
from airflow_platform.tools import files, users


@dataclass(frozen=True)
class Observed:
    """Directories that are missing or have another mode or owner (on the way down: what is there)."""

    paths: tuple[str, ...]
    user: int | None
    """The user id that the tenant has here."""


@dataclass(frozen=True)
class _Directory:
    path: Path
    mode: int
    owner: int | None
    group: int | None


class TenantDirectory(TenantStep):
    """Outputs: `user` (the tenant's user id, or null without root)."""

    name = "directory"
    keeps_data = True

    def __init__(self, place: state_files.EnvironmentFiles) -> None:
        self._place = place

    def check(self, context: TenantContext) -> Iterable[errors.Fault]:
        place = self._place.tenant(context.tenant.name)
        directory = place.directory
        nearest = next(path for path in (directory, *directory.parents) if path.exists())
        if not os.access(nearest, os.W_OK | os.X_OK):
            yield errors.Fault(
                str(directory),
                f"{nearest} cannot be written.",
                "Mend its permissions, or set AIRFLOW_PLATFORM_STATE.",
            )
        if owner(place) is None or context.goal is step.Goal.ABSENT:
            return
        if directory.exists() and (made_by := directory.stat().st_uid) != 0:
            yield errors.Fault(
                str(directory),
                f"User id {made_by} made it; as root its files would belong to nobody who can use them.",
                "Run this as that user, or take the tenant away first: `inv tenant-down --delete-data`.",
            )
        if closed := users.blocking_directory(
            self._place.directory if self._place.directory.exists() else nearest
        ):
            yield errors.Fault(
                str(self._place.directory),
                f"Tenants run as users of their own, and those cannot enter {closed}.",
                f"Run `chmod o+x {closed}`, or set AIRFLOW_PLATFORM_STATE to a place that all users can enter.",
            )

    def observe(self, context: TenantContext) -> Observed:
        place = self._place.tenant(context.tenant.name)
        user = owner(place)
        if context.goal is step.Goal.ABSENT:
            return Observed((str(place.directory),) if place.directory.exists() else (), user)
        unfit = (
            str(each.path)
            for each in _layout(place)
            if not each.path.is_dir()
            or not files.fits(each.path, mode=each.mode, owner=each.owner, group=each.group)
        )
        return Observed(tuple(unfit), user)

    def plan(self, context: TenantContext, observed: Observed) -> step.Change | step.NoChange:
        directory = self._place.tenant(context.tenant.name).directory
        if context.goal is step.Goal.ABSENT:
            return step.Change(f"delete {directory}") if observed.paths else step.NoChange("it is not there")
        outputs = {"user": observed.user}
        if not observed.paths:
            return step.NoChange("directories are there", outputs)
        whose = f" for user id {observed.user}" if observed.user is not None else ""
        verb = "make" if str(directory) in observed.paths else "fix"
        return step.Change(f"{verb} {directory}{whose}", {"outputs": outputs})

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        place = self._place.tenant(context.tenant.name)
        if context.goal is step.Goal.ABSENT:
            with errors.state_errors(place.directory):
                _delete(place)
            return {}
        for each in _layout(place):
            files.make_directory(each.path, mode=each.mode, owner=each.owner, group=each.group)
        outputs: step.Outputs = change.details["outputs"]
        return outputs


def _delete(place: state_files.TenantFiles) -> None:
    """Keys go last: data encrypted with a key must never outlive it, also when this run is killed."""
    for each in place.directory.iterdir():
        if each.is_symlink() or not each.is_dir():
            each.unlink()
        elif each != place.keys:
            shutil.rmtree(each)
    shutil.rmtree(place.directory)


def _layout(place: state_files.TenantFiles) -> tuple[_Directory, ...]:
    """Root keeps what it reads back; its group may pass through; `home` and `snowflake` are the tenant's."""
    user = owner(place)
    root = None if user is None else 0
    shared = 0o700 if user is None else 0o710
    return (
        _Directory(place.directory, shared, root, user),
        _Directory(place.keys, shared, root, user),
        _Directory(place.certificates, 0o700 if user is None else 0o750, root, user),
        _Directory(place.logs, 0o700, root, root),
        _Directory(place.run, 0o700, root, root),
        _Directory(place.backups, 0o700, root, root),
        _Directory(place.home, 0o700, user, user),
        _Directory(place.snowflake, 0o700, user, user),
    )
