"""Facts of DAG files with everything filled in, for tests that care about one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_platform.config import dag_rules
from airflow_platform.dags.check import facts, source
from airflow_platform.dags.check.rules import catalogue, subject


def task(name: str = "one", *, line: int = 10, file: str = "a.py", **fields: Any) -> facts.Task:
    """A task that nobody finds fault with."""
    given = {"owner": "team", "retries": 1, "pool": "default_pool", "connections": (), **fields}
    return facts.Task(name, facts.Location(file, line), **given)


def dag(name: str = "a", *tasks: facts.Task, line: int = 5, file: str = "a.py", **fields: Any) -> facts.Dag:
    """A DAG that nobody finds fault with."""
    given = {"tags": ("tenant:all",), "catchup": False, "schedule": "@daily", "interval": 86400.0, **fields}
    return facts.Dag(name, facts.Location(file, line), tasks=tasks or (task(file=file),), **given)


def file(
    path: str = "a.py",
    *dags: facts.Dag,
    needs: tuple[str, ...] = (),
    perhaps: tuple[str, ...] = (),
    **fields: Any,
) -> subject.File:
    """A file; without DAGs, one."""
    given = {"dags": dags or (dag(path.removesuffix(".py"), file=path),), "cpu": 0.1, **fields}
    return subject.File(facts.Imported(path, **given), needs, perhaps)


NO_PATHS = source.Tree()

TENANTS = (
    subject.Tenant(
        "dev",
        "x",
        (
            "snowflake_default",
            "warehouse",
        ),
        (
            "default_pool",
            "big",
        ),
    ),
    subject.Tenant("dev", "y", ("snowflake_default",), ("default_pool",)),
    subject.Tenant(
        "prod",
        "x",
        ("snowflake_default",),
        (
            "default_pool",
            "big",
        ),
    ),
)


def subject_of(
    *files: subject.File,
    sources: Mapping[str, source.Source] | None = None,
    smoke: frozenset[str] = frozenset(),
    tenants: tuple[subject.Tenant, ...] = TENANTS,
    paths: source.Tree = NO_PATHS,
    **rules: Any,
) -> subject.Subject:
    """What rules look at."""
    return subject.Subject(
        files=files,
        sources=sources or {},
        tenants=tenants,
        declared=frozenset({"x", "y", "elsewhere"}),
        rules=subject.Limits(**dag_rules.Rules(**rules).model_dump()),
        smoke=smoke,
        tree=paths,
    )


def findings(*files: subject.File, **given: Any) -> list[tuple[str, int, str, str, tuple[str, ...]]]:
    """What is found: file, line, rule, message and tenants."""
    return [
        (each.file, each.line, each.rule, each.message, each.tenants)
        for each in catalogue.findings(subject_of(*files, **given))
    ]
