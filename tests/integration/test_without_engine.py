"""Where there is no engine, or not the images: what to do, in words, at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.testing import integration

ROOT = Path(__file__).parents[2]


def run(words, host):
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": host},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_test_without_an_engine_says_what_to_install_and_to_start(tmp_path):
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "tests/dags/integration",
        "-k",
        "imported",
    ]
    code, printed = run(words, f"unix://{tmp_path}/nothing.sock")
    assert code == 1
    assert f"None answers at unix://{tmp_path}/nothing.sock." in printed
    assert "Start Docker Desktop; on Linux install docker.io" in printed
    assert "1 error" in printed
    assert "Traceback" not in printed


def test_the_session_without_an_engine_says_the_same(tmp_path):
    code, printed = run([ROOT / "scripts/nox", "-s", "integration"], f"unix://{tmp_path}/nothing.sock")
    assert code != 0
    assert "Start Docker Desktop; on Linux install docker.io" in printed
    assert "Traceback" not in printed


def test_an_engine_on_another_machine_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker.invalid:2375")
    with (
        pytest.raises(errors.PreflightError, match=r"neither this one.s files nor its 127\.0\.0\.1"),
        integration.running_airflow("dags"),
    ):
        pass


def test_images_that_are_not_built_are_told(tmp_path):
    record = tmp_path / "images.json"
    with (
        pytest.raises(errors.PreflightError, match="None were built yet") as raised,
        integration.running_airflow("dags", images=record),
    ):
        pass
    assert "scripts/inv build" in str(raised.value)
