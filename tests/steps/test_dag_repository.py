"""The DAGs that are served: real Git repositories in every state that a checkout can have."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.engine import step, store
from airflow_platform.steps import dag_repository
from tests.steps import calling
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
    coming_up = store.LocalStore(
        place.directory, "sandbox", lock_timeout=1, programs=down.programs, on_note=print
    )
    with coming_up.tenant_locks(["finance"]):
        assert down.run(one).text == "tenants still use it: finance"
    first, second = down.twice(one)
    assert (first.changed, second.text) == (True, "it is not there")
    assert not place.repository.exists()


def _directory(place):
    from airflow_platform.steps import tenant_directory

    return tenant_directory.TenantDirectory(place)
