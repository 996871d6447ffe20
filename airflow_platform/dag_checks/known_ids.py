"""Which DAGs a version has, as far as a check of it for all environments is known."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping

from airflow_platform import errors
from airflow_platform.dag_checks import recall, standards

_LOADING = threading.Lock()
"""Many ask at once, and the first of them loads for all."""


def of(tree: str) -> Mapping[str, str] | None:
    """The ids of a DAG version's DAGs, with their files; None where no check that found no error is known.

    `inv dags-sync` checks what it brings; `inv dags-check` does without an environment.
    """
    try:
        with _LOADING:
            against = _against(recall.declaration(()))
    except errors.ConfigurationError:  # Of whichever environment: it is told where that one is worked on.
        return None
    return recall.ids(recall.key(tree, against))


@functools.lru_cache(maxsize=1)
def _against(_declaration: str) -> standards.Against:
    """What is declared for all environments, once for each state of it; to ask for ids leaves nothing in the cache."""
    return standards.declared()
