"""Which DAGs a version has, as far as a check of it for all environments is known."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_platform import errors
from airflow_platform.config import load
from airflow_platform.runtimes import dag_against, dag_recall


def of(tree: str) -> Mapping[str, str] | None:
    """The ids of a DAG version's DAGs, with their files; None where no check that found no error is known.

    `inv dags-sync` checks what it brings; `inv dags-check` does without an environment.
    """
    try:
        environments = load.all_environments()
        rules = load.dag_project().rules
    except errors.ConfigurationError:  # Of whichever environment: it is told where that one is worked on.
        return None
    declared = [tenant.name for each in environments for tenant in each.tenants]
    found = dag_recall.find(dag_recall.key(tree, dag_against.of(environments, rules, declared)), "")
    return None if found is None or found.count("error") else found.ids
