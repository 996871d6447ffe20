"""Directories that are there while somebody works in them."""

import os
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.tools import temporary


@pytest.fixture
def parent(tmp_path):
    return tmp_path / "parent"


@pytest.fixture
def killed(parent):
    """What a killed run has left."""
    (parent / "tmpkilled" / "x").mkdir(parents=True)
    (parent / "tmpkilled" / "x" / "a.py").write_text("x")
    return parent / "tmpkilled"


def test_it_is_ours_alone_and_then_gone(parent):
    with temporary.directory(parent) as made:
        assert made.stat().st_mode & 0o777 == 0o700
        assert parent.stat().st_mode & 0o777 == 0o711
        (made / "a").write_text("")
    assert list(parent.iterdir()) == []


def test_what_a_killed_run_has_left_is_gone_and_what_another_uses_is_not(parent, killed):
    with temporary.directory(parent) as first:
        assert [path.resolve() for path in parent.iterdir()] == [first]
        (first / "a").write_text("text")
        with temporary.directory(parent) as second:
            assert (second != first, (first / "a").read_text()) == (True, "text")
    assert list(parent.iterdir()) == []


def test_one_that_was_swept_away_before_it_was_locked_is_made_again(parent, monkeypatch):
    real, taken = temporary._lock, []

    def take(directory):
        taken.append(directory)
        if len(taken) == 1:
            directory.rmdir()
        return real(directory)

    monkeypatch.setattr(temporary, "_lock", take)
    with temporary.directory(parent) as made:
        assert made.is_dir()
    assert len(taken) == 2


def test_nobody_can_lock_one_that_is_being_deleted(parent, killed, monkeypatch):
    real, owned = temporary.remove, [killed]

    def remove(tree):
        with pytest.raises(FileNotFoundError):
            temporary._lock(owned.pop())
        real(tree)

    monkeypatch.setattr(temporary, "remove", remove)
    with temporary.directory(parent) as made:
        owned.append(made)
    assert (owned, list(parent.iterdir())) == ([], [])


def test_what_a_killed_run_was_deleting_goes_too(parent, killed):
    killed.rename(killed.with_name(f"{temporary._CONDEMNED}x"))
    with temporary.directory(parent) as made:
        assert list(parent.iterdir()) == [made]


def test_a_parent_that_cannot_be_made_is_named(parent):
    parent.write_text("")
    with pytest.raises(errors.StateError, match=str(parent)), temporary.directory(parent):
        pass


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
                    os.chown(path, 65534, 65534)
                os.chdir(tmp_path)  # The way to it is closed to others.
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            else:
                os.chdir(tmp_path)
            call()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("closed", [".", "a", "a/b"])
def test_without_any_permission_it_is_deleted_all_the_same(tmp_path, tree, closed):
    def remove():
        Path("tree", closed).chmod(0)
        temporary.remove(Path("tree"))

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
    temporary.remove(tree)
    assert not tree.exists()


def test_links_are_deleted_and_what_they_lead_to_is_not(tmp_path, tree):
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o750)
    (kept / "file").write_text("x")
    (tree / "link").symlink_to(kept)
    (tree / "a" / "link").symlink_to(kept)
    (tree / "a" / "dangling").symlink_to("nowhere")
    temporary.remove(tree)
    assert [path.name for path in kept.iterdir()] == ["file"]
    assert kept.stat().st_mode & 0o777 == 0o750


def test_a_link_in_the_place_of_the_directory_is_refused(tmp_path, tree):
    (tmp_path / "link").symlink_to(tree)
    with pytest.raises(OSError, match="link"):
        temporary.remove(tmp_path / "link")
    assert (tree / "a" / "file").exists()
