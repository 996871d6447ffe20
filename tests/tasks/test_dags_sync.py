"""`dags-sync` and `dags-rollback`: branch, tenants and ledger, with tenants that are doubles."""

from __future__ import annotations

import dataclasses
import json

import pytest

from airflow_platform import errors
from airflow_platform.config import paths
from airflow_platform.dags import dag_arrival
from airflow_platform.dags.check.findings import Finding
from airflow_platform.tasks import dag_ledger, dags_sync
from airflow_platform.tools.git import git_remote
from tests.steps.dag_project import run_git
from tests.tasks import dag_scene

UP = ("sandbox/analytics", "sandbox/finance", "boxes/analytics")


@pytest.fixture
def scene(tmp_path, monkeypatch, environments):
    with dag_scene.served(tmp_path, monkeypatch, *UP) as made:
        yield made


def branch(*words):
    return run_git(paths.dag_state() / "branch.git", *words)


def subjects():
    return branch("log", "--format=%s", "dags-live").splitlines()


def ledger():
    return [json.loads(line) for line in branch("show", "dags-ledger:ledger.jsonl").splitlines()]


def synced(scene, command, files, *words):
    commit = scene.project.commit(files)
    code, out, err = command("dags-sync", *words)
    return commit, code, out + err


def test_a_version_gets_everywhere_and_into_the_ledger(scene, command):
    commit, code, _ = synced(scene, command, {"orders.py": "x = 2"})
    assert code == 0
    assert subjects() == [f"Serve the DAGs of {commit.sha[:12]}"]
    (entry,) = ledger()
    assert (entry["task"], entry["source"], entry["version"]) == ("dags-sync", commit.sha, commit.tree)
    assert entry["result"] == "served"
    assert entry["environments"] == {
        "boxes": {"analytics": "served"},
        "prod": {"analytics": "down", "finance": "down"},
        "sandbox": {"analytics": "served", "finance": "served"},
    }
    assert entry["unasked"] == ["cloud"]
    assert entry["who"].endswith(">")
    assert entry["when"].endswith("+00:00")


@pytest.mark.parametrize(
    ("lock", "thing"), [("dags", "the DAGs' branch"), ("sandbox", "environment sandbox")]
)
def test_what_a_killed_sync_left_at_work_is_waited_for_and_told(scene, command, monkeypatch, lock, thing):
    path = {
        "dags": paths.dag_state() / "locks" / "repository.lock",
        "sandbox": paths.state("sandbox") / "locks" / "environment.lock",
    }[lock]
    dag_scene.leave_locked(monkeypatch, path)
    _, code, told = synced(scene, command, {"orders.py": "x = 2"})
    assert code == 0
    assert f"The run that held the lock of {thing} is dead; waiting for its programs." in told


def test_the_same_again_changes_nothing_and_writes_nothing(scene, command):
    synced(scene, command, {"orders.py": "x = 2"})
    code, out, _ = command("dags-sync", "--json")
    steps = [step for each in json.loads(out)["tenants"] for step in each["steps"]]
    assert code == 0
    assert {step["status"] for step in steps} == {"unchanged"}
    assert len(ledger()) == 1


def test_a_plan_tells_each_tenant_s_difference_and_changes_nothing(scene, command):
    scene.project.commit({"fresh.py": "f = 1", "orders.py": "x = 2"})
    code, out, _ = command("dags-sync", "--plan", "--json")
    assert code == 3
    found = json.loads(out)["data"]["differences"]
    expected = {"added": ["fresh"], "changed": ["orders"], "removed": [], "staying": []}
    assert found == dict.fromkeys(UP, expected)
    assert not (paths.dag_state() / "branch.git").exists() or branch("branch", "--list", "dags-live") == ""


def test_findings_stop_it_before_anything_is_moved(scene, command):
    scene.findings.append(Finding("dags/orders.py", 3, "owner-missing", "No owner.", "Name one.", "error"))
    _, code, told = synced(scene, command, {"orders.py": "x = 2"})
    assert code == 1
    assert "dags/orders.py:3: owner-missing: No owner." in told
    assert (
        branch("branch", "--list", "dags-live") == "" if (paths.dag_state() / "branch.git").exists() else True
    )


def test_warnings_do_not_stop_it(scene, command):
    scene.findings.append(Finding("dags/orders.py", 3, "slow-import", "Slow.", "Mend it.", "warning"))
    assert synced(scene, command, {"orders.py": "x = 2"})[1] == 0


def test_a_failure_in_one_tenant_is_named_and_the_others_serve_it(scene, command):
    _, code, told = synced(scene, command, {"orders.py": "x = 'fails in finance'"})
    assert code == 1
    assert "sandbox/finance" in told
    assert "orders.py: RuntimeError: not here" in told
    assert ledger()[-1]["result"] == "not served everywhere"
    assert ledger()[-1]["environments"]["sandbox"] == {"analytics": "served", "finance": "failed"}


def test_a_failure_in_one_tenant_is_undone_everywhere_when_asked_to(scene, command):
    good, _, _ = synced(scene, command, {"orders.py": "x = 2"})
    words = ({"orders.py": "x = 'fails in finance'"}, "--rollback-on-error")
    _, code, told = synced(scene, command, *words)
    assert code == 1, "what was asked for is not served"
    assert f"Rolled back everywhere to version {good.tree[:12]}" in " ".join(told.split())
    assert branch("rev-parse", "dags-live:dags") == good.tree
    assert [entry["task"] for entry in ledger()] == ["dags-sync", "dags-sync", "dags-rollback"]
    assert len(subjects()) == 3, "only ever forward"


def test_without_a_good_version_nothing_is_undone(scene, command):
    words = ({"orders.py": "x = 'fails in finance'"}, "--rollback-on-error")
    _, code, told = synced(scene, command, *words)
    assert code == 1
    assert "Nothing was rolled back" in told
    assert len(subjects()) == 1


def test_a_rollback_goes_to_the_last_good_version(scene, command):
    first, _, _ = synced(scene, command, {"orders.py": "x = 2"})
    synced(scene, command, {"orders.py": "x = 'fails in finance'"})
    synced(scene, command, {"orders.py": "x = 4"})
    code, _, err = command("dags-rollback")
    assert code == 0, err
    assert branch("rev-parse", "dags-live:dags") == first.tree
    assert subjects()[0] == f"Roll back to the DAGs of {first.sha[:12]}"
    assert ledger()[-1]["version"] == first.tree


@pytest.mark.parametrize("name", ["sha", "tree"])
def test_a_rollback_goes_where_it_is_told_by_commit_or_version(scene, command, name):
    first, _, _ = synced(scene, command, {"orders.py": "x = 2"})
    synced(scene, command, {"orders.py": "x = 3"})
    synced(scene, command, {"orders.py": "x = 4"})
    assert command("dags-rollback", f"--to={getattr(first, name)[:10]}")[0] == 0
    assert branch("rev-parse", "dags-live:dags") == first.tree


def test_a_rollback_that_means_nothing_or_too_much_is_exit_2(scene, command):
    assert command("dags-rollback")[0] == 2
    synced(scene, command, {"orders.py": "x = 2"})
    code, _, err = command("dags-rollback")
    assert code == 2
    assert "no other version" in err
    synced(scene, command, {"orders.py": "x = 3"})
    code, _, err = command("dags-rollback", "--to=xyz")
    assert code == 2
    assert "inv dags-sync --ref=xyz" in " ".join(err.split())


def test_a_branch_moved_by_hand_is_exit_6_until_it_is_named(scene, command):
    synced(scene, command, {"orders.py": "x = 2"})
    run_git(scene.project.checkout, "fetch", "--quiet", str(paths.dag_state() / "branch.git"), "dags-live")
    ours = scene.project.commit({"orders.py": "x = 3"})
    scene.project.commit({"orders.py": "x = 'hot fix'"})
    tree = run_git(scene.project.checkout, "rev-parse", "HEAD^{tree}")
    made = run_git(scene.project.checkout, "commit-tree", tree, "-p", "FETCH_HEAD", "-m", "Hot fix")
    target = str(paths.dag_state() / "branch.git")
    run_git(scene.project.checkout, "push", "--quiet", target, f"{made}:refs/heads/dags-live")
    code, _, err = command("dags-sync", f"--ref={ours.sha}")
    assert code == 6
    assert "Hot fix" in err
    code, _, err = command("dags-sync", f"--ref={ours.sha}", f"--over={made[:12]}")
    assert code == 0, err
    assert subjects()[:2] == [f"Serve the DAGs of {ours.sha[:12]}", "Hot fix"]


def test_a_server_that_refuses_the_version_is_exit_6_and_nothing_is_moved(scene, command):
    synced(scene, command, {"orders.py": "x = 2"})
    before, entries = branch("rev-parse", "dags-live"), ledger()
    hook = paths.dag_state() / "branch.git" / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        '#!/bin/sh\n[ "$1" != refs/heads/dags-live ] || { echo >&2 "dags-live is protected"; exit 1; }\n'
    )
    hook.chmod(0o755)
    _, code, told = synced(scene, command, {"orders.py": "x = 3"})
    assert code == 6, told
    assert "dags-live is protected" in told
    assert branch("rev-parse", "dags-live") == before
    served = scene.fleets["sandbox"].tenants["analytics"].server.dags["orders"]["bundle_version"]
    assert served == before
    assert ledger() == entries, "what no tenant was brought is no entry"
    hook.unlink()
    code, _, err = command("dags-sync")
    assert code == 0, err


def test_an_unknown_ref_is_exit_2(scene, command):
    code, _, err = command("dags-sync", "--ref=v9")
    assert code == 2
    assert "There is no revision 'v9'" in err


def test_only_the_environments_that_are_asked_for_are_brought_forward(scene, command):
    synced(scene, command, {"orders.py": "x = 2"}, "--env=boxes")
    assert ledger()[-1]["environments"] == {"boxes": {"analytics": "served"}}
    assert ledger()[-1]["result"] == "served in some environments"
    synced(scene, command, {"orders.py": "x = 3"})
    code, _, err = command("dags-rollback")
    assert code == 2, "what only some have served is no good version"
    assert "no other version" in err


def test_nothing_is_undone_because_a_tenant_is_slow(scene, command, monkeypatch):
    synced(scene, command, {"orders.py": "x = 2"})
    monkeypatch.setattr(dag_arrival, "TIMEOUT", 0.5)
    scene.fleets["boxes"].tenants["analytics"].stuck = True
    wanted, code, told = synced(scene, command, {"orders.py": "x = 3"}, "--rollback-on-error")
    assert code == 1
    assert "Nothing was rolled back: no tenant said that it cannot import the version." in " ".join(
        told.split()
    )
    assert branch("rev-parse", "dags-live:dags") == wanted.tree


def test_a_sync_that_no_tenant_has_proved_is_exit_1(environments, tmp_path, monkeypatch, command):
    with dag_scene.served(tmp_path, monkeypatch):
        code, _, err = command("dags-sync")
    assert code == 1
    assert "None is up, so nothing was proved" in " ".join(err.split())
    assert ledger()[-1]["result"] == "not proved"


def test_environments_that_cannot_be_asked_move_nothing(scene, command):
    code, _, err = command("dags-sync", "--env=cloud")
    assert code == 2
    assert "Nothing could be proved in cloud" in err
    assert not (paths.dag_state() / "branch.git").exists()


def test_a_ledger_that_cannot_be_written_is_told_and_hides_nothing(scene, command, monkeypatch):
    def refuse(self, runner, entry):
        raise errors.RefusedError("the ledger is protected.", hint="Ask for the right.")

    monkeypatch.setattr("airflow_platform.dags.dag_branch.DagBranch.record", refuse)
    _, code, told = synced(scene, command, {"orders.py": "x = 2"})
    assert code == 1
    assert "the ledger is protected." in told
    assert "sandbox/analytics: served" in told


def test_what_is_not_committed_is_named(scene, command):
    (scene.project.checkout / "dags" / "draft.py").write_text("x = 1")
    _, _, err = command("dags-sync")
    assert "1 under dags/ not committed, so not synced: dags/draft.py." in " ".join(err.split())


def test_the_document_says_what_was_brought(scene, command):
    commit = scene.project.commit({"orders.py": "x = 2"})
    _, out, _ = command("dags-sync", "--json")
    data = json.loads(out)["data"]
    assert (data["source"], data["version"], data["result"]) == (commit.sha, commit.tree, "served")
    assert data["commit"] == branch("rev-parse", "dags-live")


def test_a_run_that_ended_before_its_entry_is_made_up_for_by_the_next(scene, command, monkeypatch):
    def end(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("airflow_platform.tasks.dag_ledger.entry", end)
        assert synced(scene, command, {"orders.py": "x = 2"})[1] == 130
    assert branch("rev-parse", "dags-live")
    assert branch("branch", "--list", "dags-ledger") == ""
    assert command("dags-sync")[0] == 0
    assert [entry["result"] for entry in ledger()] == ["served"]


def test_a_rollback_that_ended_before_its_entry_goes_on_where_it_went(scene, command, monkeypatch):
    synced(scene, command, {"orders.py": "x = 1"})
    good, *_ = synced(scene, command, {"orders.py": "x = 2"})
    synced(scene, command, {"orders.py": "x = 'bad'"})

    def end(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("airflow_platform.tasks.dag_ledger.entry", end)
        assert command("dags-rollback")[0] == 130
    before = branch("rev-parse", "dags-live")
    assert command("dags-rollback")[0] == 0
    assert branch("rev-parse", "dags-live") == before, "it went where it had begun to go"
    assert branch("rev-parse", "dags-live:dags") == good.tree
    assert [(entry["task"], entry["version"]) for entry in ledger()][-1] == ("dags-rollback", good.tree)


def test_a_version_that_somebody_has_put_another_on_top_of_ends_with_exit_1(scene, command, monkeypatch):
    other = scene.project.commit({"orders.py": "x = 'theirs'"})
    mine = scene.project.commit({"orders.py": "x = 'mine'"})
    proved = dag_ledger.result_of

    def overtake(report, **options):
        """As another machine does, just when this one has proved its version."""
        monkeypatch.setattr("airflow_platform.tasks.dag_ledger.result_of", proved)
        assert proved(report, **options) == "served"
        assert command("dags-sync", f"--ref={other.sha}")[0] == 0
        return proved(report, **options)

    monkeypatch.setattr("airflow_platform.tasks.dag_ledger.result_of", overtake)
    code, _, err = command("dags-sync", f"--ref={mine.sha}")
    assert code == 1
    assert f"has put version {other.tree[:12]} (Serve the DAGs of {other.sha[:12]}) on top meanwhile." in (
        " ".join(err.split())
    )
    assert [(entry["version"], entry["result"]) for entry in ledger()] == [
        (other.tree, "served"),
        (mine.tree, "served"),
    ]


def test_a_rollback_does_not_take_back_what_somebody_has_mended_meanwhile(scene, command):
    synced(scene, command, {"orders.py": "x = 'good'"})
    synced(scene, command, {"orders.py": "x = 'bad'"})
    mended = scene.project.commit({"orders.py": "x = 'mended'"})

    def mend(*arguments, **options):
        """As another machine does, while this one checks what it goes back to."""
        scene.hooks.clear()
        server = git_remote.Remote(str(paths.dag_state() / "branch.git"))
        theirs = dataclasses.replace(scene.project.branch("theirs"), remote=server)
        theirs.refresh(scene.project.runner)
        head = theirs.head(scene.project.runner)
        theirs.advance(scene.project.runner, scene.project.wanted(mended), onto=head)
        return scene.check(*arguments, **options)

    scene.hooks.append(mend)
    code, _, err = command("dags-rollback")
    assert code == 6
    assert "Nothing was taken back" in " ".join(err.split())
    assert branch("rev-parse", "dags-live:dags") == mended.tree


def test_a_rollback_is_not_kept_up_by_a_file_that_is_not_in_order(scene, command, environments):
    good, *_ = synced(scene, command, {"orders.py": "x = 'good'"})
    synced(scene, command, {"orders.py": "x = 'bad'"})
    (environments / "boxes.toml").write_text("runtime = ")
    code, _, err = command("dags-rollback", "--env=sandbox")
    assert code == 0, err
    assert branch("rev-parse", "dags-live:dags") == good.tree


def test_an_undoing_that_was_interrupted_ends_as_interrupted(scene, command, monkeypatch):
    synced(scene, command, {"orders.py": "x = 2"})
    execute = dags_sync.Sync.execute

    def interrupted(self, task, *arguments, **options):
        report = execute(self, task, *arguments, **options)
        if task != "dags-rollback":
            return report
        return dataclasses.replace(report, status="interrupted", exit_code=130)

    monkeypatch.setattr(dags_sync.Sync, "execute", interrupted)
    _, code, _ = synced(scene, command, {"orders.py": "raise 'fails in finance'"}, "--rollback-on-error")
    assert code == 130


def test_an_undoing_says_where_it_was_undone(scene, command):
    synced(scene, command, {"orders.py": "x = 2"})
    _, code, told = synced(
        scene, command, {"orders.py": "raise 'fails in finance'"}, "--rollback-on-error", "--env=sandbox"
    )
    assert code == 1
    assert "Rolled back in sandbox to version " in told


def test_a_rollback_that_cannot_begin_keeps_the_report_of_the_sync(scene, command, monkeypatch):
    synced(scene, command, {"orders.py": "x = 2"})

    def busy(*arguments):
        raise errors.BusyError("Another sync is at work.", hint="Wait for it.")

    monkeypatch.setattr("airflow_platform.tasks.dag_ledger.last_good", busy)
    wanted, code, told = synced(
        scene, command, {"orders.py": "raise 'fails in finance'"}, "--rollback-on-error"
    )
    assert code == 1
    assert "RuntimeError: not here" in told
    assert "Nothing was rolled back: Another sync is at work." in told
    assert branch("rev-parse", "dags-live:dags") == wanted.tree


def test_a_ledger_that_somebody_wrote_into_is_told_and_is_no_obstacle(scene, command):
    good, *_ = synced(scene, command, {"orders.py": "x = 2"})
    synced(scene, command, {"orders.py": "x = 3"})
    text = branch("show", "dags-ledger:ledger.jsonl")
    checkout = scene.project.checkout
    run_git(checkout, "fetch", "--quiet", str(paths.dag_state() / "branch.git"), "dags-ledger")
    (checkout / "ledger.jsonl").write_text(f"by hand\n{text}\n")
    run_git(checkout, "add", "ledger.jsonl")
    tree = run_git(checkout, "write-tree")
    made = run_git(checkout, "commit-tree", tree, "-p", "FETCH_HEAD", "-m", "By hand")
    run_git(
        checkout, "push", "--quiet", str(paths.dag_state() / "branch.git"), f"{made}:refs/heads/dags-ledger"
    )
    run_git(checkout, "reset", "--quiet")
    code, _, err = command("dags-rollback")
    assert code == 0, err
    assert "Branch dags-ledger was written to by hand: no entries are lines 1." in " ".join(err.split())
    assert branch("rev-parse", "dags-live:dags") == good.tree
    assert branch("show", "dags-ledger:ledger.jsonl").splitlines()[0] == "by hand"


def test_what_is_undone_never_goes_back_to_itself(scene, command):
    """A rollback that some tenant could not serve is at the head, and its version is synced once more."""
    first, *_ = synced(scene, command, {"orders.py": "x = 1", "late.py": None})
    bad, *_ = synced(scene, command, {"orders.py": "raise 'fails in finance'"})
    synced(scene, command, {"orders.py": "x = 3"})
    assert command("dags-rollback", f"--to={bad.tree[:12]}")[0] == 1
    code, _, err = command("dags-sync", f"--ref={bad.sha}", "--rollback-on-error")
    assert code == 1
    assert f"Rolled back everywhere to version {first.tree[:12]}" in " ".join(err.split())
    assert branch("rev-parse", "dags-live:dags") == first.tree


def test_going_on_with_a_rollback_is_told(scene, command):
    synced(scene, command, {"orders.py": "x = 1"})
    bad, *_ = synced(scene, command, {"orders.py": "raise 'fails in finance'"})
    synced(scene, command, {"orders.py": "x = 3"})
    assert command("dags-rollback", f"--to={bad.tree[:12]}")[0] == 1
    code, _, err = command("dags-rollback")
    assert code == 1
    told = f"This goes on with the rollback to {bad.sha[:12]}, which was not served everywhere yet; --to goes elsewhere."
    assert told in " ".join(err.split())
