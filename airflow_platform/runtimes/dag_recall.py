"""What is known of a DAG version, by the bytes of all that decides about it: found without reading any of it.

Most checks are of what was checked before. Specs need not be loaded for those, nor anything imported that
loading them needs: that is two thirds of the time.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_platform.config import load, paths
from airflow_platform.rules.findings import Checked
from airflow_platform.tools import parsing_worker, results

FLEETING = ("import-ended", "import-timeout")
"""Rules whose findings may come of a machine that was short of time or memory: not kept, but tried again."""

_PACKAGE = Path(__file__).parents[1]
_DECIDING = ("rules/*.py", "runtimes/dag_*.py", "config/*.py", "manifests/*.py")
"""The code that decides about findings, besides what imports."""


def kept() -> results.Results:
    """The results of checks."""
    return results.Results(paths.dag_checks() / "results")


def key(tree: str, environments: Sequence[str]) -> str:
    """Of a DAG version, held against the tenants of these environments, or of all when none is named."""
    declared = [paths.environments() / f"{name}.toml" for name in load.names()]
    return results.key(
        tree, sorted(environments), [(path.name, digest(path)) for path in declared], surroundings()
    )


def find(key_: str, commit: str) -> Checked | None:
    """The result that is known, for this commit of the same version."""
    known = kept().get("versions", key_)
    return None if known is None else Checked.from_json({**known, "commit": commit, "anew": 0})


def keep(key_: str, checked: Checked) -> None:
    """Remember a result, if it would come out the same again."""
    if not any(each.rule in FLEETING for each in checked.findings):
        kept().put("versions", key_, checked.to_json())


@functools.cache
def surroundings() -> list[object]:
    """What decides besides DAGs and environments: code, limits, packages, and for which Python they are."""
    images = paths.CHECKOUT / "images"
    files = [
        *(path for pattern in _DECIDING for path in sorted(_PACKAGE.glob(pattern))),
        images / "airflow" / "requirements.lock",
        *(path for folder in ("airflow", "git-sync") for path in sorted((images / folder).glob("*.p*"))),
        paths.CHECKOUT / "dags.toml",
    ]
    python = [sys.version, getattr(sys, "_base_executable", sys.executable), os.environ.get("PATH", "")]
    return [parsing_worker.code_digest(), [digest(path) for path in files], python]


def digest(path: Path) -> str:
    """Of a file's content; "" when it is not there."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
