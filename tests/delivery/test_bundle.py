"""The bundle on what git-sync brings: one commit from one refresh to the next, and copies for the tasks of a run."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.delivery import conftest


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Where git-sync brings commits, and where Airflow keeps versions."""
    monkeypatch.setattr(conftest.BaseDagBundle, "root", tmp_path / "bundles", raising=False)
    made = tmp_path / "git"
    (made / ".worktrees").mkdir(parents=True)
    return made


def bring(root, commit):
    """As git-sync does."""
    worktree = root / ".worktrees" / commit
    (worktree / "dags").mkdir(parents=True)
    (worktree / "dags" / "one.py").write_text(commit)
    (worktree / ".git").write_text("gitdir: elsewhere")
    (root / "draft").symlink_to(f".worktrees/{commit}")
    os.replace(root / "draft", root / "link")  # noqa: PTH105 - as the contract has it.


def made(bundle, root, version=None):
    found = bundle.GitSyncDagBundle(name="dags", link=str(root / "link"), subdir="dags", version=version)
    found.initialize()
    return found


def test_a_swap_in_the_middle_of_a_parse_changes_nothing_until_the_next_refresh(bundle, root):
    bring(root, "a" * 40)
    one = made(bundle, root)
    bring(root, "b" * 40)
    assert one.get_current_version() == "a" * 40
    assert (one.path / "one.py").read_text() == "a" * 40
    one.refresh()
    assert one.get_current_version() == "b" * 40
    assert (one.path / "one.py").read_text() == "b" * 40


def test_the_tasks_of_a_run_read_the_commit_that_it_started_with(bundle, root):
    bring(root, "a" * 40)
    bring(root, "b" * 40)
    of_run = made(bundle, root, version="a" * 40)
    assert of_run.get_current_version() == "a" * 40
    shutil.rmtree(root / ".worktrees" / ("a" * 40))
    later = made(bundle, root, version="a" * 40)
    for each in (of_run, later):
        assert (each.path / "one.py").read_text() == "a" * 40
        assert not (each.path.parent / ".git").exists()
        assert each.locked == 0
    assert sorted(path.name for path in later.versions_dir.iterdir()) == ["a" * 40], "no draft stays"


def test_a_commit_that_was_cleaned_away_is_told_with_the_remedy(bundle, root):
    bring(root, "b" * 40)
    with pytest.raises(conftest.AirflowException, match="--stale-worktree-timeout"):
        made(bundle, root, version="a" * 40)


def test_before_anything_was_brought_that_is_told(bundle, root):
    with pytest.raises(conftest.AirflowException, match=r"has brought nothing to .*link yet"):
        made(bundle, root)


def test_the_commit_of_a_run_is_not_refreshed(bundle, root):
    bring(root, "a" * 40)
    with pytest.raises(conftest.AirflowException, match="does not change"):
        made(bundle, root, version="a" * 40).refresh()
