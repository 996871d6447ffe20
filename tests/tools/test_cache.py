"""What is deleted of the cache, and when nothing is."""

import shutil
import subprocess
import sys
import time

import pytest

from airflow_platform import errors
from airflow_platform.tools import cache, processes, temporary

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="without /proc nobody knows what runs")


@pytest.fixture
def directory(tmp_path):
    """A cache whose programs are copies of `sleep`."""
    for name in (*cache.PRUNED, "uv"):
        (tmp_path / name).mkdir()
        shutil.copy("/bin/sleep", tmp_path / name / "sleep")
    return tmp_path


def test_all_is_deleted_but_for_the_uv_of_the_doors(directory):
    assert cache.prune(directory).names == cache.PRUNED
    assert [path.name for path in directory.iterdir()] == ["uv"]
    assert cache.prune(directory).names == ()


def until_it_runs(child, directory):
    deadline = time.monotonic() + 10
    while child.pid not in [each.pid for each in processes.running_from(directory)]:
        assert time.monotonic() < deadline, "it is not found"
        time.sleep(0.02)


@pytest.mark.parametrize(
    "words",
    [
        ["CACHE/airflow-packages/sleep", "60"],
        ["bash", "-c", "exec -a hidden CACHE/downloads/sleep 60"],
        ["/bin/sh", "-c", "read line", "CACHE/checks/file"],
    ],
    ids=["program", "title", "argument"],
)
def test_nothing_is_deleted_while_anything_runs_from_it(directory, words):
    argv = [word.replace("CACHE", str(directory)) for word in words]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as child:
        try:
            until_it_runs(child, directory)
            with pytest.raises(errors.BusyError, match=f"{child.pid} "):
                cache.prune(directory)
        finally:
            child.kill()
    assert {path.name for path in directory.iterdir()} >= set(cache.PRUNED)


def test_what_runs_from_the_rest_of_the_cache_is_no_reason(directory):
    with subprocess.Popen([directory / "uv" / "sleep", "60"]) as child:
        try:
            assert cache.prune(directory).names == cache.PRUNED
        finally:
            child.kill()


def test_of_test_runs_those_that_were_killed_lose_their_directories(directory):
    with temporary.directory(directory / cache.TESTS) as living:
        (directory / cache.TESTS / "tmpkilled").mkdir()
        cache.prune(directory)
        assert list((directory / cache.TESTS).iterdir()) == [living]


def test_what_cannot_be_deleted_is_told(directory, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", "inner")

    monkeypatch.setattr(temporary, "remove", refuse)
    with pytest.raises(errors.StateError, match="airflow-packages: Permission denied"):
        cache.prune(directory)
