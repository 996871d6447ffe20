"""Which objects of an engine are an environment's own; another checkout's may have the same names."""

from __future__ import annotations

from typing import TypeVar

from airflow_platform.config import state_files
from airflow_platform.engine import step
from airflow_platform.runtimes.docker import manifest
from airflow_platform.tools.containers import engine_session

ThingT = TypeVar("ThingT", bound=engine_session.Labelled)


def of(place: state_files.EnvironmentFiles) -> engine_session.Owner:
    """What the objects of an environment are known by."""
    return engine_session.Owner(manifest.OWNER, str(place.directory))


def own(
    owner: engine_session.Owner, goal: step.Goal, kind: str, thing: ThingT | None
) -> tuple[ThingT | None, str]:
    """An object of a name that we need, if it is ours; else None, and whose it is.

    On the way down somebody else's is no more than a reason to do nothing: it is not ours to take away.

    Args:
        owner: Of ours.
        goal: Of the run.
        kind: One of `opened.REMOVAL`.
        thing: None when there is none.

    Raises:
        StepError: It is somebody else's, and on the way up we need the name.
    """
    if goal is step.Goal.PRESENT:
        owner.require(kind, thing)
        return thing, ""
    stranger = owner.stranger(kind, thing)
    return (None, f"there is a {stranger}") if stranger else (thing, "")
