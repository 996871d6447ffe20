"""The answer of `dags-status`: a table of what every tenant serves, and whether that is one DAG version."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from airflow_platform import errors, programs
from airflow_platform.engine import signals
from airflow_platform.engine.report import Report
from airflow_platform.reporting import choosing as reporters
from airflow_platform.reporting import document, output, tables
from airflow_platform.tasks import judging
from airflow_platform.tasks.serving import Look, Row
from airflow_platform.tools import dag_serving

AGAIN = 2.0
"""Seconds between two looks of `--watch`."""

HEADINGS = (
    "environment", "tenant", "state", "version", "commit", "workers", "branch", "age", "import errors", "dags",
)  # fmt: skip


def status(revision: str, names: Sequence[str], *, watch: bool, as_json: bool) -> int:
    """Answer `dags-status`; the exit code, of the last look where there are several."""
    if watch and as_json:
        raise errors.UsageError(
            "--watch and --json do not go together.", hint="One document a command: leave --watch out."
        )
    # A line, also on a terminal: the board takes time to load, and a note hardly ever comes.
    note = reporters.choose(sys.stderr, os.environ, json=True).note
    if not watch:
        return _answer(Look(revision, names, note), as_json=as_json)
    code = 0
    interruption = programs.Interruption()
    try:
        with signals.handled(interruption):
            while True:
                if sys.stdout.isatty():
                    output.answer("\x1b[H\x1b[2J")
                code = _answer(Look(revision, names, note, interruption), as_json=False)
                interruption.sleep(AGAIN)
    except errors.Interrupted as end:
        # Ctrl-C is how people end it; whoever sends another signal wants the command itself gone.
        return code if end.signal_number == signal.SIGINT else end.code


def _answer(look: Look, *, as_json: bool) -> int:
    rows = look.rows()
    report = judging.judged(look, rows)
    if as_json:
        document.write(report)
        return report.exit_code
    head = look.head.tree if look.head else ""
    tables.write(HEADINGS, [_cells(row, head) for row in rows])
    lines = [f"\n{_conclusion(look, rows, report)}"]
    lines += [f"  {fault}" for fault in report.faults]
    lines += [f"  {note}" for note in look.notes]
    output.answer("\n".join(lines) + "\n")
    return report.exit_code


def _cells(row: Row, head: str) -> tuple[object, ...]:
    """As the table has it; `head` is the branch's version."""
    at = "" if not (head and row.version) else "head" if row.version == head else "behind"
    behind = f"{dag_serving.count(row.behind, 'DAG')} older" if row.behind else ""
    older = behind or ("elsewhere" if row.elsewhere else "same")
    workers = older if row.readable else ""
    return (
        row.environment, row.tenant, row.state, row.version[:12], (row.source or row.commit)[:12],
        workers, at, _told(row.age), len(row.failures) if row.readable else "",
        row.dags if row.readable else "",
    )  # fmt: skip


def _conclusion(look: Look, rows: Sequence[Row], report: Report) -> str:
    up = sum(row.readable for row in rows)
    down = sum(row.state == "down" for row in rows)
    waiting = f"; {down} down, which catch up when they come up" if down else ""
    if report.exit_code == 0:
        version = next(row.version for row in rows if row.readable)
        return f"equal: {up} tenants serve version {version[:12]}{waiting}"
    if not report.faults:
        return f"{report.status}: no tenant is up{waiting}"
    return f"{report.status}: {len(report.faults)} fault{'s' * (len(report.faults) > 1)}{waiting}"


def _told(age: float | None) -> str:
    """An age for people: `12 s`, `5 min`, `3 h`, `2 d`."""
    if age is None:
        return ""
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if age >= seconds:
            return f"{age // seconds:.0f} {unit}"
    return f"{age:.0f} s"
