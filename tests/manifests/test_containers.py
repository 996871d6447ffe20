"""The containers of a tenant: what each is, what it is handed, and what restarts it."""

import dataclasses
import json
from pathlib import Path

import pytest

from airflow_platform import secrets
from airflow_platform.config import components, specs
from airflow_platform.runtimes.docker import manifest
from airflow_platform.tenants import airflow_settings
from airflow_platform.testing import specs as testing

KEYS = (*airflow_settings.KEYS.values(), "snowflake_password", "database_password", "broker_password")
FILES = manifest.Files(
    keys={name: secrets.Secret(f"the {name}/@:") for name in KEYS},
    passwords=secrets.Secret('{"admin": "the password"}'),
    authorities="the authorities",
    certificate="the certificate",
    certificate_key=secrets.Secret("the key of it"),
)
NAMES = (*components.AIRFLOW, "worker", "broker", "fakesnow", "metadata-database")
AT = manifest.Machine(
    owner="/state/dev",
    port=18280,
    images={name: f"sha256:{name}" for name in NAMES},
    repository=Path("/state/dev/dags.git"),
    database="dev_analytics",
    role="dev_analytics",
)
ACCOUNT = {
    "account": "a-b", "password": {"env": "P"}, "database": "D", "warehouse": "W", "role": "R",
}  # fmt: skip


def made(*, docker=None, generations=None, dags=None, images=None, **fields):
    tenant = testing.tenant(**fields)
    extra = {"dags": dags} if dags else {}
    environment = testing.environment("dev", tenant, runtime="docker", docker=docker or {}, **extra)
    at = dataclasses.replace(AT, images={**AT.images, **(images or {})})
    return manifest.TenantContainers(tenant, environment, at, FILES, generations or {})


def by_component(**fields):
    return {each.hostname: each for each in made(**fields).all()}


def changed(before, after):
    return {
        name
        for name in before.keys() | after.keys()
        if name not in before or name not in after or before[name].digest() != after[name].digest()
    }


def test_those_come_first_that_others_need():
    names = [each.hostname for each in made().all()]
    assert names == [
        "fakesnow", "broker", "api-server", "scheduler", "dag-processor", "triggerer", "worker",
    ]  # fmt: skip


def test_the_local_executor_needs_no_broker_and_no_worker_and_an_account_no_fakesnow():
    found = by_component(docker={"executor": "LocalExecutor"}, snowflake=ACCOUNT)
    assert set(found) == {"api-server", "scheduler", "dag-processor", "triggerer"}
    assert found["scheduler"].environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"


def test_names_and_labels_say_whose_it_is():
    scheduler = by_component()["scheduler"]
    assert scheduler.name == "airflow.dev.analytics.scheduler"
    assert scheduler.network == "airflow.dev.analytics"
    assert scheduler.labels == {
        "airflow-platform.owner": "/state/dev",
        "airflow-platform.tenant": "analytics",
        "airflow-platform.component": "scheduler",
    }
    assert scheduler.image == "sha256:scheduler"


def test_only_the_api_server_is_published():
    assert {name: each.ports for name, each in by_component().items() if each.ports} == {
        "api-server": {8080: 18280}
    }


def test_airflow_is_told_where_it_is():
    found = by_component()["worker"].environment
    assert found["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"
    assert found["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:18280"
    assert found["AIRFLOW__CELERY__WORKER_CONCURRENCY"] == "2"
    (bundle,) = json.loads(found["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert bundle["kwargs"]["repo_url"] == "/srv/dags.git"
    assert by_component()["worker"].binds == {"/srv/dags.git": "/state/dev/dags.git"}


def test_addresses_with_passwords_are_files_and_quoted():
    files = by_component()["scheduler"].files
    where = "dev_analytics:the%20database_password%2F%40%3A@metadata-database:5432/dev_analytics"
    variables = {
        path.removeprefix("/run/airflow/environment/"): file.content.reveal()
        for path, file in files.items()
        if path.startswith("/run/airflow/environment/")
    }
    assert variables == {
        "AIRFLOW__CORE__FERNET_KEY": "the fernet_key/@:",
        "AIRFLOW__API__SECRET_KEY": "the api_secret_key/@:",
        "AIRFLOW__API_AUTH__JWT_SECRET": "the jwt_secret/@:",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{where}",
        "AIRFLOW__CELERY__BROKER_URL": "redis://:the%20broker_password%2F%40%3A@broker:6379/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://{where}",
    }


def test_no_secret_is_in_what_the_engine_shows():
    hidden = [*(each.reveal() for each in FILES.keys.values()), "the password", "the key of it"]
    shown = [*made().all(), made().migration()]
    for each in shown:
        visible = {key: value for key, value in vars(each).items() if key != "files"}
        assert not [secret for secret in hidden if secret in repr(visible)], each.name
        assert "the" not in repr([file.content for file in each.files.values()])


def test_a_file_belongs_to_the_user_that_reads_it_alone():
    for name, each in by_component().items():
        assert each.owner == (999 if name == "broker" else 50000)
        for path, file in each.files.items():
            assert file.mode == (0o600 if path.endswith("passwords.json") else 0o400)


@pytest.mark.parametrize(
    ("change", "restarts"),
    [
        ({"parallelism": 9}, {"scheduler", "worker"}),
        ({"description": "other words"}, set()),
        ({"variables": {"a": "b"}}, set()),
        ({"generations": {"triggerer": "1"}}, {"triggerer"}),
        ({"images": {"worker": "sha256:other"}}, {"worker"}),
        ({"docker": {"limits": {"scheduler": {"memory": 2048}}}}, {"scheduler"}),
        ({"docker": {"start_timeout": 100}}, set()),
        ({"snowflake": ACCOUNT}, {"fakesnow"}),
    ],
)
def test_a_change_restarts_what_it_touches(change, restarts):
    assert changed(by_component(), by_component(**change)) == restarts


def test_limits_of_the_spec_and_where_it_says_nothing():
    found = by_component(docker={"limits": {"worker": {"memory": 4096, "cpus": 3.5}}})
    assert (found["worker"].memory, found["worker"].cpus) == (4096 * 1024**2, 3.5)
    assert (found["broker"].memory, found["broker"].cpus) == (128 * 1024**2, 2.0)
    assert all(each.memory and each.cpus for each in found.values())


def test_the_migration_ends_and_is_not_started_again():
    found = made().migration()
    assert found.command == ("airflow", "db", "migrate")
    assert not found.restarts
    assert not found.ports
    assert found.files.keys() == by_component()["scheduler"].files.keys()


def test_the_server_is_for_all_tenants_however_many():
    environment = testing.environment("dev", "a", "b", runtime="docker", docker={"server_connections": 80})
    found = manifest.server(environment, owner="/state/dev", image="sha256:1", password=secrets.Secret("p"))
    assert "max_connections=80" in found.command
    assert found.ports == {5432: 0}
    assert found.name == "airflow.dev.metadata-database"
    assert "airflow-platform.tenant" not in found.labels


def test_two_environments_never_have_the_same_name():
    assert manifest.prefix("dev", "a-b") != manifest.prefix("dev-a", "b")
    for name in ("dev", "a-b"):
        assert specs.is_name(name)
        assert "." not in name
