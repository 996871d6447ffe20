"""`--json`: one document on standard output, the report envelope."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from airflow_platform import errors
from airflow_platform.engine import report as reports


class DocumentReporter:
    """A reporter that says nothing while the run goes on: the document at its end says it all."""

    def begin(self, nodes: Sequence[reports.Node], expected: Mapping[reports.Node, float]) -> None:
        """Nothing is shown."""

    def note(self, text: str) -> None:
        """Nothing is shown."""

    def started(self, node: reports.Node) -> None:
        """Nothing is shown."""

    def progress(self, node: reports.Node, text: str) -> None:
        """Nothing is shown."""

    def ended(self, node: reports.Node, result: reports.StepReport) -> None:
        """Nothing is shown."""

    def end(self) -> None:
        """Nothing is shown."""


def write(report: reports.Report) -> None:
    """Print the envelope; the only thing that a task with `--json` prints on standard output."""
    sys.stdout.write(json.dumps(report.to_json(), indent=2) + "\n")
    sys.stdout.flush()


def of_error(error: errors.PlatformError, *, code: int, task: str, environment: str | None) -> reports.Report:
    """The envelope of a task that ended with an error instead of a report."""
    return reports.Report(
        task=task,
        environment=environment,
        status=errors.ExitCode(code).name.lower(),
        exit_code=code,
        faults=error.faults(),
    )
