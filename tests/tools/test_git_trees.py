"""What a tree holds, and its files on disk."""

import subprocess

import pytest

from airflow_platform import errors
from airflow_platform.programs import programs
from airflow_platform.tools.git import git, git_trees


@pytest.fixture
def commit(tmp_path):
    """A repository with a few DAGs, and the commit of them."""
    place = tmp_path / "repository"

    def run(*words):
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        subprocess.run(["git", "-C", place, *identity, *words], check=True, timeout=15)

    (place / "dags" / "sql").mkdir(parents=True)
    (place / "dags" / "a b.py").write_text("text")
    (place / "dags" / "sql" / "ü.sql").write_bytes(b"\xff\0")
    (place / "dags" / "link.py").symlink_to("a b.py")
    (place / "outside.py").write_text("")
    run("init", "--quiet")
    run("add", "--all")
    run("commit", "--quiet", "--message=one")
    found = git.resolve(programs.Programs(), place, "HEAD", "dags")
    (place / "dags" / "uncommitted.py").write_text("")
    (place / "dags" / "a b.py").write_text("changed")
    run("add", "--all")
    return place, found


def test_files_folders_and_links_are_told_apart(commit):
    place, found = commit
    entries = git_trees.entries(programs.Programs(), place, found.tree)
    kinds = {path: (each.kind, each.mode) for path, each in entries.items()}
    assert kinds == {
        "a b.py": ("blob", "100644"),
        "link.py": ("blob", "120000"),
        "sql": ("tree", "040000"),
        "sql/ü.sql": ("blob", "100644"),
    }
    assert all(len(each.digest) == 40 for each in entries.values())


def test_the_files_are_there_as_they_were_committed_and_then_gone(commit, tmp_path):
    place, found = commit
    parent = tmp_path / "trees"
    with git_trees.on_disk(programs.Programs(), place, found.tree, parent, "dags") as root:
        assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
            "a b.py",
            "link.py",
            "sql",
            "sql/ü.sql",
        ]
        assert (root / "a b.py").read_text() == "text"
        assert (root / "sql" / "ü.sql").read_bytes() == b"\xff\0"
        assert (root / "link.py").is_symlink()
        assert root.name == "dags"
        assert parent.stat().st_mode & 0o777 == 0o711
        assert root.stat().st_mode & 0o777 == 0o755
    assert list(parent.iterdir()) == []


def test_the_repositorys_own_index_is_left_alone(commit, tmp_path):
    place, found = commit
    before = (place / ".git" / "index").read_bytes()
    with git_trees.on_disk(programs.Programs(), place, found.tree, tmp_path / "trees", "dags"):
        pass
    assert (place / ".git" / "index").read_bytes() == before


def test_nothing_is_left_when_the_tree_is_not_there(commit, tmp_path):
    place, _ = commit
    with (
        pytest.raises(errors.ProgramError),
        git_trees.on_disk(programs.Programs(), place, "0" * 40, tmp_path / "trees", "dags"),
    ):
        pass
    assert list((tmp_path / "trees").iterdir()) == []


@pytest.mark.parametrize("bare", [True, False])
def test_a_repository_without_a_work_tree_will_do(commit, tmp_path, bare):
    place, found = commit
    repository = place / ".git"
    if bare:
        repository = tmp_path / "copy.git"
        subprocess.run(["git", "clone", "--quiet", "--bare", place, repository], check=True, timeout=15)
    with git_trees.on_disk(
        programs.Programs(), repository, found.tree, tmp_path / "trees", "dags"
    ) as directory:
        assert (directory / "a b.py").read_text() == "text"
