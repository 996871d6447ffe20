"""The toolkit as an installed package: a project needs nothing else, and the package brings all of its own files."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSIDE = "airflow_platform/toolkit_files/"
SANDBOX = """
runtime = "process"
[[tenants]]
name = "analytics"
snowflake = { database = "D", warehouse = "W", role = "R" }
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from what is committed or would be."""
    made = tmp_path_factory.mktemp("wheel")
    subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", made, ROOT], check=True, timeout=300)
    (found,) = made.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def inv(wheel, tmp_path_factory):
    """The command line of an environment that has the wheel, in a project of its own."""
    place = tmp_path_factory.mktemp("installed")
    python = place / "venv" / "bin" / "python"
    subprocess.run(
        ["uv", "venv", "--quiet", "--python", sys.executable, place / "venv"], check=True, timeout=60
    )
    install = ["uv", "pip", "install", "--quiet", "--python", python]
    lock = ROOT / "requirements" / "toolkit.lock"
    subprocess.run([*install, "--require-hashes", "-r", lock], check=True, timeout=300)
    subprocess.run([*install, "--no-deps", wheel], check=True, timeout=60)
    project = place / "project"
    (project / "environments").mkdir(parents=True)
    (project / "environments" / "sandbox.toml").write_text(SANDBOX)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*words):
        return subprocess.run(
            [python, "-m", "airflow_platform.tasks", *words],
            check=False, cwd=project, env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    return run


def test_the_wheel_brings_all_files_of_the_toolkit(wheel):
    tracked = subprocess.run(
        ["git", "ls-files", "images", "versions.toml", "requirements/bootstrap.lock"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {INSIDE + name for name in tracked.stdout.split()} <= names


def test_commands_work_on_the_project_they_are_typed_in(inv):
    listed = inv("env-list")
    assert (listed.returncode, "analytics" in listed.stdout) == (0, True), listed.stderr
    assert "0.1.0" in inv("--version").stdout


def test_versions_and_locks_are_those_of_the_package(inv):
    told = inv("doctor", "--env=sandbox", "--json")
    assert '"Airflow": "3.3.2 is wanted; ' in told.stdout, told.stderr
