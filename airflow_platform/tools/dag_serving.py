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

    def in_between(
        self, moment: datetime.datetime | None, files: Concerned
    ) -> tuple[airflow_answers.Dag, ...]:
        """The DAGs of files that a commit concerns whose parse began before that commit was there.

        Airflow says of such a parse that it is of the new commit, also when it has read the old one's files.

        Args:
            moment: When the dag-processor looked for a new commit and found this one; None where nobody knows.
            files: Those that the way to it concerns.
        """
        return tuple(
            dag
            for dag in self.dags
            if moment is not None
            and dag.file is not None
            and dag.file in files
            and dag.parse_began is not None
            and dag.parse_began < moment
        )

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

    def gone(self, commit: str, concerned: Callable[[str], Concerned]) -> tuple[airflow_answers.Dag, ...]:
        """The DAGs whose files that commit no longer has."""
        return tuple(
            dag
            for dag in self.dags
            if dag.version not in (None, commit) and dag.file in concerned(dag.version or "").gone
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


def unlike(now: Served, wanted: Wanted) -> str:
    """DAGs that are not parsed yet, or not gone yet; "" when there are those that there should be."""
    if not now.dags:
        return "no DAG is parsed yet"
    there = {dag.id for dag in now.dags}
    new: set[str] = set()
    gone = {dag.id for dag in now.gone(wanted.commit, wanted.concerned)}
    if wanted.dags is not None:
        new = wanted.dags.keys() - there
        gone |= there - wanted.dags.keys()
    if new:
        return f"not parsed yet: {_some(new)}"
    return f"not gone yet: {_some(gone)}" if gone else ""


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
        if elsewhere := now.elsewhere(self._wanted.accepted):
            self._nudge(now)
            return elsewhere
        if self._arrived is None:
            self._arrived = self._clock()
            self._moment = None if self._before == self._wanted.commit else self._refreshed()
        behind = now.behind(self._wanted.commit, self._wanted.concerned)
        behind += tuple(dag for dag in now.in_between(self._moment, self._way()) if dag not in behind)
        for dag in behind:
            self._parse_again(dag)
        if now.failures:
            return self._failing(now.failures, since=self._arrived)
        if behind:
            return f"{len(behind)} DAGs are parsed again"
        return unlike(now, self._wanted)

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

    def _failing(self, failures: Sequence[airflow_answers.ImportFailure], *, since: float) -> str:
        """A failure of the commit before is told until its file is parsed again, which may be in the queue."""
        number = f"{len(failures)} DAG file{'s' * (len(failures) > 1)}"
        settling = self._clock() < since + SETTLING
        if all(self._is_borne(each, settling=settling) for each in failures):
            return f"{number} cannot be imported: {'; '.join(told(failures))}"
        commit = self._wanted.commit[:12]
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
