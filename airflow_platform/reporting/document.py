"""`--json`: one document on standard output, the report envelope."""

from __future__ import annotations

import json

from airflow_platform import errors
from airflow_platform.engine.report import Report
from airflow_platform.reporting import output


def write(report: Report) -> None:
    """Print the envelope; the only thing that a task with `--json` prints on standard output."""
    output.answer(json.dumps(report.to_json(), indent=2) + "\n")


def of_error(error: errors.PlatformError, *, code: int, task: str, environment: str | None) -> Report:
    """The envelope of a task that ended with an error instead of a report."""
    return Report(
        task=task,
        environment=environment,
        status=errors.ExitCode(code).name.lower(),
        exit_code=code,
        faults=error.faults(),
    )
