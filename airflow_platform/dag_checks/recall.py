"""What is known of DAG versions, and of what they are held against: kept by what decided about it.

Most checks are of what was checked before, or nearly so. What is held against is known by the bytes of its
files, so that no spec is loaded, nor anything imported that loading one needs: most of the time of a check.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_platform.config import load, package_recipes, paths
from airflow_platform.dag_checks import standards
from airflow_platform.dag_checks.standards import Against
from airflow_platform.rules.findings import Checked
from airflow_platform.tools import git, parsing_worker, results

_PACKAGE = Path(__file__).parents[1]
_DECIDING = ("rules/*.py", "dag_checks/*.py", "config/*.py", "manifests/*.py", "components.py")
"""The code that decides about findings, besides what imports."""


def kept() -> results.Results:
    """The results of checks."""
    return results.Results(paths.dag_checks() / "results")


def key(tree: str, against: Against) -> str:
    """Of a DAG version and what it is held against."""
    return results.key(tree, against.to_json(), surroundings())


def find(key_: str, commit: str) -> Checked | None:
    """The result that is known, for this commit of the same version."""
    known = kept().get("versions", key_)
    return None if known is None else Checked.from_json({**known, "commit": commit, "anew": 0})


@dataclass(frozen=True)
class Result:
    """What a check came to."""

    checked: Checked
    lasts: bool
    """Whether it would come out the same again: of this version, by this code, on any machine."""


def known_or(commit: git.Commit, against: Against, find_out: Callable[[], Result]) -> Checked:
    """What is known of the version of a commit, or is found out and then kept if it lasts."""
    key_ = key(commit.tree, against)
    if (known := find(key_, commit.sha)) is not None:
        return known
    result = find_out()
    if result.lasts:
        kept().put("versions", key_, result.checked.to_json())
    if not result.checked.count("error"):
        kept().put("ids", key_, dict(result.checked.ids))
    return result.checked


def ids(key_: str) -> Mapping[str, str] | None:
    """The ids of the DAGs of a version in which no error was found, with their files; also if it is not known."""
    found: Mapping[str, str] | None = kept().get("ids", key_)
    return found


def declared(environments: Sequence[str]) -> Against:
    """What is declared for the environments of these names, or for all when none is named.

    Raises:
        ConfigurationError: The files have changed, and one does not say what it must.
    """
    key_ = declaration(environments)
    if (known := kept().get("against", key_)) is not None:
        return Against.from_json(known)
    found = standards.declared(environments)
    kept().put("against", key_, found.to_json())
    return found


def declaration(environments: Sequence[str]) -> str:
    """Changes with what is declared for these environments, or for all when none is named."""
    files = [paths.project().environments / f"{name}.toml" for name in load.names()]
    return results.key(sorted(environments), [(path.name, digest(path)) for path in files], surroundings())


@functools.cache
def surroundings() -> list[object]:
    """What decides besides DAGs and environments: code, limits, packages, and for which Python they are."""
    files = [
        *deciding(),
        package_recipes.airflow().lock,
        *package_recipes.airflow().additions.values(),
        paths.project().root / "dags.toml",
    ]
    python = [sys.version, getattr(sys, "_base_executable", sys.executable), os.environ.get("PATH", "")]
    return [parsing_worker.code_digest(), [digest(path) for path in files], python]


def deciding() -> list[Path]:
    """The files with that code."""
    return [path for pattern in _DECIDING for path in sorted(_PACKAGE.glob(pattern))]


def digest(path: Path) -> str:
    """Of a file's content; "" when it is not there."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
