"""What a tenant serves: its dag-processor's commit, each DAG's commit, and what cannot be imported."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_platform import errors
from airflow_platform.tools import airflow, airflow_answers
from airflow_platform.tools.dag_changes import ALL, NONE, Concerned

SETTLING = 10.0
"""Seconds after a commit arrived for which a failure of a file that it does not concern is borne: what the
tenant's settings mend shows when Airflow comes to that file."""


CONFIRMED = 2.0
"""Seconds for which a new failure must last; longer than it takes to parse a file again."""


class CannotImport(errors.StepError):
    """A file of the wanted commit cannot be imported there: waiting longer is of no use."""


AGAIN = 5.0
"""Seconds until the dag-processor is asked once more to look for a new commit."""


@dataclass(frozen=True)
class Served:
    """What a tenant serves at one moment."""

    commit: str
    """That its dag-processor parses; "" for none yet."""
    dags: tuple[airflow_answers.Dag, ...]
    """Of the bundle, and still there."""
    failures: tuple[airflow_answers.ImportFailure, ...]
    links: Mapping[str, str] = field(default_factory=dict)
    """The commit that git-sync has brought, by the component that reads it; none where git-sync brings nothing."""

    def elsewhere(self, accepted: Callable[[str], bool]) -> str:
        """What is not at an accepted commit, dag-processor or git-sync, and where it is; "" for nothing."""
        for component, commit in self.links.items():
            if not accepted(commit):
                return f"git-sync of {component} is at {commit[:12] or 'no commit'}"
        return "" if accepted(self.commit) else f"the bundle is at {self.commit[:12] or 'no commit'}"

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


def look(client: airflow.Airflow, commit: str, bundle: str, links: Mapping[str, str] | None = None) -> Served:
    """What a tenant serves now.

    Args:
        client: Of its api-server.
        commit: The bundle's version, as its metadata database has it.
        bundle: Its name.
        links: As `Served.links`.
    """
    dags = tuple(dag for dag in client.dags() if not dag.stale and dag.bundle == bundle)
    failures = tuple(each for each in client.import_failures() if each.bundle in (bundle, None))
    return Served(commit, dags, failures, links or {})


def told(failures: Sequence[airflow_answers.ImportFailure]) -> tuple[str, ...]:
    """Import failures for people, by file."""
    return tuple(sorted(f"{each.file}: {each.reason}" for each in failures))


@dataclass(frozen=True)
class Wanted:
    """What a tenant should come to serve."""

    commit: str
    accepted: Callable[[str], bool]
    """Whether a commit has the same DAG version as that one."""
    concerned: Callable[[str], Concerned]
    """Which files are concerned by the way from a commit to the wanted one."""
    dags: Mapping[str, str] | None = None
    """The ids that it has, with their files; None where nobody has looked."""


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

    def __str__(self) -> str:
        """For people, "" for nothing."""
        if self.elsewhere:
            return self.elsewhere
        if self.failures:
            return f"{_count(self.failures, 'DAG file')} cannot be imported: {'; '.join(told(self.failures))}"
        if self.empty:
            return "no DAG is parsed yet"
        if self.behind:
            return f"to be parsed again: {_count(self.behind, 'DAG')}"
        if self.new:
            return f"not parsed yet: {_some(self.new)}"
        lingering = {dag.id for dag in (*self.left, *self.gone)}
        return f"not gone yet: {_some(lingering)}" if lingering else ""


def lacking(
    now: Served, wanted: Wanted, *, moment: datetime.datetime | None = None, way: Concerned = NONE
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
    if elsewhere := now.elsewhere(wanted.accepted):
        return Lacking(elsewhere)
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


def _is_gone(dag: airflow_answers.Dag, wanted: Wanted) -> bool:
    return dag.version not in (None, wanted.commit) and dag.file in wanted.concerned(dag.version or "").gone


def _is_left(dag: airflow_answers.Dag, wanted: Wanted, parsed: Collection[str | None]) -> bool:
    """Whether it is not in the version though its file is; `parsed` are the files that were parsed of it."""
    if wanted.dags is not None and dag.id not in wanted.dags:
        return True
    return dag.version not in (None, wanted.commit) and dag.file in parsed


def _began_before(dag: airflow_answers.Dag, moment: datetime.datetime | None, files: Concerned) -> bool:
    if moment is None or dag.file is None or dag.parse_began is None:
        return False
    return dag.file in files and dag.parse_began < moment


def _count(things: Collection[object], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def _some(names: Collection[str]) -> str:
    """Three of them, and how many more, so that people see it getting on."""
    first = ", ".join(sorted(names)[:3])
    return first + (f" and {len(names) - 3} more" if len(names) > 3 else "")


class Coming:
    """What a wait for one commit remembers."""

    def __init__(
        self,
        client: airflow.Airflow,
        wanted: Wanted,
        before: str,
        clock: Callable[[], float],
        refreshed: Callable[[], datetime.datetime | None] = lambda: None,
    ) -> None:
        """Begin to wait.

        Args:
            client: Of the tenant's api-server.
            wanted: What should be served.
            before: The commit that the dag-processor serves now; "" for none.
            clock: Monotonic seconds.
            refreshed: When the dag-processor looked for a new commit the last time, by the tenant's own clock.
        """
        self._refreshed = refreshed
        self._moment: datetime.datetime | None = None
        self._before = before
        self._client = client
        self._wanted = wanted
        self._clock = clock
        self._asked: set[str] = set()
        self._left: dict[str, float] = {}
        """When a DAG was seen to have left its file, or its file was asked for because of that."""
        self._nudged: float | None = None
        self._arrived: float | None = None
        self._old: frozenset[tuple[str, str]] | None = None
        """Failures that were there at the first look: of the commit before."""
        self._since: dict[tuple[str, str], float] = {}
        """When the others were seen first."""

    def missing(self, now: Served) -> str:
        """What is still missing; "" when all is served.

        Raises:
            CannotImport: A file of that commit cannot be imported: waiting longer is of no use.
        """
        if self._old is None:
            self._old = frozenset((each.file, each.at) for each in now.failures)
        if self._arrived is None and not now.elsewhere(self._wanted.accepted):
            self._arrived = self._clock()
            self._moment = None if self._before == self._wanted.commit else self._refreshed()
        found = lacking(now, self._wanted, moment=self._moment, way=self._way())
        if self._arrived is None or found.elsewhere:
            self._nudge(now)
            return str(found)
        for dag in found.behind:
            self._parse_again(dag)
        for dag in found.left:
            self._find_out(dag)
        if found.failures:
            self._bear(found.failures, since=self._arrived)
        return str(found)

    def _nudge(self, now: Served) -> None:
        """Airflow looks for a new commit at once when a file of the bundle is to be parsed again."""
        if now.dags and (self._nudged is None or self._clock() >= self._nudged + AGAIN):
            self._client.parse_file(now.dags[0].token)
            self._nudged = self._clock()

    def _parse_again(self, dag: airflow_answers.Dag) -> None:
        """Airflow parses an unchanged file again only after minutes, so each is asked for, once."""
        if (key := dag.file or dag.id) not in self._asked:
            self._client.parse_file(dag.token)
            self._asked.add(key)

    def _find_out(self, dag: airflow_answers.Dag) -> None:
        """Airflow believes that a DAG has left its file when that was parsed some seconds later than the DAG."""
        if self._clock() >= self._left.setdefault(dag.id, self._clock()) + AGAIN:
            self._client.parse_file(dag.token)
            self._left[dag.id] = self._clock()

    def _bear(self, failures: Sequence[airflow_answers.ImportFailure], *, since: float) -> None:
        """A failure of the commit before is told until its file is parsed again, which may be in the queue."""
        settling = self._clock() < since + SETTLING
        if all(self._is_borne(each, settling=settling) for each in failures):
            return
        number, commit = _count(failures, "DAG file"), self._wanted.commit[:12]
        raise CannotImport(
            f"{number} of commit {commit} cannot be imported: {'; '.join(told(failures))}.",
            hint="Mend and commit, then run this again; the tenant serves its other DAGs.",
        )

    def _is_borne(self, failure: airflow_answers.ImportFailure, *, settling: bool) -> bool:
        """Whether a failure may still go away by itself."""
        key = (failure.file, failure.at)
        if key in (self._old or ()):
            # A file that the commit concerns is still to be parsed: what it said before says nothing.
            return settling or failure.file in self._way()
        # Airflow may have come to the file once more just before the commit arrived.
        return self._clock() < self._since.setdefault(key, self._clock()) + CONFIRMED

    def _way(self) -> Concerned:
        """What the way to the wanted commit concerns."""
        if self._before == self._wanted.commit:
            return NONE
        return self._wanted.concerned(self._before) if self._before else ALL
