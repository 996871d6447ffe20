"""`airflow`: Airflow's own command line, inside a tenant."""

from __future__ import annotations

import shlex

from airflow_platform import errors
from airflow_platform.config import load
from airflow_platform.runtimes import runtime_table as runtimes


def run(env: str, tenant: str, arguments: str) -> int:
    """Run it on this terminal; its exit code."""
    spec = load.environment(env)
    runtime = runtimes.of(spec)
    (chosen,) = load.select(spec, (tenant,))
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise errors.UsageError(
            f"--args cannot be split into words: {error}.", hint="Close the quotes."
        ) from None
    return runtime.run_airflow(chosen, words)
