"""The branch's commit, brought into the repository that an environment's tenants track."""

import pytest

from airflow_platform import errors
from airflow_platform.dags import branch_step, dag_delivery
from airflow_platform.dags.dag_contexts import Project as AllDags
from airflow_platform.tools.git import git
from tests.steps import calling
from tests.steps.dag_project import Place, Project, run_git


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def place(tmp_path, project):
    repository = tmp_path / "sandbox" / "dags.git"
    git.make_bare(project.runner, repository, "served")
    return Place(repository=repository)


@pytest.fixture
def calls(place):
    return calling.Calls(environment=AllDags(), tenant=place)


@pytest.fixture
def delivery(project):
    return dag_delivery.Delivery(project.branch().repository)


def moved(project, calls, content):
    commit = project.commit({"a.py": content})
    return calls.run(branch_step.MovedBranch(project.branch(), project.wanted(commit))).outputs["commit"]


def served(place):
    return run_git(place.repository, "rev-parse", "served")


def test_the_commit_is_brought_once(project, place, calls, delivery):
    commit = moved(project, calls, "x = 1")
    first, _ = calls.twice(delivery)
    assert first.text == f"bring commit {commit[:12]} to sandbox"
    assert served(place) == commit
    assert place.turns == 1


def test_the_second_tenant_of_an_environment_finds_it_delivered(project, place, calls, delivery):
    moved(project, calls, "x = 1")
    change = calls.plan(delivery)
    other = calling.Calls(calls.outputs, environment=AllDags(), tenant=place)
    other.run(delivery)
    assert delivery.apply(calls.context(delivery.scope), change) == {}


def test_an_environment_that_was_never_up_is_left_alone(project, calls, delivery, place):
    moved(project, calls, "x = 1")
    place.repository = project.directory / "nothing" / "dags.git"
    assert "was never up" in calls.run(delivery).text
    assert not place.repository.exists()


def test_an_environment_that_follows_the_branch_itself_needs_nothing(project, calls, delivery, place):
    moved(project, calls, "x = 1")
    place.repository = None
    assert calls.run(delivery).text == "sandbox follows the branch itself"


def test_a_newer_commit_is_never_taken_back(project, place, calls, delivery):
    moved(project, calls, "x = 1")
    change = calls.plan(delivery)
    later = calling.Calls(environment=AllDags(), tenant=place)
    newer = moved(project, later, "x = 2")
    later.run(delivery)
    with pytest.raises(errors.StepError, match=f"sandbox has a newer commit already, {newer[:12]}"):
        delivery.apply(calls.context(delivery.scope), change)
    assert served(place) == newer


def test_a_commit_of_before_the_first_sync_is_replaced(project, place, calls, delivery):
    head = project.commit({"a.py": "x = 0"})
    git.fetch(project.runner, place.repository, project.checkout, head.sha, "served")
    commit = moved(project, calls, "x = 1")
    calls.twice(delivery)
    assert served(place) == commit


def test_the_lock_of_a_git_that_was_killed_is_no_obstacle(project, place, calls, delivery):
    commit = moved(project, calls, "x = 1")
    for name in ("refs/heads/served.lock", "shallow.lock"):
        (place.repository / name).parent.mkdir(parents=True, exist_ok=True)
        (place.repository / name).touch()
    calls.run(delivery)
    assert served(place) == commit
