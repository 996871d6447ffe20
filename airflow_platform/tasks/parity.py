"""The answer of `dags-status`: whether every tenant serves one DAG version, and who does not."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Collection, Sequence

from airflow_platform import errors, programs
from airflow_platform.engine import signals
from airflow_platform.engine.report import Report
from airflow_platform.reporting import document, output, tables
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
    if not watch:
        return _answer(Look(revision, names), as_json=as_json)
    code = 0
    interruption = programs.Interruption()
    try:
        with signals.handled(interruption):
            while True:
                if sys.stdout.isatty():
                    output.answer("\x1b[H\x1b[2J")
                code = _answer(Look(revision, names, interruption), as_json=False)
                interruption.sleep(AGAIN)
    except errors.Interrupted as end:
        # Ctrl-C is how people end it; whoever sends another signal wants the command itself gone.
        return code if end.signal_number == signal.SIGINT else end.code


def _answer(look: Look, *, as_json: bool) -> int:
    rows = look.rows()
    report = _judged(look, rows)
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


def _judged(look: Look, rows: Sequence[Row]) -> Report:
    """The answer, with what is not equal as its faults."""
    faults = list(_skew(look, rows))
    unreadable = [each for each in rows if each.state.startswith("cannot be read")]
    code = errors.ExitCode.DIFFERENCES if faults else errors.ExitCode.DONE
    if not faults and (unreadable or not any(row.readable for row in rows)):
        code = errors.ExitCode.FAILED
    if look.unsure and not faults:
        refused = isinstance(look.unsure, errors.RefusedError)
        code = errors.ExitCode.REFUSED if refused else errors.ExitCode.DIFFERENCES
    if look.unsure:
        name = f"branch {look.branch.name if look.branch else ''}"
        faults.append(errors.Fault(name, look.unsure.message, look.unsure.hint))
    faults += [
        errors.Fault(
            f"{each.environment}/{each.tenant}",
            each.state[:1].upper() + each.state[1:],
            f"inv tenant-status --env={each.environment}",
        )
        for each in unreadable
    ]
    words = {0: "equal", 1: "not proved", 3: "differs", 6: "not proved"}
    data = {
        "branch": None if look.head is None else {
            "name": look.branch.name if look.branch else "", "commit": look.head.commit,
            "version": look.head.tree, "source": look.head.source, "who": look.head.who, "when": look.head.when,
        },
        "tenants": [row.to_json() for row in rows],
        "notes": look.notes,
    }  # fmt: skip
    return Report("dags-status", None, words[int(code)], int(code), faults=tuple(faults), data=data)


def _skew(look: Look, rows: Sequence[Row]) -> list[errors.Fault]:
    """Who serves another version than the others, than the branch, or than was asked for."""
    found = []
    up = [row for row in rows if row.readable]
    wanted, what = _reference(look, [row for row in up if row.version])
    everywhere: frozenset[str] = frozenset().union(*(row.ids for row in up if row.version == wanted))
    for row in up:
        name = f"{row.environment}/{row.tenant}"
        remedy = "`inv dags-sync` brings one version everywhere."
        if not row.declared:
            down = f"inv tenant-down --env={row.environment} --tenant={row.tenant}"
            cause = "It runs and is not declared, so that no sync waits for it."
            found.append(errors.Fault(name, cause, f"Declare it again, or: {down}"))
        elif not row.commit or (row.version and not (row.dags or row.failures)):
            found.append(
                errors.Fault(name, "It serves no DAG yet.", f"inv tenant-up --env={row.environment}")
            )
        elif not row.version:
            cause = f"It serves commit {row.commit[:12]}, which no repository here has."
            found.append(errors.Fault(name, cause, remedy))
        elif row.version != wanted:
            found.append(
                errors.Fault(name, f"It serves {row.version[:12]}, not {wanted[:12]} ({what}).", remedy)
            )
        elif row.elsewhere:
            cause = f"It serves {row.commit[:12]}, and {row.elsewhere}."
            found.append(errors.Fault(name, cause, "It follows by itself; look again, or into its log."))
        elif row.behind:
            cause = (
                f"Its workers would run {dag_serving.count(row.behind, 'DAG')} from an older commit: "
                f"{dag_serving.some(row.behind)}."
            )
            found.append(errors.Fault(name, cause, remedy))
        elif not row.failures and (missing := _missing(row, everywhere)):
            cause = f"It has not parsed {dag_serving.some(missing)}, which the version has."
            log = f"inv tenant-logs --env={row.environment} --tenant={row.tenant} --component=dag-processor"
            found.append(errors.Fault(name, cause, f"Its log says why: {log}"))
        mend = "Mend and sync it, or: inv dags-rollback"
        found += [errors.Fault(name, f"It cannot import {each}.", mend) for each in row.failures]
    if look.head and look.wanted and look.head.tree != look.wanted:
        cause = f"It is at version {look.head.tree[:12]}, not {look.wanted[:12]} ({what})."
        name, remedy = (
            f"branch {look.branch.name if look.branch else ''}",
            f"inv dags-sync --ref={look.revision}",
        )
        found.append(errors.Fault(name, cause, remedy))
    return found


def _reference(look: Look, up: Sequence[Row]) -> tuple[str, str]:
    """What all must serve: what was asked for, else the branch's version, else what most serve."""
    if look.wanted:
        return look.wanted, f"--ref={look.revision}"
    if look.head:
        return look.head.tree, f"head of {look.branch.name if look.branch else ''}"
    common = Counter(row.version for row in up).most_common(1)
    return (common[0][0], "what most serve") if common else ("", "")


def _missing(row: Row, everywhere: frozenset[str]) -> Collection[str]:
    """The DAGs that a tenant should have: as the check says, or where that is not known as the other tenants have."""
    return everywhere - row.ids if row.lacking is None else row.lacking


def _told(age: float | None) -> str:
    """An age for people: `12 s`, `5 min`, `3 h`, `2 d`."""
    if age is None:
        return ""
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if age >= seconds:
            return f"{age // seconds:.0f} {unit}"
    return f"{age:.0f} s"
