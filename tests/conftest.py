"""What every unit test gets: a home, state and cache of its own, a plain terminal, and no network."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell's background job ignores SIGINT, and so would every program that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

REAL = {"e2e", "package", "contracts", "cloud", "cluster", "registry", "images", "integration"}
"""Folders whose tests run the real thing and see to their own isolation."""

_LEFT_ALONE = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTEST_CURRENT_TEST",
)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """In CI, leave a report of each run of pytest where CI looks for them; not of one that a test has started."""
    if "CI" in os.environ and "PYTEST_CURRENT_TEST" not in os.environ and not config.option.xmlpath:
        name = f"{os.environ.get('NOX_CURRENT_SESSION', 'pytest')}-{os.getpid()}.xml"
        config.option.xmlpath = str(config.rootpath / "build" / "reports" / name)


def is_real(path: Path, tests: Path) -> bool:
    """Whether a test is in one of those folders; a checkout may have the name of one."""
    return bool(REAL & set(path.relative_to(tests).parts))


@pytest.fixture(autouse=True)
def isolation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Take away what a developer's machine would bring into a unit test."""
    if is_real(request.path, Path(__file__).parent):
        return
    monkeypatch = request.getfixturevalue("monkeypatch")
    for name in os.environ:
        if name not in _LEFT_ALONE:
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AIRFLOW_PLATFORM_STATE", str(home / "state"))
    monkeypatch.setenv("AIRFLOW_PLATFORM_CACHE", str(home / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setattr(socket.socket, "connect", _connect)


_real_connect = socket.socket.connect


def _connect(self: socket.socket, address: object) -> None:
    """Only this machine may be reached."""
    here = not isinstance(address, tuple) or str(address[0]) in ("127.0.0.1", "::1", "localhost")
    if not here:
        raise AssertionError(f"a unit test tried to reach {address}")
    _real_connect(self, address)  # type: ignore[arg-type]


@pytest.fixture
def checkout() -> Path:
    """The repository's root."""
    return Path(__file__).parents[1]


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: surviving SIGKILL needs no disk, and syncing one is slow."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as directory:
        yield Path(directory)
