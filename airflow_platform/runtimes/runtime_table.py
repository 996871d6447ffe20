"""From an environment to its runtime; only that one is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from airflow_platform import errors
from airflow_platform.config import load, specs
from airflow_platform.runtimes import contract


def _process(environment: specs.Environment) -> contract.Runtime:
    from airflow_platform.runtimes.process import process_runtime  # noqa: PLC0415

    return process_runtime.ProcessRuntime(environment)


def _docker(environment: specs.Environment) -> contract.Runtime:
    from airflow_platform.runtimes.docker import docker_runtime  # noqa: PLC0415

    return docker_runtime.DockerRuntime(environment)


RUNTIMES: Mapping[str, Callable[[specs.Environment], contract.Runtime]] = {
    "process": _process,
    "docker": _docker,
}
"""All that there are; an environment names one."""


def of(environment: specs.Environment) -> contract.Runtime:
    """The runtime of an environment.

    Raises:
        UsageError: It is declared, but its runtime is not there yet.
    """
    if make := RUNTIMES.get(environment.runtime):
        return make(environment)
    others = [each.name for each in load.suggested() if each.runtime in RUNTIMES]
    instead = f" Environments of these: {', '.join(others)}." if others else ""
    raise errors.UsageError(
        f"Environment {environment.name} names the runtime {environment.runtime}, which is not there yet.",
        hint=f"There is: {', '.join(RUNTIMES)}.{instead}",
    )
