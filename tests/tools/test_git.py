"""Git's answers; real repositories in every state are in tests/steps/test_dag_repository.py."""

import subprocess

import pytest

from airflow_platform.programs import programs
from airflow_platform.tools.git import git

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


class TestSnapshot:
    @pytest.fixture
    def bare(self, runner, tmp_path):
        git.make_bare(runner, tmp_path / "bare.git", "served")
        return tmp_path / "bare.git"

    @staticmethod
    def files(repository):
        words = ["git", "-C", str(repository), "ls-tree", "-r", "--name-only", "served"]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=10).stdout.split()

    def test_it_holds_what_a_commit_of_everything_would(self, runner, checkout, bare):
        (checkout / ".gitignore").write_text("*.secret\n")
        (checkout / "dags/a.py").write_text("x = 2\n")
        (checkout / "dags/sql").mkdir()
        (checkout / "dags/sql/new.sql").write_text("SELECT 1")
        (checkout / "dags/my.secret").write_text("not delivered")
        before = git.uncommitted(runner, checkout, "."), git.resolve(runner, checkout, "HEAD", "dags")
        commit = git.snapshot(runner, checkout / "dags", bare, "served", "dags")
        assert git.branch(runner, bare, "served") == commit
        assert self.files(bare) == ["dags/a.py", "dags/sql/new.sql"]
        shown = subprocess.check_output(["git", "-C", str(bare), "show", "served:dags/a.py"], timeout=10)
        assert shown == b"x = 2\n"
        after = git.uncommitted(runner, checkout, "."), git.resolve(runner, checkout, "HEAD", "dags")
        assert after == before

    def test_a_folder_of_another_name_a_whole_repository_and_none_at_all(
        self, runner, checkout, bare, tmp_path
    ):
        git.snapshot(runner, checkout, bare, "served", "dags")
        assert self.files(bare) == ["dags/dags/a.py"]
        plain = tmp_path / "my pipelines"
        plain.mkdir()
        (plain / "b.py").write_text("")
        git.snapshot(runner, plain, bare, "served", "dags")
        assert self.files(bare) == ["dags/b.py"]

    def test_a_file_that_is_gone_is_gone_from_the_next_one(self, runner, checkout, bare):
        (checkout / "dags/b.py").write_text("")
        git.snapshot(runner, checkout / "dags", bare, "served", "dags")
        (checkout / "dags/b.py").unlink()
        git.snapshot(runner, checkout / "dags", bare, "served", "dags")
        assert self.files(bare) == ["dags/a.py"]

    def test_no_folder_and_no_file_are_told(self, runner, bare, tmp_path):
        with pytest.raises(git.NoCommit, match="is not a directory"):
            git.snapshot(runner, tmp_path / "nothing", bare, "served", "dags")
        (tmp_path / "empty").mkdir()
        with pytest.raises(git.NoCommit, match="holds no file"):
            git.snapshot(runner, tmp_path / "empty", bare, "served", "dags")
