"""What is missing until a tenant is healthy, in the order in which it comes about."""

import datetime

import pytest

from airflow_platform import errors
from airflow_platform.runtimes.process.supervisor.spec import ComponentStatus
from airflow_platform.tenants import health
from airflow_platform.tools.airflow import airflow_answers as answers
from airflow_platform.tools.airflow import airflow_session

START = datetime.datetime(2026, 11, 23, 2, 43, tzinfo=datetime.UTC)
NAMES = ("api-server", "scheduler", "dag-processor", "triggerer", "fakesnow")
HEALTHY = dict.fromkeys(("metadatabase", "scheduler", "dag_processor", "triggerer"), "healthy")


class Client:
    """Answers as an api-server, once asked for what a test allows."""

    def __init__(self, late=0.0, without=(), **parts):
        self._parts = {**HEALTHY, **parts}
        self.session = self
        self._jobs = {name: START + datetime.timedelta(seconds=1 - late) for name in NAMES[1:4]}
        for name in without:
            del self._jobs[name]

    def health(self):
        return answers.Health(**{name: answers.Component(status) for name, status in self._parts.items()})

    def require_tenant(self):
        """The tenant itself listens."""

    def jobs(self):
        return {
            name: answers.Job(1, "Job", "running", started, started) for name, started in self._jobs.items()
        }


class Silent:
    def health(self):
        raise airflow_session.NotReachable("nobody answers")


class Refusing(Client):
    def jobs(self):
        raise errors.RefusedError("POST /auth/token was answered with status 401: Invalid credentials")


class Failing:
    def health(self):
        raise airflow_session.AirflowError("GET /api/v2/monitor/health answered 503.", status=503)


def status(*names, **states):
    return tuple(
        ComponentStatus(
            name, states.get(name.replace("-", "_"), "running"), 7, START.timestamp(), 0, "exited 1", "d"
        )
        for name in names or NAMES
    )


@pytest.mark.parametrize(
    ("found", "client", "missing"),
    [
        (status(dag_processor="waiting"), None, "dag-processor (exited 1)"),
        (status(fakesnow="stopped"), None, "fakesnow (exited 1)"),
        (status(), Silent(), "an answer of the api-server"),
        (status(), Failing(), "a good answer of the api-server (GET /api/v2/monitor/health answered 503.)"),
        (status(), Refusing(), "a login with the tenant's password"),
        (status(), Client(scheduler="unhealthy"), "a heartbeat of scheduler"),
        (status(), Client(dag_processor=None, triggerer=None), "a heartbeat of dag-processor, triggerer"),
        (status(), Client(metadatabase="unhealthy"), "a heartbeat of the metadata database"),
        (status(), Client(late=2), "a heartbeat of this start of scheduler, dag-processor, triggerer"),
        (status(), Client(without=["triggerer"]), "a heartbeat of this start of triggerer"),
        (status(), Client(), ""),
        (status(*NAMES[:3]), Client(without=["triggerer"], triggerer=None), ""),
        (status(*NAMES[:2]), Client(without=["dag-processor"]), ""),
    ],
)
def test_what_is_missing(found, client, missing):
    assert health.missing(found, client) == missing


class OfAStranger(Client):
    def require_tenant(self):
        raise airflow_session.StrangerListens("http://127.0.0.1:18080", "process 7 (thief)")

    def jobs(self):
        raise AssertionError("a stranger was told the password")


def test_a_stranger_on_the_tenants_port_is_not_told_its_password():
    """`jobs` is the first call that logs in; a DAG of another tenant may answer `health` as it likes."""
    assert health.missing(status(), OfAStranger()) == "its own port, which process 7 (thief) has"
