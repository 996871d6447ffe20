"""The stand-in for git-sync keeps the documented contract, also when it is killed in the middle."""

from __future__ import annotations

import argparse
import os
import threading

import pytest


@pytest.fixture
def sync(git_sync, project, tmp_path):
    def make(stale_after=3600.0):
        return git_sync.Sync(str(project.directory), "served", tmp_path / "root", "link", stale_after)

    return make


def shown(sync):
    """What somebody reads who asks the link once."""
    directory = (sync._link.parent / sync._link.readlink()) / "dags"
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_the_link_names_the_commit_that_it_leads_to(sync, project):
    first = sync()
    assert first.linked() == ""
    commit = project.commit("1")
    assert first.once() == commit == first.linked()
    assert shown(first) == {"one.py": "1", "two.py": "1"}
    assert first.once() == commit
    second = project.commit("2")
    assert sync().once() == second == first.linked(), "another process goes on"
    assert shown(first) == {"one.py": "2", "two.py": "2"}


def test_the_branch_may_go_anywhere(sync, project):
    one = sync()
    project.commit("1")
    good = project.commit("2")
    project.commit("3")
    one.once()
    project.git("reset", "--quiet", "--hard", good)
    assert one.once() == good
    assert shown(one) == {"one.py": "2", "two.py": "2"}


@pytest.mark.parametrize("where", ["_check_out", "_swap"])
def test_a_run_that_ends_before_the_swap_has_changed_nothing(sync, project, monkeypatch, where):
    one = sync()
    before = project.commit("1")
    one.once()
    after = project.commit("2")

    def end(self, commit):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(one), where, end)
        with pytest.raises(KeyboardInterrupt):
            one.once()
    assert one.linked() == before
    assert shown(one) == {"one.py": "1", "two.py": "1"}
    assert one.once() == after
    assert shown(one) == {"one.py": "2", "two.py": "2"}


def test_what_a_killed_run_left_half_done_is_made_anew(sync, project, tmp_path):
    one, commit = sync(), project.commit("1")
    draft = tmp_path / "root" / ".worktrees" / f".draft-{commit}"
    draft.mkdir(parents=True)
    (draft / "of another time").touch()
    git = tmp_path / "root" / ".git"
    project.git("init", "--quiet", "--bare", str(git))
    (git / "HEAD.lock").touch()
    (tmp_path / "root" / ".link-draft").symlink_to("nowhere")
    one.once()
    assert sorted(path.name for path in (one._link.parent / one._link.readlink()).iterdir()) == ["dags"]


def test_nobody_ever_sees_two_commits_mixed(sync, project):
    one = sync()
    project.commit("0")
    one.once()
    seen, wrong, ended = set(), [], threading.Event()

    def read():
        while not ended.is_set():
            texts = set(shown(one).values())
            seen.update(texts)
            if len(texts) != 1:
                wrong.append(texts)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 10):
            project.commit(str(number))
            one.once()
    finally:
        ended.set()
        reader.join()
    assert wrong == []
    assert len(seen) > 1


def test_an_older_worktree_stays_until_it_is_stale(sync, project):
    one = sync(stale_after=60)
    first = project.commit("1")
    one.once()
    project.commit("2")
    one.once()
    worktree = one._worktrees / first
    assert worktree.is_dir(), "a task may be about to read it"
    os.utime(worktree, (1, 1))
    one.once()
    assert not worktree.exists()
    os.utime(one._worktrees / one.linked(), (1, 1))
    one.once()
    assert (one._worktrees / one.linked()).is_dir(), "the one that is linked never is"


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("1m30s", 90), ("500ms", 0.5), ("24h", 86400)])
def test_durations_are_those_of_go(git_sync, text, seconds):
    assert git_sync.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "s", "1s 2s", "1d"])
def test_what_is_no_duration_is_refused(git_sync, text):
    with pytest.raises(argparse.ArgumentTypeError):
        git_sync.seconds(text)
