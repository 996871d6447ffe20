"""The facts of one DAG file, as the program that imported it told them.

What it told is not trusted: a DAG file runs in the same process and may say anything. It can lie about
itself; it cannot hand over what is no fact.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_platform.rules.findings import plain

T = TypeVar("T")

LONGEST = 1000
"""Characters of one text."""


class NoFacts(ValueError):
    """What was told is no description of a DAG file."""


@dataclass(frozen=True, order=True)
class Place:
    """Where something is."""

    file: str
    """Relative to the folder of DAGs."""
    line: int


@dataclass(frozen=True)
class Task:
    """A task of a DAG."""

    id: str
    at: Place
    owner: str
    retries: int
    pool: str
    connections: tuple[str, ...]
    """Connection ids that it was given, and Snowflake's default."""
    executor: str = ""
    """Which it asks for; "" for the tenant's own."""


@dataclass(frozen=True)
class Dag:
    """A DAG that Airflow takes."""

    id: str
    at: Place
    tags: tuple[str, ...]
    catchup: bool
    schedule: str
    """In Airflow's words; "" for none."""
    interval: float | None
    """Seconds of the shortest time between two runs; 0 where one follows the other, None where no clock decides."""
    tasks: tuple[Task, ...]

    @property
    def owners(self) -> tuple[str, ...]:
        """The owners of its tasks."""
        return tuple(sorted({task.owner for task in self.tasks}))


@dataclass(frozen=True)
class Work:
    """Something that was done while importing and belongs into a task."""

    kind: str
    """network, process, sleep, variable or connection."""
    at: Place
    what: str


@dataclass(frozen=True, order=True)
class Problem:
    """An error of Airflow's about the file."""

    at: Place
    message: str


@dataclass(frozen=True)
class Imported:
    """What importing a file found."""

    path: str
    dags: tuple[Dag, ...] = ()
    errors: tuple[Problem, ...] = ()
    broken: tuple[Problem, ...] = ()
    """Files that only functions import, and that cannot be."""
    work: tuple[Work, ...] = ()
    missing: tuple[str, ...] = ()
    """Modules that can be imported from nowhere."""
    reads: tuple[str, ...] = ()
    """What it read or listed below the folder; "." is the folder itself."""
    asks: tuple[str, ...] = ()
    """What it asked for: whether it is there."""
    ended: str = ""
    """How its process came to its end, where it did not tell anything; "" when it did."""
    ended_at: Place = Place("", 1)
    cpu: float = 0.0
    """Seconds of processor time."""
    waited: float = 0.0
    """Seconds in which it neither had a processor nor waited for one."""

    @classmethod
    def from_json(cls, path: str, told: Mapping[str, Any]) -> Imported:
        """The facts that were told of a file.

        Raises:
            NoFacts: They are none.
        """
        if "ended" in told:
            return cls(
                path,
                ended=_text(told["ended"]),
                ended_at=_place({"file": path, "line": 1, **told}),
                cpu=_number(told.get("cpu", 0.0)),
            )
        return cls(
            path,
            dags=_each(_dag, told.get("dags")),
            errors=_each(_problem, told.get("errors")),
            broken=_each(_problem, told.get("broken", [])),
            work=_each(_work, told.get("work")),
            missing=_each(_text, told.get("missing")),
            reads=_each(_path, told.get("needs")),
            asks=_each(_path, told.get("asked")),
            cpu=_number(told.get("cpu")),
            waited=_number(told.get("waited", 0.0)),
        )


def _dag(told: Any) -> Dag:
    _require(isinstance(told, dict))
    return Dag(
        id=_text(told.get("id")),
        at=_place(told),
        tags=_each(_text, told.get("tags")),
        catchup=told.get("catchup") is True,
        schedule=_text(told.get("schedule")),
        interval=None if told.get("interval") is None else _number(told["interval"]),
        tasks=_each(_task, told.get("tasks")),
    )


def _task(told: Any) -> Task:
    _require(isinstance(told, dict))
    return Task(
        id=_text(told.get("id")),
        at=_place(told),
        owner=_text(told.get("owner")),
        retries=int(_number(told.get("retries"))),
        pool=_text(told.get("pool")),
        connections=_each(_text, told.get("connections")),
        executor=_text(told.get("executor", "")),
    )


def _problem(told: Any) -> Problem:
    _require(isinstance(told, dict))
    return Problem(_place(told), _text(told.get("message")))


def _work(told: Any) -> Work:
    _require(isinstance(told, dict))
    return Work(_text(told.get("kind")), _place(told), _text(told.get("what")))


def _place(told: Any) -> Place:
    _require(isinstance(told, dict))
    line = told.get("line")
    _require(isinstance(line, int) and not isinstance(line, bool) and 1 <= line < 10**9)
    return Place(_path(told.get("file")), line)


def _each(read: Callable[[Any], T], told: Any) -> tuple[T, ...]:
    _require(isinstance(told, list))
    return tuple(read(each) for each in told)


def _text(told: Any) -> str:
    """For people: whoever shows it need not think of what its author had a terminal do."""
    return plain(_path(told))


def _path(told: Any) -> str:
    """Of a file, which may have any name; without a meaning until a file has it."""
    _require(isinstance(told, str) and len(told) <= LONGEST)
    return str(told)


def _number(told: Any) -> float:
    _require(isinstance(told, int | float) and not isinstance(told, bool) and abs(told) < 10**12)
    return told  # type: ignore[no-any-return]


def _require(fits: bool) -> None:
    if not fits:
        raise NoFacts("no facts of a DAG file")


def placed(imported: Imported, known: Collection[str]) -> Imported:
    """The same facts; what is told of a file that is not there is told of the imported file's first line."""

    def mended(at: Place) -> Place:
        return at if at.file in known else Place(imported.path, 1)

    return dataclasses.replace(
        imported,
        dags=tuple(
            dataclasses.replace(
                dag,
                at=mended(dag.at),
                tasks=tuple(dataclasses.replace(task, at=mended(task.at)) for task in dag.tasks),
            )
            for dag in imported.dags
        ),
        errors=tuple(dataclasses.replace(each, at=mended(each.at)) for each in imported.errors),
        broken=tuple(dataclasses.replace(each, at=mended(each.at)) for each in imported.broken),
        work=tuple(dataclasses.replace(each, at=mended(each.at)) for each in imported.work),
        ended_at=mended(imported.ended_at),
    )
