"""Which Python is chosen, among real stand-ins on PATH."""

import shutil
import sys
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools import interpreters, users


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Puts Pythons on a PATH of its own; nothing else of this machine is found."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "_base_executable", str(tmp_path / "none"))
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **_: real(name, path=str(tmp_path)))
    monkeypatch.setattr(Path, "exists", lambda self: self.parent == tmp_path and self.is_file())

    def install(name, version=None):
        path = tmp_path / name
        says = "exit 1" if version is None else f"""echo '[{list(version)}, "{path}", "{tmp_path}"]'"""
        path.write_text(f"#!/bin/sh\n{says}\n")
        path.chmod(0o755)
        return path

    return install


def find(*, for_all_users=False):
    return interpreters.find(programs.Programs(), lowest=(3, 11), below=(3, 14), for_all_users=for_all_users)


def test_the_python_of_the_toolkit_is_taken_when_it_fits():
    found = interpreters.find(programs.Programs(), lowest=(3, 0), below=(4, 0), for_all_users=False)
    assert (found.version, found.prefix) == (sys.version_info[:3], Path(sys.base_prefix))
    assert found.tag.startswith(f"cpython-{sys.version_info.major}.{sys.version_info.minor}-{sys.platform}-")


def test_else_the_newest_that_fits(machine):
    machine("python3.11", (3, 11, 9))
    path = machine("python3.12", (3, 12, 4))
    machine("python3.14", (3, 14, 0))
    assert find() == interpreters.Interpreter(path, (3, 12, 4), path.parent)


def test_a_shim_that_fails_is_passed_over(machine):
    machine("python3.13")
    path = machine("python3.11", (3, 11, 9))
    assert find().path == path


def test_one_that_says_another_version_than_its_name_is_seen_through(machine):
    path = machine("python3.13", (3, 9, 1))
    with pytest.raises(errors.PreflightError) as caught:
        find()
    (fault,) = caught.value.faults()
    assert f"{path} is 3.9.1" in fault.cause


def test_one_that_other_users_cannot_run_is_named(machine, monkeypatch):
    path = machine("python3.12", (3, 12, 4))
    monkeypatch.setattr(users, "blocking_directory", lambda where: where.parent)
    with pytest.raises(errors.PreflightError) as caught:
        find(for_all_users=True)
    (fault,) = caught.value.faults()
    assert f"{path} lies in {path.parent}, which other users cannot enter" in fault.cause
    assert "the package python3.11" in fault.remedy


def test_a_machine_without_any_is_told_what_to_install(machine):
    with pytest.raises(errors.PreflightError) as caught:
        find()
    (fault,) = caught.value.faults()
    assert fault.cause == "None of 3.11 up to 3.14 (exclusive) fits."
    assert "python3.13" in fault.remedy
