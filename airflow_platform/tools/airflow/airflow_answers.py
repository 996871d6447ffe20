"""What the api-server answers, as frozen dataclasses, and how each is read from its JSON."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Component:
    """What the health endpoint says about one component."""

    status: str | None
    """`healthy` or `unhealthy`; None for a triggerer that never ran."""
    heartbeat: datetime.datetime | None = None
    """When it last beat; the metadata database has none. An old heartbeat counts as healthy for
    30 s, even when its process has been restarted since: ask `Airflow.jobs` about that."""


@dataclass(frozen=True)
class Health:
    """The health endpoint's answer; it needs no user."""

    metadatabase: Component
    scheduler: Component
    dag_processor: Component
    triggerer: Component

    @property
    def healthy(self) -> bool:
        """Whether Airflow itself calls all four healthy."""
        parts = (self.metadatabase, self.scheduler, self.dag_processor, self.triggerer)
        return all(part.status == "healthy" for part in parts)


@dataclass(frozen=True)
class Job:
    """One life of one component: each start of a process registers a job with a new, higher id."""

    id: int
    type: str
    state: str
    """`running`, also after a SIGKILL, until a later scheduler finds it dead."""
    started: datetime.datetime
    heartbeat: datetime.datetime

    def is_of_start(self, since: datetime.datetime, *, now: datetime.datetime, fresh: float) -> bool:
        """Whether its process started at or after `since` and beat in the last `fresh` seconds."""
        age = (now - self.heartbeat).total_seconds()
        return self.state == "running" and self.started >= since and age <= fresh


@dataclass(frozen=True)
class Dag:
    """One DAG as the dag-processor last saw it."""

    id: str
    paused: bool
    stale: bool
    """Whether its file is gone from the bundle."""
    bundle: str | None
    version: str | None
    """The bundle's version at the last parse: for Git the commit. An unchanged file is parsed again
    only after `[dag_processor] min_file_process_interval`, so it may lag behind what is served."""
    has_import_errors: bool
    parsed: datetime.datetime | None
    file: str | None = None
    """Relative to the bundle."""
    token: str = ""
    """By which its file is named to the api-server."""
    parse_began: datetime.datetime | None = None
    """When the parse began whose result this is."""


@dataclass(frozen=True)
class ImportFailure:
    """A DAG file that cannot be imported."""

    file: str
    """Relative to the bundle."""
    bundle: str | None
    trace: str
    at: str = ""
    """When it failed the last time, as Airflow has it; another one is another try."""

    @property
    def reason(self) -> str:
        """The last line of the traceback: the exception and its message."""
        return (self.trace.strip().splitlines() or [""])[-1]


@dataclass(frozen=True)
class Run:
    """One run of a DAG."""

    id: str
    dag: str
    state: str
    """`queued`, `running`, `success` or `failed`."""
    conf: Mapping[str, Any]
    version: str | None
    """The bundle's version that the run keeps to."""
    started: datetime.datetime | None
    ended: datetime.datetime | None

    @property
    def finished(self) -> bool:
        """Whether its state is final."""
        return self.state in ("success", "failed")


@dataclass(frozen=True)
class TaskInstance:
    """One task of a run."""

    task: str
    state: str | None
    """None while it waits for others."""
    tries: int
    """Tries so far, the current one included; 0 before the first."""
    map_index: int
    """Which of a mapped task's instances; -1 when it is not mapped."""
    seconds: float | None


def _time(text: str | None) -> datetime.datetime | None:
    return None if text is None else datetime.datetime.fromisoformat(text)


def _began(ended: str | None, seconds: float | None) -> datetime.datetime | None:
    when = _time(ended)
    return None if when is None or seconds is None else when - datetime.timedelta(seconds=seconds)


def moment(text: str) -> datetime.datetime | None:
    """A time of Airflow's metadata database, which are all UTC; None for none."""
    when = _time(text or None)
    return when.replace(tzinfo=datetime.UTC) if when is not None and when.tzinfo is None else when


def component(answer: Mapping[str, Any], name: str) -> Component:
    """One component in the health endpoint's answer."""
    part = answer.get(name) or {}
    return Component(part.get("status"), _time(part.get(f"latest_{name}_heartbeat")))


def job(entry: Mapping[str, Any]) -> Job:
    """An entry of the list of jobs."""
    return Job(
        id=entry["id"],
        type=entry["job_type"],
        state=entry["state"],
        started=datetime.datetime.fromisoformat(entry["start_date"]),
        heartbeat=datetime.datetime.fromisoformat(entry["latest_heartbeat"]),
    )


def dag(entry: Mapping[str, Any]) -> Dag:
    """An entry of the list of DAGs."""
    return Dag(
        id=entry["dag_id"],
        paused=entry["is_paused"],
        stale=entry["is_stale"],
        bundle=entry["bundle_name"],
        version=entry["bundle_version"],
        has_import_errors=entry["has_import_errors"],
        parsed=_time(entry["last_parsed_time"]),
        file=entry["relative_fileloc"],
        token=entry["file_token"],
        parse_began=_began(entry["last_parsed_time"], entry["last_parse_duration"]),
    )


def run(entry: Mapping[str, Any]) -> Run:
    """An entry of a DAG's list of runs."""
    return Run(
        id=entry["dag_run_id"],
        dag=entry["dag_id"],
        state=entry["state"],
        conf=entry["conf"] or {},
        version=entry["bundle_version"],
        started=_time(entry["start_date"]),
        ended=_time(entry["end_date"]),
    )


def log_lines(event: Any) -> Iterator[str]:
    """One event of a task's log as lines; an error also gives its exceptions, the cause last."""
    if isinstance(event, str):
        yield event
        return
    text = str(event.get("event", ""))
    if not text.startswith(("::group::", "::endgroup::")):
        yield from text.splitlines()
    for exception in event.get("error_detail") or ():
        frames = exception.get("frames") or ()
        if frames:
            yield f"{frames[-1]['filename']}:{frames[-1]['lineno']} in {frames[-1]['name']}"
        yield from f"{exception['exc_type']}: {exception['exc_value']}".splitlines()
