"""Before a password is sent, the toolkit looks at who listens; what a process says of itself counts for nothing."""

import json
import os
import subprocess
import sys

import pytest

from airflow_platform.config import paths, state_files
from airflow_platform.runtimes.docker import docker_runtime
from airflow_platform.runtimes.process import process_runtime
from airflow_platform.testing import specs
from airflow_platform.tools.airflow import airflow_session

THIEF = """
import encodings.idna, http.server, os, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_error(401)

if len(sys.argv) > 1:
    os.setuid(int(sys.argv[1]))  # Now, because not every user may run this Python.
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
print(server.server_port, flush=True)
server.serve_forever()
"""
PASSWORD = "of analytics"


@pytest.fixture
def place():
    found = state_files.EnvironmentFiles(paths.state("sandbox")).tenant("analytics")
    for directory in (found.run, found.home, found.keys):
        directory.mkdir(parents=True)
    found.admin_password.write_text(PASSWORD)
    return found


@pytest.fixture
def thief(place):
    """Listens on the tenant's port, and marks itself as the tenant's."""
    started = []

    def start(user=None):
        marked = {"AIRFLOW_PLATFORM_OWNER": str(place.directory)} if user else {}
        argv = [sys.executable, "-S", "-c", THIEF, *([str(user)] if user else [])]
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=marked)
        started.append(child)
        place.ports.write_text(json.dumps({"airflow": int(child.stdout.readline())}))
        return child

    yield start
    for child in started:
        child.kill()
        assert PASSWORD not in child.communicate()[0]


def refused(runtime):
    with (
        runtime.access("analytics") as opened,
        pytest.raises(airflow_session.StrangerListens) as caught,
    ):
        opened.airflow.dags()
    return caught.value


def test_a_process_that_was_not_started_for_the_tenant_is_told_nothing(thief, monkeypatch):
    """As another user than root all tenants run as that user, so the process decides."""
    monkeypatch.setattr("airflow_platform.tools.users.of_tenant", lambda directory: None)
    child = thief()
    error = refused(process_runtime.ProcessRuntime(specs.environment()))
    assert error.listener.startswith(f"process {child.pid} (")
    assert "no password was sent" in error.message


@pytest.mark.root
@pytest.mark.parametrize("kind", [process_runtime.ProcessRuntime, docker_runtime.DockerRuntime])
def test_a_process_of_another_user_is_told_nothing_whatever_it_says_of_itself(thief, kind):
    child = thief(user=61_237)
    runtime = kind(specs.environment(runtime=kind.name))
    assert refused(runtime).listener.startswith(f"process {child.pid} (")
    if kind is process_runtime.ProcessRuntime:
        assert not runtime.is_running("analytics")


def test_a_listener_of_another_user_is_seen_by_everybody(thief, place, monkeypatch):
    thief()
    monkeypatch.setattr("airflow_platform.tools.users.of_tenant", lambda directory: os.getuid() + 1)
    refused(process_runtime.ProcessRuntime(specs.environment()))
