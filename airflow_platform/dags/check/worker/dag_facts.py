"""From Airflow's DAG objects to facts: plain data that a check can hold against its rules."""

from __future__ import annotations

import contextlib
import datetime
import inspect
import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from airflow._shared.timezones.timezone import coerce_datetime
from airflow.sdk.definitions.dag import DAG
from airflow.serialization.encoders import coerce_to_core_timetable
from airflow.timetables.base import TimeRestriction

from airflow_platform.dags.check.worker.audit import Audit

LOOKED_AT = 8
"""Runs of a schedule that are looked at, for the shortest time between two: a week of working days, and one."""

FROM = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
"""The day that schedules are looked at from: always the same, so that facts are."""


_DAG_FILE = inspect.getfile(DAG)


class Places:
    """Where in the DAG files DAGs and tasks are made."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._places: dict[int, tuple[str, int]] = {}
        self._dags: list[Any] = []

    def begin(self) -> None:
        """Notice each DAG and task that is made from now on."""
        made, added = DAG.__attrs_post_init__, DAG.add_task

        def make(dag: Any) -> None:
            self._dags.append(dag)
            self._note(dag, self._decorated())
            made(dag)

        def add(dag: Any, task: Any) -> None:
            self._note(task)
            added(dag, task)

        DAG.__attrs_post_init__ = make
        DAG.add_task = add

    def of(self, thing: Any, otherwise: tuple[str, int]) -> tuple[str, int]:
        """File and line where it was made."""
        return self._places.get(id(thing), otherwise)

    def named_in(self, text: str, otherwise: tuple[str, int]) -> tuple[str, int]:
        """File and line of a DAG that a message names, or of the only one."""
        named = [dag for dag in self._dags if str(dag.dag_id) in text] or self._dags
        return self.of(named[0], otherwise) if named else otherwise

    def _note(self, thing: Any, place: tuple[str, int] | None = None) -> None:
        place = place or self._audit.author()
        if place is not None:
            self._places[id(thing)] = place

    def _decorated(self) -> tuple[str, int] | None:
        """Where the function begins that `@dag` makes a DAG of: what a reader looks for, not who calls it."""
        frame = sys._getframe(1)  # noqa: SLF001 - the stack says which function it is.
        while frame is not None and frame.f_code.co_filename != _DAG_FILE:
            frame = frame.f_back  # type: ignore[assignment]
        while frame is not None and frame.f_code.co_filename == _DAG_FILE:
            code = getattr(frame.f_locals.get("f"), "__code__", None)
            if code is not None:
                return self._audit.below_root(code.co_filename, code.co_firstlineno)
            frame = frame.f_back  # type: ignore[assignment]
        return None


def of_dag(dag: Any, places: Places, file: str) -> dict[str, Any]:
    """What is asked of a DAG."""
    where = places.of(dag, (file, 1))
    timetable = coerce_to_core_timetable(dag.timetable)
    return {
        "id": str(dag.dag_id),
        "at": {"file": where[0], "line": where[1]},
        "tags": sorted(map(str, dag.tags or ())),
        "catchup": bool(dag.catchup),
        "schedule": _summary(timetable),
        "interval": _interval(timetable),
        "tasks": [_of_task(task, places.of(task, where)) for task in dag.tasks],
    }


def _of_task(task: Any, where: tuple[str, int]) -> dict[str, Any]:
    retries = getattr(task, "retries", 0)
    return {
        "id": str(task.task_id),
        "at": {"file": where[0], "line": where[1]},
        "owner": str(task.owner),
        "retries": retries if isinstance(retries, int) else 0,
        "pool": str(task.pool),
        "connections": sorted(set(_connections(task))),
        "executor": str(getattr(task, "executor", None) or ""),
    }


def _connections(task: Any) -> Iterator[str]:
    """The connection ids that a task was given; not the names that its class falls back to.

    A class such as Snowflake's takes `snowflake_default` by itself, and then needs it: that one counts.
    """
    given: Mapping[str, Any] = getattr(task, "partial_kwargs", None) or vars(task)
    kind = getattr(task, "operator_class", type(task))
    for name, value in given.items():
        attribute = name.strip("_")
        if not attribute.endswith("conn_id") or not isinstance(value, str) or not value or "{{" in value:
            continue
        if "snowflake" in attribute or value != _fallback(kind, attribute):
            yield value


def _fallback(kind: Any, parameter: str) -> Any:
    """The default of a parameter in a class or the next above it that has one."""
    for each in getattr(kind, "__mro__", ()):
        with contextlib.suppress(TypeError, ValueError):
            found = inspect.signature(each.__init__).parameters.get(parameter)
            if found is not None:
                return found.default
    return None


def _summary(timetable: Any) -> str:
    """The schedule in Airflow's words; "" for a DAG that is only run by hand."""
    if type(timetable).__name__ == "NullTimetable":
        return ""
    return str(getattr(timetable, "summary", "") or type(timetable).__name__)


def _interval(timetable: Any) -> float | None:
    """Seconds of the shortest time between two runs, of the next few; None where no clock decides.

    Whole ones: `@continuous` looks at the clock, and a fact is to be the same each time.
    """
    restriction = TimeRestriction(earliest=coerce_datetime(FROM), latest=None, catchup=True)
    last, runs = None, []
    for _ in range(LOOKED_AT):
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        if info is None or info.run_after is None:
            break
        runs.append(info.run_after)
        last = info.data_interval
        if last is None:
            break
    gaps = [(later - sooner).total_seconds() for sooner, later in itertools.pairwise(runs)]
    return float(round(min(gaps))) if gaps else None
