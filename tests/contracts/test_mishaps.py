"""Accidents, hands and strangers: what mends itself, what the next up mends, and what is told and left alone.

The last of these tests leave finance down: the kills, which come next, begin with that.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from installations import Installation, wait_until

LOOKS = 5
"""Times that `tenant-up` may find a component of a tenant just ending, or ended."""


def test_a_killed_component_comes_back_by_itself(installed):
    before = installed.started()
    installed.crash("analytics", "scheduler")
    was = before["analytics"]["scheduler"]
    wait_until(
        lambda: installed.identities("analytics").get("scheduler", was) != was,
        "the scheduler runs again, though no command was given",
    )
    ran = installed.up("--tenant=analytics")
    assert ran.steps()["analytics/smoke"] == "changed", "the smoke DAG proves the new start"
    assert installed.restarted("analytics", before["analytics"]) == {"scheduler"}
    assert installed.identities("finance") == before["finance"]


def test_what_was_lost_is_told_and_made_again_by_the_next_up(installed):
    before, runs = installed.started(), _runs(installed, "finance")
    done = installed.lose("finance")
    status = installed.run("tenant-status", "--tenant=finance")
    assert status.code == 1, f"{done}: {status.text}"
    plan = installed.run("tenant-up", "--plan", "--tenant=finance")
    assert plan.code == 3, plan.text
    ran = installed.up("--tenant=finance")
    assert {"finance/components", "finance/smoke"} <= ran.changed()
    assert installed.identities("finance").keys() == installed.components
    assert installed.restarted("finance", before["finance"]) == installed.lost, done
    assert runs <= _runs(installed, "finance"), "its data was kept"
    assert installed.identities("analytics") == before["analytics"]
    assert set(installed.up().steps().values()) == {"unchanged"}


def test_the_shared_database_server_is_made_again_with_its_data(installed):
    runs = {tenant: _runs(installed, tenant) for tenant in ("analytics", "finance")}
    installed.server().remove(force=True)
    assert installed.run("tenant-status").code == 1
    ran = installed.up()
    assert "database-server" in ran.changed()
    for tenant, before in runs.items():
        assert before <= _runs(installed, tenant)
    # Airflow ends a component that has missed its database for too long, also after that is back.
    for _ in range(LOOKS):
        again = installed.run("tenant-up", "--json")
        assert "broken" not in again.steps().values(), again.text
        if again.code == 0 and again.changed() == set():
            break
    assert (again.code, again.changed()) == (0, set()), again.text


def test_a_port_that_a_stranger_took_is_told_with_its_holder(installed):
    before = installed.identities("analytics")
    installed.down("--tenant=finance")
    port = installed.ports("finance")["airflow"]
    with socket.create_server(("127.0.0.1", port)):
        ran = installed.run("tenant-up", "--tenant=finance")
        assert ran.code == 4, ran.stderr
        assert f"port {port} of tenant finance" in ran.text
        assert "process" in ran.text
        assert "Stop that program." in ran.text
        assert installed.identities("finance") == {}
        assert installed.ports("finance")["airflow"] == port
    assert installed.identities("analytics") == before


def test_what_a_stranger_made_under_our_names_is_told_and_left_alone(installed):
    analytics = installed.identities("analytics")
    installed.down("--tenant=finance", "--delete-data")
    with _of_a_stranger(installed, "networks", f"{installed.prefix}.finance") as network:
        _refuses(installed, network)
        installed.run("tenant-down", "--tenant=finance", "--delete-data")
    with _of_a_stranger(installed, "volumes", f"{installed.prefix}.finance.logs") as volume:
        _refuses(installed, volume)
    image = installed.container("analytics", "broker").image.id
    made = installed.engine.containers.create(
        image,
        name=f"{installed.prefix}.finance.scheduler",
        labels={"airflow-platform.owner": "/somebody/else"},
    )
    try:
        _refuses(installed, made.name)
        installed.down("--tenant=finance", "--delete-data")
        made.reload()
        assert made.status == "created"
    finally:
        made.remove(force=True)
    assert installed.identities("analytics") == analytics


def _refuses(installed: Installation, name: str) -> None:
    ran = installed.run("tenant-up", "--tenant=finance")
    assert ran.code in (1, 4), ran.stderr
    assert name in ran.text
    assert installed.identities("finance") == {}


@contextlib.contextmanager
def _of_a_stranger(installed: Installation, kind: str, name: str) -> Iterator[str]:
    """A network or volume that somebody else made; it must be theirs at the end."""
    made = getattr(installed.engine, kind).create(name, labels={"whose": "a stranger's"})
    try:
        yield name
        made.reload()
        assert made.attrs["Labels"] == {"whose": "a stranger's"}
    finally:
        made.remove()


def _runs(installed: Installation, tenant: str) -> set[str]:
    return {run.id for run in installed.client(tenant).runs("platform_smoke", limit=100)}
