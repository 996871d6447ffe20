"""A check of DAG files on the real Airflow: a repository, a cache with the locked packages, a worker for each check."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_platform.config import dag_rules, package_recipes, specs
from airflow_platform.dags.check import baseline, commit_check
from airflow_platform.dags.check.findings import Checked
from airflow_platform.programs import programs
from airflow_platform.tenants import packages
from airflow_platform.testing import specs as made
from airflow_platform.tools.git import git
from tests.steps import calling

VARIABLE = "AIRFLOW_PLATFORM_TEST_AIRFLOW"
PACKAGES = os.environ.get(VARIABLE, "")

WAREHOUSE = {"id": "warehouse", "type": "http", "host": "warehouse.invalid"}
ANALYTICS = made.tenant(
    "analytics",
    variables={"orders_schema": "MARTS"},
    connections=(WAREHOUSE,),
    pools=({"name": "snowflake", "slots": 2},),
)
FINANCE = made.tenant("finance", connections=(WAREHOUSE,))
SANDBOX = made.environment("sandbox", ANALYTICS, FINANCE)

DAG = """
import datetime
from airflow.sdk import DAG, task

with DAG(
    "{name}",
    schedule="@daily",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    default_args={{"owner": "team", "retries": 1}},
    tags=["tenant:all"],
):
    @task
    def nothing():
        pass

    nothing()
"""


def dag(name: str) -> str:
    """A file with one DAG that nobody finds fault with."""
    return DAG.format(name=name)


def make_cache(directory: Path) -> Path:
    """A cache that has the locked packages, by a link to where they are."""
    directory.chmod(0o755)
    step = packages.AirflowPackages(package_recipes.airflow(), cache=directory, ready=None)
    entry = step.observe(calling.Calls(environment=SANDBOX).context(step.scope)).directory
    entry.mkdir(parents=True)
    (entry / "venv").symlink_to(PACKAGES)
    (entry / "complete").write_text(f"{entry}\n")
    return directory


@pytest.fixture(scope="session")
def shared_cache() -> Iterator[Path]:
    """One cache for all tests; not below pytest's, which other users cannot enter."""
    directory = Path(tempfile.mkdtemp(prefix="airflow-platform-test-"))
    try:
        yield make_cache(directory)
    finally:
        shutil.rmtree(directory)


@dataclass
class Repository:
    """A repository with DAGs, and its checks."""

    place: Path
    told: list[str] = field(default_factory=list)

    def write(self, files: Mapping[str, str | bytes | None]) -> git.Commit:
        """Commit files below dags/; None deletes one."""
        for name, content in files.items():
            path = self.place / "dags" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=change")
        return git.resolve(programs.Programs(), self.place, "HEAD", "dags")

    def git(self, *words: str) -> None:
        """Run Git there."""
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        subprocess.run(["git", "-C", self.place, *identity, *words], check=True, timeout=20)

    def check(
        self,
        files: Mapping[str, str | bytes | None] | None = None,
        *environments: specs.Environment,
        runner: programs.Programs | None = None,
        **rules: Any,
    ) -> Checked:
        """Commit files and check the commit."""
        self.write(files or {})
        return self.look(*environments, runner=runner, **rules)

    def look(
        self, *environments: specs.Environment, runner: programs.Programs | None = None, **rules: Any
    ) -> Checked:
        """Check what was committed last."""
        return commit_check.check(
            git.resolve(programs.Programs(), self.place, "HEAD", "dags"),
            baseline.of(
                environments or (SANDBOX,), dag_rules.Rules(**rules), ["analytics", "finance", "elsewhere"]
            ),
            runner=runner or programs.Programs(),
            progress=self.told.append,
            checkout=self.place,
        )


@pytest.fixture
def empty_repository(tmp_path: Path) -> Repository:
    """One without commits."""
    repository = Repository(tmp_path / "repository")
    repository.place.mkdir()
    repository.git("init", "--quiet", "--initial-branch=main")
    return repository


@pytest.fixture
def repository(
    empty_repository: Repository, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Repository:
    """One whose checks share a cache with other tests', and no result."""
    monkeypatch.setenv("AIRFLOW_PLATFORM_CACHE", str(shared_cache))
    shutil.rmtree(shared_cache / "dag-checks" / "results", ignore_errors=True)
    return empty_repository


def found(checked: Checked, file: str | None = None) -> list[tuple[str, int, str]]:
    """Findings as (rule, line, severity), or of all files with the file's name first."""
    return [
        (each.rule, each.line, each.severity)
        for each in checked.findings
        if file is None or each.file == f"dags/{file}"
    ]
