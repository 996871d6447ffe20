"""A tenant's ports: the first free ones, kept for ever, never another tenant's."""

import concurrent.futures
import contextlib
import json
import os
import random
import socket
import subprocess
import sys

import pytest

from airflow_platform import errors
from airflow_platform.config import state_files
from airflow_platform.engine import file_lock
from airflow_platform.programs import programs
from airflow_platform.runtimes.process import process_runtime, supervisor_client
from airflow_platform.runtimes.process.supervisor.spec import OWNER_VARIABLE, Status
from airflow_platform.tenants import tenant_ports
from airflow_platform.testing import specs
from airflow_platform.tools import ports
from tests.steps import calling


@pytest.fixture
def span():
    """Six ports in a row that nobody uses."""
    while True:
        first = random.randrange(21_000, 32_000)
        if all(map(ports.is_free, range(first, first + 6))):
            return first


@pytest.fixture
def step(place, span):
    return tenant_ports.TenantPorts(place, process_runtime.PORTS)


def calls_of(place, span, name="analytics", *, last=5):
    place.tenant(name).directory.mkdir(parents=True, exist_ok=True)
    tenant = specs.tenant(name)
    settings = {"ports": {"first": span, "last": span + last}}
    return calling.Calls(
        tenant=tenant, environment=specs.environment("sandbox", "analytics", "finance", process=settings)
    )


@contextlib.contextmanager
def listening(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield


def test_the_first_free_ports_are_given_and_kept(place, step, span):
    calls = calls_of(place, span)
    with listening(span):
        first, _ = calls.twice(step)
    assert first.outputs == {"airflow": span + 1, "snowflake": span + 2}
    assert not calls.run(step).changed, "the first one is free now, and yet it keeps its own"
    assert calls.faults(step) == []


def test_tenants_that_choose_at_the_same_time_choose_different_ports(place, step, span):
    both = [calls_of(place, span, name) for name in ("analytics", "finance")]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda calls: calls.run(step).outputs, both))
    assert {port for each in found for port in each.values()} == set(range(span, span + 4))
    assert not place.ports_lock.exists()


def test_tenants_of_different_environments_choose_one_after_the_other(place, step, span):
    """Each looks at the ports of all environments, and would not see what the other is about to take."""
    calls = calls_of(place, span)
    another = state_files.EnvironmentFiles(place.directory.parent / "another")
    lock = file_lock.FileLock(another.ports_lock, "ports", programs=programs.Programs(), on_note=print)

    def let_go(seconds):
        assert not place.tenant("analytics").ports.exists()
        held.close()

    calls.patience.sleep = let_go
    with contextlib.ExitStack() as held:
        held.enter_context(lock.held())
        assert calls.run(step).changed
        assert not lock._users, "it waited"


def test_a_port_that_another_program_took_blocks_and_names_it(place, step, span):
    calls = calls_of(place, span)
    calls.run(step)
    with listening(span):
        (fault,) = calls.faults(step)
    assert fault.thing == f"port {span} of tenant analytics"
    assert f"process {os.getpid()} (" in fault.cause
    assert "on 127.0.0.1" in fault.cause
    assert "--delete-data" in fault.remedy


def test_what_the_tenants_own_components_listen_on_is_no_fault(place, step, span, monkeypatch):
    calls = calls_of(place, span)
    calls.run(step)
    status = Status(pid=1, state="running", started_at=1, spec_digest="x", components=())
    monkeypatch.setattr(supervisor_client, "status", lambda directory: status)
    with listening(span):
        assert calls.faults(step) == []


def test_what_a_killed_supervisor_left_behind_is_no_fault(place, step, span):
    calls = calls_of(place, span)
    calls.run(step)
    program = (
        f"import socket; s = socket.create_server(('127.0.0.1', {span})); print('up', flush=True); s.accept()"
    )
    environment = {**os.environ, OWNER_VARIABLE: str(place.tenant("analytics").directory)}
    words = [sys.executable, "-I", "-S", "-c", program]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as left:
        assert left.stdout
        left.stdout.readline()
        assert calls.faults(step) == []
        left.kill()


def test_too_few_free_ports_are_a_fault(place, step, span):
    """For all tenants of the environment together, before the first one gets any."""
    calls = calls_of(place, span, last=3)
    assert calls.faults(step) == []
    with listening(span), listening(span + 1), listening(span + 2):
        (fault,) = calls.faults(step)
        assert fault.thing == f"ports {span} to {span + 3}"
        assert fault.cause == "Fewer than 4 are free, and 2 tenants need 2 each."
        assert "Widen `ports`" in fault.remedy
        with pytest.raises(errors.StepError, match="taken meanwhile"):
            calls.run(step)


def test_ports_of_tenants_that_are_no_longer_declared_are_not_given_again(place, step, span):
    calls_of(place, span, "gone").run(step)
    assert calls_of(place, span).run(step).outputs == {"airflow": span + 2, "snowflake": span + 3}


@pytest.mark.parametrize(
    "text", ["", '{"airflow": 18', "[1, 2]", '{"airflow": 1}', '{"airflow": "x", "snowflake": 2}']
)
def test_a_cut_file_is_written_anew(place, step, span, text):
    calls = calls_of(place, span)
    calls.run(step)
    place.tenant("analytics").ports.write_text(text)
    assert calls.faults(step) == []
    again, _ = calls.twice(step)
    assert again.changed
    assert json.loads(place.tenant("analytics").ports.read_text()) == again.outputs
