"""Results of checks, kept by the digest of all that decided about them.

Most checks are of what was checked before, or nearly so. The baseline is known by the bytes of its files, so that no
spec is loaded, nor anything imported that loading one needs: most of the time of a check.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import load, package_recipes, paths
from airflow_platform.dags.check import baseline, records
from airflow_platform.dags.check.findings import Checked
from airflow_platform.tools import results

DECIDING = ("dags/check/**/*.py", "config/*.py", "tools/git/git_trees.py")
"""Our code that decides about results; a test fails when a pattern matches nothing."""

IMPORTING = (
    "dags/check/worker/*.py",
    "dags/check/worker_client.py",
    "dags/check/facts.py",
    "dags/check/worker_settings.py",
)
"""Our code that decides about the import of a file. Other rules are applied to what is kept of it."""

_LOADING = threading.Lock()
"""Many ask for ids at once, and the first of them loads specs for all."""


def store() -> results.Results:
    """The results on disk."""
    return results.Results(paths.dag_checks() / "results")


def key(tree: str, against: baseline.Baseline) -> str:
    """Of a DAG version and what it is held against."""
    return results.key(tree, dataclasses.asdict(against), surroundings())


def find(tree: str, against: baseline.Baseline, commit: str) -> Checked | None:
    """The result that is known, for this commit of the version."""
    known = store().get("versions", key(tree, against))
    return None if known is None else records.read(Checked, {**known, "commit": commit, "imported": 0})


def dag_ids(tree: str) -> Mapping[str, str] | None:
    """The ids of a DAG version's DAGs, with their files; None where no check that found no error is known.

    Only a check for all environments counts: `inv dags-sync`, or `inv dags-check` without an environment.
    """
    try:
        with _LOADING:
            against = _declared(declaration(()))
    except errors.ConfigurationError:  # Of whichever environment: it is reported where that one is worked on.
        return None
    found: Mapping[str, str] | None = store().get("ids", key(tree, against))
    return found


@functools.lru_cache(maxsize=1)
def _declared(_declaration: str) -> baseline.Baseline:
    """What is declared for all environments, once for each state of it; to ask for ids leaves nothing in the cache."""
    return baseline.declared()


def declared(environments: Sequence[str]) -> baseline.Baseline:
    """What is declared for the environments of these names, or for all when none is named.

    Raises:
        ConfigurationError: The files have changed, and one does not say what it must.
    """
    key_ = declaration(environments)
    if (known := store().get("baselines", key_)) is not None:
        return records.read(baseline.Baseline, known)  # type: ignore[no-any-return]
    found = baseline.declared(environments)
    store().put("baselines", key_, dataclasses.asdict(found))
    return found


def declaration(environments: Sequence[str]) -> str:
    """Changes with what is declared for these environments, or for all when none is named."""
    files = [paths.project().environments / f"{name}.toml" for name in load.names()]
    return results.key(sorted(environments), [(path.name, digest(path)) for path in files], surroundings())


@functools.cache
def surroundings() -> list[object]:
    """What decides besides DAGs and environments: code, limits, packages, and for which Python they are."""
    files = [
        *(path for pattern in DECIDING for path in sorted(paths.toolkit().package.glob(pattern))),
        package_recipes.airflow().lock,
        *package_recipes.airflow().additions.values(),
        paths.project().dags_file,
    ]
    python = [sys.version, getattr(sys, "_base_executable", sys.executable), os.environ.get("PATH", "")]
    return [[digest(path) for path in files], python]


def code() -> list[str]:
    """Changes with what decides about the import of a file and about what is kept of it."""
    return [digest(path) for pattern in IMPORTING for path in sorted(paths.toolkit().package.glob(pattern))]


def digest(path: Path) -> str:
    """Of a file's content; "" when it is not there."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
