"""The answer of `dags-status`: which DAG version every tenant serves, and whether it is one."""

from __future__ import annotations

import functools
import signal
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_platform import errors, programs
from airflow_platform.engine import signals
from airflow_platform.engine.report import Report
from airflow_platform.manifests import airflow as manifest
from airflow_platform.reporting import document, output, tables
from airflow_platform.runtimes import dag_ids, dag_places, following, revisions
from airflow_platform.tools import dag_branch, dag_changes, dag_serving, git_remote

AGAIN = 2.0
"""Seconds between two looks of `--watch`."""

REMOTE_TIMEOUT = 10.0
"""Seconds for the branch's server; what is known of it already will do."""

AT_ONCE = 32
"""Tenants that are asked at the same time; each waits for its own api-server."""

HEADINGS = (
    "environment", "tenant", "state", "version", "commit", "workers", "branch", "age", "import errors", "dags",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What one tenant serves."""

    environment: str
    tenant: str
    state: str
    """`served`, `down`, or why it cannot be read."""
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
    elsewhere: str = ""
    """What git-sync has brought instead of what dag-processor parses; "" where that is the same."""

    @property
    def readable(self) -> bool:
        """Whether it is up and answered."""
        return self.state == "served"

    def cells(self, head: str) -> tuple[object, ...]:
        """As the table has it; `head` is the branch's version."""
        at = "" if not (head and self.version) else "head" if self.version == head else "behind"
        behind = f"{dag_serving.count(self.behind, 'DAG')} older" if self.behind else ""
        older = behind or ("elsewhere" if self.elsewhere else "same")
        workers = older if self.readable else ""
        return (
            self.environment, self.tenant, self.state, self.version[:12], (self.source or self.commit)[:12],
            workers, at, _told(self.age), len(self.failures) if self.readable else "",
            self.dags if self.readable else "",
        )  # fmt: skip

    def to_json(self) -> dict[str, object]:
        """As `--json` has it."""
        return {
            "environment": self.environment,
            "tenant": self.tenant,
            "state": self.state,
            "version": self.version,
            "commit": self.commit,
            "source": self.source,
            "behind": list(self.behind),
            "lacking": None if self.lacking is None else list(self.lacking),
            "age": None if self.age is None else round(self.age),
            "import_errors": list(self.failures),
            "elsewhere": self.elsewhere,
            "dags": self.dags,
        }


class Look:
    """One look at everything."""

    def __init__(
        self, revision: str, names: Sequence[str], interruption: programs.Interruption | None = None
    ) -> None:
        """Read what is declared.

        Args:
            revision: A commit whose DAGs must be what is served; "" for none.
            names: Of environments; none for all.
            interruption: What ends it.

        Raises:
            UsageError, ConfigurationError: It does not fit.
        """
        self.runner = programs.Programs(interruption=interruption)
        self.wanted = revisions.resolved(self.runner, revision).tree if revision else ""
        self.revision = revision
        self.places, self.elsewhere = dag_places.of(dag_places.environments(names), self.runner)
        self.notes = [f"{each.environment}: {each.why}" for each in self.elsewhere]
        self.branch = following.branch_if_any(self.runner)
        self.head: dag_branch.Synced | None = None
        self.unsure: errors.PlatformError | None = None
        """Why what is known of the branch is no measure."""
        self.known = dag_changes.Known(self.runner)
        self._commits: dict[str, dag_branch.Synced] = {}
        self._ids = functools.cache(dag_ids.of)

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
        """All tenants and the branch's server, asked at the same time."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            learning = pool.submit(self._learn_head)
            rows = tuple(pool.map(self._row, self.places))
            learning.result()
        return rows

    def _row(self, place: dag_places.LocalPlace) -> Row:
        try:
            if down := place.down():
                return Row(place.environment, place.tenant, down.removeprefix("it is "))
            with place.connected() as client:
                served = dag_serving.Bundle(client, manifest.BUNDLE, place.commit, place.links).look()
            return self._read(place, served)
        except errors.PlatformError as error:
            return Row(place.environment, place.tenant, f"cannot be read: {error.message}")

    def _read(self, place: dag_places.LocalPlace, served: dag_serving.Served) -> Row:
        sources = [path for path in (place.repository, self.branch and self.branch.repository) if path]

        def version(commit: str) -> dag_changes.Version | None:
            return self.known.version(commit, sources, manifest.FOLDER) if commit else None

        now = version(served.commit)

        def concerned(old: str) -> dag_changes.Concerned:
            return self.known.way(version(old), now) if now else dag_changes.ALL

        made = self._described(now, served.commit)
        expected = dag_serving.Expected(
            served.commit, lambda commit: True, concerned, self._ids(now.tree) if now else None
        )
        lacking = dag_serving.lacking(served, expected)
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
            elsewhere=served.elsewhere(lambda commit: commit == served.commit),
        )

    def _described(self, now: dag_changes.Version | None, commit: str) -> dag_branch.Synced | None:
        if now is None:
            return None
        if commit not in self._commits:
            (made,) = dag_branch.described(self.runner, now.repository, commit, manifest.FOLDER)
            self._commits[commit] = made
        return self._commits[commit]

    def report(self, rows: Sequence[Row]) -> Report:
        """The answer, with what is not equal as its faults."""
        faults = list(self._skew(rows))
        unreadable = [each for each in rows if each.state.startswith("cannot be read")]
        code = errors.ExitCode.DIFFERENCES if faults else errors.ExitCode.DONE
        if not faults and (unreadable or not any(row.readable for row in rows)):
            code = errors.ExitCode.FAILED
        if self.unsure and not faults:
            refused = isinstance(self.unsure, errors.RefusedError)
            code = errors.ExitCode.REFUSED if refused else errors.ExitCode.DIFFERENCES
        if self.unsure:
            name = f"branch {self.branch.name if self.branch else ''}"
            faults.append(errors.Fault(name, self.unsure.message, self.unsure.hint))
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
            "branch": None if self.head is None else {
                "name": self.branch.name if self.branch else "", "commit": self.head.commit,
                "version": self.head.tree, "source": self.head.source, "who": self.head.who, "when": self.head.when,
            },
            "tenants": [row.to_json() for row in rows],
            "notes": self.notes,
        }  # fmt: skip
        return Report("dags-status", None, words[int(code)], int(code), faults=tuple(faults), data=data)

    def _skew(self, rows: Sequence[Row]) -> list[errors.Fault]:
        """Who serves another version than the others, than the branch, or than was asked for."""
        found = []
        up = [row for row in rows if row.readable]
        wanted, what = self._reference([row for row in up if row.version])
        everywhere: frozenset[str] = frozenset().union(*(row.ids for row in up if row.version == wanted))
        for row in up:
            name = f"{row.environment}/{row.tenant}"
            remedy = "`inv dags-sync` brings one version everywhere."
            if not row.version or not (row.dags or row.failures):
                found.append(
                    errors.Fault(name, "It serves no DAG yet.", f"inv tenant-up --env={row.environment}")
                )
            elif row.version != wanted:
                now = row.version[:12] or "no version yet"
                found.append(errors.Fault(name, f"It serves {now}, not {wanted[:12]} ({what}).", remedy))
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
                log = (
                    f"inv tenant-logs --env={row.environment} --tenant={row.tenant} --component=dag-processor"
                )
                found.append(errors.Fault(name, cause, f"Its log says why: {log}"))
            found += [errors.Fault(name, f"It cannot import {each}.", "Mend it.") for each in row.failures]
        if self.head and self.wanted and self.head.tree != self.wanted:
            cause = f"It is at version {self.head.tree[:12]}, not {self.wanted[:12]} ({what})."
            found.append(errors.Fault(f"branch {self.branch.name if self.branch else ''}", cause, "Sync it."))
        return found

    def _reference(self, up: Sequence[Row]) -> tuple[str, str]:
        """What all must serve: what was asked for, else the branch's version, else what most serve."""
        if self.wanted:
            return self.wanted, f"--ref={self.revision}"
        if self.head:
            return self.head.tree, f"head of {self.branch.name if self.branch else ''}"
        common = Counter(row.version for row in up).most_common(1)
        return (common[0][0], "what most serve") if common else ("", "")


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
                if sys.stdout.isatty() and not as_json:
                    output.answer("\x1b[H\x1b[2J")
                code = _answer(Look(revision, names, interruption), as_json=as_json)
                interruption.sleep(AGAIN)
    except errors.Interrupted as end:
        # Ctrl-C is how people end it; whoever sends another signal wants the command itself gone.
        return code if end.signal_number == signal.SIGINT else end.code


def _answer(look: Look, *, as_json: bool) -> int:
    rows = look.rows()
    report = look.report(rows)
    if as_json:
        document.write(report)
        return report.exit_code
    head = look.head.tree if look.head else ""
    tables.write(HEADINGS, [row.cells(head) for row in rows])
    lines = [f"\n{_conclusion(look, rows, report)}"]
    lines += [f"  {fault}" for fault in report.faults]
    lines += [f"  {note}" for note in look.notes]
    output.answer("\n".join(lines) + "\n")
    return report.exit_code


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


def _missing(row: Row, everywhere: frozenset[str]) -> Collection[str]:
    """The DAGs that a tenant should have: as the check says, or where that is not known as the other tenants have."""
    return everywhere - row.ids if row.lacking is None else row.lacking


def _age(when: str) -> float:
    return max(0.0, time.time() - datetime.fromisoformat(when).astimezone(UTC).timestamp())


def _told(age: float | None) -> str:
    """An age for people: `12 s`, `5 min`, `3 h`, `2 d`."""
    if age is None:
        return ""
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if age >= seconds:
            return f"{age // seconds:.0f} {unit}"
    return f"{age:.0f} s"
