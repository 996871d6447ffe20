"""Installed packages: what makes an environment another one, and builds that were cut short."""

import concurrent.futures
import os
import shutil
import sysconfig
import threading
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tenants import packages
from airflow_platform.tools import interpreters
from tests.steps import calling
from tests.steps import programs as stand_ins


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """The stand-in's directory, on PATH before everything else; the toolkit's own uv is out of sight."""
    directory = tmp_path / "bin"
    stand_ins.uv(directory)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "none"))
    return directory


@pytest.fixture(autouse=True)
def python(monkeypatch):
    """Which Python is found; `tests/tools/test_interpreters.py` is about how."""
    found = [interpreters.Interpreter(Path("/usr/bin/python3.12"), (3, 12, 1), Path("/usr"))]
    monkeypatch.setattr(interpreters, "find", lambda *_, **__: found[-1])
    return found


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "requirements.lock"
    path.write_text("airflow==3.3.2 --hash=sha256:aa\nattrs==25.1 --hash=sha256:bb\n")
    return path


@pytest.fixture
def addition(tmp_path):
    path = tmp_path / "startup.pth"
    path.write_text("import gc\n")
    return path


@pytest.fixture
def recipe(lock, addition):
    additions = {"site-packages/ours.pth": addition, "server.py": addition}
    return packages.Recipe(lock=lock, verify="import airflow", additions=additions)


@pytest.fixture
def cache(place):
    return place.directory / "cache"


@pytest.fixture
def step(recipe, cache):
    return packages.AirflowPackages(recipe, cache=cache, ready=None)


def asked(uv):
    """The first word or two of each call."""
    path = uv / "calls"
    return [line.split(" --")[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_packages_are_installed_once(step, uv, cache):
    calls = calling.Calls()
    first, _ = calls.twice(step)
    assert first.text == "install 2 packages for Python 3.12.1"
    assert asked(uv) == ["venv", "pip sync"]
    directory = Path(first.outputs["directory"])
    assert directory.parent == cache / "airflow-packages"
    assert first.outputs["programs"] == f"{directory}/venv/bin"
    assert sorted(path.name for path in directory.iterdir()) == ["complete", "venv"]
    assert [path.name for path in directory.parent.iterdir()] == [directory.name], "the lock is gone"
    assert "Installed 2 packages" in calls.news


def test_uv_is_told_the_lock_the_python_and_the_cache(step, uv, lock):
    first = calling.Calls().run(step)
    venv = first.outputs["environment"]
    assert (uv / "calls").read_text().splitlines() == [
        f"venv --quiet --python /usr/bin/python3.12 {venv}",
        f"pip sync --require-hashes --compile-bytecode --python {venv}/bin/python {lock}",
    ]


def test_files_of_the_checkout_lie_in_the_environment_for_all_to_read(step, uv):
    environment = Path(calling.Calls().run(step).outputs["environment"])
    for name in ("server.py", "lib/python3.11/site-packages/ours.pth"):
        assert (environment / name).read_text() == "import gc\n"
        assert (environment / name).stat().st_mode & 0o004


def test_another_lock_python_verification_or_addition_is_another_environment(
    recipe, cache, uv, lock, addition, python
):
    def directory(verify=recipe.verify, additions=recipe.additions):
        made = packages.Recipe(lock=recipe.lock, verify=verify, additions=additions)
        step = packages.AirflowPackages(made, cache=cache, ready=None)
        return step.observe(calling.Calls().context(step.scope)).directory

    found = [directory()]
    assert directory() == found[0]
    found += [directory(verify="import airflow.cli"), directory(additions={"other.py": addition})]
    lock.write_text(lock.read_text() + "zope==1 --hash=sha256:cc\n")
    found.append(directory())
    addition.write_text("import gc, sys\n")
    found.append(directory())
    python.append(interpreters.Interpreter(Path("/usr/bin/python3.13"), (3, 13, 0), Path("/usr")))
    found.append(directory())
    python.append(interpreters.Interpreter(Path("/opt/bin/python3.13"), (3, 13, 9), Path("/opt")))
    found.append(directory())
    assert len(set(found)) == len(found)


def test_what_a_killed_build_left_is_built_anew(step, uv):
    directory = step.observe(calling.Calls().context(step.scope)).directory
    (directory / "venv/lib").mkdir(parents=True)
    (directory / "venv/half").touch()
    calling.Calls().twice(step)
    assert not (directory / "venv/half").exists()
    assert (directory / "complete").exists()


@pytest.mark.parametrize(
    ("fails", "says", "remedy"),
    [
        ("failing", "no such package: airflow", "PIP_INDEX_URL"),
        ("unimportable", "ImportError: celery", "scripts/nox -s lock"),
    ],
)
def test_a_build_that_fails_is_never_taken_for_complete(step, uv, fails, says, remedy):
    (uv / fails).touch()
    calls = calling.Calls()
    with pytest.raises(errors.ProgramError, match=says) as caught:
        calls.run(step)
    assert remedy in caught.value.hint
    directory = step.observe(calls.context(step.scope)).directory
    assert not (directory / "complete").exists()
    assert not directory.with_suffix(".lock").exists()
    (uv / fails).unlink()
    assert calls.twice(step)[0].changed


def test_two_that_build_at_once_build_once(recipe, cache, uv):
    together = threading.Barrier(2)

    def build(_):
        step = packages.AirflowPackages(recipe, cache=cache, ready=None)
        calls = calling.Calls()
        calls.programs = programs.Programs()  # One that waits as long as it says.
        change = calls.plan(step)
        together.wait()
        return step.apply(calls.context(step.scope), change)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        one, other = pool.map(build, range(2))
    assert one == other
    assert asked(uv) == ["venv", "pip sync"]


def test_an_environment_that_somebody_else_built_is_used_as_it_is(recipe, cache, tmp_path, uv):
    ready = tmp_path / "ready"
    stand_ins.program(ready / "bin/python", "#!/bin/sh\n")
    step = packages.AirflowPackages(recipe, cache=cache, ready=ready)
    calls = calling.Calls()
    assert calls.faults(step) == []
    ran = calls.run(step)
    assert (ran.changed, ran.outputs["environment"], ran.outputs["ready"]) == (False, str(ready), True)
    (ready / "bin/python").chmod(0o644)
    (fault,) = calls.faults(step)
    assert "has no bin/python" in fault.cause
    assert (asked(uv), cache.exists()) == ([], False)


def test_nothing_stops_a_machine_that_has_everything(step, uv):
    assert calling.Calls().faults(step) == []


def test_all_that_is_missing_is_told_at_once(step, tmp_path, monkeypatch, place):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    usage = shutil.disk_usage(place.directory.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1024**3))
    monkeypatch.setattr(packages.os, "geteuid", lambda: 0)
    place.directory.mkdir(mode=0o700)
    faults = calling.Calls().faults(step)
    assert [fault.thing.split()[0] for fault in faults] == ["cache", "uv", "disk"]
    assert f"chmod o+x {place.directory}" in faults[0].remedy
    assert "1.0 GB are free" in faults[2].cause


def test_what_is_complete_needs_neither_uv_nor_space(step, uv, monkeypatch, tmp_path):
    calling.Calls().run(step)
    (uv / "uv").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    assert calling.Calls().faults(step) == []


def test_the_bounds_of_python_are_those_of_the_locks():
    from airflow_platform.config import versions

    low, below = (".".join(map(str, each)) for each in (packages.LOWEST, packages.BELOW))
    assert versions.read().airflow_python == f">={low},<{below}"
