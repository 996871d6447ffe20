"""Airflow's images run as the official chart (1.22.0) runs them: its arguments, its probes, its Pod Security.

The arguments and probes are the chart's defaults, rendered for Airflow 3.3.2.
"""

from __future__ import annotations

import base64
import secrets

import pytest

from tests.images import conftest

PASSWORD = secrets.token_hex(12)
ARBITRARY_USER = "1000660000:0"
"""As clusters have it that choose a user id themselves."""
PROBE = ("sh", "-c")
CHECK = "CONNECTION_CHECK_MAX_COUNT=0 AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR exec /entrypoint "

ARGUMENTS = {
    "api-server": ["bash", "-c", "exec \\\nairflow api-server"],
    "scheduler": ["bash", "-c", "exec airflow scheduler"],
    "dag-processor": ["bash", "-c", "exec airflow dag-processor"],
    "triggerer": ["bash", "-c", "exec airflow triggerer"],
    "worker": ["bash", "-c", "exec \\\nairflow celery worker"],
}
PROBES = {
    "scheduler": f"{CHECK}airflow jobs check --job-type SchedulerJob --local",
    "dag-processor": f"{CHECK}airflow jobs check --local --job-type DagProcessorJob",
    "triggerer": f"{CHECK}airflow jobs check --job-type TriggererJob --local",
    "worker": "CONNECTION_CHECK_MAX_COUNT=0 exec /entrypoint python -m celery --app "
    "airflow.providers.celery.executors.celery_executor.app inspect ping -d celery@$(hostname)",
}
USERS = {"api-server": ARBITRARY_USER, "worker": ARBITRARY_USER}
"""The others run as the image's own user, so that both are tried."""


def key(length):
    return base64.urlsafe_b64encode(secrets.token_bytes(length)).decode()


SECRETS = {
    "AIRFLOW__CORE__FERNET_KEY": key(32),
    "AIRFLOW__API__SECRET_KEY": key(32),
    "AIRFLOW__API_AUTH__JWT_SECRET": key(64),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://airflow:{PASSWORD}@database:5432/airflow",
    "AIRFLOW__CELERY__BROKER_URL": f"redis://:{PASSWORD}@broker:6379/0",
}
SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://api-server:8080/execution/",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
}


class Airflow:
    """One Airflow as the chart would start it: secrets by environment variables, as Kubernetes hands them over."""

    def __init__(self, client, images):
        self.images = images
        self.containers = conftest.Containers(client)

    def start(self, component, *command, image=None, **options):
        name = options.pop("hostname", component)
        return self.containers.start(
            self.images.images[image or component].id,
            *command,
            hostname=name,
            networking_config=self.named(name),
            healthcheck={"interval": 5 * conftest.SECOND},
            **{"environment": {**SETTINGS, **SECRETS}, **options},
        )

    def named(self, name):
        from docker.types import EndpointConfig

        return {self.containers.network.name: EndpointConfig("1.41", aliases=[name])}


@pytest.fixture(scope="module")
def airflow(client, images):
    made = Airflow(client, images)
    try:
        service = {"POSTGRES_PASSWORD": PASSWORD, "POSTGRES_USER": "airflow", "REDIS_PASSWORD": PASSWORD}
        started = [
            made.start("metadata-database", hostname="database", environment=service),
            made.start("broker", environment=service),
        ]
        for each in started:
            conftest.wait_until(lambda each=each: conftest.is_healthy(each), "a service is healthy")
        migration = made.start("migrate", "bash", "-c", "exec \\\nairflow db migrate", image="airflow-base")
        code, said = conftest.ran(migration, timeout=180)
        assert code == 0, said
        yield made
    finally:
        made.containers.remove()


@pytest.fixture(scope="module")
def components(airflow):
    """All of them, started together."""
    started = {
        name: airflow.start(name, *words, **({"user": USERS[name]} if name in USERS else {}))
        for name, words in ARGUMENTS.items()
    }
    for name, each in started.items():
        conftest.wait_until(lambda each=each: conftest.is_healthy(each), f"{name} is healthy", 240)
    return started


@pytest.mark.parametrize("name", PROBES)
def test_the_chart_s_probes_pass(components, name):
    def passes():
        code, said = conftest.executed(components[name], *PROBE, PROBES[name])
        print(said)
        return code == 0

    # Kubernetes asks again, too: a worker has a second to answer in.
    conftest.wait_until(passes, f"the probe of {name} passes", 120)


def test_the_chart_s_probe_of_the_api_server_passes(components):
    ask = "import urllib.request as r; print(r.urlopen('http://localhost:8080/api/v2/monitor/health').status)"
    assert conftest.executed(components["api-server"], "python", "-c", ask) == (0, "200\n")


@pytest.mark.parametrize("name", PROBES)
def test_the_image_s_own_check_says_no_when_the_component_is_gone(components, airflow, name):
    idle = airflow.start(name, "sleep", "300", hostname=f"idle-{name}")
    code, said = conftest.executed(idle, "/healthcheck", name)
    assert code == 1
    assert name in said
    assert PASSWORD not in said


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_component_may_write_where_airflow_does(components, name):
    wrote = "cd /opt/airflow && for d in logs dags plugins bundles; do touch $d/x && rm $d/x; done; stat -c %a logs"
    code, said = conftest.executed(components[name], "sh", "-c", wrote)
    assert (code, said) == (0, "2775\n")


def test_migrations_are_found_to_be_done_by_the_chart_s_waiting_container(airflow):
    words = ["airflow", "db", "check-migrations", "--migration-wait-timeout=60"]
    code, said = conftest.ran(
        airflow.start("waits", *words, image="scheduler", user=ARBITRARY_USER), timeout=120
    )
    assert code == 0, said


def test_the_chart_s_user_is_made(airflow):
    words = ["bash", "-c", 'exec \\\nairflow users create "$@"', "--"]
    options = ["-r", "Admin", "-u", "admin", "-e", "admin@example.com", "-f", "A", "-l", "B", "-p", PASSWORD]
    code, said = conftest.ran(airflow.start("user", *words, *options, image="airflow-base"), timeout=120)
    assert code == 0, said
    assert "admin" in said


def test_the_chart_s_log_groomer_deletes_old_logs_only(airflow):
    old = "cd /opt/airflow/logs && mkdir -p a/b && touch -d '20 days ago' a/b/old && touch new && exec bash /clean-logs"
    groomer = airflow.start("groomer", "bash", "-c", old, image="scheduler", environment={})
    conftest.wait_until(
        lambda: conftest.executed(groomer, "ls", "/opt/airflow/logs") == (0, "new\n"), "it deletes"
    )
    groomer.stop(timeout=5)
    assert groomer.wait()["StatusCode"] == 0
