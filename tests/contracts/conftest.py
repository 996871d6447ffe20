"""What every runtime must do, on a real one: both tenants up, for all tests of this folder, in order."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gaps import GAPS
from installations import Installation
from on_docker import Containers
from on_processes import Processes

RUNTIMES: dict[str, type[Installation]] = {each.runtime: each for each in (Processes, Containers)}

ORDER = (
    "test_gaps",
    "test_up",
    "test_change",
    "test_isolation",
    "test_mishaps",
    "test_kills",
    "test_dags",
    "test_down",
)
"""Of the files: from tenants that have come up to tenants that have gone."""

SEEDS = 2
"""Commands that are killed at a moment of chance, one of `test_kills.WORK` after the other.

Others are killed in each of their steps. `--seeds=24` is for a runtime that was changed.
"""

TIMEOUT = 900
"""Seconds for one test; the first waits for both tenants, on a cold cache."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller say which runtime, and how many kills."""
    parser.addoption("--runtime", choices=sorted(RUNTIMES), help="the runtime whose contracts are tested")
    parser.addoption(
        "--seeds", type=int, default=SEEDS, help=f"how many commands are killed; by default {SEEDS}"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to guess."""
    if config.getoption("--runtime") is None:
        known = " or ".join(f"--runtime={each}" for each in RUNTIMES)
        raise pytest.UsageError(f"tests/contracts runs on one runtime: say {known}.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the kills as many seeds as were asked for."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--seeds")))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests in order, and take out what the table of gaps names."""
    runtime = _chosen(config).runtime
    mine = [each for each in items if Path(__file__).parent in each.path.parents]
    mine.sort(key=lambda each: ORDER.index(each.path.stem))
    items[:] = [each for each in items if each not in mine] + mine
    for each in mine:
        each.add_marker(pytest.mark.timeout(TIMEOUT))
        if why := GAPS[runtime].get(_name(each)):
            each.add_marker(pytest.mark.skip(reason=f"not on {runtime}: {why}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print and count the contracts that do not apply to the runtime."""
    runtime = _chosen(config).runtime
    gaps = GAPS[runtime]
    terminalreporter.section(f"contracts that do not apply to the {runtime} runtime: {len(gaps)}")
    for name, why in gaps.items():
        terminalreporter.line(f"{name}: {why}")


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Both tenants, up; taken down and deleted at the end, whatever the tests did."""
    chosen = _chosen(request.config)
    chosen.sweep()
    made = chosen.make()
    try:
        made.up()
        yield made
    finally:
        made.delete()


def _chosen(config: pytest.Config) -> type[Installation]:
    return RUNTIMES[config.getoption("--runtime")]


def _name(item: pytest.Item) -> str:
    return getattr(item, "originalname", None) or item.name
