"""Airflow's REST API (v2, Airflow 3.3): health, DAGs, and runs of one tenant.

`airflow_answers` holds what it returns, `airflow_objects` connections, variables and pools,
`airflow_session` the kept HTTP connection and the errors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_platform import errors, secrets
from airflow_platform.tools.airflow import airflow_answers as answers
from airflow_platform.tools.airflow import airflow_session as sessions
from airflow_platform.tools.airflow.airflow_session import quoted

WARM_UP_TIMEOUT = 60.0
"""Seconds for the first call of the execution API, which builds it: 3 to 5 s on a quiet machine."""

POLL = 0.25
"""Seconds between two looks at a run; a look costs the api-server about 10 ms."""

CONFLICT = 409

LOG_LINES = 20
"""Last lines of a failed try that an error shows."""

JOB_TYPES = {
    "scheduler": "SchedulerJob",
    "dag-processor": "DagProcessorJob",
    "triggerer": "TriggererJob",
}
"""Components that register a job, and its type; the api-server registers none."""


class Airflow:
    """One tenant's api-server, asked as one user. See `airflow_session.Session` for the errors."""

    def __init__(
        self,
        url: str,
        user: str,
        password: secrets.Secret,
        *,
        stranger: Callable[[], str] = lambda: "",
        timeout: float = sessions.TIMEOUT,
    ) -> None:
        """Prepare, without connecting: see `airflow_session.Session`, which takes the same."""
        self.session = sessions.Session(url, user, password, stranger=stranger, timeout=timeout)

    def health(self) -> answers.Health:
        """The status of the components, without authentication."""
        answer = self.session.call_unauthenticated("GET", "/api/v2/monitor/health")
        return answers.Health(
            metadatabase=answers.component(answer, "metadatabase"),
            scheduler=answers.component(answer, "scheduler"),
            dag_processor=answers.component(answer, "dag_processor"),
            triggerer=answers.component(answer, "triggerer"),
        )

    def warm_up(self, *, timeout: float = WARM_UP_TIMEOUT) -> None:
        """Have the execution API built, so that the first task does not wait for it."""
        self.session.call_unauthenticated("GET", "/execution/health/ping", timeout=timeout)

    def version(self) -> str:
        """Airflow's version, such as `3.3.2`."""
        return str(self.session.get("/api/v2/version")["version"])

    def jobs(self) -> dict[str, answers.Job]:
        """The newest job of each component of `JOB_TYPES` that ever started."""
        newest: dict[str, answers.Job] = {}
        for component, job_type in JOB_TYPES.items():
            answer = self.session.get("/api/v2/jobs", job_type=job_type, order_by="-id", limit=1)
            for entry in answer["jobs"]:
                newest[component] = answers.job(entry)
        return newest

    def dags(self) -> tuple[answers.Dag, ...]:
        """All DAGs that are served, by id."""
        entries = self.session.entries("/api/v2/dags", "dags", order_by="dag_id")
        return tuple(answers.dag(entry) for entry in entries)

    def dag(self, dag_id: str) -> answers.Dag:
        """One DAG.

        Raises:
            NotFound: It is not served, or not parsed yet.
        """
        return answers.dag(self.session.get(f"/api/v2/dags/{quoted(dag_id)}"))

    def import_failures(self) -> tuple[answers.ImportFailure, ...]:
        """The files that the dag-processor could not import."""
        return tuple(
            answers.ImportFailure(
                entry["filename"], entry["bundle_name"], entry["stack_trace"], entry["timestamp"]
            )
            for entry in self.session.entries("/api/v2/importErrors", "import_errors")
        )

    def parse_file(self, token: str) -> None:
        """Have the dag-processor look for a new commit and parse a file again, before its own time for both.

        Args:
            token: The file's, as `Dag.token` has it.
        """
        try:
            self.session.call("PUT", f"/api/v2/parseDagFile/{quoted(token)}")
        except sessions.AirflowError as error:
            if error.status != CONFLICT:  # It is asked for already, and nobody has come to it yet.
                raise

    def unfinished_runs(self) -> tuple[answers.Run, ...]:
        """Runs of all DAGs that are queued or running."""
        return tuple(
            answers.run(entry)
            for state in ("running", "queued")
            for entry in self.session.entries(_runs_path("~"), "dag_runs", state=state)
        )

    def set_paused(self, dag_id: str, *, paused: bool) -> answers.Dag:
        """Pause or unpause a DAG."""
        path = f"/api/v2/dags/{quoted(dag_id)}"
        return answers.dag(self.session.call("PATCH", path, body={"is_paused": paused}))

    def trigger(
        self, dag_id: str, *, conf: Mapping[str, Any] | None = None, run_id: str | None = None
    ) -> answers.Run:
        """Start a run without a data interval; it stays queued while the DAG is paused.

        Args:
            dag_id: The DAG.
            conf: What the run's tasks read as `dag_run.conf`.
            run_id: By default Airflow's own, `manual__<time>`.

        Raises:
            AirflowError: Status 409: that run id exists.
        """
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return answers.run(self.session.call("POST", _runs_path(dag_id), body=body))

    def run(self, dag_id: str, run_id: str) -> answers.Run:
        """One run."""
        return answers.run(self.session.get(_runs_path(dag_id, run_id)))

    def runs(self, dag_id: str, *, limit: int = 10) -> tuple[answers.Run, ...]:
        """The latest runs of a DAG, newest first."""
        answer = self.session.get(_runs_path(dag_id), order_by="-id", limit=limit)
        return tuple(answers.run(entry) for entry in answer["dag_runs"])

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float,
        every: float = POLL,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        progress: Callable[[str], object] = lambda news: None,
    ) -> answers.Run:
        """Wait until a run is finished, well or badly; patient with a silent api-server.

        Args:
            dag_id: The DAG.
            run_id: Its run.
            timeout: Seconds.
            every: Seconds between two looks.
            sleep: How to wait; the engine's raises when a signal comes.
            clock: Monotonic seconds.
            progress: Called with the state at each look.

        Raises:
            StepError: It is not finished after `timeout`; says what its tasks are doing.
        """
        deadline = clock() + timeout
        state = "unknown"
        while True:
            try:
                run = self.run(dag_id, run_id)
            except sessions.NotReachable as error:
                state = error.message.rstrip(".")
            else:
                if run.finished:
                    return run
                state = run.state
            progress(state)
            if clock() >= deadline:
                raise self._not_finished(dag_id, run_id, timeout, state)
            sleep(every)

    def tasks(self, dag_id: str, run_id: str) -> tuple[answers.TaskInstance, ...]:
        """The task instances of a run."""
        path = _runs_path(dag_id, run_id) + "/taskInstances"
        return tuple(
            answers.TaskInstance(
                task=entry["task_id"],
                state=entry["state"],
                tries=entry["try_number"],
                map_index=entry["map_index"],
                seconds=entry["duration"],
            )
            for entry in self.session.entries(path, "task_instances")
        )

    def log(self, dag_id: str, run_id: str, task: answers.TaskInstance) -> tuple[str, ...]:
        """The log of the latest try, a line an event, without Airflow's own folds."""
        path = f"{_runs_path(dag_id, run_id)}/taskInstances/{quoted(task.task)}/logs/{task.tries}"
        answer = self.session.get(path, full_content="true", map_index=task.map_index)
        return tuple(line for event in answer["content"] for line in answers.log_lines(event))

    def failure(self, dag_id: str, run_id: str, *, lines: int = LOG_LINES) -> str:
        """Why a run failed: each failed task with the last lines of its log; "" if none failed."""
        told: list[str] = []
        for task in self.tasks(dag_id, run_id):
            if task.state != "failed":
                continue
            told.append(f"task {task.task} failed at try {task.tries}:")
            told += [f"    {line}" for line in self._log_tail(dag_id, run_id, task, lines)]
        return "\n".join(told)

    def _log_tail(self, dag_id: str, run_id: str, task: answers.TaskInstance, lines: int) -> Sequence[str]:
        try:
            return self.log(dag_id, run_id, task)[-lines:]
        except sessions.AirflowError as error:
            return (f"its log cannot be read: {error.message}",)

    def _not_finished(self, dag_id: str, run_id: str, timeout: float, state: str) -> errors.StepError:
        try:
            tasks = [f"{task.task} is {task.state or 'waiting'}" for task in self.tasks(dag_id, run_id)]
        except sessions.AirflowError:
            tasks = []
        doing = "; ".join([state, ", ".join(tasks)] if tasks else [state])
        return errors.StepError(
            f"Run {run_id} of DAG {dag_id} did not finish within {timeout:g} s: {doing}.",
            hint="Look into the scheduler's log: inv tenant-logs.",
        )


def _runs_path(dag_id: str, run_id: str | None = None) -> str:
    path = f"/api/v2/dags/{quoted(dag_id)}/dagRuns"
    return path if run_id is None else f"{path}/{quoted(run_id)}"
