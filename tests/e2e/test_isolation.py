"""Tenants against each other, by attempts to cross over."""

from __future__ import annotations

import json
import os
import sqlite3
import ssl
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, InvalidToken
from sandbox import Sandbox

from airflow_platform import errors
from airflow_platform.tools import processes

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

KEYS = ("fernet_key", "api_secret_key", "jwt_secret", "admin_password", "snowflake_password")


def test_a_tenants_password_is_refused_by_another(sandbox):
    with pytest.raises(errors.RefusedError):
        sandbox.client("finance", password_of="analytics").dags()


def test_a_tenants_token_is_refused_by_another(sandbox):
    token = _token(sandbox, "analytics")
    assert _status_of(sandbox, "analytics", "/api/v2/connections", token) == 200
    assert _status_of(sandbox, "finance", "/api/v2/connections", token) in (401, 403)


def test_a_tenants_fernet_key_cannot_decrypt_anothers_connections(sandbox):
    database = sandbox.place.tenant("finance").database
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        (encrypted,) = connection.execute(
            "SELECT password FROM connection WHERE conn_id = 'snowflake_default' AND is_encrypted"
        ).fetchone()
    own = Fernet(sandbox.key("finance", "fernet_key")).decrypt(encrypted.encode())
    assert own.decode() == sandbox.key("finance", "snowflake_password")
    with pytest.raises(InvalidToken):
        Fernet(sandbox.key("analytics", "fernet_key")).decrypt(encrypted.encode())


def test_a_tenants_snowflake_password_is_refused_by_anothers_fakesnow(sandbox):
    assert _login(sandbox, "finance", sandbox.key("finance", "snowflake_password"))["success"]
    refused = _login(sandbox, "finance", sandbox.key("analytics", "snowflake_password"))
    assert not refused["success"]
    assert refused["code"] == "390100"


def test_everything_listens_on_the_loopback_address_only(sandbox):
    for tenant in ("analytics", "finance"):
        mine = {each.pid for each in processes.owned(str(sandbox.place.tenant(tenant).directory))}
        found = [each for each in processes.listeners() if each.pid in mine]
        assert {each.address for each in found} == {"127.0.0.1"}
        assert {each.port for each in found} == set(sandbox.ports(tenant).values())


def test_keys_are_distinct_and_survive_reruns(sandbox):
    before = {(tenant, key): sandbox.key(tenant, key) for tenant in ("analytics", "finance") for key in KEYS}
    assert len(set(before.values())) == len(before)
    sandbox.up()
    assert {(tenant, key): sandbox.key(tenant, key) for tenant, key in before} == before


def test_keys_are_closed_to_others(sandbox):
    for tenant in ("analytics", "finance"):
        for path in sandbox.place.tenant(tenant).keys.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_no_secret_is_in_what_the_toolkit_writes_or_shows(sandbox):
    ran = sandbox.up()
    place = sandbox.place
    told = [place.directory / "journal.sqlite", *place.directory.glob("journal.sqlite-*")]
    told += [path for path in (place.directory / "runs").rglob("*") if path.is_file()]
    for tenant in ("analytics", "finance"):
        told += [path for path in place.tenant(tenant).run.iterdir() if path.is_file()]
    texts = [path.read_bytes() for path in told] + [ran.stdout.encode(), ran.stderr.encode()]
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    for tenant in ("analytics", "finance"):
        for key in KEYS:
            secret = sandbox.key(tenant, key).encode()
            assert not any(secret in text for text in (*texts, *lines)), key


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


def _reads(sandbox: Sandbox, tenant: str, target: Path) -> tuple[str, str]:
    client = sandbox.client(tenant)
    run = client.trigger("reads_a_file", conf={"file": str(target)})
    ended = client.wait_for_run("reads_a_file", run.id, timeout=60)
    return ended.state, client.failure("reads_a_file", run.id)


def _token(sandbox: Sandbox, tenant: str) -> str:
    body = json.dumps({"username": "admin", "password": sandbox.key(tenant, "admin_password")}).encode()
    request = urllib.request.Request(
        sandbox.url(tenant) + "/auth/token", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["access_token"])


def _status_of(sandbox: Sandbox, tenant: str, path: str, token: str) -> int:
    request = urllib.request.Request(sandbox.url(tenant) + path, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _login(sandbox: Sandbox, tenant: str, password: str) -> dict[str, object]:
    place = sandbox.place.tenant(tenant)
    trust = ssl.create_default_context(cafile=str(place.certificates / "ca.pem"))
    body = json.dumps(
        {"data": {"LOGIN_NAME": "AIRFLOW", "PASSWORD": password, "SESSION_PARAMETERS": {}}}
    ).encode()
    request = urllib.request.Request(
        f"https://localhost:{sandbox.ports(tenant)['snowflake']}/session/v1/login-request",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
        found: dict[str, object] = json.load(answer)
    return found
