"""Waiting for a tenant to serve a commit: what is still missing, and what makes Airflow come to it sooner."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence

from airflow_platform import errors
from airflow_platform.tools import airflow_answers
from airflow_platform.tools.dag_changes import ALL, NONE, Concerned
from airflow_platform.tools.dag_serving import Bundle, Expected, Lacking, Served, count, lacking, told

TIMEOUT = 120.0
"""Seconds without news after which a commit is given up; it takes one or two on a quiet machine."""

LONGEST = 3600.0
"""Seconds after which it is given up whatever the news: hours of parsing are a defect, not a wait."""

SETTLING = 10.0
"""Seconds after a commit arrived for which a failure of a file that it does not concern is borne: what the
tenant's settings mend shows when Airflow comes to that file."""

CONFIRMED = 2.0
"""Seconds for which a new failure must last; longer than it takes to parse a file again."""

AGAIN = 5.0
"""Seconds until the dag-processor is asked once more to look for a new commit."""

FEW = 20
"""DAGs that are asked for one by one, at most: each takes a fifth of the time of a page of 100."""

WHOLE = 3.0
"""Seconds between two looks at all DAGs while more than a few are lacking."""


class CannotImport(errors.StepError):
    """A file of the wanted commit cannot be imported there: waiting longer is of no use."""


class Coming:
    """What a wait for one commit remembers."""

    def __init__(
        self,
        bundle: Bundle,
        wanted: Expected,
        before: str,
        clock: Callable[[], float],
        refreshed: Callable[[], datetime.datetime | None] = lambda: None,
    ) -> None:
        """Begin to wait.

        Args:
            bundle: Which is looked at.
            wanted: What should be served.
            before: The commit that the dag-processor served before the wanted one could reach it; "" for none.
            clock: Monotonic seconds.
            refreshed: When the dag-processor looked for a new commit the last time, by the tenant's own clock.
        """
        self._bundle = bundle
        self._wanted = wanted
        self._before = before
        self._clock = clock
        self._refreshed = refreshed
        self._moment: datetime.datetime | None = None
        self._asked: set[str] = set()
        self._left: dict[str, float] = {}
        """When a DAG was seen to have left its file, or its file was asked for because of that."""
        self._nudged: float | None = None
        self._arrived: float | None = None
        self._served: Served | None = None
        self._lacking = Lacking()
        self._whole = 0.0
        """When all DAGs were looked at the last time."""
        self._old: frozenset[tuple[str, str]] | None = None
        """Failures that were there at the first look."""
        self._came = False
        """Whether the wanted commit came after that look, so that those are of the commit before."""
        self._since: dict[tuple[str, str], float] = {}
        """When the others were seen first."""

    @property
    def served(self) -> Served:
        """What was served at the last look."""
        assert self._served is not None, "missing() comes first"
        return self._served

    def missing(self) -> str:
        """What is still missing; "" when all is served, as a look at all of it has shown.

        Raises:
            CannotImport: A file of that commit cannot be imported: waiting longer is of no use.
        """
        now = self._served = self._look()
        if self._old is None:
            self._old = frozenset((each.file, each.at) for each in now.failures)
            self._came = bool(now.elsewhere(self._wanted.accepted))
        found = self._lacking = self._compared(now)
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

    def _look(self) -> Served:
        """As little as will do: many DAGs take an api-server long to list, and the dag-processor needs the time."""
        if self._served is not None:
            here = self._bundle.position(self._served)
            if here.elsewhere(self._wanted.accepted):
                return here
            ids, late = self._lacking.ids, self._clock() >= self._whole + WHOLE
            some = sorted(ids)[:FEW]
            if some and here.commit == self._served.commit and not (late and len(ids) > FEW):
                now = self._bundle.look_again(here, some)
                if (found := self._compared(now)).failures or not found.ids.isdisjoint(some):
                    return now
        self._whole = self._clock()
        return self._bundle.look()

    def _compared(self, now: Served) -> Lacking:
        if self._arrived is None and not now.elsewhere(self._wanted.accepted):
            self._arrived = self._clock()
            self._moment = None if self._before == self._wanted.commit else self._refreshed()
        return lacking(now, self._wanted, moment=self._moment, way=self._way())

    def _nudge(self, now: Served) -> None:
        """Airflow looks for a new commit at once when a file of the bundle is to be parsed again."""
        if now.dags and (self._nudged is None or self._clock() >= self._nudged + AGAIN):
            self._bundle.client.parse_file(now.dags[0].token)
            self._nudged = self._clock()

    def _parse_again(self, dag: airflow_answers.Dag) -> None:
        """Airflow parses an unchanged file again only after minutes, so each is asked for, once."""
        if (key := dag.file or dag.id) not in self._asked:
            self._bundle.client.parse_file(dag.token)
            self._asked.add(key)

    def _find_out(self, dag: airflow_answers.Dag) -> None:
        """Airflow believes that a DAG has left its file when that was parsed some seconds later than the DAG."""
        if self._clock() >= self._left.setdefault(dag.id, self._clock()) + AGAIN:
            self._bundle.client.parse_file(dag.token)
            self._left[dag.id] = self._clock()

    def _bear(self, failures: Sequence[airflow_answers.ImportFailure], *, since: float) -> None:
        """A failure of the commit before is told until its file is parsed again, which may be in the queue."""
        settling = self._clock() < since + SETTLING
        if all(self._is_borne(each, settling=settling) for each in failures):
            return
        number, commit = count(failures, "DAG file"), self._wanted.commit[:12]
        raise CannotImport(
            f"{number} of commit {commit} cannot be imported: {'; '.join(told(failures))}.",
            hint="Mend and commit, then run this again; the tenant serves its other DAGs.",
        )

    def _is_borne(self, failure: airflow_answers.ImportFailure, *, settling: bool) -> bool:
        """Whether a failure may still go away by itself."""
        key = (failure.file, failure.at)
        if key in (self._old or ()):
            # A file that the commit concerns is still to be parsed: what it said before says nothing.
            return settling or (self._came and failure.file in self._way())
        # Airflow may have come to the file once more just before the commit arrived.
        return self._clock() < self._since.setdefault(key, self._clock()) + CONFIRMED

    def _way(self) -> Concerned:
        """What the way to the wanted commit concerns."""
        if self._before == self._wanted.commit:
            return NONE
        return self._wanted.concerned(self._before) if self._before else ALL


class Patience:
    """Gives up when what is missing has not changed for a while, however much time there would be."""

    def __init__(self, missing: Callable[[], str], clock: Callable[[], float], hint: str) -> None:
        self._hint = hint
        self._missing = missing
        self._clock = clock
        self._last = ("", clock())

    def missing(self) -> str:
        """What is missing.

        Raises:
            StepError: Nothing has changed for too long.
        """
        found, (last, since) = self._missing(), self._last
        if found != last:
            self._last = (found, self._clock())
        elif found and self._clock() > since + TIMEOUT:
            raise errors.StepError(
                f"Nothing has changed for {TIMEOUT:g} s; still missing: {found}.",
                hint=self._hint,
            )
        return found
