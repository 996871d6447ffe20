"""Directories that are there while somebody works in them."""

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
    real, taken = temporary.locks.take, []

    def take(directory):
        taken.append(directory)
        if len(taken) == 1:
            directory.rmdir()
        return real(directory)

    monkeypatch.setattr(temporary.locks, "take", take)
    with temporary.directory(parent) as made:
        assert made.is_dir()
    assert len(taken) == 2


def test_nobody_can_lock_one_that_is_being_deleted(parent, killed, monkeypatch):
    real, owned = temporary.scratch.discard, [killed]

    def discard(tree, **how):
        with pytest.raises(FileNotFoundError):
            temporary.locks.take(owned.pop())
        return real(tree, **how)

    monkeypatch.setattr(temporary.scratch, "discard", discard)
    with temporary.directory(parent) as made:
        owned.append(made)
    assert (owned, list(parent.iterdir())) == ([], [])


def test_what_a_killed_run_was_deleting_goes_too(parent, killed):
    temporary.scratch.condemned(killed)
    with temporary.directory(parent) as made:
        assert list(parent.iterdir()) == [made]


def test_a_parent_that_cannot_be_made_is_named(parent):
    parent.write_text("")
    with pytest.raises(errors.StateError, match=str(parent)), temporary.directory(parent):
        pass
