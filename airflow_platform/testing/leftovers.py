"""What test runs make in an engine: marked as theirs, removed at their end, or by the next run after a kill.

Each run has a session. All its objects bear the session's label; the first of them is its lifeline, a
container that ends with the process that runs the tests. So a session without a running lifeline is that
of a killed run, whoever looks and from wherever, and its objects are removed. testcontainers' own way, a
container named Ryuk, would have to be pulled from a public registry, and be given the engine's socket.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from airflow_platform import errors
from airflow_platform.tools.containers import labelled_objects, lifeline

if TYPE_CHECKING:
    import docker

SESSION = "airflow-platform.test-session"
"""The label of all objects of test runs; its value is the session."""

PART = "airflow-platform.test-part"
LIFELINE = "lifeline"
"""The label and value that tell a session's lifeline from its other containers."""

STARTING = 10.0
"""Seconds for a lifeline to get from made to started; it takes 0.3."""

REMOVED = 30.0
"""Seconds until all objects of a session must be gone; removing them takes 1."""

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def session(client: docker.DockerClient, image: str) -> Iterator[str]:
    """A session, alive as long as this process, whose objects are gone at the end.

    Args:
        client: Of the engine.
        image: For the lifeline: any that has the program `cat`.

    Raises:
        StepError: Something of it could not be removed.
    """
    name = secrets.token_hex(6)
    labels = {SESSION: name, PART: LIFELINE}
    with lifeline.held(client, name=f"airflow-test-{name}.{LIFELINE}", image=image, labels=labels):
        try:
            yield name
        finally:
            _remove_all(client, name)


def sweep(client: docker.DockerClient, *, sleep: Callable[[float], object] = time.sleep) -> tuple[str, ...]:
    """Remove what killed runs left, and nothing of those that still run.

    Returns:
        What was removed, for people.
    """
    things = labelled_objects.found(client, SESSION)
    if starting := _sessions(things, "created"):
        sleep(STARTING)
        things = labelled_objects.found(client, SESSION)
    left = dead(things, late=starting)
    if left:
        _log.warning("removing what killed test runs left: %s", labelled_objects.names(left))
        labelled_objects.remove(client, left)
    return tuple(map(str, left))


def dead(
    things: Iterable[labelled_objects.Marked], *, late: frozenset[str] = frozenset()
) -> tuple[labelled_objects.Marked, ...]:
    """Those of sessions whose lifeline neither runs nor is about to.

    Args:
        things: All objects of all sessions.
        late: Sessions whose lifeline was about to start `STARTING` ago: one that still is never will.
    """
    things = tuple(things)
    alive = _sessions(things, "running") | (_sessions(things, "created") - late)
    return tuple(each for each in things if each.value not in alive)


def _sessions(things: Iterable[labelled_objects.Marked], state: str) -> frozenset[str]:
    """The sessions whose lifeline is in a state."""
    return frozenset(each.value for each in things if _is_lifeline(each) and each.state == state)


def _is_lifeline(thing: labelled_objects.Marked) -> bool:
    return (PART, LIFELINE) in thing.labels


def _remove_all(client: docker.DockerClient, name: str) -> None:
    """Remove all objects of a session but its lifeline."""
    deadline = time.monotonic() + REMOVED
    while left := [each for each in labelled_objects.found(client, SESSION, name) if not _is_lifeline(each)]:
        if time.monotonic() > deadline:
            raise errors.StepError(
                f"The test run's {labelled_objects.names(left)} could not be removed.",
                hint="The next test run tries again; or remove it with docker.",
            )
        labelled_objects.remove(client, left)
