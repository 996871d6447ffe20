"""`dags-status`: equal or not, who lags, who is down, and what cannot be read."""

from __future__ import annotations

import json
import signal
import sys
from types import SimpleNamespace

import jsonschema
import pytest

from airflow_platform import errors
from airflow_platform.config import paths, state_files
from airflow_platform.dags import dag_changes
from airflow_platform.programs import programs
from airflow_platform.reporting import looks
from airflow_platform.tools.git import git_remote
from tests.steps.dag_project import run_git
from tests.tasks import dag_scene

UP = ("sandbox/analytics", "sandbox/finance", "boxes/analytics")
SCHEMA = json.loads((paths.project().root / "docs" / "report.schema.json").read_text())


@pytest.fixture
def scene(tmp_path, monkeypatch, environments):
    with dag_scene.served(tmp_path, monkeypatch, *UP) as made:
        yield made


def read(command, *words):
    code, out, _ = command("dags-status", "--json", *words)
    document = json.loads(out)
    jsonschema.validate(document, SCHEMA)
    assert document["exit_code"] == code
    return code, document


def tenants(document):
    return {f"{each['environment']}/{each['tenant']}": each for each in document["data"]["tenants"]}


def test_a_terminal_does_not_cost_the_board_that_progress_is_shown_on(scene, command, monkeypatch):
    monkeypatch.delitem(sys.modules, "airflow_platform.reporting.board", raising=False)
    monkeypatch.setattr(looks, "look_of", lambda stream, environ: SimpleNamespace(board=True))
    assert command("dags-status")[0] == 0
    assert "airflow_platform.reporting.board" not in sys.modules


def test_equal_versions_are_exit_0_and_the_table_says_so(scene, command):
    code, out, _ = command("dags-status")
    assert code == 0
    version = scene.project.commit({}).tree[:12]
    assert f"equal: 3 tenants serve version {version}; 2 down, which catch up when they come up" in out
    assert "cloud: its runtime, eks, is not there yet" in out
    (row,) = [line.split() for line in out.splitlines() if line.startswith("boxes")]
    assert row[:4] == ["boxes", "analytics", "served", version]


def test_a_commit_that_leaves_the_dags_alone_is_no_skew(scene, command):
    (scene.project.checkout / "README.md").write_text("words")
    scene.project.commit({})
    scene.was_up("boxes")
    code, document = read(command, "--ref=HEAD")
    assert code == 0
    assert len({each["commit"] for each in tenants(document).values() if each["state"] == "served"}) == 2


def test_who_lags_is_named(scene, command):
    scene.project.commit({"orders.py": "x = 2"})
    scene.was_up("boxes")
    code, document = read(command)
    assert code == 3
    assert [fault["thing"] for fault in document["faults"]] == ["boxes/analytics"], "most serve the other"
    code, document = read(command, "--ref=HEAD")
    assert {fault["thing"] for fault in document["faults"]} == {"sandbox/analytics", "sandbox/finance"}


def test_the_branch_is_what_all_are_measured_by(scene, command):
    assert command("dags-sync")[0] == 0
    repository = state_files.EnvironmentFiles(paths.state("boxes")).repository
    run_git(repository, "update-ref", "refs/heads/served", run_git(repository, "rev-parse", "served"))
    scene.project.commit({"orders.py": "x = 2"})
    assert command("dags-sync", "--env=sandbox")[0] == 0
    code, document = read(command)
    assert (code, [fault["thing"] for fault in document["faults"]]) == (3, ["boxes/analytics"])
    assert "head of dags-live" in document["faults"][0]["cause"]


def test_another_ref_than_what_is_served_is_a_skew(scene, command):
    scene.project.commit({"orders.py": "x = 2"})
    assert read(command, "--ref=HEAD")[0] == 3
    assert read(command, "--ref=HEAD~1")[0] == 0


def test_workers_that_would_run_older_code_are_a_skew(scene, command):
    old = scene.project.commit({"orders.py": "import helping", "helping.py": "y = 1"})
    scene.was_up("boxes", "sandbox")
    assert read(command)[0] == 0
    scene.project.commit({"helping.py": "y = 2"})
    scene.was_up("boxes", "sandbox")
    assert read(command)[0] == 0
    tenant = scene.fleets["boxes"].tenants["analytics"]
    tenant.stuck = True
    tenant.server.dags["orders"]["bundle_version"] = old.sha
    code, document = read(command)
    assert code == 3
    assert "Its workers would run 1 DAG from an older commit: orders." in document["faults"][0]["cause"]


def test_import_errors_are_told_with_their_tenant(scene, command):
    scene.project.commit({"orders.py": "fails in finance"})
    scene.was_up("boxes", "sandbox")
    code, document = read(command)
    assert code == 3
    assert document["faults"][0]["thing"] == "sandbox/finance"
    assert "orders.py: RuntimeError: not here" in document["faults"][0]["cause"]


def test_a_tenant_that_cannot_be_read_is_not_proved(scene, command):
    scene.fleets["boxes"].tenants["analytics"].broken = "Its database is away."
    code, document = read(command)
    assert (code, document["status"]) == (1, "not proved")
    row = tenants(document)["boxes/analytics"]
    assert (row["state"], row["why"]) == ("unreadable", "Its database is away.")


def test_nothing_that_is_up_is_not_proved(environments, tmp_path, monkeypatch, command):
    with dag_scene.served(tmp_path, monkeypatch):
        code, out, _ = command("dags-status")
    assert code == 1
    assert "not proved: no tenant is up; 5 down" in out


def test_a_tenant_that_runs_and_is_not_declared_is_a_skew(scene, command, environments):
    spec = environments / "sandbox.toml"
    text = spec.read_text()
    spec.write_text(text[: text.rindex("[[tenants]]")])
    code, document = read(command)
    assert code == 3
    assert tenants(document)["sandbox/finance"]["declared"] is False
    (fault,) = document["faults"]
    assert fault["thing"] == "sandbox/finance"
    assert "inv tenant-down --env=sandbox --tenant=finance" in fault["remedy"]


def test_a_commit_that_nobody_here_knows_is_told_as_such(scene, command):
    stuck = scene.fleets["boxes"].tenants["analytics"]
    stuck.stuck, stuck.commit = True, "e" * 40
    code, document = read(command)
    assert code == 3
    assert "It serves commit eeeeeeeeeeee, which no repository here has." in [
        each["cause"] for each in document["faults"]
    ]


def test_what_a_killed_sync_left_at_work_is_waited_for_and_told(scene, command, monkeypatch):
    assert command("dags-sync")[0] == 0
    dag_scene.leave_locked(monkeypatch, paths.dag_state() / "locks" / "repository.lock")
    code, _, err = command("dags-status")
    assert code == 0
    assert "The run that held the lock of the DAGs' branch is dead; waiting for its programs." in err


def test_watching_looks_again_until_somebody_ends_it(scene, command, monkeypatch):
    looks = []

    def wait(self, seconds):
        looks.append(seconds)
        if len(looks) == 2:
            self.request(signal.SIGINT)
            self.raise_if_requested()

    monkeypatch.setattr(programs.Interruption, "sleep", wait)
    code, out, _ = command("dags-status", "--watch")
    assert (code, len(looks)) == (0, 2)
    assert out.count("equal: 3 tenants serve version") == 2


def test_a_look_that_is_ended_in_its_middle_is_no_answer(scene, command, monkeypatch):
    known = dag_changes.Known.version

    def end(self, *arguments):
        if len(shown) == 1:
            raise errors.Interrupted(signal.SIGINT, "SIGINT")
        return known(self, *arguments)

    shown = []
    monkeypatch.setattr(dag_changes.Known, "version", end)
    monkeypatch.setattr(programs.Interruption, "sleep", lambda self, seconds: shown.append(seconds))
    code, out, _ = command("dags-status", "--watch")
    assert (code, len(shown)) == (0, 1)
    assert "Interrupted" not in out


def test_only_the_environments_that_are_asked_for_are_looked_at(scene, command):
    _, document = read(command, "--env=boxes")
    assert list(tenants(document)) == ["boxes/analytics"]


@pytest.mark.parametrize("words", [("--ref=nothing",), ("--env=nothing",)])
def test_what_does_not_exist_is_exit_2(scene, command, words):
    code, _, err = command("dags-status", *words)
    assert code == 2
    assert "nothing" in err


def test_a_dag_that_only_others_have_is_a_skew(scene, command):
    scene.project.commit({"smoke.py": "y = 1"})
    scene.was_up("boxes", "sandbox")
    assert read(command)[0] == 0
    tenant = scene.fleets["boxes"].tenants["analytics"]
    tenant.stuck = True
    del tenant.server.dags["smoke"]
    code, document = read(command)
    assert (code, [fault["thing"] for fault in document["faults"]]) == (3, ["boxes/analytics"])
    assert document["faults"][0]["cause"] == "It has not parsed smoke, which the version has."


def test_a_dag_that_the_check_knows_of_and_nobody_has_is_a_skew(scene, command, monkeypatch):
    known = {"orders": "orders.py", "daily": "orders.py"}
    monkeypatch.setattr("airflow_platform.dags.check.result_cache.dag_ids", lambda tree: known)
    code, document = read(command)
    assert code == 3
    assert {fault["cause"] for fault in document["faults"]} == {
        "It has not parsed daily, which the version has."
    }
    assert tenants(document)["boxes/analytics"]["lacking"] == ["daily"]


def test_a_branch_that_was_forced_is_a_skew(scene, command):
    assert command("dags-sync")[0] == 0
    remote = paths.dag_state() / "branch.git"
    scene.project.commit({"orders.py": "x = 'theirs'"})
    run_git(scene.project.checkout, "push", "--quiet", "--force", str(remote), "HEAD:refs/heads/dags-live")
    code, document = read(command)
    assert code == 3
    (fault,) = document["faults"]
    assert fault["thing"] == "branch dags-live"
    assert "somebody has forced it" in fault["cause"]


def test_a_branch_that_may_not_be_read_proves_nothing(scene, command, monkeypatch):
    assert command("dags-sync")[0] == 0

    def refuse(*arguments, **options):
        raise errors.RefusedError("its host key is not the pinned one.", hint="Compare it.")

    monkeypatch.setattr("airflow_platform.tools.git.git_remote.fetch", refuse)
    code, document = read(command)
    assert (code, document["status"]) == (6, "not proved")
    monkeypatch.setattr("airflow_platform.tools.git.git_remote.fetch", _away)
    code, document = read(command)
    assert code == 0
    assert document["data"]["notes"][-1] == "the branch as last known: nobody answers."


def _away(*arguments, **options):
    raise git_remote.NotReachable("nobody answers.")


def test_an_environment_that_was_never_up_is_down_where_what_it_runs_in_is_missing(
    scene, command, monkeypatch
):
    def missing(self, tenant):
        raise errors.PreflightError("No Docker engine answers.", [])

    for name in ("prod", "sandbox"):
        monkeypatch.setattr(scene.fleets[name], "is_running", missing.__get__(scene.fleets[name]))
    code, document = read(command)
    states = {name: each["state"] for name, each in tenants(document).items()}
    assert code == 1
    assert states["prod/analytics"] == "down", "nobody ever brought it up here"
    assert states["sandbox/analytics"] == "unreadable", "it may well be up"
