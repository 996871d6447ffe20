"""Several runs at the same time: of one tenant, and of many."""

from __future__ import annotations

from tests.crash import sandbox, snapshots


def test_of_two_runs_of_a_tenant_one_is_told_who_the_other_is(box, undisturbed):
    with box.migration_held():
        first = box.start()
        sandbox.wait_until(lambda: any((box.home / "cache").rglob("migrating")), "the first run works")
        second = box.up()
    assert second.code == 5, second
    assert f"process {first.process.pid} " in second.stderr
    assert "tenant-up --env=crash" in second.stderr
    assert second.report["exit_code"] == 5
    ended = first.end()
    assert ended.code == 0, ended
    snapshots.check_same(box, undisturbed("up"))


def test_six_tenants_come_up_in_six_processes(box):
    names = [f"tenant-{number}" for number in range(6)]
    box.declare(*names)
    runs = [box.start(f"--tenant={name}") for name in names]
    for name, run in zip(names, runs, strict=True):
        ended = run.end(60)
        assert ended.code == 0, ended
        assert [each["name"] for each in ended.report["tenants"]] == [name]
    third = box.up()
    assert set(third.steps().values()) == {"unchanged"}, third
    assert box.locks() == []
    found = snapshots.of(box)
    (alike,) = {str(sorted(each["dag_run"])) for each in found["databases"].values()}
    assert alike.count("success") == 1
    ports = [box.tenant(name).ports.read_text() for name in names]
    assert len(set(ports)) == len(names)


def test_going_down_waits_for_nobody_either(box):
    with box.migration_held():
        first = box.start()
        sandbox.wait_until(lambda: any((box.home / "cache").rglob("migrating")), "the first run works")
        refused = box.down("--delete-data", "--tenant=alpha")
    assert refused.code == 5, refused
    assert first.end().code == 0
    assert box.up().code == 0
