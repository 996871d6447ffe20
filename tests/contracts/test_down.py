"""Tenants that go: stopped with their data kept, forgotten ones too, and deleted until nothing is left."""

from __future__ import annotations

import re

from installations import TENANTS


def test_down_keeps_data_and_leaves_nothing_running(installed):
    installed.up()
    before = installed.identities("analytics")
    kept = installed.key("finance", "fernet_key"), installed.ports("finance")
    runs = {run.id for run in installed.client("finance").runs("platform_smoke", limit=100)}
    plan = installed.run("tenant-down", "--tenant=finance", "--plan")
    assert plan.code == 3
    assert installed.identities("finance").keys() == installed.components, "--plan changed something"
    ran = installed.down("--tenant=finance")
    (tenant,) = ran.report["tenants"]
    assert tenant["status"] == "stopped"
    assert re.fullmatch(r"no .* \(looked\)", tenant["outputs"]["left"])
    assert installed.running("finance") == set()
    assert installed.identities("analytics") == before
    assert set(installed.down("--tenant=finance").steps().values()) <= {"unchanged", "skipped"}
    installed.up()
    assert (installed.key("finance", "fernet_key"), installed.ports("finance")) == kept
    assert runs <= {run.id for run in installed.client("finance").runs("platform_smoke", limit=100)}


def test_down_takes_a_tenant_that_is_no_longer_declared(installed):
    before, declared = installed.identities("analytics"), installed.spec.read_text()
    installed.change(declared[declared.rindex("[[tenants]]") :], "")
    status = installed.run("tenant-status")
    assert re.search(r"finance +running, not declared", status.stdout)
    plan = installed.run("tenant-down", "--tenant=finance", "--delete-data", "--plan")
    assert plan.code == 3
    assert installed.identities("finance").keys() == installed.components, "--plan changed something"
    installed.down("--tenant=finance", "--delete-data")
    assert installed.left("finance") == set()
    assert installed.identities("analytics") == before
    installed.spec.write_text(declared)


def test_down_with_delete_data_leaves_nothing_at_all(installed):
    assert installed.left("analytics")
    ran = installed.down("--delete-data")
    assert [each["status"] for each in ran.report["tenants"]] == ["deleted", "deleted"]
    for tenant in TENANTS:
        assert installed.left(tenant) == set()
    assert installed.left_at_all() == set()
    assert set(installed.down("--delete-data").steps().values()) <= {"unchanged", "skipped"}
