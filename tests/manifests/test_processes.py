"""What a tenant's supervisor is told."""

from pathlib import Path

import pytest

from airflow_platform.config import components, specs, state_files
from airflow_platform.runtimes.process import manifest
from airflow_platform.tenants import airflow_settings
from airflow_platform.testing import specs as testing

PLACE = state_files.TenantFiles(Path("/state/sandbox/tenants/analytics"))
AT = manifest.Machine(PLACE, 18080, Path("/cache/venv/bin"), Path("/state/sandbox/dags.git"))
FAKESNOW = manifest.fakesnow(testing.tenant(), AT, port=18081, environment=Path("/cache/fakesnow"))


def supervised(*, snowflake=FAKESNOW, dags=None, generations=None, **fields):
    return manifest.supervised(
        testing.tenant(**fields),
        dags or specs.Dags(),
        AT,
        user=None,
        snowflake=snowflake,
        generations=generations or {},
    )


def argv_of(spec):
    return {each.name: each.argv for each in spec.components}


def digests(spec):
    return {each.name: spec.digest_of(each) for each in spec.components}


def changed(before, after):
    old, new = digests(before), digests(after)
    return {name for name in old | new if old.get(name) != new.get(name)}


def test_five_processes_one_of_them_fakesnow_and_that_first() -> None:
    spec = supervised()
    assert spec.owner == "/state/sandbox/tenants/analytics"
    assert list(argv_of(spec)) == ["fakesnow", "api-server", "scheduler", "dag-processor", "triggerer"]
    del (found := argv_of(spec))["fakesnow"]
    program = "/cache/venv/bin/airflow"
    assert found == {
        "api-server": (program, "api-server"),
        "scheduler": (program, "scheduler", "--skip-serve-logs"),
        "dag-processor": (program, "dag-processor"),
        "triggerer": (program, "triggerer", "--skip-serve-logs"),
    }


def test_a_tenant_with_an_account_has_no_fakesnow() -> None:
    assert "fakesnow" not in argv_of(supervised(snowflake=None))


def test_fakesnow_is_told_files_instead_of_secrets() -> None:
    place = "/state/sandbox/tenants/analytics"
    assert FAKESNOW.argv == (
        "/cache/fakesnow/bin/python", "/cache/fakesnow/server.py",
        "--port", "18081",
        "--database-directory", f"{place}/snowflake",
        "--certificate", f"{place}/certificates/server.pem",
        "--key", f"{place}/certificates/server.key",
        "--password-file", f"{place}/keys/snowflake_password",
        "--database", "TEST_ANALYTICS",
        "--schema", "PUBLIC",
    )  # fmt: skip
    assert FAKESNOW.environment.keys() == {"PATH", "HOME", "LANG", "USER"}
    assert (FAKESNOW.directory, FAKESNOW.log) == (f"{place}/snowflake", f"{place}/logs/fakesnow.log")


def test_every_airflow_component_reads_its_secrets_from_files_at_its_start() -> None:
    for each in supervised(snowflake=None).components:
        assert each.secret_environment == manifest.secret_environment(PLACE)
        assert not each.secret_environment.keys() & each.environment.keys()
        assert each.directory == "/state/sandbox/tenants/analytics/home"
        assert each.log == f"/state/sandbox/tenants/analytics/logs/{each.name}.log"


def test_only_the_scheduler_has_workers_that_idle() -> None:
    assert {each.name for each in supervised().components if each.idle_title} == {"scheduler"}


@pytest.mark.parametrize(
    ("change", "restarts"),
    [
        ({"parallelism": 9}, {"scheduler"}),
        ({"description": "other words"}, set()),
        ({"variables": {"a": "b"}}, set()),
        ({"generations": {"triggerer": "1"}}, {"triggerer"}),
        ({"snowflake": None}, {"fakesnow"}),
    ],
)
def test_a_change_restarts_what_it_touches(change, restarts) -> None:
    assert changed(supervised(), supervised(**change)) == restarts


def test_another_interval_between_looks_for_dags_restarts_airflow_which_has_it_in_the_bundle() -> None:
    after = supervised(dags=specs.Dags(refresh_interval=60))
    assert changed(supervised(), after) == set(components.AIRFLOW)


def test_another_user_restarts_all() -> None:
    as_user = manifest.supervised(
        testing.tenant(), specs.Dags(), AT, user=1879048200, snowflake=FAKESNOW, generations={}
    )
    assert changed(supervised(), as_user) == set(argv_of(as_user))


def test_what_a_process_needs_besides_settings() -> None:
    scheduler = next(each for each in supervised().components if each.name == "scheduler")
    needs = {name: scheduler.environment[name] for name in ("PATH", "HOME", "USER", "LOGNAME", "LANG")}
    assert needs == {
        "PATH": "/cache/venv/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/state/sandbox/tenants/analytics/home",
        "USER": "airflow",
        "LOGNAME": "airflow",
        "LANG": "C.UTF-8",
    }


def test_secrets_are_named_by_their_files_and_nowhere_by_value() -> None:
    keys = "/state/sandbox/tenants/analytics/keys"
    assert manifest.secret_environment(PLACE) == {
        "AIRFLOW__CORE__FERNET_KEY": f"{keys}/fernet_key",
        "AIRFLOW__API__SECRET_KEY": f"{keys}/api_secret_key",
        "AIRFLOW__API_AUTH__JWT_SECRET": f"{keys}/jwt_secret",
    }
    settings = airflow_settings.environment(testing.tenant(), specs.Dags(), AT.installation())
    assert not manifest.secret_environment(PLACE).keys() & settings.keys()


def test_a_migration_gets_what_it_needs_and_no_key() -> None:
    assert manifest.migration_environment(Path("/h"), Path("/p")) == {
        "PATH": "/p:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/h",
        "LANG": "C.UTF-8",
        "AIRFLOW_HOME": "/h",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////h/airflow.db",
    }
