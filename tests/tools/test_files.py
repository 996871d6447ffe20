"""Files and directories: whole or not at all, with the mode and owner asked for, never through a link."""

import os
import stat

import pytest

from airflow_platform import errors
from airflow_platform.tools import files


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("content", ["text", b"\0bytes", ""])
def test_a_file_is_replaced_with_its_mode(tmp_path, content):
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o666)
    files.write(path, content, mode=0o640, owner=os.geteuid())
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert mode(path) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_does_not_depend_on_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        files.write(tmp_path / "shared", "x", mode=0o644)
        files.make_directory(tmp_path / "open", mode=0o755)
    finally:
        os.umask(before)
    assert (mode(tmp_path / "shared"), mode(tmp_path / "open")) == (0o644, 0o755)


def test_the_draft_is_closed_to_others_before_it_has_its_name(tmp_path):
    with files.replacing(tmp_path / "key", mode=0o644) as (_, draft):
        assert (mode(draft), (tmp_path / "key").exists()) == (0o600, False)


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "key"
    path.write_text("old")

    def write_half():
        with files.replacing(path) as (descriptor, _):
            os.write(descriptor, b"half")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_links_at_the_draft_and_at_the_file_are_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("kept")
    path = tmp_path / "key"
    path.symlink_to(elsewhere)
    (tmp_path / ".key.new").symlink_to(elsewhere)
    files.write(path, "new")
    assert (elsewhere.read_text(), path.read_text(), path.is_symlink()) == ("kept", "new", False)


def test_a_directory_that_is_not_there_is_told_by_name(tmp_path):
    with pytest.raises(errors.StateError, match=r"none/\.key\.new: No such file"):
        files.write(tmp_path / "none" / "key", "x")


def test_a_directory_is_made_with_its_parents_and_mended(tmp_path):
    path = tmp_path / "a/b"
    files.make_directory(path, mode=0o700)
    assert mode(path) == 0o700
    path.chmod(0o777)
    files.make_directory(path, mode=0o710, owner=os.geteuid(), group=os.getegid())
    assert mode(path) == 0o710


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_what_is_no_directory_is_refused(tmp_path, kind):
    path = tmp_path / "taken"
    if kind == "file":
        path.touch()
    else:
        path.symlink_to(tmp_path if kind == "link" else tmp_path / "none")
    with pytest.raises(errors.StateError, match="taken"):
        files.make_directory(path, mode=0o755)
    assert mode(tmp_path) != 0o755


def test_state_errors_name_the_file_that_the_system_named(tmp_path):
    with pytest.raises(errors.StateError, match="inner"), errors.state_errors(tmp_path):
        (tmp_path / "inner").read_text()
    with pytest.raises(errors.StateError, match="outer: disk"), errors.state_errors(tmp_path / "outer"):
        raise OSError(28, "disk")


def test_fits(tmp_path):
    path = tmp_path / "key"
    assert not files.fits(path, mode=0o600)
    path.touch()
    path.chmod(0o600)
    mine, group = path.stat().st_uid, path.stat().st_gid
    assert files.fits(path, mode=0o600)
    assert files.fits(path, mode=0o600, owner=mine, group=group)
    assert not files.fits(path, mode=0o644)
    assert not files.fits(path, mode=0o600, owner=mine + 1, group=group)
    assert not files.fits(path, mode=0o600, owner=mine, group=group + 1)
    (tmp_path / "link").symlink_to(path)
    assert not files.fits(tmp_path / "link", mode=0o600)
