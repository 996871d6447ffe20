"""The branch that all environments follow: from `dags.toml` to the repository that has it."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import dag_settings, load, paths, secret_references
from airflow_platform.dags import dag_branch
from airflow_platform.engine import file_lock
from airflow_platform.programs import programs
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tools.git import git, git_remote

LOCK_TIMEOUT = 60.0
"""Seconds to wait for an environment's lock, or for the repository with the branch."""


def branch(
    runner: programs.Programs,
    on_note: Callable[[str], None],
    spec: dag_settings.Branch | None = None,
    *,
    must_enter: bool = True,
) -> dag_branch.DagBranch:
    """The branch that `dags.toml` names.

    Args:
        runner: Starts Git.
        on_note: Called with a line for people when what a killed run left is waited for.
        spec: What that file says; by default it is read.
        must_enter: Whether the token must be there. Who only follows can do with what is known already.

    Raises:
        ConfigurationError: That file does not say what it must.
        PreflightError: The token that it refers to is not there.
    """
    spec = spec or load.dag_project().branch
    directory = paths.dag_state()
    remote = spec.remote
    there = (
        _remote(remote, must_enter=must_enter) if remote else git_remote.Remote(str(directory / "branch.git"))
    )
    # A copy of one server's branch is never taken for another's.
    of = f"-{hashlib.sha256(there.url.encode()).hexdigest()[:12]}" if remote else ""
    return dag_branch.DagBranch(
        repository=directory / f"copy{of}.git",
        remote=there,
        name=spec.name,
        ledger=spec.ledger,
        folder=manifest.FOLDER,
        who=_who(runner),
        turn=turns(runner, on_note),
        own_remote=remote is None,
    )


def branch_if_any(runner: programs.Programs, on_note: Callable[[str], None]) -> dag_branch.DagBranch | None:
    """The same for those who follow it; None where nothing can have been synced yet."""
    spec = load.dag_project().branch
    if spec.remote is None and not (paths.dag_state() / "branch.git" / "HEAD").is_file():
        return None
    return branch(runner, on_note, spec, must_enter=False)


def objects(runner: programs.Programs) -> Path:
    """Where the checkout keeps what Git has committed."""
    words = ("rev-parse", "--path-format=absolute", "--git-path", "objects")
    return Path(git.call(runner, paths.project().root, *words).stdout.strip())


def _remote(spec: dag_settings.Remote, *, must_enter: bool) -> git_remote.Remote:
    token = None
    try:
        token = secret_references.resolve(spec.token) if spec.token else None
    except errors.PreflightError:
        if must_enter:
            raise
    return git_remote.Remote(
        url=str(paths.project().root / spec.url) if spec.url.startswith(("./", "../")) else spec.url,
        user=spec.user,
        token=token,
        key=paths.project().root / spec.key.file if spec.key and spec.key.file else None,
        known_hosts=paths.project().root / spec.known_hosts if spec.known_hosts else None,
    )


def _who(runner: programs.Programs) -> str:
    """Who runs this: GitLab's user in a job of its, else Git's, else the operating system's."""
    name, address = os.environ.get("GITLAB_USER_NAME"), os.environ.get("GITLAB_USER_EMAIL")
    if not name:
        name, address = (_configured(runner, key) for key in ("user.name", "user.email"))
    with contextlib.suppress(OSError, KeyError):  # A user id without an entry.
        name = name or getpass.getuser()
    return f"{name or 'unknown'} <{address or f'{name or os.geteuid()}@{socket.gethostname()}'}>"


def _configured(runner: programs.Programs, key: str) -> str:
    return git.call(runner, paths.project().root, "config", "--get", key, check=False).stdout.strip()


def turns(
    runner: programs.Programs, on_note: Callable[[str], None]
) -> Callable[[], AbstractContextManager[object]]:
    """What lets one at a time work in the repository with the branch."""
    path = paths.dag_state() / "locks" / "repository.lock"

    def turn() -> AbstractContextManager[object]:
        # A lock of its own, so that another turn of this process waits, too.
        lock = file_lock.FileLock(path, "the DAGs' branch", programs=runner, on_note=on_note)
        return lock.held(timeout=LOCK_TIMEOUT)

    return turn
