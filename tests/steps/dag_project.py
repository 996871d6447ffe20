"""A project with DAGs, the branch of its environments in a directory, and a place that is no Airflow."""

from __future__ import annotations

import contextlib
import datetime
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from airflow_platform import secrets
from airflow_platform.dags import dag_branch
from airflow_platform.programs import programs
from airflow_platform.tenants import access
from airflow_platform.tools.git import git, git_remote
from tests.steps import api_server

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false")


def run_git(directory: Path, *words: str, stdin: str = "") -> str:
    """What Git prints."""
    done = subprocess.run(
        ["git", *AUTHOR, "-C", str(directory), *words],
        check=True, capture_output=True, text=True, timeout=10, input=stdin,
    )  # fmt: skip
    return done.stdout.strip()


@dataclass
class Project:
    """A checkout, and the repository that serves its branch."""

    directory: Path
    runner: programs.Programs = field(default_factory=programs.Programs)

    @property
    def checkout(self) -> Path:
        return self.directory / "checkout"

    def commit(self, files: dict[str, str | None]) -> git.Commit:
        """Write files below dags/ (None deletes one) and commit them."""
        if not self.checkout.exists():
            run_git(self.directory, "init", "--quiet", "--initial-branch=main", str(self.checkout))
        for name, content in files.items():
            path = self.checkout / "dags" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_text(content)
        run_git(self.checkout, "add", "--all")
        run_git(self.checkout, "commit", "--quiet", "--allow-empty", "--message=c")
        return git.resolve(self.runner, self.checkout, "HEAD", "dags")

    def wanted(self, commit: git.Commit) -> dag_branch.Wanted:
        objects = self.checkout / ".git" / "objects"
        return dag_branch.Wanted(commit.sha, commit.tree, objects, f"Serve {commit.sha[:12]}")

    def branch(self, machine: str = "mine", who: str = "Ann <ann@example.com>") -> dag_branch.DagBranch:
        """The branch as one machine sees it."""
        return dag_branch.DagBranch(
            repository=self.directory / machine / "copy.git",
            remote=git_remote.Remote(str(self.directory / "branch.git")),
            name="dags-live",
            ledger="dags-ledger",
            folder="dags",
            who=who,
            turn=contextlib.nullcontext,
            own_remote=True,
        )

    def by_hand(self, files: dict[str, str], subject: str = "Hot fix") -> str:
        """A commit on the branch that the toolkit did not make."""
        self.commit(files)
        run_git(self.checkout, "fetch", "--quiet", str(self.directory / "branch.git"), "dags-live")
        tree = run_git(self.checkout, "rev-parse", "HEAD^{tree}")
        made = run_git(self.checkout, "commit-tree", tree, "-p", "FETCH_HEAD", "-m", subject)
        run_git(
            self.checkout,
            "push",
            "--quiet",
            str(self.directory / "branch.git"),
            f"{made}:refs/heads/dags-live",
        )
        return made


@dataclass
class Place:
    """A tenant, as `dags.dag_contexts.Place` has it: an api-server that is a double."""

    server: api_server.ApiServer | None = None
    repository: Path | None = None
    environment: str = "sandbox"
    tenant: str = "analytics"
    is_down: bool = False
    bundle: str = ""
    turns: int = 0
    linked: dict[str, str] = field(default_factory=dict)
    refresh: datetime.datetime | None = None

    @property
    def name(self) -> str:
        return f"{self.environment}/{self.tenant}"

    def down(self) -> bool:
        return self.is_down

    def commit(self) -> str:
        return self.bundle

    def refreshed(self) -> datetime.datetime | None:
        return self.refresh

    def links(self) -> dict[str, str]:
        return self.linked

    def access(self) -> AbstractContextManager[access.Access]:
        assert self.server is not None
        return access.opened(
            self.server.url, "admin", secrets.Secret(api_server.PASSWORD), stranger=lambda: ""
        )

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        self.turns += 1
        yield
