"""A project with DAGs, a repository that serves its branch, and real Git servers in front of that."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import http_server

from airflow_platform.dags import dag_branch
from airflow_platform.programs import programs
from airflow_platform.tools.git import git, git_remote

TOKEN, READER = "glpat-" + "w" * 20, "glpat-" + "r" * 20
"""Access tokens that may write, and that may not."""

IDENTITY = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false")


def run_git(directory: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *IDENTITY, "-C", str(directory), *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.stdout.strip()


@dataclass
class Project:
    """A checkout whose DAGs are synced."""

    directory: Path

    def commit(self, **files: str) -> str:
        """Write files below dags/ and commit them; returns the commit."""
        for name, content in files.items():
            path = self.directory / "dags" / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        run_git(self.directory, "add", "--all")
        run_git(
            self.directory, "commit", "--quiet", "--allow-empty", "--message", f"Change {', '.join(files)}"
        )
        return run_git(self.directory, "rev-parse", "HEAD")

    def wanted(self, commit: str) -> dag_branch.Wanted:
        tree = run_git(self.directory, "rev-parse", f"{commit}:dags")
        return dag_branch.Wanted(commit, tree, self.directory / ".git" / "objects", f"Serve {commit[:12]}")


@pytest.fixture
def runner() -> programs.Programs:
    return programs.Programs()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    directory = tmp_path / "project"
    run_git(tmp_path, "init", "--quiet", "--initial-branch=main", str(directory))
    made = Project(directory)
    made.commit(hello="x = 1\n")
    return made


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """The directory with the repository that has the branch: `project.git`."""
    root = tmp_path / "served"
    run_git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(root / "project.git"))
    run_git(root / "project.git", "config", "http.receivepack", "true")
    return root


@pytest.fixture
def server(served: Path) -> Iterator[http_server.State]:
    """That directory over HTTP, for whoever has a token."""
    with http_server.serving(served) as state:
        state.tokens |= {TOKEN: http_server.WRITE, READER: http_server.READ}
        yield state


def branch(
    directory: Path, remote: git_remote.Remote, *, who: str = "Ann <ann@example.com>"
) -> dag_branch.DagBranch:
    """The branch as one machine sees it, with its copy below a directory."""
    return dag_branch.DagBranch(
        repository=directory / "copy.git",
        remote=remote,
        name="dags-live",
        ledger="dags-ledger",
        folder="dags",
        who=who,
        turn=contextlib.nullcontext,
    )


def head_of(served: Path, name: str = "dags-live") -> str:
    """The commit of a branch on the server; "" when it is not there."""
    return git.branch(programs.Programs(), served / "project.git", name)
