"""Tenants against each other and against this machine, by attempts to cross over."""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request

import pytest
from cryptography.fernet import Fernet, InvalidToken
from installations import TENANTS, Installation

from airflow_platform import errors


def test_a_tenants_password_is_refused_by_another(installed):
    with pytest.raises(errors.RefusedError):
        installed.client("finance", password_of="analytics").dags()


def test_a_tenants_token_is_refused_by_another(installed):
    token = _token(installed, "analytics")
    assert _status_of(installed, "analytics", "/api/v2/connections", token) == 200
    assert _status_of(installed, "finance", "/api/v2/connections", token) in (401, 403)


def test_a_tenants_fernet_key_cannot_decrypt_anothers_connections(installed):
    encrypted = installed.connection_password("finance").encode()
    own = Fernet(installed.key("finance", "fernet_key")).decrypt(encrypted)
    assert own.decode() == installed.key("finance", "snowflake_password")
    with pytest.raises(InvalidToken):
        Fernet(installed.key("analytics", "fernet_key")).decrypt(encrypted)


def test_a_tenants_snowflake_password_is_refused_by_anothers_fakesnow(installed):
    assert installed.snowflake_login("finance", installed.key("finance", "snowflake_password"))["success"]
    refused = installed.snowflake_login("finance", installed.key("analytics", "snowflake_password"))
    assert not refused["success"]
    assert refused["code"] == "390100"


def test_everything_listens_on_the_loopback_address_only(installed):
    for tenant in TENANTS:
        found = installed.listeners(tenant)
        assert {address for address, _ in found} == {"127.0.0.1"}
        assert {port for _, port in found} == set(installed.ports(tenant).values())


def test_keys_are_distinct_and_survive_reruns(installed):
    before = {(tenant, key): installed.key(tenant, key) for tenant in TENANTS for key in installed.keys}
    assert len(set(before.values())) == len(before)
    installed.up()
    assert {(tenant, key): installed.key(tenant, key) for tenant, key in before} == before


def test_keys_are_closed_to_others(installed):
    for tenant in TENANTS:
        paths = tuple(installed.place.tenant(tenant).keys.iterdir())
        assert {path.name for path in paths} >= set(installed.keys)
        for path in paths:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_no_secret_is_in_what_the_toolkit_writes_or_shows(installed):
    ran = installed.up()
    place = installed.place
    told = [place.directory / "journal.sqlite", *place.directory.glob("journal.sqlite-*")]
    told += [path for path in (place.directory / "runs").rglob("*") if path.is_file()]
    texts = [ran.stdout.encode(), ran.stderr.encode(), *(path.read_bytes() for path in told)]
    for tenant in TENANTS:
        texts += installed.shown(tenant)
    for name, secret in _secrets(installed).items():
        assert not any(secret in text for text in texts), name


def test_nothing_of_another_tenant_is_reached_over_the_network(installed):
    """From inside a container: by name and by address; what is the tenant's own is reached."""
    services = {"api-server": 8080, "fakesnow": 8443, "broker": 6379}
    network = f"{installed.prefix}.analytics"
    own = {name: ("reach", name, port) for name, port in services.items()}
    own |= {f"{name} by address": ("reach", _address(installed, "analytics", name), port)
            for name, port in services.items()}  # fmt: skip
    own["metadata-database"] = ("reach", "metadata-database", 5432)
    others = {
        f"{name} as {host}": ("reach", host, port)
        for name, port in services.items()
        for host in (
            _address(installed, "finance", name), f"{installed.prefix}.finance.{name}", f"{name}.finance",
            f"{name}.{installed.prefix}.finance",
        )
    }  # fmt: skip
    server = installed.server()
    others["the server by its address in finance's network"] = (
        "reach", installed.address_of(server, f"{installed.prefix}.finance"), 5432,
    )  # fmt: skip
    gateway = installed.engine.networks.get(network).attrs["IPAM"]["Config"][0]["Gateway"]
    (published,) = server.ports["5432/tcp"]
    ports = {"api-server": installed.ports("finance")["airflow"], "server": int(published["HostPort"])}
    others |= {f"{name} through the machine": ("reach", gateway, port) for name, port in ports.items()}

    found = installed.attempt("analytics", own | others)
    assert {name: why for name, why in found.items() if name in own} == dict.fromkeys(own, "")
    assert {name for name, why in found.items() if name in others and not why} == set()


def test_a_database_lets_nobody_in_but_its_tenant(installed):
    mine, theirs = installed.database("analytics"), installed.database("finance")
    found = installed.attempt(
        "analytics",
        {
            "own": ("connect", "", "", ""),
            "own, by name": ("connect", mine, mine, ""),
            "own, another password": ("connect", "", "", installed.key("finance", "database_password")),
            "another's database": ("connect", theirs, "", ""),
            "another's role": ("connect", theirs, theirs, ""),
            "the administrator": ("connect", "postgres", "postgres", ""),
            "the administrator's database": ("connect", "postgres", "", ""),
            "a role of one's own": ("connect", "", "", "", "CREATE ROLE intruder LOGIN"),
            "a database of one's own": ("connect", "", "", "", "CREATE DATABASE intruder"),
            "a file of the server": ("connect", "", "", "", "SELECT pg_read_file('/etc/passwd')"),
            "a program on the server": ("connect", "", "", "", "COPY (SELECT 1) TO PROGRAM 'true'"),
        },
    )
    assert {name for name, why in found.items() if not why} == {"own", "own, by name"}, found
    assert "permission denied for database" in found["another's database"]
    assert "password authentication failed" in found["another's role"]


def test_components_have_no_rights_on_the_machine(installed):
    """They are no root, cannot become it, and see nothing of the engine, the machine or other tenants."""
    state = str(installed.state)
    asked = {
        "its home": ("write", "/opt/airflow/attempt"),
        "the repository": ("write", "/srv/dags.git/attempt"),
        "the system": ("write", "/etc/attempt"),
        "root": ("become", 0),
        "the engine": ("read", "/var/run/docker.sock"),
        "the state": ("read", state),
        "shadow": ("read", "/etc/shadow"),
    }
    found = installed.attempt("analytics", asked)
    assert {name for name, why in found.items() if not why} == {"its home"}, found
    for tenant in TENANTS:
        for each in installed.of(tenant):
            settings = each.attrs["HostConfig"]
            assert not settings["Privileged"], each.name
            assert settings["CapDrop"] == ["ALL"], each.name
            assert "no-new-privileges" in settings["SecurityOpt"], each.name
            assert settings["NetworkMode"] == f"{installed.prefix}.{tenant}", each.name
            assert {"", "host"} & {settings["PidMode"], settings["UTSMode"]} == {""}, each.name
            assert each.attrs["Config"]["User"].split(":")[0] not in ("", "0", "root"), each.name


def test_limits_of_the_spec_are_in_force(installed):
    wanted = installed.declared().docker.limits["triggerer"]
    memory = wanted.memory * 1024**2
    for tenant in TENANTS:
        for each in installed.of(tenant):
            settings = each.attrs["HostConfig"]
            assert settings["Memory"] > 0, each.name
            assert settings["MemorySwap"] == settings["Memory"], f"{each.name} may swap"
            assert settings["NanoCpus"] > 0, each.name
            assert settings["RestartPolicy"]["Name"] == "unless-stopped", each.name
        told = installed.container(tenant, "triggerer").attrs["HostConfig"]
        assert (told["Memory"], told["NanoCpus"]) == (memory, wanted.cpus * 1e9)
        assert _kernels_limit(installed, tenant) == memory


def _kernels_limit(installed: Installation, tenant: str) -> int:
    """Bytes that the kernel gives the triggerer, by either version of control groups."""
    files = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes"
    return int(installed.inside(tenant, "triggerer", "sh", "-c", f"cat {files} 2>/dev/null || true"))


def _address(installed: Installation, tenant: str, component: str) -> str:
    return installed.address_of(installed.container(tenant, component), f"{installed.prefix}.{tenant}")


def _secrets(installed: Installation) -> dict[str, bytes]:
    found = {f"{tenant}/{key}": installed.key(tenant, key).encode()
             for tenant in TENANTS for key in installed.keys}  # fmt: skip
    if installed.place.server_password.exists():
        found["database server"] = installed.place.server_password.read_bytes()
    return found


def _token(installed: Installation, tenant: str) -> str:
    body = json.dumps({"username": "admin", "password": installed.key(tenant, "admin_password")}).encode()
    request = urllib.request.Request(
        installed.url(tenant) + "/auth/token", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["access_token"])


def _status_of(installed: Installation, tenant: str, path: str, token: str) -> int:
    request = urllib.request.Request(
        installed.url(tenant) + path, headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
