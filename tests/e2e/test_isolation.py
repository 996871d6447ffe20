"""What a user id a tenant keeps from a DAG's author, by attempts to cross over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from on_processes import Processes

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]


def test_a_dag_reads_anothers_key_only_where_the_docs_say_so(sandbox):
    """As root each tenant has a user id and the DAG fails; otherwise it can, and the docs say so."""
    sandbox.serve(Path(__file__).parent / "dags" / "reads_a_file.py")
    sandbox.up()
    assert _reads(sandbox, "analytics", sandbox.place.tenant("analytics").keys / "fernet_key") == (
        "success",
        "",
    )
    for target in (
        sandbox.place.tenant("finance").keys / "fernet_key",
        sandbox.place.tenant("finance").database,
    ):
        state, why = _reads(sandbox, "analytics", target)
        if os.geteuid() == 0:
            assert state == "failed"
            assert "PermissionError" in why
        else:
            assert state == "success"
            told = "can read the other tenants' files"
            assert told in sandbox.inv("doctor", "--env=sandbox").stdout
            assert told in " ".join(sandbox.inv("tenant-up", "--env=sandbox").stderr.split())


def test_a_dag_cannot_have_the_supervisor_start_its_own_program(sandbox):
    """What root or the supervisor reads back lies where the tenant's user cannot write."""
    place = sandbox.place.tenant("analytics")
    if os.geteuid() != 0:
        pytest.skip("without root there is one user; docs/security.md says what that means")
    user = place.home.stat().st_uid
    assert user != 0
    for directory in (place.directory, place.run, place.keys, place.certificates, place.logs):
        found = directory.stat()
        assert found.st_uid == 0
        assert not found.st_mode & 0o022, directory


def _reads(sandbox: Processes, tenant: str, target: Path) -> tuple[str, str]:
    client = sandbox.client(tenant)
    run = client.trigger("reads_a_file", conf={"file": str(target)})
    ended = client.wait_for_run("reads_a_file", run.id, timeout=180)
    return ended.state, client.failure("reads_a_file", run.id)
