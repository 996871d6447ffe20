"""What a tenant serves: its dag-processor's commit, each DAG's commit, and what cannot be imported."""

from __future__ import annotations

import datetime
import functools
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from airflow_platform.dags.dag_changes import ALL, NONE, Concerned
from airflow_platform.tools.airflow import airflow_answers, airflow_client, airflow_session


@dataclass(frozen=True)
class Served:
    """What a tenant serves at one moment."""

    commit: str
    """That its dag-processor parses; "" for none yet."""
    dags: tuple[airflow_answers.Dag, ...]
    """Of the bundle, and still there."""
    failures: tuple[airflow_answers.ImportFailure, ...]

    def elsewhere(self, commit: str) -> str:
        """Where the dag-processor is, for people; "" when it is at that commit."""
        return "" if self.commit == commit else f"the bundle is at {self.commit[:12] or 'no commit'}"

    def behind(self, commit: str, concerned: Callable[[str], Concerned]) -> tuple[airflow_answers.Dag, ...]:
        """The DAGs whose tasks would still be run from an older commit with other code for them.

        Args:
            commit: The one that should be served.
            concerned: Which files are concerned by the way from a commit to that one.
        """
        return tuple(
            dag
            for dag in self.dags
            if dag.version != commit and not dag.has_import_errors and _is_behind(dag, concerned)
        )


def _is_behind(dag: airflow_answers.Dag, concerned: Callable[[str], Concerned]) -> bool:
    if dag.version is None or dag.file is None:
        return True
    return dag.file in concerned(dag.version)


@dataclass(frozen=True)
class Bundle:
    """A tenant's bundle of DAGs, and how one looks at it."""

    client: airflow_client.Airflow
    """Of the tenant's api-server."""
    name: str
    commit: Callable[[], str]
    """The bundle's version, as the metadata database has it; "" for none yet."""

    def look(self) -> Served:
        """What is served now."""
        commit = self.commit()  # Before the DAGs: what they lack of it, they lack now.
        dags = tuple(dag for dag in self.client.dags() if self._has(dag))
        return Served(commit, dags, self.failures())

    def look_again(self, before: Served, ids: Collection[str]) -> Served:
        """What is served now, when nothing but these DAGs can have changed: those are asked for one by one."""
        commit = self.commit()
        found = [dag for name in sorted(ids) if (dag := self._dag(name)) is not None]
        others = [dag for dag in before.dags if dag.id not in ids]
        return Served(commit, (*others, *found), self.failures())

    def position(self, before: Served) -> Served:
        """The same, with the commits of now."""
        return replace(before, commit=self.commit())

    def failures(self) -> tuple[airflow_answers.ImportFailure, ...]:
        """The files that cannot be imported."""
        return tuple(each for each in self.client.import_failures() if each.bundle in (self.name, None))

    def parse(self, name: str) -> bool:
        """Have the file of a DAG parsed, also of one that has gone stale; whether Airflow ever knew that DAG."""
        found = self._known(name)
        if found is None:
            return False
        self.client.parse_file(found.token)
        return True

    def _dag(self, name: str) -> airflow_answers.Dag | None:
        found = self._known(name)
        return found if found is not None and self._has(found) else None

    def _known(self, name: str) -> airflow_answers.Dag | None:
        try:
            return self.client.dag(name)
        except airflow_session.NotFound:
            return None

    def _has(self, dag: airflow_answers.Dag) -> bool:
        return not dag.stale and dag.bundle == self.name


def told(failures: Sequence[airflow_answers.ImportFailure]) -> tuple[str, ...]:
    """Import failures for people, by file."""
    return tuple(sorted(f"{each.file}: {each.reason}" for each in failures))


@dataclass(frozen=True)
class Expected:
    """What a tenant should come to serve."""

    commit: str
    """No other will do that has the same DAGs: who is at an older one may be about to fetch what lies between."""
    concerned: Callable[[str], Concerned]
    """Which files are concerned by the way from a commit to the wanted one."""
    dags: Mapping[str, str] | None = None
    """The ids that it has, with their files; None where nobody has looked."""
    unread: frozenset[str] = frozenset()
    """Files whose ids are not among those, because the check could not import them."""
    between: Callable[[str], Sequence[str] | None] = lambda commit: ()
    """The commits that come between a commit and the wanted one; None where that is not known."""

    def way(self, before: str) -> Concerned:
        """The files that a tenant may have read otherwise on its way from a commit to the wanted one."""
        if before == self.commit:
            return NONE
        between = self.between(before) if before else None
        if between is None:
            return ALL
        return functools.reduce(operator.or_, map(self.concerned, between), self.concerned(before))


@dataclass(frozen=True)
class Lacking:
    """What of a wanted version a tenant does not serve; what is told is the first of these."""

    elsewhere: str = ""
    """What is not at the version, and where it is; the rest is not known then."""
    failures: tuple[airflow_answers.ImportFailure, ...] = ()
    empty: bool = False
    """Whether there is no DAG at all."""
    behind: tuple[airflow_answers.Dag, ...] = ()
    """Those whose files have to be parsed again."""
    new: frozenset[str] = frozenset()
    """Ids that are not there yet."""
    left: tuple[airflow_answers.Dag, ...] = ()
    """Those that their file has no longer, which Airflow finds some seconds after it has parsed that file."""
    gone: tuple[airflow_answers.Dag, ...] = ()
    """Those whose files are gone; nobody can have those parsed."""

    @property
    def ids(self) -> frozenset[str]:
        """The DAGs that it is about."""
        return self.new | {dag.id for dag in (*self.behind, *self.left, *self.gone)}

    def __str__(self) -> str:
        """For people, "" for nothing."""
        if self.elsewhere:
            return self.elsewhere
        if self.failures:
            return f"{count(self.failures, 'DAG file')} cannot be imported: {'; '.join(told(self.failures))}"
        if self.empty:
            return "no DAG is parsed yet"
        if self.behind:
            return f"to be parsed again: {count(self.behind, 'DAG')}"
        if self.new:
            return f"not parsed yet: {some(self.new)}"
        lingering = {dag.id for dag in (*self.left, *self.gone)}
        return f"not gone yet: {some(lingering)}" if lingering else ""


def lacking(
    now: Served, wanted: Expected, *, moment: datetime.datetime | None = None, way: Concerned = NONE
) -> Lacking:
    """What of a version is not served.

    Airflow calls a parse that goes on while a commit arrives one of that commit, although it has read the
    files before.

    Args:
        now: What is served.
        wanted: What should be.
        moment: When the dag-processor found the wanted commit; None where nobody knows.
        way: What the way to it concerned: parses of it that began before that moment do not count.
    """
    elsewhere = now.elsewhere(wanted.commit)
    return Lacking(elsewhere) if elsewhere else compared(now, wanted, moment=moment, way=way)


def compared(
    now: Served, wanted: Expected, *, moment: datetime.datetime | None = None, way: Concerned = NONE
) -> Lacking:
    """What of a version the DAGs lack, wherever the dag-processor is; `lacking` says the rest."""
    gone = tuple(dag for dag in now.dags if _is_gone(dag, wanted))
    there = [dag for dag in now.dags if not _is_gone(dag, wanted)]
    parsed = {dag.file for dag in there if dag.version == wanted.commit}
    left = tuple(dag for dag in there if _is_left(dag, wanted, parsed))
    found_out = {dag.id for dag in left if dag.file in parsed}
    behind = {dag.id for dag in now.behind(wanted.commit, wanted.concerned)}
    behind |= {dag.id for dag in there if _began_before(dag, moment, way)}
    behind -= found_out
    return Lacking(
        failures=now.failures,
        empty=not now.dags,
        behind=tuple(dag for dag in there if dag.id in behind),
        new=frozenset((wanted.dags or {}).keys() - {dag.id for dag in now.dags}),
        left=left,
        gone=gone,
    )


def _is_gone(dag: airflow_answers.Dag, wanted: Expected) -> bool:
    return dag.version not in (None, wanted.commit) and dag.file in wanted.concerned(dag.version or "").gone


def _is_left(dag: airflow_answers.Dag, wanted: Expected, parsed: Collection[str | None]) -> bool:
    """Whether it is not in the version though its file is; `parsed` are the files that were parsed of it."""
    if wanted.dags is not None and dag.id not in wanted.dags and dag.file not in wanted.unread:
        return True
    return dag.version not in (None, wanted.commit) and dag.file in parsed


def _began_before(dag: airflow_answers.Dag, moment: datetime.datetime | None, files: Concerned) -> bool:
    if moment is None or dag.file is None or dag.parse_began is None:
        return False
    return dag.file in files and dag.parse_began < moment


def count(things: Collection[object], name: str) -> str:
    """How many, for people."""
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def some(names: Collection[str]) -> str:
    """Three of them, and how many more, so that people see it getting on."""
    first = ", ".join(sorted(names)[:3])
    return first + (f" and {len(names) - 3} more" if len(names) > 3 else "")
