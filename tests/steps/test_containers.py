"""Components in containers: which are made anew, when they are healthy, when waiting ends, and their end."""

import dataclasses
import json
import signal

import pytest

from airflow_platform import errors
from airflow_platform.config import state_files
from airflow_platform.engine import step as engine
from airflow_platform.runtimes import local_access
from airflow_platform.runtimes.docker import components, health, manifest, network
from airflow_platform.tenants import keys, restart, tenant_certificates
from airflow_platform.testing import specs
from airflow_platform.tools.containers.spec import DEFINITION, EngineObject, FoundContainer
from tests.doubles import containers as testing
from tests.steps import api_server, calling

NAMES = ("fakesnow", "broker", "api-server", "scheduler", "dag-processor", "triggerer", "worker")
SERVER = "airflow.dev.metadata-database"
MINE = "airflow.dev.analytics"


@pytest.fixture
def dev(place):
    return state_files.EnvironmentFiles(place.directory.parent / "dev", own_users=False)


@pytest.fixture
def world(dev):
    made = testing.World(images={f"sha256:{name}" for name in NAMES})
    made.networks[MINE] = EngineObject(MINE, manifest.labels(str(dev.directory), "analytics"))
    made.networks["airflow.dev"] = EngineObject("airflow.dev", manifest.labels(str(dev.directory)))
    made.containers[SERVER] = FoundContainer(
        SERVER,
        "1",
        "i",
        "running",
        0,
        "",
        1.0,
        manifest.labels(str(dev.directory)),
        ("airflow.dev",),
        {5432: 1},
    )
    made.programs[health.PING] = (0, "pong")
    return made


@pytest.fixture
def outputs(reached, dev, server):
    tenant = dev.tenant("analytics")
    for directory in (tenant.keys, tenant.certificates, tenant.run):
        directory.mkdir(parents=True)
    calls = calling.Calls(reached)
    names = (*keys.NAMES, "database_password", "broker_password")
    calls.run(keys.Keys(dev, names=names, has_data=lambda name: False))
    calls.run(tenant_certificates.TenantCertificates(dev))
    tenant.admin_password.write_text(api_server.PASSWORD)
    tenant.ports.write_text(json.dumps({"airflow": server.server_address[1]}))
    return {
        "ports": {"airflow": server.server_address[1]},
        "keys": calls.outputs["keys"],
        "certificates": calls.outputs["certificates"],
        "images": {"images": {name: f"sha256:{name}" for name in NAMES}},
        "database-role": {"database": "dev_analytics", "role": "dev_analytics"},
        "database-server": {"container": SERVER},
        "dag-repository": {"repository": "/nowhere/dags.git"},
    }


@pytest.fixture
def calls_of(outputs):
    def made(goal=engine.Goal.PRESENT, docker=None, **fields):
        tenant = specs.tenant(**fields)
        environment = specs.environment("dev", tenant, runtime="docker", docker=docker or {})
        return calling.Calls(outputs, environment=environment, tenant=tenant, goal=goal)

    return made


@pytest.fixture
def step(dev, world):
    def access(name):
        return local_access.opened(dev.tenant(name), lambda port: "")

    return components.Containers(dev, world.opened, access)


def ids(world):
    return {
        each.name.rpartition(".")[2]: each.id for each in world.containers.values() if each.name != SERVER
    }


def test_a_tenant_that_is_down_is_started_waited_for_and_warmed(step, calls_of, world, server):
    first, _ = calls_of().twice(step)
    assert first.text == f"start {', '.join(NAMES)}"
    assert set(ids(world)) == set(NAMES)
    assert first.outputs["url"] == server.url
    assert first.outputs["snowflake"] == {"host": "fakesnow", "port": 8443}
    assert server.warmed == 1


def test_only_what_differs_is_made_anew(step, calls_of, world):
    calls_of().run(step)
    before = ids(world)
    again, _ = calls_of(parallelism=9).twice(step)
    assert again.text == "restart scheduler, worker"
    assert {name for name, made in ids(world).items() if made != before[name]} == {"scheduler", "worker"}


@pytest.mark.parametrize(
    ("key", "restarted"),
    [
        ("broker_password", "broker, api-server, scheduler, dag-processor, triggerer, worker"),
        ("jwt_secret", "api-server, scheduler, dag-processor, triggerer, worker"),
        ("snowflake_password", "fakesnow"),
    ],
)
def test_another_key_restarts_those_that_have_it(step, calls_of, dev, key, restarted):
    calls_of().run(step)
    (dev.tenant("analytics").keys / key).write_text("another")
    again, _ = calls_of().twice(step)
    assert again.text == f"restart {restarted}"


def test_another_password_of_the_admin_restarts_those_that_still_have_the_old_one(
    step, calls_of, dev, server
):
    """As `keys` leaves it: the file has the new one, and the api-server knows the old one."""
    calls = calls_of()
    calls.run(step)
    mine = dev.tenant("analytics")
    mine.admin_password.write_text("chosen")
    calls.run(keys.Keys(dev, names=keys.NAMES, has_data=lambda name: False))
    calls.patience.sleep = lambda seconds: setattr(server, "password", "chosen")
    again, _ = calls.twice(step)
    assert again.text == "restart api-server, scheduler, dag-processor, triggerer, worker"
    assert calls.news[-1] == "a login with the tenant's password"


def test_with_plan_keys_that_are_not_made_yet_are_not_read(step, calls_of, dev, outputs):
    (dev.tenant("analytics").keys / "jwt_secret").unlink()
    calls = calls_of()
    calls.outputs = calling.Unmade({name: made for name, made in outputs.items() if name != "keys"})
    with pytest.raises(engine.OutputsUnknown):
        calls.plan(step)


def test_who_asks_for_a_restart_gets_one_and_only_of_that(dev, step, calls_of, world):
    calls = calls_of()
    calls.run(step)
    calls.run(restart.Restart(dev, components=["triggerer"]))
    again, _ = calls.twice(step)
    assert again.text == "restart triggerer"


def test_what_is_more_than_a_restart_is_told(dev, step, calls_of, world):
    """Whoever asks for a restart is not to get a change of the spec, or of images, with it."""
    calls_of().run(step)
    calls = calls_of()
    calls.run(restart.Restart(dev, components=["triggerer"]))
    assert dict(calls.plan(step).details) == {}
    more = calls_of(parallelism=9)
    assert more.plan(step).summary == "restart scheduler, triggerer, worker"
    assert dict(more.plan(step).details) == {"redefined": ["scheduler", "worker"]}
    built = calls_of()
    built.outputs["images"] = {"images": {name: f"sha256:new-{name}" for name in NAMES}}
    assert dict(built.plan(step).details) == {"redefined": sorted(NAMES)}
    other_key = dev.tenant("analytics").keys / "snowflake_password"
    other_key.write_text("another")
    assert dict(calls.plan(step).details) == {"redefined": ["fakesnow"]}


def test_containers_that_are_gone_or_have_ended_are_not_redefined(dev, step, calls_of, world):
    """So a restart that was killed halfway can be asked for again."""
    calls_of().run(step)
    calls_of().run(restart.Restart(dev, components=["scheduler", "worker"]))
    del world.containers[f"{MINE}.scheduler"]
    world.set_state(f"{MINE}.worker", "exited", last_exit="exited 1")
    planned = calls_of().plan(step)
    assert (planned.summary, dict(planned.details)) == ("start scheduler, worker", {})


def test_a_container_of_an_earlier_version_is_redefined_when_it_does_not_fit(step, calls_of, world):
    """Nobody has noted what it was made from apart from its generation."""
    calls_of().run(step)
    found = world.containers[f"{MINE}.scheduler"]
    labels = {key: text for key, text in found.labels.items() if key != DEFINITION}
    world.containers[found.name] = dataclasses.replace(found, labels=labels)
    assert not calls_of().run(step).changed
    assert dict(calls_of(parallelism=9).plan(step).details) == {"redefined": ["scheduler", "worker"]}


def test_another_executor_takes_broker_and_worker_away(step, calls_of, world):
    calls_of().run(step)
    without = calls_of(docker={"executor": "LocalExecutor"})
    assert {"broker", "worker"} <= set(without.plan(step).details["redefined"])
    again, _ = without.twice(step)
    assert "stop broker, worker" in again.text
    assert {"broker", "worker"}.isdisjoint(ids(world))


@pytest.mark.parametrize("state", ["exited", "created", "dead", "paused"])
def test_a_container_that_does_not_run_is_made_anew(step, calls_of, world, state):
    calls_of().run(step)
    world.set_state(f"{MINE}.scheduler", state, last_exit="exited 1")
    again, _ = calls_of().twice(step)
    assert again.text == "start scheduler"


def test_a_container_that_was_removed_by_hand_is_made_again(step, calls_of, world):
    calls_of().run(step)
    del world.containers[f"{MINE}.broker"]
    again, _ = calls_of().twice(step)
    assert again.text == "start broker"


def test_a_container_that_was_cut_off_from_its_network_is_made_anew(step, calls_of, world):
    calls_of().run(step)
    found = world.containers[f"{MINE}.scheduler"]
    world.containers[found.name] = dataclasses.replace(found, networks=())
    again, _ = calls_of().twice(step)
    assert again.text == "restart scheduler"


def test_a_container_of_somebody_else_is_told_and_left_alone(step, calls_of, world):
    world.containers[f"{MINE}.scheduler"] = dataclasses.replace(
        world.containers[SERVER], name=f"{MINE}.scheduler", labels={manifest.OWNER: "/another/state"}
    )
    before = dict(world.containers)
    with pytest.raises(errors.StepError) as raised:
        calls_of().plan(step)
    assert "There is a container airflow.dev.analytics.scheduler, and it belongs to /another/state." in str(
        raised.value
    )
    assert world.containers == before


def test_a_component_that_ends_again_and_again_is_not_waited_for(step, calls_of, world, server):
    calls = calls_of()
    server.unhealthy = {"scheduler"}
    world.logs[f"{MINE}.scheduler"] = [(1.0, f"cannot import airflow; I know {api_server.PASSWORD}")]

    def sleep(seconds):
        calls.patience.now += seconds
        world.set_state(f"{MINE}.scheduler", "restarting", last_exit="exited 1", restarts=3)

    calls.patience.sleep = sleep
    with pytest.raises(errors.StepError, match="scheduler ended 3 times") as raised:
        calls.run(step)
    assert "cannot import airflow; I know ***" in str(raised.value)


def test_a_worker_that_does_not_answer_is_waited_for(step, calls_of, world):
    calls = calls_of()
    world.programs[health.PING] = (1, "no answer")

    def sleep(seconds):
        calls.patience.now += seconds
        world.programs[health.PING] = (0, "pong")

    calls.patience.sleep = sleep
    calls.run(step)
    assert "an answer of the worker" in calls.news


def test_a_worker_that_hangs_when_it_is_asked_counts_as_one_that_does_not_answer(step, calls_of, world):
    calls_of().run(step)
    world.programs[health.PING] = (None, "")
    assert calls_of().plan(step).summary == "wait until healthy (an answer of the worker)"


def test_a_signal_ends_the_question_to_the_worker(step, calls_of, world, monkeypatch):
    calls = calls_of()
    calls.run(step)
    asked = []

    def execute(self, name, command, *, interruption, **arguments):
        asked.append(name)
        interruption.request(signal.SIGTERM)
        interruption.raise_if_requested()

    monkeypatch.setattr(type(world.engine().containers), "execute", execute)
    with pytest.raises(errors.Interrupted):
        calls.plan(step)
    assert asked == [f"{MINE}.worker"]


def test_down_removes_all_of_the_tenant_and_nothing_else(step, calls_of, world):
    calls_of().run(step)
    down, _ = calls_of(engine.Goal.ABSENT).twice(step)
    assert down.text == "stop and remove 7 containers"
    assert down.outputs == {"left": "no container (looked)"}
    assert set(world.containers) == {SERVER}


def test_what_is_handed_over_is_in_files_only(step, calls_of, world, dev):
    calls = calls_of()
    calls.run(step)
    secret = (dev.tenant("analytics").keys / "database_password").read_text()
    for spec in world.specs.values():
        assert secret not in repr({key: value for key, value in vars(spec).items() if key != "files"})
    assert not [line for line in calls.news if secret in line]


class TestNetwork:
    @pytest.fixture
    def step(self, dev, world):
        return network.TenantNetwork(dev, world.opened)

    def test_it_is_made_with_the_database_server_in_it(self, step, calls_of, world):
        del world.networks[MINE]
        first, _ = calls_of().twice(step)
        assert first.text == f"make network {MINE}"
        assert world.containers[SERVER].networks == ("airflow.dev", MINE)

    def test_a_server_that_was_made_anew_is_let_in_again(self, step, calls_of, world):
        first, _ = calls_of().twice(step)
        assert first.text == f"let the database server into network {MINE}"

    def test_one_of_somebody_else_is_told(self, step, calls_of, world):
        world.networks[MINE] = EngineObject(MINE, {})
        with pytest.raises(errors.StepError, match="this toolkit did not make it"):
            calls_of().plan(step)
        down = calls_of(engine.Goal.ABSENT).run(step)
        assert down.text == f"there is a network {MINE}, and this toolkit did not make it"
        assert set(world.networks) == {MINE, "airflow.dev"}

    def test_it_goes_and_the_server_stays(self, step, calls_of, world):
        calls_of().run(step)
        calls_of(engine.Goal.ABSENT).twice(step)
        assert MINE not in world.networks
        assert world.containers[SERVER].networks == ("airflow.dev",)


class TestVolumes:
    @pytest.fixture
    def step(self, dev, world):
        return network.TenantVolumes(dev, world.opened)

    def test_they_are_made_and_deleted(self, step, calls_of, world):
        calls_of().twice(step)
        assert set(world.volumes) == {f"{MINE}.logs", f"{MINE}.snowflake"}
        down, _ = calls_of(engine.Goal.ABSENT).twice(step)
        assert down.text == f"delete volumes {MINE}.logs, {MINE}.snowflake"
        assert world.volumes == {}

    def test_one_of_somebody_else_is_told(self, step, calls_of, world):
        calls_of().run(step)
        world.volumes[f"{MINE}.logs"] = EngineObject(f"{MINE}.logs", {})
        with pytest.raises(errors.StepError, match=r"volume airflow\.dev\.analytics\.logs, and this toolkit"):
            calls_of().plan(step)
        down = [calls_of(engine.Goal.ABSENT).run(step).text for _ in range(2)]
        assert down == [
            f"delete volumes {MINE}.snowflake",
            f"there is a volume {MINE}.logs, and this toolkit did not make it",
        ]
        assert set(world.volumes) == {f"{MINE}.logs"}
