"""An Airflow that runs for a test: its DAGs are run, its Snowflake is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_platform import errors, secrets
from airflow_platform.config import specs
from airflow_platform.testing import asking_snowflake
from airflow_platform.tools.airflow import airflow_answers, airflow_client, airflow_session
from airflow_platform.tools.containers import engine_session

RUN_TIMEOUT = 300.0
"""Seconds until a run must have ended, where a test says nothing else."""

PARSED = 60.0
"""Seconds until a DAG must have been parsed; the first file takes 3."""

SETTLED = 10.0
"""Seconds without news after which all files of the folder count as parsed; one takes 1 to 3."""

POLL = 0.25
"""Seconds between two looks."""


class UnexpectedState(AssertionError):
    """A run ended otherwise than the test expects; says what its failed tasks logged last."""


@dataclass(frozen=True)
class Result:
    """How a run of a DAG ended."""

    dag: str
    run: str
    """The run's id."""
    state: str
    """`success` or `failed`."""
    tasks: Mapping[str, str | None]
    """States by task; those of a mapped task are called `name[0]`, `name[1]`, …"""
    failure: str
    """Its failed tasks, each with the last lines of its log; "" when none failed."""
    seconds: float


@dataclass(frozen=True)
class LocalAirflow:
    """A running Airflow."""

    url: str
    """Of its pages, on 127.0.0.1; log in as `user` with `password`."""
    user: str
    password: secrets.Secret
    client: airflow_client.Airflow = field(repr=False)
    """Its REST API."""
    dags: Path
    """The folder that is served."""
    tenant: specs.Tenant
    """What it was told: variables, pools, connections, names in Snowflake."""
    session: str
    """The label `airflow-platform.test-session` of all that it is made of."""
    containers: Mapping[str, str]
    """Names of its containers, by component."""
    open_engine: engine_session.Open = field(repr=False)

    def run(
        self,
        dag: str,
        conf: Mapping[str, Any] | None = None,
        *,
        expect: str | None = "success",
        timeout: float = RUN_TIMEOUT,
    ) -> Result:
        """Run a DAG to its end.

        Args:
            dag: Its id.
            conf: What its tasks read as `dag_run.conf`.
            expect: The state in which it must end; None for any.
            timeout: Seconds until it must have ended.

        Raises:
            UnexpectedState: It ended in another state.
            StepError: There is no such DAG, its file cannot be imported, or it did not end in time.
        """
        self._require(dag)
        self.client.set_paused(dag, paused=False)
        run = self.client.trigger(dag, conf=conf)
        ended = self.client.wait_for_run(dag, run.id, timeout=timeout)
        assert ended.started is not None
        assert ended.ended is not None
        result = Result(
            dag=dag,
            run=run.id,
            state=ended.state,
            tasks={_name(each): each.state for each in self.client.tasks(dag, run.id)},
            failure=self.client.failure(dag, run.id),
            seconds=(ended.ended - ended.started).total_seconds(),
        )
        if expect not in (None, result.state):
            why = result.failure or f"no task failed: {dict(result.tasks)}"
            raise UnexpectedState(f"DAG {dag} ended as {result.state}, not {expect}.\n{why}")
        return result

    def log(self, result: Result, task: str) -> tuple[str, ...]:
        """What a task of a run logged at its last try, a line an event.

        Raises:
            KeyError: The run has no such task.
        """
        found = {_name(each): each for each in self.client.tasks(result.dag, result.run)}
        return self.client.log(result.dag, result.run, found[task])

    def import_failures(self) -> tuple[airflow_answers.ImportFailure, ...]:
        """The files of the folder that cannot be imported, when all have been parsed."""
        wanted, seen, since = self._dag_files(), self._parsed_files(), time.monotonic()
        while not wanted <= seen and time.monotonic() < since + SETTLED:
            time.sleep(POLL)
            if (now := self._parsed_files()) != seen:
                seen, since = now, time.monotonic()
        return self.client.import_failures()

    def snowflake(self, sql: str) -> list[tuple[Any, ...]]:
        """What fakesnow answers to a statement, or to the last of several, as rows; takes 1 s.

        Names mean those of the connection `snowflake_default`: its database, its schema. Whole numbers come
        as int, others as Decimal or float, times as datetime.

        Raises:
            QueryFailed: It refused one.
        """
        mine = self.tenant.snowflake
        with self.open_engine() as engine:
            return asking_snowflake.rows(
                engine,
                self.containers["fakesnow"],
                sql,
                database=mine.database,
                schema=mine.default_schema,
            )

    def _require(self, dag: str) -> None:
        """Wait until a DAG is served.

        Raises:
            StepError: It is not; says what is, and what could not be imported.
        """
        deadline = time.monotonic() + PARSED
        while not self._is_served(dag):
            failures = self.client.import_failures()
            if failures:
                deadline = min(deadline, time.monotonic() + SETTLED)
            if time.monotonic() > deadline or any(self._mentions(each.file, dag) for each in failures):
                known = ", ".join(each.id for each in self.client.dags()) or "none"
                told = "".join(f"\n{each.file}: {each.reason}" for each in failures)
                raise errors.StepError(f"There is no DAG {dag} in {self.dags}; there are: {known}.{told}")
            time.sleep(POLL)

    def _is_served(self, dag: str) -> bool:
        try:
            found = self.client.dag(dag)
        except airflow_session.NotFound:
            return False
        return not found.stale and not found.has_import_errors

    def _mentions(self, file: str, dag: str) -> bool:
        path = self.dags / file
        return path.is_file() and dag in path.read_text(errors="replace")

    def _dag_files(self) -> set[str]:
        """The files that Airflow takes for DAG files: those with two words in them."""
        found = {path: path.read_text(errors="replace").lower() for path in self.dags.rglob("*.py")}
        return {
            path.relative_to(self.dags).as_posix()
            for path, text in found.items()
            if "dag" in text and "airflow" in text
        }

    def _parsed_files(self) -> set[str]:
        """Those of which Airflow knows DAGs or an error; helper modules never get here."""
        dags = self.client.session.entries("/api/v2/dags", "dags")
        return {each["relative_fileloc"] for each in dags} | {
            each.file for each in self.client.import_failures()
        }


def _name(task: airflow_answers.TaskInstance) -> str:
    return task.task if task.map_index < 0 else f"{task.task}[{task.map_index}]"
