"""From an environment to its runtime."""

from __future__ import annotations

from airflow_platform import errors
from airflow_platform.config import specs
from airflow_platform.runtimes import process, runtime

RUNTIMES = (process.ProcessRuntime,)
"""All that there are; an environment names one."""


def of(environment: specs.Environment) -> runtime.Runtime:
    """The runtime of an environment.

    Raises:
        UsageError: It is declared, but its runtime is not there yet.
    """
    for kind in RUNTIMES:
        if kind.name == environment.runtime:
            return kind(environment)
    raise errors.UsageError(
        f"Environment {environment.name} names the runtime {environment.runtime}, which is not there yet.",
        hint=f"There is: {', '.join(kind.name for kind in RUNTIMES)}. Try --env=sandbox.",
    )
