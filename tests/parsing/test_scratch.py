"""Directories of imports, and that nothing that a file makes of one keeps it from being deleted."""

import os
from pathlib import Path

import pytest

from airflow_platform.parsing import protocol, scratch

DEEP = 1200
"""Levels: more than a stack holds, and their path is longer than the kernel takes."""


@pytest.fixture
def tree(tmp_path):
    directory = tmp_path / "tree"
    (directory / "a" / "b").mkdir(parents=True)
    (directory / "a" / "file").write_text("x")
    (directory / "a" / "b" / "file").write_text("x")
    return directory


def as_no_root(tmp_path, call):
    """The exit code of a process that is not root and calls something; what is below the path is its own."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                for path in (tmp_path, *tmp_path.rglob("*")):
                    os.chown(path, protocol.NOBODY, protocol.NOBODY)
                os.chdir(tmp_path)  # The way to it is closed to others.
                os.setgroups([])
                os.setgid(protocol.NOBODY)
                os.setuid(protocol.NOBODY)
            else:
                os.chdir(tmp_path)
            call()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_fresh_directory_is_empty_and_nobody_elses(tmp_path):
    made = [scratch.fresh(tmp_path / "scratch", None) for _ in range(2)]
    assert made[0] != made[1]
    assert all(list(each.iterdir()) == [] and each.stat().st_mode & 0o777 == 0o700 for each in made)
    assert (tmp_path / "scratch").stat().st_mode & 0o777 == 0o711
    assert scratch.names(tmp_path / "scratch") == {each.name for each in made}


def test_where_there_is_nothing_nothing_is_deleted(tmp_path):
    assert scratch.names(tmp_path / "nowhere") == set()
    assert scratch.discard(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        scratch.remove(tmp_path / "nowhere")


def test_a_fresh_directory_can_be_made_where_an_import_has_closed_the_door(tmp_path):
    (tmp_path / "scratch").mkdir()

    def make():
        Path("scratch").chmod(0)
        assert scratch.fresh(Path("scratch"), None).is_dir()

    assert as_no_root(tmp_path, make) == 0


@pytest.mark.parametrize("closed", [".", "a", "a/b"])
def test_without_any_permission_it_is_deleted_all_the_same(tmp_path, tree, closed):
    def remove():
        Path("tree", closed).chmod(0)
        scratch.remove(Path("tree"))

    assert as_no_root(tmp_path, remove) == 0
    assert not tree.exists()


def test_a_file_that_makes_folders_without_end_is_no_obstacle(tree):
    here = os.open(tree, os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir("d" * 200, dir_fd=here)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    scratch.remove(tree)
    assert not tree.exists()


def test_links_are_deleted_and_what_they_lead_to_is_not(tmp_path, tree):
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o750)
    (kept / "file").write_text("x")
    (tree / "link").symlink_to(kept)
    (tree / "a" / "link").symlink_to(kept)
    (tree / "a" / "dangling").symlink_to("nowhere")
    scratch.remove(tree)
    assert [path.name for path in kept.iterdir()] == ["file"]
    assert kept.stat().st_mode & 0o777 == 0o750


def test_a_link_in_the_place_of_the_directory_is_refused(tmp_path, tree):
    (tmp_path / "link").symlink_to(tree)
    with pytest.raises(OSError, match="link"):
        scratch.remove(tmp_path / "link")
    scratch.discard(tmp_path / "link")
    assert (tree / "a" / "file").exists()


def test_what_takes_longer_than_there_is_time_is_deleted_piece_by_piece(tree):
    assert not scratch.discard(tree, seconds=0)
    pieces = 1
    while not scratch.discard(tree, seconds=0):
        pieces += 1
    assert not tree.exists()
    assert pieces < 10
