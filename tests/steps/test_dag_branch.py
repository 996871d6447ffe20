"""The branch that is moved: forward only, also when somebody else moves it at the same moment."""

import pytest

from airflow_platform import errors
from airflow_platform.dags import branch_step
from airflow_platform.dags.dag_contexts import Project as AllDags
from airflow_platform.tools.git import git_remote
from tests.steps import calling
from tests.steps.dag_project import Project, run_git


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def calls():
    return calling.Calls(environment=AllDags())


def moved(project, commit, machine="mine", **options):
    return branch_step.MovedBranch(project.branch(machine), project.wanted(commit), **options)


def log(project):
    return run_git(project.directory / "branch.git", "log", "--format=%s", "dags-live").splitlines()


def test_a_version_is_put_on_the_branch_once(project, calls):
    commit = project.commit({"a.py": "x = 1"})
    first, _ = calls.twice(moved(project, commit))
    assert (first.outputs["tree"], first.outputs["source"]) == (commit.tree, commit.sha)
    assert first.text == f"put version {commit.tree[:12]} of commit {commit.sha[:12]} on dags-live (new)"
    assert log(project) == [f"Serve {commit.sha[:12]}"]


def test_the_commit_has_the_dags_and_nothing_else(project, calls):
    (project.directory / "checkout").mkdir()
    run_git(project.directory, "init", "--quiet", "--initial-branch=main", str(project.checkout))
    (project.checkout / "secret.txt").write_text("not for tenants")
    commit = project.commit({"a.py": "x = 1"})
    calls.run(moved(project, commit))
    assert (
        run_git(project.directory / "branch.git", "ls-tree", "-r", "--name-only", "dags-live") == "dags/a.py"
    )
    message = run_git(project.directory / "branch.git", "log", "-1", "--format=%B", "dags-live")
    assert f"Source-Commit: {commit.sha}" in message
    assert f"Dags-Version: {commit.tree}" in message


def test_a_commit_that_leaves_the_dags_alone_moves_nothing(project, calls):
    calls.run(moved(project, project.commit({"a.py": "x = 1"})))
    (project.checkout / "README.md").write_text("words")
    assert not calls.run(moved(project, project.commit({}))).changed


def test_an_older_version_comes_back_as_one_more_commit(project, calls):
    first = project.commit({"a.py": "x = 1"})
    calls.run(moved(project, first))
    calls.run(moved(project, project.commit({"a.py": "x = 2"})))
    calls.run(moved(project, first))
    assert len(log(project)) == 3
    assert run_git(project.directory / "branch.git", "rev-parse", "dags-live:dags") == first.tree


def test_a_race_that_is_lost_is_tried_again_on_top(project, calls):
    calls.run(moved(project, project.commit({"a.py": "x = 1"})))
    mine = moved(project, ours := project.commit({"a.py": "x = 2"}))
    change = calls.plan(mine)
    other = calling.Calls(environment=AllDags())
    theirs = project.commit({"a.py": "x = 3"})
    other.run(moved(project, theirs, "theirs"))
    outputs = mine.apply(calls.context(mine.scope), change)
    assert outputs["tree"] == ours.tree
    assert log(project)[:2] == [f"Serve {ours.sha[:12]}", f"Serve {theirs.sha[:12]}"]
    assert any("moved meanwhile" in news for news in calls.news)


def test_somebody_who_wanted_the_same_has_done_it_for_us(project, calls):
    calls.run(moved(project, project.commit({"a.py": "x = 1"})))
    commit = project.commit({"a.py": "x = 2"})
    mine = moved(project, commit)
    change = calls.plan(mine)
    calling.Calls(environment=AllDags()).run(moved(project, commit, "theirs"))
    assert mine.apply(calls.context(mine.scope), change)["tree"] == commit.tree
    assert len(log(project)) == 2


def test_a_race_that_is_lost_again_and_again_is_given_up(project, calls, monkeypatch):
    def lose(self, *arguments, **options):
        raise git_remote.LostRace("the branch was moved meanwhile.")

    mine = moved(project, project.commit({"a.py": "x = 1"}))
    change = calls.plan(mine)
    monkeypatch.setattr("airflow_platform.dags.dag_branch.DagBranch.advance", lose)
    with pytest.raises(git_remote.LostRace):
        mine.apply(calls.context(mine.scope), change)


def test_a_push_that_broke_off_is_told_when_the_server_stays_away(project, calls, monkeypatch):
    def broke_off(self, *arguments, **options):
        raise git_remote.Cut("The transfer broke off.", hint="Run this again.")

    def away(self, *arguments, **options):
        raise git_remote.NotReachable("Nobody answers.", hint="Start it.")

    mine = moved(project, project.commit({"a.py": "x = 1"}))
    change = calls.plan(mine)
    monkeypatch.setattr("airflow_platform.dags.dag_branch.DagBranch.advance", broke_off)
    monkeypatch.setattr("airflow_platform.dags.dag_branch.DagBranch.refresh", away)
    with pytest.raises(git_remote.Cut, match=r"Whether dags-live has moved is not known: Nobody answers\."):
        mine.apply(calls.context(mine.scope), change)


def test_a_commit_made_by_hand_is_explained_and_not_covered(project, calls):
    calls.run(moved(project, project.commit({"a.py": "x = 1"})))
    made = project.by_hand({"a.py": "x = 'hot fix'"})
    ours = project.commit({"a.py": "x = 2"})
    with pytest.raises(
        errors.RefusedError, match=f"dags-live is at {made[:12]} by A <a@localhost>.*Hot fix"
    ) as caught:
        calls.run(moved(project, ours))
    assert f"--over={made[:12]}" in caught.value.hint
    assert log(project)[0] == "Hot fix"
    calls.run(moved(project, ours, over=made[:12]))
    assert log(project)[:2] == [f"Serve {ours.sha[:12]}", "Hot fix"], "its history is kept"


def test_a_hot_fix_that_came_into_the_project_is_taken_over(project, calls):
    calls.run(moved(project, project.commit({"a.py": "x = 1"})))
    project.by_hand({"a.py": "x = 'hot fix'"})
    assert not calls.run(moved(project, project.commit({}))).changed


def test_a_hot_fix_that_lands_in_the_middle_is_not_covered(project, calls):
    calls.run(moved(project, project.commit({"a.py": "x = 1"})))
    mine = moved(project, project.commit({"a.py": "x = 2"}))
    change = calls.plan(mine)
    project.by_hand({"a.py": "x = 'hot fix'"})
    with pytest.raises(errors.RefusedError, match="Hot fix"):
        mine.apply(calls.context(mine.scope), change)
    assert log(project)[0] == "Hot fix"


@pytest.mark.parametrize("character", ["\x1e", "\x1f", "\x1e\x1f", "\x01", "|"])
def test_whatever_the_subject_of_a_commit_made_by_hand_holds_it_is_explained(project, calls, character):
    """Git refuses no character in a message but NUL."""
    calls.run(moved(project, project.commit({"a.py": "x = 1"})))
    subject = f"Hot{character}fix"
    made = project.by_hand({"a.py": "x = 'hot fix'"}, subject)
    branch = project.branch()
    branch.refresh(project.runner)
    newest, before = branch.history(project.runner, limit=2)
    assert (newest.commit, newest.subject, newest.foreign) == (made, subject, True)
    assert newest.parent == before.commit
    assert not before.foreign


def test_a_message_that_lies_about_its_dags_is_by_hand(project, calls):
    calls.run(moved(project, first := project.commit({"a.py": "x = 1"})))
    tree = run_git(
        project.checkout, "mktree", stdin=f"040000 tree {project.commit({'a.py': 'x = 9'}).tree}\tdags\n"
    )
    message = f"Serve\n\nSource-Commit: {first.sha}\nDags-Version: {first.tree}\n"
    run_git(project.checkout, "fetch", "--quiet", str(project.directory / "branch.git"), "dags-live")
    made = run_git(project.checkout, "commit-tree", tree, "-p", "FETCH_HEAD", "-m", message)
    run_git(
        project.checkout,
        "push",
        "--quiet",
        str(project.directory / "branch.git"),
        f"{made}:refs/heads/dags-live",
    )
    with pytest.raises(errors.RefusedError, match="did not make"):
        calls.run(moved(project, project.commit({"a.py": "x = 2"})))


def test_what_a_killed_git_left_is_cleared(project, calls):
    calls.run(moved(project, project.commit({"a.py": "x = 1"})))
    for repository in ("mine/copy.git", "branch.git"):
        (project.directory / repository / "refs/heads/dags-live.lock").write_text("")
    assert calls.run(moved(project, project.commit({"a.py": "x = 2"}))).changed


def test_a_hot_fix_that_somebody_else_here_has_seen_already_is_not_covered(project, calls):
    calls.run(moved(project, project.commit({"a.py": "x = 1"})))
    mine = moved(project, project.commit({"a.py": "x = 2"}))
    change = calls.plan(mine)
    project.by_hand({"a.py": "x = 'hot fix'"})
    project.branch().refresh(project.runner)
    with pytest.raises(errors.RefusedError, match="Hot fix"):
        mine.apply(calls.context(mine.scope), change)
    assert log(project)[0] == "Hot fix"


def test_what_is_taken_back_is_only_what_was_brought(project, calls):
    first = project.commit({"a.py": "x = 1"})
    calls.run(moved(project, first))
    brought = calls.run(moved(project, project.commit({"a.py": "x = 2"}))).outputs["commit"]
    newer = project.commit({"a.py": "x = 3"})
    calling.Calls(environment=AllDags()).run(moved(project, newer, "theirs"))
    with pytest.raises(errors.RefusedError, match="meanwhile"):
        calls.run(moved(project, first, onto=brought))
    assert log(project)[0] == f"Serve {newer.sha[:12]}"
