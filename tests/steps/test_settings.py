"""Connections, variables and pools against an api-server in memory: what is written, kept, and never told."""

import json

import pytest

from airflow_platform import errors
from airflow_platform.runtimes import local_access
from airflow_platform.tenants import settings
from airflow_platform.testing import specs
from tests.steps import calling

# checkov:skip=CKV_SECRET_13: 2026-11-24: Not a key, only the look of one.
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----"
SNOWFLAKE = {"database": "DB", "warehouse": "WH", "role": "ROLE"}
DECLARED = {
    "connections": (
        {"id": "orders", "type": "http", "host": "orders.test", "password": {"env": "ORDERS_PASSWORD"}},
    ),
    "variables": {"schema": "MARTS"},
    "secret_variables": {"api_key": {"env": "API_KEY"}},
    "pools": ({"name": "snowflake", "slots": 4},),
}
ALL = [
    "connection/snowflake_default",
    "connection/orders",
    "variable/schema",
    "variable/api_key",
    "pool/snowflake",
]
SECRETS = ("of the orders", "of the api", "changed secret", KEY)


@pytest.fixture(autouse=True)
def secrets_of_the_caller(monkeypatch):
    monkeypatch.setenv("ORDERS_PASSWORD", "of the orders")
    monkeypatch.setenv("API_KEY", "of the api")
    monkeypatch.setenv("SNOWFLAKE_KEY", KEY)


@pytest.fixture
def step(place, access):
    return settings.Settings(access, local_access.SettingsFile(place), local_access.KeyFiles(place))


@pytest.fixture
def calls_of(reached, tenant):
    """Calls for a tenant with these fields; at the end, nothing that was told or kept has a secret in it."""
    made = []

    def calls(**fields):
        made.append(calling.Calls(reached, tenant=specs.tenant(**fields)))
        return made[-1]

    yield calls
    passwords = [path.read_text() for path in tenant.keys.iterdir()]
    told = [line for each in made for line in each.news] + [tenant.settings.read_text()]
    assert not [text for text in (*SECRETS, *passwords) for line in told if text in line]


def test_all_that_is_declared_is_written_once(step, server, calls_of):
    calls = calls_of(**DECLARED)
    first, _ = calls.twice(step)
    assert first.planned.details["write"] == ALL
    assert server.writes == [f"PATCH {key}" for key in ALL]
    assert server.objects["connections"]["orders"]["password"] == "of the orders"
    assert server.objects["variables"]["api_key"]["value"] == "of the api"
    assert server.objects["pools"]["snowflake"]["slots"] == 4


def test_a_change_holds_no_secret(step, calls_of, tenant):
    told = json.dumps(calls_of(**DECLARED).plan(step).to_json())
    assert not [text for text in (*SECRETS, tenant.snowflake_password.read_text()) if text in told]
    calls_of(**DECLARED).run(step)


def test_only_what_differs_is_written(step, server, calls_of):
    calls_of(**DECLARED).run(step)
    server.writes.clear()
    again, _ = calls_of(**{**DECLARED, "variables": {"schema": "LEDGER"}}).twice(step)
    assert again.text == "write variable/schema"
    assert server.writes == ["PATCH variable/schema"]


def test_what_somebody_changed_by_hand_is_put_back(step, server, calls_of):
    calls = calls_of(**DECLARED)
    calls.run(step)
    server.objects["pools"]["snowflake"]["slots"] = 99
    server.objects["connections"]["orders"]["host"] = "elsewhere.test"
    del server.objects["variables"]["schema"]
    again, _ = calls.twice(step)
    assert again.text == "write connection/orders, variable/schema, pool/snowflake"


@pytest.mark.parametrize(
    ("variable", "key"), [("ORDERS_PASSWORD", "connection/orders"), ("API_KEY", "variable/api_key")]
)
def test_another_secret_is_noticed_though_airflow_never_shows_it(
    step, server, calls_of, monkeypatch, variable, key
):
    calls = calls_of(**DECLARED)
    before = calls.run(step).outputs
    monkeypatch.setenv(variable, "changed secret")
    again, _ = calls.twice(step)
    assert again.text == f"write {key}"
    assert again.outputs != before


def test_what_is_no_longer_declared_is_deleted_and_what_people_added_is_left(step, server, calls_of):
    calls_of(**DECLARED).run(step)
    server.objects["variables"]["mine"] = {"key": "mine", "value": "by hand", "description": None}
    again, _ = calls_of().twice(step)
    assert again.text == "delete connection/orders, pool/snowflake, variable/api_key, variable/schema"
    assert server.objects["variables"].keys() == {"mine"}
    assert server.objects["connections"].keys() == {"snowflake_default"}
    assert server.objects["pools"].keys() == {"default_pool"}


def test_what_a_person_deleted_already_is_no_fault(step, server, calls_of):
    calls_of(**DECLARED).run(step)
    server.objects["variables"].clear()
    calls_of().twice(step)


def test_what_a_killed_run_wrote_is_known_to_be_ours(step, server, calls_of, monkeypatch):
    calls = calls_of(**DECLARED)
    change = calls.plan(step)
    monkeypatch.setattr(settings, "_put", _killed_at("variable/schema", settings._put))
    with pytest.raises(KeyboardInterrupt):
        step.apply(calls.context(step.scope), change)
    monkeypatch.undo()
    assert server.objects["connections"].keys() == {"snowflake_default", "orders"}
    calls_of().twice(step)
    assert server.objects["connections"].keys() == {"snowflake_default"}


def _killed_at(key, put):
    def putting(objects, entry):
        if settings._key(entry) == key:
            raise KeyboardInterrupt
        put(objects, entry)

    return putting


@pytest.mark.parametrize("text", ["", '{"variable/schema": "', "[]", "null"])
def test_a_cut_record_has_all_written_again(step, server, calls_of, tenant, text):
    calls = calls_of(**DECLARED)
    first = calls.run(step)
    tenant.settings.write_text(text)
    again, _ = calls.twice(step)
    assert again.planned.details["write"] == ALL
    assert again.outputs == first.outputs


def test_a_tenant_without_an_account_is_led_to_its_fakesnow(step, server, calls_of, tenant):
    calls_of(snowflake=SNOWFLAKE).run(step)
    written = server.objects["connections"]["snowflake_default"]
    assert written["password"] == tenant.snowflake_password.read_text()
    extra = json.loads(written["extra"])
    assert (extra["host"], extra["port"], extra["account"]) == ("localhost", 18081, "fakesnow")


def test_a_tenant_with_an_account_gets_that_connection_with_its_private_key(step, server, calls_of, tenant):
    account = {"account": "example-a", "user": "LOADER", "private_key": {"env": "SNOWFLAKE_KEY"}}
    calls = calls_of(snowflake={**SNOWFLAKE, **account})
    ran, _ = calls.twice(step)
    assert server.objects["connections"]["snowflake_default"] == {
        "connection_id": "snowflake_default",
        "conn_type": "snowflake",
        "host": None,
        "port": None,
        "login": "LOADER",
        "schema": "PUBLIC",
        "password": None,
        "extra": json.dumps(
            {
                "account": "example-a",
                "database": "DB",
                "warehouse": "WH",
                "role": "ROLE",
                "session_parameters": {"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
                "private_key_content": KEY,
            }
        ),
        "description": "Snowflake",
    }
    told = json.dumps([ran.planned.to_json(), ran.outputs, calls.news]) + tenant.settings.read_text()
    assert not [line for line in KEY.splitlines() if line in told]


def test_a_password_instead_of_a_key_and_back_leaves_neither_behind(step, server, calls_of):
    account = {**SNOWFLAKE, "account": "example-a"}
    calls_of(snowflake={**account, "password": {"env": "API_KEY"}}).run(step)
    assert server.objects["connections"]["snowflake_default"]["password"] == "of the api"
    calls_of(snowflake={**account, "private_key": {"env": "SNOWFLAKE_KEY"}}).twice(step)
    assert server.objects["connections"]["snowflake_default"]["password"] is None


def test_every_secret_that_is_missing_is_told_at_once_and_those_that_are_not_are_masked(
    step, reached, monkeypatch
):
    monkeypatch.delenv("ORDERS_PASSWORD")
    monkeypatch.setenv("SNOWFLAKE_KEY", "")
    calls = calling.Calls(
        reached,
        tenant=specs.tenant(
            **DECLARED, snowflake={**SNOWFLAKE, "account": "a", "private_key": {"env": "SNOWFLAKE_KEY"}}
        ),
    )
    faults = calls.faults(step)
    assert [fault.thing for fault in faults] == [
        "secret in environment variable SNOWFLAKE_KEY",
        "secret in environment variable ORDERS_PASSWORD",
    ]
    assert calls.programs.mask("it is of the api") == "it is ***"


def test_the_record_is_for_the_toolkit_alone(step, calls_of, tenant):
    calls_of(**DECLARED).run(step)
    assert tenant.settings.stat().st_mode & 0o777 == 0o600
    kept = json.loads(tenant.settings.read_text())
    assert list(kept) == sorted(ALL)
    assert {len(digest) for digest in kept.values()} == {32}


def test_two_tenants_with_the_same_secret_have_different_digests(step, calls_of, tenant):
    calls_of(**DECLARED).run(step)
    before = json.loads(tenant.settings.read_text())
    (tenant.keys / "api_secret_key").write_text("another tenant's")
    calls_of(**DECLARED).run(step)
    after = json.loads(tenant.settings.read_text())
    assert not set(before.values()) & set(after.values())


def test_a_tenant_that_is_not_this_one_refuses(step, reached, tenant):
    tenant.admin_password.write_text("of another tenant")
    with pytest.raises(errors.RefusedError, match="401"):
        calling.Calls(reached).plan(step)
