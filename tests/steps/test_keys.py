"""Keys and passwords: made once, kept, closed to others, and never made anew behind a database's back."""

import base64
import json
import stat

import pytest

from airflow_platform.tenants import keys
from airflow_platform.tools import users
from tests.steps import calling

NAMES = {
    "fernet_key",
    "api_secret_key",
    "jwt_secret",
    "admin_password",
    "snowflake_password",
    "passwords.json",
}


def contents(tenant):
    return {path.name: path.read_text() for path in tenant.keys.iterdir()}


@pytest.fixture
def step(place):
    return keys.Keys(place, names=keys.NAMES, has_data=lambda name: place.tenant(name).database.exists())


def test_keys_are_made_once_and_kept(step, tenant):
    calls = calling.Calls()
    first = calls.run(step)
    made = contents(tenant)
    second = calls.run(step)
    assert made.keys() == NAMES
    assert contents(tenant) == made
    assert not second.changed
    assert second.outputs == first.outputs


def test_keys_are_keys_and_distinct(step, tenant):
    calling.Calls().run(step)
    made = contents(tenant)
    assert len(set(made.values())) == len(NAMES)
    assert len(base64.urlsafe_b64decode(made["fernet_key"])) == 32
    assert len(made["jwt_secret"]) >= 64
    assert json.loads(made["passwords.json"]) == {"admin": made["admin_password"]}


def test_only_the_tenant_reads_them(step, tenant):
    calling.Calls().run(step)
    user = users.of_tenant(tenant.directory)
    for path in tenant.keys.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert user in (None, path.stat().st_uid)


def test_tenants_share_none(place, step, tenant):
    calling.Calls().run(step)
    other = calling.Calls(tenant="finance")
    from airflow_platform.tenants import tenant_directory

    other.run(tenant_directory.TenantDirectory(place))
    other.run(step)
    assert not set(contents(tenant).values()) & set(contents(place.tenant("finance")).values())


def test_a_key_that_is_open_to_others_is_closed_and_kept(step, tenant):
    calls = calling.Calls()
    first = calls.run(step)
    made = contents(tenant)
    (tenant.keys / "jwt_secret").chmod(0o644)
    again, _ = calls.twice(step)
    assert again.text == "close jwt_secret to others"
    assert stat.S_IMODE((tenant.keys / "jwt_secret").stat().st_mode) == 0o600
    assert (contents(tenant), again.outputs) == (made, first.outputs)


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "gone"])
def test_a_lost_key_is_made_anew_and_the_others_are_kept(step, tenant, cut):
    calls = calling.Calls()
    first = calls.run(step)
    made = contents(tenant)
    lost = tenant.keys / "jwt_secret"
    lost.write_text("") if cut else lost.unlink()
    again, _ = calls.twice(step)
    assert again.text == "make jwt_secret"
    assert again.outputs != first.outputs
    now = contents(tenant)
    assert {name for name in NAMES if now[name] != made[name]} == {"jwt_secret"}


def test_another_admin_password_reaches_airflows_file(step, tenant):
    calls = calling.Calls()
    calls.run(step)
    tenant.admin_password.write_text("chosen")
    again, _ = calls.twice(step)
    assert again.text == "make passwords.json"
    assert json.loads(tenant.passwords.read_text()) == {"admin": "chosen"}


def test_no_key_is_in_a_change_or_an_output(step, tenant):
    calls = calling.Calls()
    ran = calls.run(step)
    told = json.dumps([ran.planned.to_json(), ran.outputs, calls.news])
    assert not [name for name, content in contents(tenant).items() if content in told]


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "gone"])
def test_a_fernet_key_that_a_database_was_encrypted_with_is_never_made_anew(step, tenant, cut):
    calls = calling.Calls()
    assert calls.faults(step) == []
    calls.run(step)
    tenant.database.touch()
    assert calls.faults(step) == []
    lost = tenant.keys / "fernet_key"
    lost.write_text("") if cut else lost.unlink()
    (fault,) = calls.faults(step)
    assert fault.thing == str(lost)
    assert "backup" in fault.remedy
