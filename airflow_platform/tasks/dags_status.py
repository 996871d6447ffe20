"""`dags-status`: which DAG version each tenant serves, and whether it is the same everywhere."""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from airflow_platform import errors
from airflow_platform.dags import branch_following, dag_branch, dag_changes, dag_serving
from airflow_platform.dags.check import commit_check, result_cache
from airflow_platform.engine import signals
from airflow_platform.engine.report import Report
from airflow_platform.programs import programs
from airflow_platform.reporting import document, output, reporters, tables
from airflow_platform.runtimes import dag_targets
from airflow_platform.tasks.command_line import CommandLine
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tools.git import git_remote

AGAIN = 2.0
"""Seconds between two looks of `--watch`."""

HEADINGS = (
    "environment", "tenant", "state", "version", "commit", "workers", "branch", "age", "import errors", "dags",
)  # fmt: skip

SYNC = "`inv dags-sync` brings one version everywhere."

REMOTE_TIMEOUT = 10.0
"""Seconds for the branch's server; what is known of it already will do."""

AT_ONCE = 32
"""Tenants that are asked at the same time; each waits for its own api-server."""

State = Literal["served", "down", "unreadable"]


def status(line: CommandLine, revision: str, names: Sequence[str], *, watch: bool) -> int:
    """Show what every tenant serves; the exit code, of the last look where there are several.

    Args:
        line: The command line.
        revision: A commit whose DAGs must be what is served; "" for none.
        names: Of environments; none for all.
        watch: Whether to look again until a signal comes.
    """
    if watch and line.json:
        raise errors.UsageError(
            "--watch and --json do not go together.", hint="One document a command: leave --watch out."
        )
    # A line, also on a terminal: the board takes time to load, and a note hardly ever comes.
    note = reporters.choose(sys.stderr, os.environ, json=True).note
    if not watch:
        return _answer(Look(revision, names, note), as_json=line.json)
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
    report = judged(look, rows)
    if as_json:
        document.write(report)
        return report.exit_code
    head = look.head.tree if look.head else ""
    tables.write(HEADINGS, [_cells(row, head) for row in rows])
    lines = [f"\n{_conclusion(rows, report)}"]
    lines += [f"  {fault}" for fault in report.faults]
    lines += [f"  {note}" for note in look.notes]
    output.answer("\n".join(lines) + "\n")
    return report.exit_code


def _cells(row: Row, head: str) -> tuple[object, ...]:
    """As the table has it; `head` is the branch's version."""
    at = "" if not (head and row.version) else "head" if row.version == head else "behind"
    older = f"{dag_serving.count(row.behind, 'DAG')} older" if row.behind else "same"
    workers = older if row.readable else ""
    return (
        row.environment, row.tenant, row.state, row.version[:12], (row.source or row.commit)[:12],
        workers, at, _told(row.age), len(row.failures) if row.readable else "",
        row.dags if row.readable else "",
    )  # fmt: skip


def _conclusion(rows: Sequence[Row], report: Report) -> str:
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


@dataclass(frozen=True)
class Row:
    """What one tenant serves."""

    environment: str
    tenant: str
    state: State
    why: str = ""
    """Why it cannot be read; "" where it can."""
    version: str = ""
    """The tree that its dag-processor serves."""
    commit: str = ""
    """Of the branch, or of the project where nothing was synced."""
    source: str = ""
    """The project's commit."""
    behind: tuple[str, ...] = ()
    """DAGs that workers would still run from an older commit with other code, or that the version has no longer."""
    lacking: tuple[str, ...] | None = None
    """DAGs that the version has, and the tenant has not; None where nobody knows which it has."""
    ids: frozenset[str] = frozenset()
    """The DAGs of that version that it has."""
    age: float | None = None
    """Seconds since the commit was made."""
    failures: tuple[str, ...] = ()
    dags: int = 0
    declared: bool = True

    @property
    def readable(self) -> bool:
        """Whether it is up and answered."""
        return self.state == "served"

    def to_json(self) -> dict[str, object]:
        """As `--json` has it."""
        return {
            "environment": self.environment,
            "tenant": self.tenant,
            "state": self.state,
            "why": self.why,
            "version": self.version,
            "commit": self.commit,
            "source": self.source,
            "behind": list(self.behind),
            "lacking": None if self.lacking is None else list(self.lacking),
            "age": None if self.age is None else round(self.age),
            "import_errors": list(self.failures),
            "dags": self.dags,
            "declared": self.declared,
        }


class Look:
    """One look at everything."""

    def __init__(
        self,
        revision: str,
        names: Sequence[str],
        on_note: Callable[[str], None],
        interruption: programs.Interruption | None = None,
    ) -> None:
        """Read what is declared.

        Args:
            revision: A commit whose DAGs must be what is served; "" for none.
            names: Of environments; none for all.
            on_note: Called with a line for people when what a killed run left is waited for.
            interruption: What ends it.

        Raises:
            UsageError, ConfigurationError: It does not fit.
        """
        self.runner = programs.Programs(interruption=interruption)
        self.wanted = commit_check.resolved(self.runner, revision).tree if revision else ""
        self.revision = revision
        self._on_note = on_note
        self._environments = dag_targets.environments(names)
        self.places, self.elsewhere = dag_targets.of(self._environments, self.runner, on_note)
        self.notes = [f"{each.environment}: {each.why}" for each in self.elsewhere]
        self.branch = branch_following.branch_if_any(self.runner, on_note)
        self.head: dag_branch.Synced | None = None
        self.unsure: errors.PlatformError | None = None
        """Why what is known of the branch is no measure."""
        self.known = dag_changes.Known(self.runner)
        self._commits: dict[str, dag_branch.Synced] = {}
        self._ids = functools.cache(result_cache.dag_ids)

    @property
    def branch_name(self) -> str:
        """The branch's; "" where nothing can have been synced."""
        return self.branch.name if self.branch else ""

    def _learn_head(self) -> None:
        """Where the branch is; a server that is away is no reason to say nothing about tenants."""
        if self.branch is None:
            return
        try:
            self.branch.refresh(self.runner, timeout=REMOTE_TIMEOUT)
        except errors.Interrupted:
            raise
        except (git_remote.Rewritten, errors.RefusedError) as error:
            self.unsure = error
        except errors.PlatformError as error:
            self.notes.append(f"the branch as last known: {error.message}")
        self.head = self.branch.head(self.runner)

    def rows(self) -> tuple[Row, ...]:
        """All tenants and the branch's server, asked at the same time; those that nobody declares come last."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            learning = pool.submit(self._learn_head)
            looking = pool.submit(dag_targets.left_running, self._environments, self.runner, self._on_note)
            rows = tuple(pool.map(self._row, self.places))
            others = tuple(map(self._row, looking.result()))
            learning.result()
        return (*rows, *(dataclasses.replace(each, declared=False) for each in others))

    def _row(self, place: dag_targets.LocalTarget) -> Row:
        try:
            if place.down():
                return Row(place.environment, place.tenant, "down")
            with place.access() as opened:
                served = dag_serving.Bundle(opened.airflow, manifest.BUNDLE, place.commit).look()
            return self._read(place, served)
        except errors.Interrupted:
            raise
        except errors.PlatformError as error:
            return Row(place.environment, place.tenant, "unreadable", error.message)

    def _read(self, place: dag_targets.LocalTarget, served: dag_serving.Served) -> Row:
        sources = [path for path in (place.repository, self.branch and self.branch.repository) if path]

        def version(commit: str) -> dag_changes.Version | None:
            return self.known.version(commit, sources, manifest.FOLDER) if commit else None

        now = version(served.commit)

        def concerned(old: str) -> dag_changes.Concerned:
            return self.known.way(version(old), now) if now else dag_changes.ALL

        made = self._described(now, served.commit)
        expected = dag_serving.Expected(served.commit, concerned, self._ids(now.tree) if now else None)
        lacking = dag_serving.compared(served, expected)
        behind = (*lacking.behind, *lacking.left, *lacking.gone)
        return Row(
            environment=place.environment,
            tenant=place.tenant,
            state="served",
            version=now.tree if now else "",
            commit=served.commit,
            source=made.source if made else "",
            behind=tuple(sorted({dag.id for dag in behind})),
            lacking=tuple(sorted(lacking.new)) if expected.dags is not None else None,
            ids=frozenset({dag.id for dag in served.dags} - {dag.id for dag in behind}),
            age=_age(made.when) if made else None,
            failures=dag_serving.told(served.failures),
            dags=len(served.dags),
        )

    def _described(self, now: dag_changes.Version | None, commit: str) -> dag_branch.Synced | None:
        if now is None:
            return None
        if commit not in self._commits:
            (made,) = dag_branch.described(self.runner, now.repository, commit, manifest.FOLDER)
            self._commits[commit] = made
        return self._commits[commit]


def _age(when: str) -> float:
    return max(0.0, time.time() - datetime.fromisoformat(when).astimezone(UTC).timestamp())


def judged(look: Look, rows: Sequence[Row]) -> Report:
    """The answer, with what is not equal as its faults."""
    faults = list(_skew(look, rows))
    unreadable = [each for each in rows if each.state == "unreadable"]
    code = errors.ExitCode.DIFFERENCES if faults else errors.ExitCode.DONE
    if not faults and (unreadable or not any(row.readable for row in rows)):
        code = errors.ExitCode.FAILED
    if look.unsure and not faults:
        refused = isinstance(look.unsure, errors.RefusedError)
        code = errors.ExitCode.REFUSED if refused else errors.ExitCode.DIFFERENCES
    if look.unsure:
        name = f"branch {look.branch_name}"
        faults.append(errors.Fault(name, look.unsure.message, look.unsure.hint))
    faults += [
        errors.Fault(
            f"{each.environment}/{each.tenant}",
            f"It cannot be read: {each.why}",
            f"inv tenant-status --env={each.environment}",
        )
        for each in unreadable
    ]
    words = {0: "equal", 1: "not proved", 3: "differs", 6: "not proved"}
    data = {
        "branch": None if look.head is None else {
            "name": look.branch_name, "commit": look.head.commit,
            "version": look.head.tree, "source": look.head.source, "who": look.head.who, "when": look.head.when,
        },
        "tenants": [row.to_json() for row in rows],
        "notes": look.notes,
    }  # fmt: skip
    return Report("dags-status", None, words[int(code)], int(code), faults=tuple(faults), data=data)


def _skew(look: Look, rows: Sequence[Row]) -> list[errors.Fault]:
    """Who serves another version than the others, than the branch, or than was asked for."""
    found: list[errors.Fault] = []
    up = [row for row in rows if row.readable]
    wanted, what = _reference(look, [row for row in up if row.version])
    everywhere: frozenset[str] = frozenset().union(*(row.ids for row in up if row.version == wanted))
    for row in up:
        name, hint = f"{row.environment}/{row.tenant}", "Fix and sync it, or: inv dags-rollback"
        if differs := _difference(row, wanted, what) or _lack(row, everywhere):
            found.append(errors.Fault(name, *differs))
        found += [errors.Fault(name, f"It cannot import {each}.", hint) for each in row.failures]
    if look.head and look.wanted and look.head.tree != look.wanted:
        cause = f"It is at version {look.head.tree[:12]}, not {look.wanted[:12]} ({what})."
        name = f"branch {look.branch_name}"
        found.append(errors.Fault(name, cause, f"inv dags-sync --ref={look.revision}"))
    return found


def _difference(row: Row, wanted: str, what: str) -> tuple[str, str] | None:
    """Whether a tenant is at another version than the wanted one, as cause and remedy."""
    if not row.declared:
        cause = "It runs and is not declared, so that no sync waits for it."
        return cause, f"Declare it again, or: inv tenant-down --env={row.environment} --tenant={row.tenant}"
    if not row.commit or (row.version and not (row.dags or row.failures)):
        return "It serves no DAG yet.", f"inv tenant-up --env={row.environment}"
    if not row.version:
        return f"It serves commit {row.commit[:12]}, which no repository here has.", SYNC
    if row.version != wanted:
        return f"It serves {row.version[:12]}, not {wanted[:12]} ({what}).", SYNC
    return None


def _lack(row: Row, everywhere: frozenset[str]) -> tuple[str, str] | None:
    """What of the wanted version a tenant does not serve, as cause and remedy; None for nothing."""
    if row.behind:
        older, names = dag_serving.count(row.behind, "DAG"), dag_serving.some(row.behind)
        return f"Its workers would run {older} from an older commit: {names}.", SYNC
    if not row.failures and (missing := _missing(row, everywhere)):
        cause = f"It has not parsed {dag_serving.some(missing)}, which the version has."
        of = f"--env={row.environment} --tenant={row.tenant}"
        return cause, f"Its log says why: inv tenant-logs {of} --component=dag-processor"
    return None


def _reference(look: Look, up: Sequence[Row]) -> tuple[str, str]:
    """What all must serve: what was asked for, else the branch's version, else what most serve."""
    if look.wanted:
        return look.wanted, f"--ref={look.revision}"
    if look.head:
        return look.head.tree, f"head of {look.branch_name}"
    common = Counter(row.version for row in up).most_common(1)
    return (common[0][0], "what most serve") if common else ("", "")


def _missing(row: Row, everywhere: frozenset[str]) -> Collection[str]:
    """The DAGs that a tenant should have: as the check says, or where that is not known as the other tenants have."""
    return everywhere - row.ids if row.lacking is None else row.lacking
