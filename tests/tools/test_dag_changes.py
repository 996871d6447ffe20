"""Which files of DAGs a change can concern: rather too many than one too few."""

import pytest

from airflow_platform import errors
from airflow_platform.dags import dag_changes
from tests.steps.dag_project import Project, run_git

BASE = {
    "orders.py": "from lib import money\n",
    "refunds.py": "import lib.money\n",
    "smoke.py": "x = 1\n",
    "lib/__init__.py": "",
    "lib/money.py": "from lib import rates\n",
    "lib/rates.py": "EUR = 1\n",
    "sql/load.sql": "SELECT 1",
}


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def concerned(project, files):
    old, new = project.commit(BASE), project.commit(files)
    versions = [dag_changes.Version(project.checkout / ".git", each.tree) for each in (old, new)]
    return dag_changes.concerned(project.runner, *versions)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, set()),
        ({"smoke.py": "x = 2\n"}, {"smoke.py"}),
        ({"fresh.py": "x = 2\n"}, {"fresh.py"}),
        ({"lib/rates.py": "EUR = 2\n"}, {"lib/rates.py", "lib/money.py", "orders.py", "refunds.py"}),
        ({"lib/__init__.py": "y = 1\n"}, {"lib/__init__.py", "lib/money.py", "orders.py", "refunds.py"}),
        ({"smoke.py": "import glob\n"}, {"smoke.py"}),
    ],
)
def test_a_change_concerns_itself_and_whatever_names_it(project, files, expected):
    found = concerned(project, files)
    assert found.files == expected
    assert not found.all


def test_a_file_that_looks_for_others_is_concerned_by_every_change(project):
    project.commit({"factory.py": "from pathlib import Path\nfor path in Path().iterdir(): ...\n"})
    found = concerned(project, {"smoke.py": "x = 2\n"})
    assert found.files == {"smoke.py", "factory.py"}


def test_a_template_concerns_every_file(project):
    found = concerned(project, {"sql/load.sql": "SELECT 2"})
    assert found.all
    assert "smoke.py" in found


def test_a_file_that_is_gone_is_told_apart(project):
    found = concerned(project, {"lib/rates.py": None})
    assert found.gone == {"lib/rates.py"}
    assert "lib/rates.py" not in found, "nobody can parse it"
    assert "orders.py" in found


def test_a_version_that_nobody_knows_concerns_everything(project):
    new = dag_changes.Version(project.checkout / ".git", project.commit(BASE).tree)
    assert "smoke.py" in dag_changes.concerned(project.runner, None, new)


def test_the_version_of_a_commit_is_looked_up_where_it_is_known(project, tmp_path):
    commit = project.commit(BASE)
    places = [tmp_path / "not there", project.checkout / ".git"]
    found = dag_changes.at(project.runner, places, commit.sha, "dags")
    assert found == dag_changes.Version(project.checkout / ".git", commit.tree)
    assert dag_changes.at(project.runner, places, "f" * 40, "dags") is None
    assert dag_changes.at(project.runner, places, "", "dags") is None


def test_a_user_s_own_configuration_decides_nothing(project, tmp_path, monkeypatch):
    hook = tmp_path / "hooks" / "post-index-change"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\ntouch hooked\n")
    hook.chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[color]\n\tui = always\n[core]\n\thooksPath = {hook.parent}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    found = concerned(project, {"lib/rates.py": "EUR = 2\n"})
    assert "orders.py" in found.files


def test_what_git_cannot_read_is_an_error_and_no_answer(project, tmp_path):
    old = dag_changes.Version(project.checkout / ".git", project.commit(BASE).tree)
    new = dag_changes.Version(project.checkout / ".git", project.commit({"smoke.py": "x = 2"}).tree)
    blob = run_git(project.checkout, "rev-parse", "HEAD:dags/orders.py")
    (project.checkout / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(errors.ProgramError):
        dag_changes.concerned(project.runner, old, new)
