"""The doors as a stranger meets them: a fresh copy, empty caches, no uv, the real package index."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("scripts", "requirements", "airflow_platform", "environments", "pyproject.toml", "versions.toml")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one stranger's caches are, for all tests of this file."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout without .venv."""
    for part in PARTS:
        source, target = ROOT / part, tmp_path / "copy" / part
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path / "copy"


def start(copy: Path, home: Path, *words: str, **environ: str) -> subprocess.Popen[str]:
    """The door with the caller's index settings, this Python, and a PATH on which there is no uv."""
    pip = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "SSL_", "UV_INDEX", "UV_DEF"))
    }
    python = home / "bin"
    python.mkdir(exist_ok=True)
    if not (python / "python3").exists():
        (python / "python3").symlink_to(os.path.realpath(sys.executable))
    ours = {
        "HOME": str(home),
        "AIRFLOW_PLATFORM_CACHE": str(home / "cache"),
        "UV_CACHE_DIR": str(home / "uv"),
    }
    return subprocess.Popen(
        [str(copy / "scripts" / "inv"), *words],
        env={"PATH": f"{python}:/usr/bin:/bin", **pip, **ours, **environ},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(copy: Path, home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    with start(copy, home, *words, **environ) as process:
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def test_first_call_second_call_and_nothing_left_to_do(copy: Path, home: Path) -> None:
    first = run(copy, home, "--version")
    assert (first.returncode, first.stdout) == (0, "airflow-platform 0.1.0\n"), first.stderr
    second = run(copy, home, "--version", PIP_INDEX_URL="http://127.0.0.1:9/")
    assert (second.returncode, second.stdout, second.stderr) == (0, first.stdout, "")


def test_without_network_it_is_one_paragraph_and_exit_4(copy: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "home"
    stranger.mkdir()
    result = run(copy, stranger, "--version", PIP_INDEX_URL="http://127.0.0.1:9/", PIP_FIND_LINKS="")
    assert result.returncode == 4
    assert "Check the network" in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert not (copy / ".venv").exists()
    assert list((stranger / "cache" / "uv").iterdir()) == []


def test_killed_at_any_moment_the_next_call_repairs(copy: Path, home: Path) -> None:
    run(copy, home, "--version")
    for seconds in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4):
        shutil.rmtree(copy / ".venv")
        with start(copy, home, "--version") as process:
            time.sleep(seconds)
            os.killpg(process.pid, signal.SIGKILL)
        result = run(copy, home, "--version")
        assert (result.returncode, result.stdout) == (0, "airflow-platform 0.1.0\n"), result.stderr


def test_two_at_once_both_run(copy: Path, home: Path) -> None:
    with start(copy, home, "--version") as first, start(copy, home, "--version") as second:
        answers = first.communicate(timeout=300), second.communicate(timeout=300)
    assert [first.returncode, second.returncode] == [0, 0], answers
    assert [answer[0] for answer in answers] == ["airflow-platform 0.1.0\n"] * 2
