"""Git's answers; real repositories in every state are in tests/steps/test_dag_repository.py."""

import subprocess

import pytest

from airflow_platform import programs
from airflow_platform.tools import git

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false")


@pytest.fixture
def runner():
    return programs.Programs()


@pytest.fixture
def checkout(tmp_path):
    directory = tmp_path / "checkout"
    (directory / "dags").mkdir(parents=True)
    (directory / "dags/a.py").write_text("x = 1\n")
    for words in (
        ("init", "--quiet", "--initial-branch=main", "--template="),
        ("add", "--all"),
        ("commit", "--quiet", "--message=c"),
    ):
        subprocess.run(["git", *AUTHOR, "-C", str(directory), *words], check=True, timeout=10)
    return directory


def test_a_revision_is_a_commit_and_the_tree_of_a_folder(runner, checkout):
    found = git.resolve(runner, checkout, "HEAD", "dags")
    assert len(found.sha) == len(found.tree) == 40
    assert (
        git.resolve(runner, checkout, found.sha, "dags")
        == git.resolve(runner, checkout, "main", "dags")
        == found
    )


@pytest.mark.parametrize(
    ("revision", "folder", "says"),
    [
        ("HEAD", "etc", "has no folder etc/"),
        ("v1", "dags", "no revision 'v1'"),
    ],
)
def test_what_is_not_there_is_told(runner, checkout, revision, folder, says):
    with pytest.raises(git.NoCommit, match=says) as caught:
        git.resolve(runner, checkout, revision, folder)
    assert caught.value.hint


def test_a_bare_repository_is_made_and_follows(runner, checkout, tmp_path):
    bare = tmp_path / "bare.git"
    assert git.branch(runner, bare, "served") == ""
    git.make_bare(runner, bare, "served")
    git.make_bare(runner, bare, "served")
    assert git.branch(runner, bare, "served") == ""
    sha = git.resolve(runner, checkout, "HEAD", "dags").sha
    git.fetch(runner, bare, checkout, sha, "served")
    git.fetch(runner, bare, checkout, sha, "served")
    assert git.branch(runner, bare, "served") == sha
    assert git.branch(runner, bare, "other") == ""
    assert not (bare / "FETCH_HEAD").exists()


def test_nothing_is_uncommitted_in_a_clean_checkout(runner, checkout):
    assert git.uncommitted(runner, checkout, "dags") == ()
    (checkout / "dags/new dir").mkdir()
    (checkout / "dags/new dir/b.py").touch()
    (checkout / "dags/a.py").unlink()
    assert git.uncommitted(runner, checkout, "dags") == ("dags/a.py", "dags/new dir/b.py")
