"""What a check came to: findings, and what each DAG file is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow_platform.dags.check.records import plain

Severity = Literal["error", "warning"]

FOLDER = "dags"
"""The folder of the repository that holds the DAGs."""


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that a DAG file must not do."""

    file: str
    """Relative to the repository."""
    line: int
    """From 1."""
    rule: str
    """Its name; docs/operations.md explains each."""
    message: str
    """What is wrong, in one sentence."""
    remedy: str
    """What to do about it, in one sentence."""
    severity: Severity
    """An error keeps the version from being served."""
    tenants: tuple[str, ...] = ()
    """To which it applies, as environment/tenant; none for all that were looked at."""
    about: str = ""
    """What it is about besides the file: a DAG's id, a module. It stays when lines and words change."""

    def __str__(self) -> str:
        """A line that editors and terminals can follow, without its remedy."""
        weight = " (warning)" if self.severity == "warning" else ""
        return f"{plain(self.file)}:{self.line}: {self.rule}{weight}: {plain(self.message)}"


@dataclass(frozen=True)
class ParsedDag:
    """A DAG that a file makes."""

    id: str
    line: int
    tags: tuple[str, ...]
    owner: str
    """The owners of its tasks, joined by commas."""


@dataclass(frozen=True)
class ParsedFile:
    """A file that Airflow would import."""

    path: str
    """Relative to the folder of DAGs."""
    dags: tuple[ParsedDag, ...]
    needs: tuple[str, ...]
    """Every other file below that folder that it imports or reads, directly or through others."""


@dataclass(frozen=True)
class Checked:
    """The result of a check of one commit."""

    commit: str
    """40 hexadecimal digits."""
    tree: str
    """The Git tree of the folder of DAGs: the DAG version."""
    files: tuple[ParsedFile, ...]
    findings: tuple[Finding, ...]
    imported: int = 0
    """Files that were imported for this check; of the others the result was known."""

    @property
    def ids(self) -> Mapping[str, str]:
        """The ids of all DAGs, with their files, relative to the folder of DAGs."""
        return {dag.id: file.path for file in self.files for dag in file.dags}

    def count(self, severity: Severity) -> int:
        """How many findings are of a severity."""
        return sum(each.severity == severity for each in self.findings)

    def to_json(self) -> dict[str, Any]:
        """As a report and the cache have it."""
        return dataclasses.asdict(self)
