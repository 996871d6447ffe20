"""A project's repository, and what brings its DAGs to a tenant: loaded from where images have it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from airflow_platform.config import paths

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false")


def load(path: str) -> ModuleType:
    """A program of an image, as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, paths.project().root / "images" / path)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # Folders of images have no other files.
    try:
        spec.loader.exec_module(made)
    finally:
        sys.dont_write_bytecode = before
    return made


@dataclass
class Project:
    """A repository with DAGs."""

    directory: Path

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *IDENTITY, "-C", str(self.directory), *words],
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        )
        return done.stdout.strip()

    def commit(self, text: str) -> str:
        """Two files with that text, committed; the commit."""
        for name in ("one.py", "two.py"):
            (self.directory / "dags").mkdir(exist_ok=True)
            (self.directory / "dags" / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={text}")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project")
    made.directory.mkdir()
    made.git("init", "--quiet", "--initial-branch=served")
    return made


@pytest.fixture(scope="session")
def git_sync() -> ModuleType:
    """The stand-in for git-sync."""
    return load("git-sync/git_sync.py")


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The bundle on what git-sync brings, on the little of Airflow that it needs."""
    base, exceptions = ModuleType("airflow.dag_processing.bundles.base"), ModuleType("airflow.exceptions")
    base.BaseDagBundle = BaseDagBundle  # type: ignore[attr-defined]
    exceptions.AirflowException = AirflowException  # type: ignore[attr-defined]
    for name in ("airflow", "airflow.dag_processing", "airflow.dag_processing.bundles"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, base.__name__, base)
    monkeypatch.setitem(sys.modules, exceptions.__name__, exceptions)
    return load("airflow/airflow_platform_bundle.py")


class AirflowException(Exception):
    """As Airflow has it."""


class BaseDagBundle:
    """As Airflow has it, as far as a bundle sees."""

    root: Path

    def __init__(self, *, name: str, version: str | None = None) -> None:
        self.name, self.version = name, version
        self.versions_dir = self.root / "versions"
        self.locked = 0

    def initialize(self) -> None:
        self.initialized = True

    def lock(self) -> BaseDagBundle:
        return self

    def __enter__(self) -> None:
        self.locked += 1

    def __exit__(self, *_: object) -> None:
        self.locked -= 1
