"""A real Airflow for tests of DAGs: from the images that production runs, with fakesnow for Snowflake.

    from airflow_platform.testing import integration

    airflow = integration.fixture("dags", pools=[{"name": "snowflake", "slots": 2}])

    def test_orders(airflow):
        airflow.run("orders_daily", {"day": "2026-01-31"})
        assert airflow.snowflake("SELECT COUNT(*) FROM ORDERS.RAW_ORDERS") == [(50,)]

docs/testing.md says how to use it, and what it costs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from airflow_platform import errors
from airflow_platform.config import built_images, load, paths, specs
from airflow_platform.config.components import AIRFLOW, BROKER, FAKESNOW, METADATA_DATABASE, WORKER
from airflow_platform.runtimes.docker import images
from airflow_platform.testing import leftovers
from airflow_platform.testing.airflow_spec import AirflowSpec
from airflow_platform.testing.local_airflow import LocalAirflow, Result, UnexpectedState
from airflow_platform.tools.containers import engine

__all__ = ["LocalAirflow", "Result", "UnexpectedState", "fixture", "running_airflow"]

Executor = Literal["LocalExecutor", "CeleryExecutor"]

START_TIMEOUT = 180.0
"""Seconds until all components must be healthy: ten times what a quiet machine takes."""

BY_HAND = {"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False"}
"""Runs begin when a test says so: a DAG that is unpaused would otherwise first run for its schedule."""


def fixture(
    dags: str | Path, *, scope: Literal["session", "package", "module"] = "session", **options: Any
) -> Any:
    """Make a pytest fixture that gives a `LocalAirflow`; assign it to the name that tests use.

    What keeps it from starting fails each test that wants it, with one message and no traceback.

    Args:
        dags: The folder with the DAGs; a relative one is relative to pytest's root directory.
        scope: How long it lives. An Airflow takes half a minute to start, so tests should share one.
        options: As `running_airflow` takes them.
    """
    import pytest  # noqa: PLC0415 - plain programs use `running_airflow`, without it.

    @pytest.fixture(scope=scope)
    def airflow(request: pytest.FixtureRequest) -> Iterator[LocalAirflow]:
        with contextlib.ExitStack() as stack:
            told = ""
            try:
                running = running_airflow(request.config.rootpath / dags, **options)
                found = stack.enter_context(running)
            except errors.PlatformError as error:
                told = str(error)
            if told:  # Out here, so that pytest does not show the error twice.
                pytest.fail(told, pytrace=False)
            yield found

    return airflow


@contextlib.contextmanager
def running_airflow(
    dags: str | Path,
    *,
    executor: Executor = "LocalExecutor",
    triggerer: bool = False,
    schedules: bool = False,
    images: Path | None = None,
    timeout: float = START_TIMEOUT,
    **tenant: Any,
) -> Iterator[LocalAirflow]:
    """An Airflow for as long as this lasts; then nothing of it is left, and of killed earlier ones neither.

    Args:
        dags: The folder with the DAGs. They are served as they are now: uncommitted changes too, what
            Git ignores not.
        executor: With CeleryExecutor there are a broker and a worker, as in production; it takes longer.
        triggerer: Whether there is one; deferred tasks need it.
        schedules: Whether DAGs run by their schedules, too, as soon as a test has run them once.
        images: What `inv build` wrote; by default into the project.
        timeout: Seconds until all components must be healthy.
        tenant: What the tenant's table in an environment's file may hold: `pools`, `variables`,
            `connections`, `parallelism`, `snowflake`, …

    Raises:
        ConfigurationError: An option does not fit; nothing was started.
        PreflightError: There is no engine, or it has not the images; nothing was started.
        StepError: Something did not start: says what, with its last lines.
    """
    _environment("options", executor, tenant)  # Before anything is made.
    images = images or paths.project().built_images
    engine.require_here(None)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(engine.connected(None))
        names = _names(executor)
        _require_images(images, names)
        recorded = built_images.read(images)
        assert recorded is not None
        leftovers.sweep(client)
        ids = {name: recorded.images[name].id for name in names}
        session = stack.enter_context(leftovers.session(client, ids[METADATA_DATABASE]))
        order = AirflowSpec(
            environment=_environment(session, executor, tenant),
            dags=Path(dags).absolute(),
            triggerer=triggerer,
            scheduler={} if schedules else BY_HAND,
            images=ids,
            timeout=timeout,
        )
        yield _starter()(stack, order, client, session)


def _names(executor: Executor) -> tuple[str, ...]:
    """The images that are needed, also those that may be needed by other options."""
    celery = (BROKER, WORKER) if executor == "CeleryExecutor" else ()
    return (*AIRFLOW, FAKESNOW, METADATA_DATABASE, *celery)


def _require_images(record: Path, names: tuple[str, ...]) -> None:
    if faults := list(images.faults(None, record, names)):
        raise errors.PreflightError("The images are not there.", faults)


def _environment(session: str, executor: Executor, tenant: dict[str, Any]) -> specs.Environment:
    """An environment of the `docker` runtime with one tenant."""
    snowflake = {"database": "TEST", "warehouse": "TEST", "role": "TEST", **tenant.get("snowflake", {})}
    if snowflake.get("account"):
        raise errors.UsageError("Tests run against fakesnow.", hint="Leave out snowflake.account.")
    spec = {
        "name": f"test-{session}",
        "runtime": "docker",
        "docker": {"executor": executor},
        "tenants": [{"name": "tests", **tenant, "snowflake": snowflake}],
    }
    return load.given(spec, "running_airflow")


def _starter() -> Callable[..., LocalAirflow]:
    try:
        from airflow_platform.testing import bringing_up  # noqa: PLC0415 - testcontainers takes 0.4 s.
    except ModuleNotFoundError as error:
        raise errors.PreflightError(
            "The tests' libraries are not installed.",
            [errors.Fault(str(error.name), "It cannot be imported.", "Install testcontainers.")],
        ) from error
    return bringing_up.start
