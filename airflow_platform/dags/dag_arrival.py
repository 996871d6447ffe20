"""Waiting for a tenant to serve a commit: what is still missing, and what makes Airflow come to it sooner."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Callable

from airflow_platform import errors
from airflow_platform.dags.dag_changes import Concerned
from airflow_platform.dags.dag_serving import Bundle, Expected, Lacking, Served, count, lacking, told
from airflow_platform.tools.airflow import airflow_answers

TIMEOUT = 120.0
"""Seconds without news after which a commit is given up; it takes one or two on a quiet machine."""

LONGEST = 3600.0
"""Seconds after which it is given up whatever the news: hours of parsing are a defect, not a wait."""

SETTLING = 10.0
"""Seconds after a commit arrived for which an old failure of a file is borne that it does not concern and that
nobody can ask for."""

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
        self._sought: set[str] = set()
        """Ids whose files were asked for because they were not there."""
        self._left: dict[str, float] = {}
        """When a DAG was seen to have left its file, or its file was asked for because of that."""
        self._nudged: float | None = None
        self._arrived: float | None = None
        self._served: Served | None = None
        self._lacking = Lacking()
        self._whole = 0.0
        """When all DAGs were looked at the last time."""
        self._failed: dict[str, _Failed] = {}
        """What is known of the files that failed, by their names."""

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
        found = self._lacking = self._compared(now)
        if self._arrived is None or found.elsewhere:
            self._nudge(now)
            return str(found)
        for dag in found.behind:
            self._parse_again(dag)
        for dag in found.left:
            self._find_out(dag)
        for name in sorted(found.new - self._sought)[:FEW]:
            self._sought.add(name)  # Airflow parses a new file by itself, and an old one only after minutes.
            self._bundle.parse(name)
        if found.failures:
            self._bear(now, since=self._arrived)
        return str(found)

    def _look(self) -> Served:
        """As little as will do: many DAGs take an api-server long to list, and the dag-processor needs the time."""
        if self._served is not None:
            here = self._bundle.position(self._served)
            if here.elsewhere(self._wanted.commit):
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
        if self._arrived is None and not now.elsewhere(self._wanted.commit):
            self._arrived = self._clock()
            self._moment = None if self._before == self._wanted.commit else self._refreshed()
        return lacking(now, self._wanted, moment=self._moment, way=self._way)

    @functools.cached_property
    def _way(self) -> Concerned:
        """The files that may have been read otherwise on the way to the wanted commit."""
        return self._wanted.way(self._before)

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

    def _bear(self, now: Served, *, since: float) -> None:
        """What a file said before it was parsed at this commit says nothing; so each is asked for, once."""
        sure = [each for each in now.failures if not self._is_borne(each, now, since=since)]
        if not sure:
            return
        number, commit = count(sure, "DAG file"), self._wanted.commit[:12]
        raise CannotImport(
            f"{number} of commit {commit} cannot be imported: {'; '.join(told(sure))}.",
            hint="Mend and commit, then run this again; the tenant serves its other DAGs.",
        )

    def _is_borne(self, failure: airflow_answers.ImportFailure, now: Served, *, since: float) -> bool:
        """Whether a failure may still go away by itself."""
        clock = self._clock()
        known = self._failed.get(failure.file)
        if known is None:
            known = _Failed(failure.at, clock, asked=self._parse_file(failure.file, now))
            self._failed[failure.file] = known
        if failure.at != known.at:
            # Another try, and it failed, too. Once more, because it may have begun before the commit was there.
            self._failed[failure.file] = known = _Failed(failure.at, clock, known.asked, again=True)
        if known.again:
            return clock < known.since + CONFIRMED
        if known.asked:
            return True
        # Nobody can ask for a file of which Airflow knows no DAG; it comes to one that is new or changed by itself.
        if self._moment is not None and datetime.datetime.fromisoformat(failure.at) >= self._moment:
            return clock < known.since + CONFIRMED
        waits = self._moment is not None and failure.file in self._way
        return waits or clock < since + SETTLING

    def _parse_file(self, file: str, now: Served) -> bool:
        """Have a file parsed; whether that could be asked for."""
        ids = [dag.id for dag in now.dags if dag.file == file]
        ids += [name for name, of in (self._wanted.dags or {}).items() if of == file]
        return any(self._bundle.parse(name) for name in ids)


@dataclasses.dataclass(frozen=True)
class _Failed:
    """What was seen of a file that cannot be imported."""

    at: str
    """Its last try, as Airflow has it."""
    since: float
    """When that was seen first."""
    asked: bool
    """Whether it was asked for since."""
    again: bool = False
    """Whether that try is another one than what was seen first."""
