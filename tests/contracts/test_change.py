"""Changes of the spec, of files and by command: each touches what it is about, and nothing else."""

from __future__ import annotations

import contextlib
import signal
import subprocess

from installations import TENANTS, wait_until


def test_a_file_that_is_not_committed_is_named_and_not_served(installed):
    draft = installed.checkout / "dags" / "draft.py"
    draft.write_text("# A DAG in the making\n")
    try:
        ran = installed.up()
    finally:
        draft.unlink()
    assert set(ran.steps().values()) == {"unchanged"}
    assert "1 under dags/ not committed, so not served: dags/draft.py" in ran.text


def test_a_changed_spec_changes_what_it_touches(installed):
    before = installed.started()
    installed.change('name = "analytics"\n', 'name = "analytics"\nparallelism = 3\n')
    differs = installed.run("tenant-status")
    assert differs.code == 3
    assert "restart scheduler" in differs.stdout
    plan = installed.run("tenant-up", "--plan")
    assert plan.code == 3
    refused = installed.run("tenant-restart", "--tenant=analytics", "--component=triggerer")
    assert refused.code == 4
    assert "Pending: restart scheduler" in refused.text
    assert installed.started() == before, "--plan, or a restart, changed something"
    ran = installed.up()
    assert ran.changed() == {"analytics/components", "analytics/smoke"}
    assert "restart scheduler" in ran.stderr
    assert installed.restarted("analytics", before["analytics"]) == installed.parallelism
    assert installed.identities("finance") == before["finance"]


def test_a_changed_variable_restarts_nothing(installed):
    before = installed.started()
    installed.change('"LEDGER"', '"BOOKS"')
    ran = installed.up()
    assert ran.changed() == {"finance/settings", "finance/smoke"}
    assert installed.started() == before


def test_a_new_password_of_the_admin_reaches_the_tenant(installed):
    before = installed.identities("analytics")
    installed.place.tenant("finance").admin_password.unlink()
    ran = installed.up()
    assert {"finance/keys", "finance/components"} <= ran.changed()
    assert installed.client("finance").dags()
    assert installed.identities("analytics") == before
    assert installed.up().changed() == set()


def test_a_changed_limit_restarts_that_component_alone(installed):
    before = installed.started()
    installed.change("triggerer = { memory = 700", "triggerer = { memory = 720")
    ran = installed.up()
    assert "restart triggerer" in ran.stderr
    for tenant in TENANTS:
        assert installed.restarted(tenant, before[tenant]) == {"triggerer"}


def test_restart_restarts_the_named_component(installed):
    before = installed.started()
    plan = installed.run("tenant-restart", "--tenant=finance", "--component=triggerer", "--plan")
    assert plan.code == 3
    assert installed.started() == before, "--plan changed something"
    ran = installed.run("tenant-restart", "--tenant=finance", "--component=triggerer")
    assert ran.code == 0, ran.stderr
    assert installed.restarted("finance", before["finance"]) == {"triggerer"}
    assert installed.identities("analytics") == before["analytics"]


def test_restart_without_a_name_restarts_them_all_and_nothing_of_others(installed):
    before, everything = installed.started(), installed.components
    ran = installed.run("tenant-restart", "--tenant=finance")
    assert ran.code == 0, ran.stderr
    assert installed.restarted("finance", before["finance"]) == everything
    assert installed.identities("analytics") == before["analytics"]
    assert installed.up().changed() == set()


def test_logs_are_followed_across_a_restart(installed, tmp_path):
    argv, environment = installed.command(
        "tenant-logs", f"--env={installed.name}", "--tenant=finance", "--component=triggerer", "--follow"
    )
    output = tmp_path / "output"
    with output.open("w") as file:
        follower = subprocess.Popen(
            argv, env=environment, cwd="/", stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )

        def told() -> bool:
            return "Starting the triggerer" in output.read_text()

        try:
            # Nothing tells when it has begun to look: it may come too late for the first.
            for _ in range(3):
                ran = installed.run("tenant-restart", "--tenant=finance", "--component=triggerer")
                assert ran.code == 0, ran.stderr
                with contextlib.suppress(AssertionError):
                    wait_until(told, "what the new triggerer says is shown", seconds=60)
                    break
            assert told()
        finally:
            follower.send_signal(signal.SIGINT)
            code = follower.wait(30)
    assert code in (0, 130)


def test_a_restart_of_what_there_is_not_is_refused(installed):
    before = installed.started()
    ran = installed.run("tenant-restart", "--tenant=finance", "--component=sheduler")
    assert ran.code == 2
    assert "Did you mean scheduler?" in ran.text
    assert installed.started() == before
