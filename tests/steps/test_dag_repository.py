"""The DAGs that are served: real Git repositories in every state that a checkout can have."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.dags import dag_branch, dag_repository
from airflow_platform.engine import step
from airflow_platform.tools.git import git_remote
from tests.steps import calling, dag_project
from tests.steps import programs as stand_ins

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false")


def git(directory, *words):
    result = subprocess.run(
        ["git", *AUTHOR, "-C", str(directory), *words], check=True, capture_output=True, text=True, timeout=10
    )
    return result.stdout.strip()


def commit(directory, name="dags/hello.py", content="x = 1\n"):
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message=c")
    return (directory / ".git/refs/heads/main").read_text().strip()


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    """A checkout without a commit, to be copied."""
    directory = tmp_path_factory.mktemp("new")
    git(directory, "init", "--quiet", "--initial-branch=main", "--template=")
    return directory


@pytest.fixture
def repository(new, tmp_path):
    return Path(shutil.copytree(new, tmp_path / "checkout"))


@pytest.fixture
def one(place, repository):
    return dag_repository.DagRepository(place, checkout=repository)


@pytest.fixture
def calls():
    return calling.Calls()


def served(place, what="served"):
    return git(place.repository, "rev-parse", what)


def test_the_commit_of_head_is_served(place, repository, one, calls):
    sha = commit(repository)
    first, _ = calls.twice(one)
    tree = git(repository, "rev-parse", "HEAD:dags")
    assert calls.faults(one) == []
    assert first.outputs == {
        "repository": str(place.repository), "commit": sha, "tree": tree, "uncommitted": [],
    }  # fmt: skip
    assert (served(place), served(place, "served:dags")) == (sha, tree)
    assert git(place.repository, "symbolic-ref", "HEAD") == "refs/heads/served"


def test_a_later_commit_is_served_and_an_earlier_one_too(place, repository, one, calls):
    first = commit(repository)
    calls.run(one)
    second = commit(repository, content="x = 2\n")
    assert calls.run(one).outputs["commit"] == served(place) == second
    git(repository, "reset", "--quiet", "--hard", first)
    assert calls.run(one).outputs["commit"] == served(place) == first


def test_another_commit_with_the_same_dags_is_the_same_version(repository, one, calls):
    commit(repository)
    before = calls.run(one).outputs
    later = commit(repository, "README", "read\n")
    ran = calls.run(one)
    assert not ran.changed
    assert ran.text == f"commit {before['commit'][:12]} is served, with the DAGs of {later[:12]}"
    assert ran.outputs == before


def test_a_detached_head_is_served(place, repository, one, calls):
    sha = commit(repository)
    commit(repository, content="x = 2\n")
    git(repository, "checkout", "--quiet", "--detach", sha)
    calls.twice(one)
    assert served(place) == sha


def test_a_shallow_clone_is_served_and_so_is_what_it_fetches_later(place, repository, calls, tmp_path):
    commit(repository)
    commit(repository, content="x = 2\n")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", str(shallow))
    one = dag_repository.DagRepository(place, checkout=shallow)
    calls.twice(one)
    assert served(place) == git(shallow, "rev-parse", "HEAD")
    later = commit(repository, content="x = 3\n")
    git(shallow, "fetch", "--quiet", "--depth=1")
    git(shallow, "reset", "--quiet", "--hard", "origin/main")
    calls.twice(one)
    assert served(place) == later


def test_files_that_are_not_committed_are_named_and_not_served(place, repository, one, calls):
    commit(repository)
    commit(repository, "dags/old name.py")
    (repository / "dags/hello.py").write_text("x = 2\n")
    git(repository, "mv", "dags/old name.py", "dags/new name.py")
    (repository / "dags/größe.py").write_text("")
    (repository / "elsewhere.py").write_text("")
    first, second = calls.twice(one)
    assert first.outputs["uncommitted"] == [
        "dags/größe.py", "dags/hello.py", "dags/new name.py", "dags/old name.py",
    ]  # fmt: skip
    left_out = "; 4 uncommitted under dags/ not served: dags/größe.py, dags/hello.py, dags/new name.py, …"
    assert first.text.endswith(left_out)
    assert second.text.endswith(left_out)
    assert git(place.repository, "show", "served:dags/hello.py") == "x = 1"


def fault_of(calls, one):
    (fault,) = calls.faults(one)
    with pytest.raises(errors.PlatformError):
        calls.plan(one)
    return fault


def test_an_unborn_branch_is_a_fault(one, calls):
    fault = fault_of(calls, one)
    assert (fault.thing, fault.remedy) == ("DAGs", "Commit, then run this again.")
    assert "unborn" in fault.cause


def test_a_directory_without_a_repository_is_a_fault(place, tmp_path, calls, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    fault = fault_of(calls, dag_repository.DagRepository(place, checkout=tmp_path / "plain"))
    assert fault.cause == f"{tmp_path}/plain is not a Git repository."
    assert "git init" in fault.remedy


def test_a_commit_without_dags_is_a_fault(repository, one, calls):
    sha = commit(repository, "README")
    fault = fault_of(calls, one)
    assert fault.cause == f"Commit {sha[:12]} has no folder dags/."


def test_a_checkout_of_another_user_is_a_fault(repository, one, calls, tmp_path, monkeypatch):
    commit(repository)
    if os.geteuid() == 0:
        os.chown(repository, 12345, 12345)
    else:  # Only root can give files away; Git's own words, then.
        says = f"fatal: detected dubious ownership in repository at '{repository}'"
        stand_ins.program(tmp_path / "bin/git", f'#!/bin/sh\necho "{says}" >&2\nexit 128\n')
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    fault = fault_of(calls, one)
    assert fault.cause == f"{repository} belongs to another user, so Git does not read it."
    assert fault.remedy == f"Run: git config --global --add safe.directory {repository}"


def test_a_machine_without_git_is_a_fault(one, calls, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    fault = fault_of(calls, one)
    assert (fault.thing, fault.remedy) == ("git", "Install the package git.")


def test_variables_of_a_git_hook_lead_nowhere_else(place, repository, one, calls, tmp_path, monkeypatch):
    sha = commit(repository)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "of-the-hook"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    calls.twice(one)
    monkeypatch.delenv("GIT_DIR")
    assert served(place) == sha


def test_a_repository_that_a_killed_run_began_is_finished(place, repository, one, calls):
    sha = commit(repository)
    place.repository.mkdir(parents=True)
    calls.twice(one)
    assert served(place) == sha


def test_going_down_it_is_kept_while_a_tenant_is_there(place, repository, one, calls, tenant):
    commit(repository)
    calls.run(one)
    down = calling.Calls(goal=step.Goal.ABSENT)
    assert down.faults(dag_repository.DagRepository(place, checkout=place.directory / "gone")) == []
    other = place.tenant("marketing").directory
    other.mkdir()
    assert down.run(one).text == "tenants still use it: marketing"
    other.rmdir()
    assert down.plan(one).summary == "delete the bare repository; no tenant is left", "analytics goes, too"
    down.run(_directory(place))
    down.at_work = {"finance": False}
    assert down.run(one).text == "tenants still use it: finance"
    down.at_work = {"finance": True}
    first, second = down.twice(one)
    assert (first.changed, second.text) == (True, "it is not there")
    assert not place.repository.exists()


@pytest.fixture
def synced(tmp_path):
    """A project whose first version is on the branch that all environments follow."""
    project = dag_project.Project(tmp_path)
    version = project.commit({"hello.py": "x = 1"})
    branch = project.branch()
    branch.refresh(project.runner)
    branch.advance(project.runner, project.wanted(version), onto=None)
    return project


def following(place, project):
    return dag_repository.DagRepository(
        place, checkout=project.checkout, branch=lambda runner, on_note: project.branch()
    )


def test_once_something_was_synced_the_branch_is_served(place, synced, calls):
    synced.commit({"hello.py": "x = 2"})
    first, _ = calls.twice(following(place, synced))
    head = synced.branch().head(synced.runner)
    assert first.outputs["commit"] == head.commit == served(place)
    assert "HEAD has other DAGs: `inv dags-sync` brings them everywhere" in first.text


@pytest.mark.parametrize("error", [git_remote.NotReachable, errors.RefusedError, errors.BusyError])
def test_a_branch_that_cannot_be_asked_is_served_as_last_known(place, synced, calls, monkeypatch, error):
    def away(self, runner, *, timeout=None):
        assert timeout is not None
        assert timeout < 60, "others wait for so long for the same repository"
        raise error("Nobody answers.")

    monkeypatch.setattr(dag_branch.DagBranch, "refresh", away)
    first, _ = calls.twice(following(place, synced))
    assert first.outputs["commit"] == synced.branch().head(synced.runner).commit
    assert "as last known: Nobody answers." in first.text


def test_a_branch_of_which_nothing_is_known_must_be_asked(place, synced, calls, monkeypatch):
    def away(self, runner, *, timeout=None):
        raise git_remote.NotReachable("Nobody answers.")

    elsewhere = dag_repository.DagRepository(
        place, checkout=synced.checkout, branch=lambda runner, on_note: synced.branch("another machine")
    )
    git(synced.directory, "init", "--quiet", "--bare", str(synced.branch("another machine").repository))
    monkeypatch.setattr(dag_branch.DagBranch, "refresh", away)
    with pytest.raises(git_remote.NotReachable):
        calls.run(elsewhere)


def test_a_head_without_dags_is_refused_with_the_way_back(place, synced, calls):
    copy = synced.branch().repository
    made = git(copy, "commit-tree", git(copy, "hash-object", "-t", "tree", "-w", "/dev/null"), "-m", "Empty")
    git(synced.directory / "branch.git", "fetch", "--quiet", str(copy), made)
    head = synced.branch().head(synced.runner).commit
    tree = git(copy, "rev-parse", f"{made}^{{tree}}")
    made = git(synced.directory / "branch.git", "commit-tree", tree, "-p", head, "-m", "Empty")
    git(synced.directory / "branch.git", "update-ref", "refs/heads/dags-live", made)
    with pytest.raises(errors.StepError, match="which has no folder dags/") as caught:
        calls.run(following(place, synced))
    assert f"--over={made[:12]}" in caught.value.hint


def _directory(place):
    from airflow_platform.tenants import tenant_directory

    return tenant_directory.TenantDirectory(place)


def test_what_is_waited_for_while_the_branch_is_asked_is_news_of_the_step(place, synced, calls):
    def branch(runner, on_note):
        on_note("waiting for its programs")
        return synced.branch()

    calls.run(dag_repository.DagRepository(place, checkout=synced.checkout, branch=branch))
    assert "waiting for its programs" in calls.news
