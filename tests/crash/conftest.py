"""Sandboxes for kills, the state that undisturbed runs come to, and the count of kills."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash import sandbox, snapshots

FIRST_PORT = 20_000
PORTS_OF_A_WORKER = 2_000
"""Below Linux's ephemeral ports, apart from the sandbox environment's."""


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """The stand-ins and the checkout that sandboxes copy; other users must reach it."""
    directory = Path(tempfile.mkdtemp(prefix="workshop-"))
    directory.chmod(0o755)
    sandbox.make_workshop(directory)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def new_sandbox(workshop: Path, request: pytest.FixtureRequest) -> Iterator[sandbox.Factory]:
    """Makes sandboxes."""
    worker = int(getattr(request.config, "workerinput", {"workerid": "gw0"})["workerid"].removeprefix("gw"))
    first = FIRST_PORT + worker * PORTS_OF_A_WORKER
    server = sandbox.Server()
    ports = itertools.cycle(range(first, first + PORTS_OF_A_WORKER, sandbox.PORTS))
    yield sandbox.Factory(workshop, server, ports)
    server.close()


@pytest.fixture
def box(new_sandbox: sandbox.Factory) -> Iterator[sandbox.Sandbox]:
    """One sandbox with one tenant declared, alpha."""
    with new_sandbox() as made:
        yield made


@pytest.fixture(scope="session")
def undisturbed(new_sandbox: sandbox.Factory) -> Callable[[str], Any]:
    """What an undisturbed run comes to: `up`, `down` or `delete`; each is made once."""
    known: dict[str, Any] = {}

    def find(goal: str) -> Any:
        if goal not in known:
            with new_sandbox() as box:
                assert box.up().code == 0
                if goal != "up":
                    ended = box.down(*(["--delete-data"] if goal == "delete" else []))
                    assert ended.code == 0, ended
                known[goal] = snapshots.of(box)
        return known[goal]

    return find


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Counts kills, and those after which everything was as it should be."""
    return lambda what: record_property(f"crash {what}", 1)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many kills, and how many converged."""
    reports = [each for found in terminalreporter.stats.values() for each in found]
    names = [
        name
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, _ in report.user_properties
        if name.startswith("crash ")
    ]
    if names:
        killed, converged = names.count("crash killed"), names.count("crash converged")
        terminalreporter.write_line(f"{killed} kills, {converged} converged")
