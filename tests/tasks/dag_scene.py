"""A checkout with DAGs, environments, and tenants that serve what a test says: for the tasks about DAGs."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_platform import errors, secrets
from airflow_platform.config import paths, state_files
from airflow_platform.dags import dag_arrival
from airflow_platform.dags.check import commit_check
from airflow_platform.dags.check.findings import Checked, Finding, ParsedDag, ParsedFile
from airflow_platform.engine import file_lock
from airflow_platform.engine.store import Store
from airflow_platform.programs import programs
from airflow_platform.runtimes import local_access, runtime_table
from airflow_platform.tenants import access
from airflow_platform.tools.git import git
from tests.steps import api_server
from tests.steps.dag_project import Project


@dataclass
class Tenant:
    """What one tenant is like; None for `server` is a tenant that is down."""

    server: api_server.ApiServer | None = None
    broken: str = ""
    """Why it cannot be read."""
    stuck: bool = False
    """Whether it never comes to serve anything new."""
    commit: str = ""
    """That its dag-processor has parsed."""


@dataclass
class Fleet:
    """A runtime whose tenants serve their environment's repository at once."""

    environment: str
    tenants: dict[str, Tenant]
    scene: Scene

    def is_running(self, tenant: str) -> bool:
        return self.tenants[tenant].server is not None

    def dag_commit(self, tenant: str) -> str:
        mine = self.tenants[tenant]
        if mine.broken:
            raise errors.StepError(mine.broken)
        if not mine.stuck:
            self._parse(tenant)
        return mine.commit

    def dags_refreshed(self, tenant: str) -> datetime.datetime:
        """Before whatever was parsed."""
        return datetime.datetime.fromisoformat(api_server.TIME) - datetime.timedelta(minutes=1)

    def tenants_found(self) -> tuple[str, ...]:
        return tuple(self.tenants)

    def access(self, tenant: str) -> AbstractContextManager[access.Access]:
        server = self.tenants[tenant].server
        assert server is not None
        return access.opened(server.url, "admin", secrets.Secret(api_server.PASSWORD), stranger=lambda: "")

    def store(
        self, runner: programs.Programs, *, lock_timeout: float, on_note: Callable[[str], None]
    ) -> Store:
        place = state_files.EnvironmentFiles(paths.state(self.environment))
        return local_access.store(place, runner, lock_timeout=lock_timeout, on_note=on_note)

    def _parse(self, tenant: str) -> None:
        """As the dag-processor does: all files of the branch `served`."""
        runner, mine = self.scene.project.runner, self.tenants[tenant]
        server = mine.server
        repository = state_files.EnvironmentFiles(paths.state(self.environment)).repository
        commit = git.branch(runner, repository, "served")
        assert server is not None
        if commit in ("", mine.commit):
            return
        mine.commit = commit
        server.dags.clear()
        server.import_errors.clear()
        for path in git.listed(runner, repository, git.tree(runner, repository, commit, "dags")):
            name = Path(path).stem
            text = git.call(runner, repository, "show", f"{commit}:dags/{path}").stdout
            if f"fails in {tenant}" in text:
                server.add_import_error(path, "RuntimeError: not here")
            else:
                server.add_dag(name, commit)


@dataclass
class Scene:
    """All of it."""

    project: Project
    fleets: dict[str, Fleet] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    """What the check finds."""
    hooks: list[Callable[..., Checked]] = field(default_factory=list)
    """What is called in the place of the check."""

    def check(self, commit: git.Commit, against: Any, **options: Any) -> Checked:
        """Each file is a DAG of its own name."""
        if self.hooks:
            return self.hooks[0](commit, against, **options)
        listed = git.listed(self.project.runner, self.project.checkout, commit.tree)
        files = tuple(
            ParsedFile(path, (ParsedDag(Path(path).stem, 1, (), "o"),), ()) for path in sorted(listed)
        )
        return Checked(commit.sha, commit.tree, files, tuple(self.findings))

    def was_up(self, *names: str) -> None:
        """These environments serve the checkout's commit, as before the first sync."""
        for name in names:
            repository = state_files.EnvironmentFiles(paths.state(name)).repository
            git.make_bare(self.project.runner, repository, "served")
            head = git.resolve(self.project.runner, self.project.checkout, "HEAD", "dags").sha
            git.fetch(self.project.runner, repository, self.project.checkout, head, "served")


def leave_locked(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Have a program of a killed run hold a lock, and end as soon as somebody has seen whose it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = file_lock.Holder(2**31, socket.gethostname(), "2026-11-23T02:44:00+00:00", "inv dags-sync")
    path.write_text(json.dumps(dataclasses.asdict(holder)))
    held = [os.open(path, os.O_RDWR)]
    fcntl.flock(held[0], fcntl.LOCK_EX)
    read = file_lock.read_holder

    def end(asked: Path) -> file_lock.Holder | None:
        found = read(asked)
        if asked == path and held:
            os.close(held.pop())
        return found

    monkeypatch.setattr(file_lock, "read_holder", end)


@contextlib.contextmanager
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *up: str) -> Iterator[Scene]:
    """A scene in which these tenants, `environment/tenant`, are up."""
    scene = Scene(Project(tmp_path))
    scene.project.commit({"orders.py": "x = 1"})
    tenants = {"sandbox": ("analytics", "finance"), "prod": ("analytics", "finance"), "boxes": ("analytics",)}
    with contextlib.ExitStack() as stack:
        for environment, names in tenants.items():
            found = {name: Tenant() for name in names}
            scene.fleets[environment] = Fleet(environment, found, scene)
        for name in up:
            environment, _, tenant = name.partition("/")
            server = stack.enter_context(api_server.ApiServer())
            thread = api_server.serve(server)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            scene.fleets[environment].tenants[tenant].server = server
        scene.was_up(*{name.partition("/")[0] for name in up})
        monkeypatch.setenv("AIRFLOW_PLATFORM_PROJECT", str(scene.project.checkout))
        monkeypatch.setattr(runtime_table, "of", lambda spec: scene.fleets[spec.name])
        monkeypatch.setattr(commit_check, "check", scene.check)
        for name in ("CONFIRMED", "SETTLING"):
            monkeypatch.setattr(dag_arrival, name, 0.2)  # Nothing here is parsed later than at once.
        yield scene
