"""Components under a supervisor: which ones change, when they are healthy, when waiting ends, and their end."""

import contextlib
import dataclasses
import inspect
import json
import os
import socket
import subprocess
import sys

import pytest

from airflow_platform import errors
from airflow_platform.config.components import AIRFLOW
from airflow_platform.engine import step as engine
from airflow_platform.runtimes.process import components, supervisor_client
from airflow_platform.runtimes.process.supervisor.spec import OWNER_VARIABLE, ComponentStatus, Status
from airflow_platform.tenants import keys, restart
from airflow_platform.testing import specs
from airflow_platform.tools import processes
from tests.steps import calling

NAMES = ("fakesnow", *AIRFLOW)
STARTED = 1_000_000_000.0
"""Before the jobs that the api-server tells of."""


class Supervisor:
    """Plays `runtimes.process.supervisor_client` for one directory; refuses what it was not told to expect."""

    def __init__(self, monkeypatch):
        self.calls = []
        self.spec = None
        self.found = None
        self.held = False
        self.ends_at_reload = False
        self.becomes = {}
        """Fields that a component's status gets at its start."""
        for name, function in inspect.getmembers(supervisor_client, inspect.isfunction):
            if function.__module__ == supervisor_client.__name__ and not name.startswith("_"):
                monkeypatch.setattr(supervisor_client, name, getattr(self, name, self._refuse(name)))

    def _refuse(self, name):
        return lambda *_, **__: pytest.fail(f"supervisor.{name} was called")

    processes_of = staticmethod(supervisor_client.processes_of)

    def status(self, directory):
        return self.found

    def is_held(self, directory):
        return self.held

    def read_spec(self, directory):
        return self.spec

    def write_spec(self, directory, spec):
        self.calls.append("write_spec")
        self.spec = spec

    def start(self, directory, *, python, timeout, sleep):
        self.calls.append("start")
        return self._run()

    def reload(self, directory, timeout, *, sleep):
        self.calls.append("reload")
        if self.ends_at_reload:
            self.found = None
            raise errors.ProgramError("supervisor", 1, ())
        return self._run()

    def stop(self, directory, timeout, *, sleep):
        self.calls.append("stop")
        self.found, self.held = None, False

    def _run(self):
        before = {} if self.found is None else {each.name: each for each in self.found.components}
        running = tuple(
            before[each.name]
            if each.name in before and before[each.name].digest == self.spec.digest_of(each)
            else dataclasses.replace(
                ComponentStatus(
                    each.name, "running", 100 + len(self.calls), STARTED, 0, "", self.spec.digest_of(each)
                ),
                **self.becomes.get(each.name, {}),
            )
            for each in self.spec.components
        )
        self.found = Status(1, "running", STARTED, self.spec.digest, running)
        self.held = True
        return self.found


@pytest.fixture
def supervised(monkeypatch):
    return Supervisor(monkeypatch)


@pytest.fixture
def outputs(reached):
    return {
        **reached,
        "airflow-packages": {"programs": "/packages/bin"},
        "snowflake-packages": {"environment": "/fakesnow"},
        "certificates": {"fingerprint": "c1"},
    }


@pytest.fixture
def calls_of(outputs):
    return lambda **fields: calling.Calls(outputs, tenant=specs.tenant(**fields))


@pytest.fixture
def calls(calls_of):
    return calls_of()


@pytest.fixture
def down(outputs):
    return calling.Calls(outputs, goal=engine.Goal.ABSENT)


@pytest.fixture
def step(place, access):
    return components.Components(place, access)


def test_a_tenant_that_is_down_is_started_waited_for_and_warmed(step, calls, supervised, server, tenant):
    first, _ = calls.twice(step)
    assert first.text == f"start {', '.join(NAMES)}"
    assert supervised.calls == ["write_spec", "start"]
    assert first.outputs == {
        "url": server.url,
        "user": "admin",
        "password_file": str(tenant.admin_password),
        "start": first.outputs["start"],
        "snowflake": {"host": "localhost", "port": 18081},
    }
    assert server.warmed == 1


def test_it_is_waited_for_until_every_component_has_a_heartbeat_of_this_start(
    step, calls, supervised, server
):
    server.unhealthy = {"scheduler", "triggerer"}
    server.started = {"scheduler": "1990-01-01T00:00:00+00:00", "dag-processor": "2026-11-23T02:44:00+00:00"}
    told = iter(["triggerer", "scheduler"])

    def sleep(seconds):
        calls.patience.now += seconds
        name = next(told, None)
        server.unhealthy.discard(name)
        if name is None:
            server.started = dict.fromkeys(
                ("scheduler", "dag-processor", "triggerer"), "2026-11-23T02:44:00Z"
            )

    calls.patience.sleep = sleep
    calls.twice(step)
    assert calls.news == [
        "a heartbeat of scheduler, triggerer",
        "a heartbeat of scheduler",
        "a heartbeat of this start of scheduler, triggerer",
    ]


def test_only_what_differs_restarts(step, calls_of, supervised):
    calls_of().run(step)
    pids = {each.name: each.pid for each in supervised.found.components}
    again, _ = calls_of(parallelism=7).twice(step)
    assert again.text == "restart scheduler"
    assert supervised.calls[-1] == "reload"
    assert {each.name for each in supervised.found.components if each.pid != pids[each.name]} == {"scheduler"}


@pytest.mark.parametrize("name", ["keys", "certificates"])
def test_other_keys_or_certificates_restart_all(step, calls, supervised, name):
    first = calls.run(step)
    calls.outputs[name] = {"fingerprint": "another"}
    again, _ = calls.twice(step)
    assert again.text == f"restart {', '.join(NAMES)}"
    assert again.outputs["start"] != first.outputs["start"]


def test_a_tenant_that_gets_an_account_loses_its_fakesnow(step, calls_of, supervised):
    calls_of().run(step)
    account = {"database": "D", "warehouse": "W", "role": "R", "account": "a", "private_key": {"env": "KEY"}}
    again, _ = calls_of(snowflake=account).twice(step)
    assert again.text == "stop fakesnow"
    back, _ = calls_of().twice(step)
    assert back.text == "start fakesnow"


def test_who_asks_for_a_restart_gets_one_and_only_of_that(place, step, calls, supervised):
    calls.run(step)
    asked = restart.Restart(place, components=["scheduler"])
    assert calls.run(asked).text == "ask for a restart of scheduler"
    again, _ = calls.twice(step)
    assert again.text == "restart scheduler"
    calls.run(restart.Restart(place, components=["triggerer"]))
    assert calls.run(step).text == "restart triggerer", "the scheduler's wish was granted already"


def test_what_is_more_than_a_restart_is_told(place, step, calls_of, supervised):
    """Whoever asks for a restart is not to get a change of the spec with it."""
    calls_of().run(step)
    calls = calls_of()
    calls.run(restart.Restart(place, components=["triggerer"]))
    assert dict(calls.plan(step).details) == {}
    more = calls_of(parallelism=7)
    assert more.plan(step).summary == "restart scheduler, triggerer"
    assert dict(more.plan(step).details) == {"redefined": ["scheduler"]}
    other_keys = calls_of()
    other_keys.outputs["keys"] = {"fingerprint": "another"}
    assert dict(other_keys.plan(step).details) == {"redefined": sorted(NAMES)}
    account = {"database": "D", "warehouse": "W", "role": "R", "account": "a", "private_key": {"env": "KEY"}}
    assert "fakesnow" in calls_of(snowflake=account).plan(step).details["redefined"]


def test_a_tenant_that_is_stopped_is_measured_by_how_it_ran_the_last_time(step, calls_of, supervised):
    calls_of().run(step)
    supervised.stop(None, 0, sleep=None)
    assert dict(calls_of().plan(step).details) == {}
    assert dict(calls_of(parallelism=7).plan(step).details) == {"redefined": ["scheduler"]}


def test_what_the_supervisor_was_told_by_a_run_that_was_killed_is_no_news(place, step, calls, supervised):
    """It may be about to restart what that run asked for; the same command again goes on with it."""
    calls.run(step)
    calls.run(restart.Restart(place, components=["triggerer"]))
    supervised.write_spec(None, step.observe(calls.context(step.scope)).wanted)
    planned = calls.plan(step)
    assert (planned.summary, dict(planned.details)) == ("restart triggerer", {})


@pytest.mark.parametrize("text", ["", '{"scheduler": "', "[]"])
def test_a_cut_record_of_restarts_asks_for_none(step, calls, supervised, tenant, text):
    calls.run(step)
    (tenant.run / "restarts.json").write_text(text)
    assert not calls.run(step).changed


def test_a_supervisor_that_is_just_ending_is_followed_by_another(step, calls_of, supervised):
    calls_of().run(step)
    supervised.ends_at_reload = True
    calls_of(parallelism=7).twice(step)
    assert supervised.calls[-2:] == ["reload", "start"]


def test_a_supervisor_that_does_not_take_up_its_spec_is_told(step, calls_of, supervised, monkeypatch):
    calls_of().run(step)

    def late(directory, timeout, *, sleep):
        raise errors.ProgramError("supervisor", 124, (), message="did not take up its new spec")

    monkeypatch.setattr(supervisor_client, "reload", late)
    with pytest.raises(errors.ProgramError, match="did not take up"):
        calls_of(parallelism=7).run(step)


def test_what_a_killed_supervisor_left_is_ended_before_another_starts(step, calls, supervised, tenant):
    with left_behind(tenant) as left:
        calls.run(step)
        assert left.wait(5) == -15
    assert supervised.calls == ["write_spec", "start"]


@contextlib.contextmanager
def left_behind(tenant, program="import time; print(flush=True); time.sleep(60)"):
    """A process of the tenant's without a supervisor."""
    environment = {**os.environ, OWNER_VARIABLE: str(tenant.directory)}
    words = [sys.executable, "-I", "-S", "-c", program]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as left:
        assert left.stdout
        left.stdout.readline()
        try:
            yield left
        finally:
            left.kill()


def test_a_component_that_ends_again_and_again_ends_the_wait_with_its_last_words(
    step, calls, supervised, tenant
):
    ends = {"state": "waiting", "pid": 0, "restarts": 7, "last_exit": "exited 1"}
    supervised.becomes["scheduler"] = ends

    def sleep(seconds):
        """It had ended 7 times in its life, and ends 3 times more while it is waited for."""
        found = supervised.found
        again = [dataclasses.replace(each, restarts=each.restarts + 3) for each in found.components]
        supervised.found = dataclasses.replace(found, components=tuple(again))

    calls.patience.sleep = sleep
    tenant.log("scheduler").write_text(
        "\n".join(f"line {number}" for number in range(30)) + "\nno database\n"
    )
    with pytest.raises(errors.StepError, match=r"scheduler ended 3 times \(exited 1\)") as caught:
        calls.run(step)
    assert caught.value.message.endswith("\n    line 29\n    no database")
    assert "line 15" not in caught.value.message


def test_a_component_that_ended_twice_is_waited_for(step, calls, supervised):
    supervised.becomes["scheduler"] = {"state": "waiting", "pid": 0, "restarts": 2, "last_exit": "exited 1"}
    calls.patience.pace = 20
    with pytest.raises(errors.StepError, match="Waited 180 s") as caught:
        calls.run(step)
    assert "still missing: scheduler (exited 1)" in caught.value.message
    assert caught.value.hint.endswith("inv tenant-logs --env=sandbox --tenant=analytics")


def test_a_tenant_that_is_not_healthy_is_waited_for_and_nothing_restarts(step, calls, supervised, server):
    first = calls.run(step)
    server.unhealthy = {"triggerer"}
    planned = calls.plan(step)
    assert planned.summary == "wait until healthy (a heartbeat of triggerer)"
    server.unhealthy = set()
    assert dict(step.apply(calls.context(step.scope), planned)) == first.outputs


def test_an_api_server_that_does_not_answer_is_what_is_missing(step, calls, supervised, tenant):
    calls.run(step)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        tenant.ports.write_text(json.dumps({"airflow": closed.getsockname()[1]}))
        observed = step.observe(calls.context(step.scope))
    assert observed.missing == "an answer of the api-server"


def test_another_password_of_the_admin_restarts_those_that_still_have_the_old_one(
    place, step, calls, supervised, server, tenant
):
    """As `keys` leaves it: the file has the new one, and the api-server knows the old one."""
    calls.run(step)
    tenant.admin_password.write_text("chosen")
    calls.run(keys.Keys(place, names=keys.NAMES, has_data=lambda name: False))
    calls.patience.sleep = lambda seconds: setattr(server, "password", "chosen")
    again, _ = calls.twice(step)
    assert again.text == f"restart {', '.join(NAMES)}"
    assert calls.news[-1] == "a login with the tenant's password"


def test_the_spec_holds_no_secret(step, calls, supervised, tenant):
    calls.run(step)
    told = supervised.spec.to_text()
    assert not [path.name for path in tenant.keys.iterdir() if path.read_text() in told]


def test_the_way_down_stops_all_and_looks(step, calls, down, supervised):
    calls.run(step)
    first, _ = down.twice(step)
    assert first.text == "stop 5 processes"
    assert supervised.calls[-1] == "stop"
    assert first.outputs == {"left": "no process, port, socket or lock (looked)"}


def test_the_way_down_ends_what_a_killed_supervisor_left(step, down, supervised, tenant):
    with left_behind(tenant) as left:
        first, _ = down.twice(step)
        assert first.text.startswith(f"end what is left: process {left.pid} (")
        assert left.wait(5) == -15


def test_the_way_down_says_what_would_not_end(step, down, supervised, tenant, monkeypatch):
    monkeypatch.setattr(processes, "end", lambda *_, **__: ())
    down.patience.pace = 20
    with left_behind(tenant) as left, pytest.raises(errors.StepError) as caught:
        down.run(step)
    assert f"still missing: process {left.pid} (" in caught.value.message


def test_a_supervisor_that_is_being_cleaned_up_after_is_not_gone(step, down, supervised):
    supervised.held = True
    first, _ = down.twice(step)
    assert first.text == "end what is left: the supervisor's lock"


LISTENING = """
import socket, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
time.sleep(60)
"""


def test_a_port_that_the_tenant_listened_on_is_looked_at_when_its_processes_are_gone(
    step, down, supervised, tenant, monkeypatch
):
    with left_behind(tenant, LISTENING):
        (port,) = components._listened_on(tenant)
        change = down.plan(step)
        # As if it had forked something that hides whose it is, which still listens there.
        found = iter([supervisor_client.processes_of(tenant.directory)])
        monkeypatch.setattr(supervisor_client, "processes_of", lambda directory: next(found, ()))
        monkeypatch.setattr(processes, "end", lambda *_, **__: ())
        down.patience.pace = 20
        with pytest.raises(errors.StepError, match=f"still missing: port {port}, taken by process"):
            step.apply(down.context(step.scope), change)


def test_a_port_of_the_tenants_that_a_stranger_has_taken_since_is_not_the_tenants(
    step, down, supervised, server, tenant
):
    assert json.loads(tenant.ports.read_text())["airflow"] == server.server_address[1]
    assert down.run(step).text == "nothing of it runs"


@pytest.mark.parametrize("text", ["", '{"airflow": 1', "[]", '{"airflow": "x"}'])
def test_a_cut_file_of_ports_does_not_stop_the_way_down(step, down, supervised, tenant, text):
    tenant.ports.write_text(text)
    assert not down.run(step).changed
