"""The facts of one DAG file, as the worker that imported it reported them.

They are not trusted: a DAG file runs in the same process and may say anything. It can lie about itself; it cannot hand
over what is no fact.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_platform.dags.check import records
from airflow_platform.dags.check.records import Text


@dataclass(frozen=True, order=True)
class Location:
    """Where something is."""

    file: str
    """Relative to the folder of DAGs."""
    line: int


@dataclass(frozen=True)
class Task:
    """A task of a DAG."""

    id: Text
    at: Location
    owner: Text
    retries: int
    pool: Text
    connections: tuple[Text, ...]
    """Connection ids that it was given, and Snowflake's default."""
    executor: Text = ""
    """Which it asks for; "" for the tenant's own."""


@dataclass(frozen=True)
class Dag:
    """A DAG that Airflow takes."""

    id: Text
    at: Location
    tags: tuple[Text, ...]
    catchup: bool
    schedule: Text
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

    kind: Text
    """network, process, sleep, variable or connection."""
    at: Location
    what: Text


@dataclass(frozen=True, order=True)
class Problem:
    """An error of Airflow's about the file."""

    at: Location
    message: Text


@dataclass(frozen=True)
class Imported:
    """What importing a file found."""

    path: str
    cpu: float = dataclasses.field(kw_only=True)
    """Seconds of processor time."""
    dags: tuple[Dag, ...] = ()
    errors: tuple[Problem, ...] = ()
    broken: tuple[Problem, ...] = ()
    """Files that only functions import, and that cannot be."""
    work: tuple[Work, ...] = ()
    missing: tuple[Text, ...] = ()
    """Modules that can be imported from nowhere."""
    reads: tuple[str, ...] = ()
    """What it read or listed below the folder; "." is the folder itself."""
    asks: tuple[str, ...] = ()
    """Where modules were looked for below the folder."""
    ended: Text = ""
    """How its process came to its end, where it did not answer; "" when it did."""
    ended_at: Location | None = None
    """Where it was then, as far as that is known."""
    waited: float = 0.0
    """Seconds in which it neither had a processor nor waited for one."""


def read(path: str, told: Mapping[str, Any], known: Collection[str]) -> Imported:
    """The facts that were reported of a file; odd ones are an import without an answer.

    Args:
        path: Of the file.
        told: What was reported.
        known: Files that exist: what is said of another one is said of the file's first line.
    """
    try:
        found = records.read(Imported, {**told, "path": path})
    except records.MisfitError:
        return Imported(path, cpu=0.0, ended="what it answered does not describe DAGs")
    return _placed(found, path, known)  # type: ignore[no-any-return]


def _placed(found: Any, path: str, known: Collection[str]) -> Any:
    if isinstance(found, Location):
        return found if found.file in known and found.line >= 1 else Location(path, 1)
    if isinstance(found, tuple):
        return tuple(_placed(each, path, known) for each in found)
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        fields = (field.name for field in dataclasses.fields(found))
        return dataclasses.replace(
            found, **{name: _placed(getattr(found, name), path, known) for name in fields}
        )
    return found
