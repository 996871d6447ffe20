"""The limits that rules hold files against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """As `config.dag_rules.Rules` has them, which documents each; without what it takes to validate a file."""

    import_seconds: float
    import_deadline: int
    import_memory: int
    interval: int
    catchup: bool
    least_retries: int
    most_retries: int
