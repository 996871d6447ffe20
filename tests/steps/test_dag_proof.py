"""The proof that a tenant serves a version: asked of the tenant, waited for, and given up where it is of no use."""

import datetime

import pytest

from airflow_platform import errors
from airflow_platform.dags import branch_step, dag_arrival, dag_changes, dag_delivery, dag_proof, dag_serving
from airflow_platform.dags.dag_contexts import Project as AllDags
from airflow_platform.engine import step
from airflow_platform.tools.airflow import airflow_session
from airflow_platform.tools.git import git
from tests.steps import calling
from tests.steps.dag_project import Place, Project

OLD = {"orders.py": "x = 1", "smoke.py": "y = 1"}


class Scene:
    """A tenant that serves OLD, and a branch that holds something newer."""

    def __init__(self, tmp_path, server):
        self.project = Project(tmp_path)
        self.place = Place(server, tmp_path / "sandbox" / "dags.git")
        git.make_bare(self.project.runner, self.place.repository, "served")
        self.calls = calling.Calls(environment=AllDags(), tenant=self.place)
        self.server = server
        self.old = self.brought(OLD)
        self.serve(self.old)
        self.differences = {}

    def brought(self, files):
        """Commit files and bring them to the environment's repository; the branch's commit."""
        commit = self.project.commit(files)
        branch = branch_step.MovedBranch(self.project.branch(), self.project.wanted(commit))
        outputs = self.calls.run(branch).outputs
        self.calls.run(dag_delivery.Delivery(self.project.branch().repository))
        self.tree = commit.tree
        return outputs["commit"]

    def serve(self, commit, *names):
        """The dag-processor has parsed these files (by default all) of a commit."""
        self.place.bundle = commit
        for name in names or ("orders", "smoke"):
            self.server.add_dag(name, commit)

    def proof(self, dags=None):
        source = self.project.branch().repository
        return dag_proof.Proof(
            dag_changes.Version(source, self.tree),
            known=dag_changes.Known(self.project.runner),
            source=source,
            dags=lambda context: dags,
            on_difference=self.differences.__setitem__,
        )

    def then(self, happens):
        """What happens while the step waits, once."""
        waiting = [happens]

        def sleep(seconds):
            self.calls.patience.now += seconds
            if waiting:
                waiting.pop()()

        self.calls.patience.sleep = sleep


@pytest.fixture
def scene(tmp_path, server):
    return Scene(tmp_path, server)


def test_a_tenant_that_serves_the_version_is_proved(scene):
    ran, _ = scene.calls.twice(scene.proof())
    assert not ran.changed
    assert ran.outputs == {"state": "served", "commit": scene.old, "version": scene.tree, "dags": 2}
    assert scene.server.writes == []


def test_a_commit_with_the_same_dags_needs_no_parse_and_is_left_all_the_same(scene):
    """Between the two may be a bad one that was rolled back, and that the tenant is just about to fetch."""
    other = scene.project.commit({})
    git.fetch(scene.project.runner, scene.place.repository, scene.project.checkout, other.sha, "served")
    scene.serve(other.sha)
    scene.then(lambda: setattr(scene.place, "bundle", scene.old))
    ran = scene.calls.run(scene.proof())
    assert ran.text == f"have version {scene.tree[:12]} served whole: the bundle is at {other.sha[:12]}"
    assert scene.server.writes == ["PUT token of orders"], "to look for the commit"
    assert ran.outputs["commit"] == scene.old


def test_a_tenant_that_is_down_holds_nobody_up(scene):
    scene.brought({"orders.py": "x = 2"})
    scene.place.is_down = True
    ran = scene.calls.run(scene.proof())
    assert ran.outputs == {"state": "down"}
    assert ran.text == "it is down; it catches up when it comes up"


def test_a_new_version_is_asked_for_at_once_and_waited_for(scene):
    new = scene.brought({"orders.py": "x = 2"})
    scene.then(lambda: scene.serve(new, "orders"))
    ran = scene.calls.run(scene.proof({"orders": "orders.py", "smoke": "smoke.py"}))
    assert ran.changed
    assert scene.server.writes == ["PUT token of orders"], (
        "Airflow looks for new commits when it parses a file"
    )
    assert scene.server.dags["smoke"]["bundle_version"] == scene.old, (
        "its file is the same, and nothing it needs"
    )


def test_what_a_changed_module_concerns_is_parsed_again(scene):
    base = scene.brought({"orders.py": "import helping", "helping.py": "z = 1"})
    scene.serve(base)
    new = scene.brought({"helping.py": "z = 2"})
    scene.place.bundle = new
    scene.server.dags["orders"]["then"] = new
    scene.calls.run(scene.proof())
    assert scene.server.writes == ["PUT token of orders"]


def test_the_plan_says_what_a_tenant_would_see(scene):
    new = {"orders": "orders.py", "fresh": "fresh.py"}
    scene.brought({"orders.py": "x = 2", "fresh.py": "f = 1", "smoke.py": None})
    run = scene.server.add_run("orders", "running", {})
    planned = scene.calls.plan(scene.proof(new))
    assert isinstance(planned, step.Change)
    expected = dag_proof.Difference(("fresh",), ("orders",), ("smoke",), (f"orders/{run['dag_run_id']}",))
    assert scene.differences == {"sandbox/analytics": expected}
    assert str(expected) in planned.summary
    assert str(expected) == f"+ fresh; ~ orders; - smoke; 1 in flight stay: orders/{run['dag_run_id']}"


def test_a_dag_that_only_a_tenant_cannot_import_ends_the_wait(scene):
    new = scene.brought({"orders.py": "import package_that_is_missing_there"})
    scene.place.bundle = new

    def fail():
        scene.server.dags["orders"]["has_import_errors"] = True
        scene.server.add_import_error("orders.py", "ModuleNotFoundError: No module named 'p'")

    scene.then(fail)
    with pytest.raises(errors.StepError, match=r"orders\.py: ModuleNotFoundError"):
        scene.calls.run(scene.proof({"orders": "orders.py", "smoke": "smoke.py"}))
    assert scene.calls.patience.now < 5, "a failure that is new is not waited out"


def test_dags_that_are_not_there_yet_or_not_gone_yet_are_waited_for(scene):
    new = scene.brought({"fresh.py": "f = 1", "smoke.py": None})
    scene.place.bundle = new

    def arrive():
        scene.serve(new, "fresh")
        scene.server.dags["smoke"]["is_stale"] = True

    scene.then(arrive)
    scene.calls.run(scene.proof({"orders": "orders.py", "fresh": "fresh.py"}))
    assert scene.calls.news == ["not parsed yet: fresh"]


def test_an_api_server_that_is_busy_for_a_moment_does_not_end_the_wait(scene, monkeypatch):
    new = scene.brought({"orders.py": "x = 2"})
    proof = scene.proof()
    change = scene.calls.plan(proof)
    look, busy = dag_serving.Bundle.look, [airflow_session.NotReachable("no answer in time")]

    def asked(bundle):
        if busy:
            raise busy.pop()
        return look(bundle)

    monkeypatch.setattr(dag_serving.Bundle, "look", asked)
    scene.then(lambda: scene.serve(new, "orders"))
    assert proof.apply(scene.calls.context(proof.scope), change)["commit"] == new
    assert scene.calls.news == ["an answer of its api-server"]


def test_a_version_that_never_comes_is_told_with_where_to_look(scene):
    scene.brought({"orders.py": "x = 2"})
    scene.calls.patience.pace = 20
    with pytest.raises(errors.StepError, match=f"the bundle is at {scene.old[:12]}") as caught:
        scene.calls.run(scene.proof())
    assert "--env=sandbox --tenant=analytics" in caught.value.hint


def test_a_parse_that_began_before_the_commit_was_there_is_not_of_that_commit(scene):
    new = scene.brought({"orders.py": "x = 2"})
    scene.place.refresh = datetime.datetime(2026, 11, 23, 2, 43, 59, 800_000, tzinfo=datetime.UTC)
    asked = []

    def parsed():
        scene.place.bundle = new
        scene.server.add_dag("orders", new, last_parse_duration=0.5)
        scene.calls.patience.sleep = parsed_again

    def parsed_again(seconds):
        scene.calls.patience.now += seconds
        asked.append(list(scene.server.writes))
        scene.server.add_dag("orders", new, last_parse_duration=0.1)

    scene.then(parsed)
    scene.calls.run(scene.proof())
    assert asked == [["PUT token of orders", "PUT token of orders"]], (
        "once to look for the commit, once again"
    )


def test_files_that_the_commit_does_not_concern_may_be_parsed_at_any_time(scene):
    new = scene.brought({"orders.py": "x = 2"})
    scene.place.refresh = datetime.datetime(2026, 11, 23, 3, 0, tzinfo=datetime.UTC)

    def parsed():
        scene.place.bundle = new
        scene.server.add_dag("orders", new, last_parsed_time="2026-11-23T03:00:01+00:00")

    scene.then(parsed)
    scene.calls.run(scene.proof())
    assert scene.server.writes == ["PUT token of orders"]


def test_a_file_that_is_gone_is_never_asked_for(scene):
    new = scene.brought({"smoke.py": None})
    scene.place.refresh = datetime.datetime(2026, 11, 23, 3, 0, tzinfo=datetime.UTC)
    scene.place.bundle = new
    scene.then(lambda: scene.server.dags.pop("smoke"))
    scene.calls.run(scene.proof({"orders": "orders.py"}))
    assert scene.calls.news == ["not gone yet: smoke"]
    assert scene.server.writes == []


def test_a_dag_that_its_file_has_no_longer_is_told_apart_from_one_that_is_not_parsed_yet(scene):
    new = scene.brought({"orders.py": "x = 2"})
    scene.place.bundle = new
    scene.server.add_dag("orders_daily", new, relative_fileloc="orders.py")
    asked = []

    def wait(seconds):
        scene.calls.patience.now += seconds
        asked.append(list(scene.server.writes))
        if asked[-1]:
            scene.server.dags["orders"]["is_stale"] = True

    scene.calls.patience.sleep = wait
    ran = scene.calls.run(scene.proof({"orders_daily": "orders.py", "smoke": "smoke.py"}))
    assert ran.changed
    assert set(scene.calls.news) == {"not gone yet: orders"}
    assert scene.server.writes == ["PUT token of orders"], "the file, for Airflow to see that it is gone"
    assert scene.calls.patience.now >= dag_arrival.AGAIN, "not before Airflow has had its time"


def test_a_file_whose_dag_has_another_name_now_is_parsed_first(scene):
    new = scene.brought({"orders.py": "x = 2"})
    scene.place.bundle = new

    def parse():
        scene.server.add_dag("orders_daily", new, relative_fileloc="orders.py")
        scene.then(lambda: scene.server.dags["orders"].update(is_stale=True))

    scene.then(parse)
    scene.calls.run(scene.proof({"orders_daily": "orders.py", "smoke": "smoke.py"}))
    assert scene.calls.news == ["to be parsed again: 1 DAG", "not gone yet: orders"]
    assert scene.server.writes == ["PUT token of orders"]


def test_a_failure_of_the_commit_before_is_asked_for_and_mended(scene):
    """A mend of a shared module leaves the file that failed as it is: Airflow would come to it after minutes."""
    scene.server.dags["orders"]["is_stale"] = True
    scene.server.add_import_error("orders.py", "RuntimeError: of before")
    scene.server.queues = True
    new = scene.brought({"helping.py": "z = 2", "orders.py": "import helping"})
    scene.place.bundle = new
    late = []

    def wait(seconds):
        scene.calls.patience.now += seconds
        late.append(scene.calls.patience.now)
        if scene.calls.patience.now > dag_arrival.SETTLING + 20:  # There is a queue.
            scene.server.import_errors.clear()
            scene.server.add_dag("orders", new)

    scene.calls.patience.sleep = wait
    scene.calls.patience.pace = 5
    scene.calls.run(scene.proof({"orders": "orders.py", "smoke": "smoke.py"}))
    assert "PUT token of orders" in scene.server.writes
    assert late[-1] > dag_arrival.SETTLING, "it was borne for as long as nobody had parsed it again"


def test_what_may_have_been_read_on_the_way_is_parsed_again(scene):
    """From A over B back to A: a parse that read B's files is labelled with the commit that A came back with."""
    before = scene.old
    scene.brought({"orders.py": "x = 'between'"})
    back = scene.brought({"orders.py": OLD["orders.py"]})
    scene.place.bundle = back
    scene.place.refresh = datetime.datetime(2026, 11, 23, 3, 0, tzinfo=datetime.UTC)
    scene.serve(back)
    source = scene.project.branch().repository
    proof = dag_proof.Proof(
        dag_changes.Version(source, scene.tree),
        known=dag_changes.Known(scene.project.runner),
        source=source,
        dags=lambda context: None,
        before=lambda place: before,
    )

    def parsed():
        scene.server.add_dag("orders", back, last_parsed_time="2026-11-23T03:00:01+00:00")

    scene.then(parsed)
    ran = scene.calls.run(proof)
    assert ran.text.endswith("served whole: it has just come")
    assert scene.server.writes == ["PUT token of orders"], (
        "and not of smoke, which no commit between has changed"
    )


def test_a_tenant_that_is_at_a_later_commit_ends_the_wait_at_once(scene):
    wanted = scene.brought({"orders.py": "x = 2"})
    tree, outputs = scene.tree, dict(scene.calls.outputs)
    later = scene.brought({"orders.py": "x = 3"})
    scene.calls.outputs.clear()
    scene.calls.outputs.update(outputs)
    scene.tree = tree
    scene.serve(later)
    with pytest.raises(errors.StepError, match=f"on top of {wanted[:12]}"):
        scene.calls.run(scene.proof())
    assert scene.calls.patience.now < 5
