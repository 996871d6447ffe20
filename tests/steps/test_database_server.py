"""The database server in a container: started, kept, put back, and gone only when nobody uses it."""

import contextlib
import dataclasses

import pytest

from airflow_platform import errors
from airflow_platform.config import built_images, state_files
from airflow_platform.engine import step as engine
from airflow_platform.runtimes.docker import database_server, manifest
from airflow_platform.testing import specs
from airflow_platform.tools.containers.spec import EngineObject
from airflow_platform.tools.postgresql import postgresql_server, server_errors
from tests.doubles import containers as testing
from tests.steps import calling

NAME = "airflow.dev.metadata-database"
IMAGE = "sha256:metadata-database"


@pytest.fixture
def dev(tmp_path):
    return state_files.EnvironmentFiles(tmp_path / "dev", own_users=False)


@pytest.fixture
def world():
    return testing.World(images={IMAGE})


class Asked(list):
    """Servers that were logged in to."""

    not_yet = 0
    """How many of the first ones are told that it is not ready."""
    password = ""
    """The administrator's, as the server knows it; "" for whatever it is told."""


@pytest.fixture
def asked(monkeypatch, world, dev):
    found = Asked()

    class Programs(dict):
        def __getitem__(self, command):
            ended = super().__getitem__(command)
            if command == manifest.SET_PASSWORD and ended[0] == 0:
                found.password = world.specs[NAME].files[manifest.SERVER_PASSWORD].content.reveal()
            return ended

    world.programs = Programs({manifest.SET_PASSWORD: (0, "")})

    @contextlib.contextmanager
    def connected(server):
        found.append(server)
        if len(found) <= found.not_yet:
            raise server_errors.NotReachable("The database system is starting up.", [])
        if found.password not in ("", server.password.reveal()):
            raise server_errors.WrongPassword("It does not let postgres in.")
        yield

    monkeypatch.setattr(postgresql_server, "connected", connected)
    return found


@pytest.fixture
def record(tmp_path):
    """What `inv build` wrote."""
    image = built_images.BuiltImage(
        "metadata-database", "airflow-platform/metadata-database:1", IMAGE, "amd64", 1
    )
    path = tmp_path / "images.json"
    path.write_text(built_images.Built({image.name: image}, "", "3.3.2", "1", ()).to_json())
    return path


@pytest.fixture
def calls_of():
    def made(goal=engine.Goal.PRESENT, **docker):
        environment = specs.environment("dev", "analytics", runtime="docker", docker=docker)
        outputs = {"database-volume": {}, "images": {"images": {"metadata-database": IMAGE}}}
        return calling.Calls(outputs, environment=environment, goal=goal)

    return made


@pytest.fixture
def volume(dev, world):
    return database_server.DatabaseVolume(dev, world.opened)


@pytest.fixture
def server(dev, world, volume, calls_of):
    calls_of().run(volume)
    return database_server.DatabaseServer(dev, world.opened)


def test_the_volume_and_its_password_are_made_once(volume, calls_of, world, dev):
    calls_of().twice(volume)
    before = dev.server_password.read_text()
    assert dev.server_password.stat().st_mode & 0o777 == 0o600
    assert set(world.volumes) == {NAME}
    del world.volumes[NAME]
    calls_of().twice(volume)
    assert dev.server_password.read_text() == before


def test_a_lost_password_is_made_anew_and_the_server_takes_it(volume, server, calls_of, world, asked, dev):
    calls_of().run(server)
    old, made = dev.server_password.read_text(), world.containers[NAME].id
    dev.server_password.unlink()
    again, _ = calls_of().twice(volume)
    assert again.text == f"make a new password for the database server: {dev.server_password} is gone"
    asked.password = old
    assert calls_of().twice(server)[0].text == "restart the database server with other settings"
    assert world.containers[NAME].id != made
    assert asked.password == dev.server_password.read_text() != old
    assert set(world.volumes) == {NAME}


@pytest.fixture
def killed(volume, server, calls_of, world, asked, dev):
    """A run lost its life between the start of a server with another password and telling it that."""
    calls_of().run(server)
    asked.password = dev.server_password.read_text()
    dev.server_password.unlink()
    calls_of().run(volume)
    told, world.programs[manifest.SET_PASSWORD] = world.programs[manifest.SET_PASSWORD], (1, "killed")
    with pytest.raises(errors.StepError):
        calls_of().run(server)
    world.programs[manifest.SET_PASSWORD] = told
    asked.clear()


def test_a_server_that_was_not_told_its_password_is_told_by_the_next_run(
    killed, server, calls_of, world, asked, dev
):
    made = world.containers[NAME].id
    assert calls_of().twice(server)[0].text == "set the password of the database server"
    assert world.containers[NAME].id == made
    assert asked.password == dev.server_password.read_text()
    assert len(asked) == 4, "a look before, one that is refused, one with the new password, the second run's"


def test_a_server_that_still_starts_is_waited_for(server, calls_of, world, asked):
    calls_of().run(server)
    made = world.containers[NAME].id
    asked.not_yet = len(asked) + 3
    waited, _ = calls_of().twice(server)
    assert waited.text == "wait until the database server answers (The database system is starting up)"
    assert world.containers[NAME].id == made
    asked.not_yet = 10**6
    with pytest.raises(errors.StepError, match="Waited 120 s for the database server"):
        calls_of().run(server)


def test_a_password_is_set_for_no_other_refusal(server, calls_of, monkeypatch, asked, world):
    calls_of().run(server)

    @contextlib.contextmanager
    def connected(server):
        raise server_errors.LoginRefused("no pg_hba.conf entry.")
        yield

    monkeypatch.setattr(postgresql_server, "connected", connected)
    del world.programs[manifest.SET_PASSWORD]  # Refused by the engine in memory.
    with pytest.raises(errors.StepError, match=r"still missing: no pg_hba\.conf entry"):
        calls_of().run(server)


def test_a_server_that_does_not_take_it_says_why_without_telling_it(
    volume, server, calls_of, world, asked, dev
):
    asked.password = "of older data"
    secret = dev.server_password.read_text()
    world.programs[manifest.SET_PASSWORD] = (2, f"cannot have {secret}")
    with pytest.raises(errors.StepError, match=r"still missing: its password \(cannot have \*\*\*\)"):
        calls_of().run(server)


def test_a_volume_of_somebody_else_is_told(volume, calls_of, world):
    world.volumes[NAME] = EngineObject(NAME, {manifest.OWNER: "/another"})
    with pytest.raises(errors.StepError, match="it belongs to /another") as raised:
        calls_of().plan(volume)
    assert f"Take it down from there, or remove it if nobody needs it: `docker volume rm {NAME}`" in str(
        raised.value
    )
    down = calls_of(engine.Goal.ABSENT).run(volume)
    assert down.text == f"there is a volume {NAME}, and it belongs to /another"
    assert set(world.volumes) == {NAME}


def test_the_volume_goes_with_the_last_tenant(volume, calls_of, world, dev):
    calls_of().run(volume)
    (dev.tenants / "finance").mkdir(parents=True)
    kept, _ = calls_of(engine.Goal.ABSENT).twice(volume)
    assert kept.text == "tenants still use it: finance"
    (dev.tenants / "finance").rmdir()
    calls_of(engine.Goal.ABSENT).twice(volume)
    assert world.volumes == {}
    assert not dev.server_password.exists()


def test_the_engine_that_has_it_is_noted_once_and_forgotten_with_it(volume, calls_of, world, dev):
    calls_of().run(volume)
    noted = dev.engine.read_text()
    dev.engine.write_text("")
    again, _ = calls_of().twice(volume)
    assert again.text == "note which Docker engine has it"
    assert dev.engine.read_text() == noted
    assert world.identity in noted
    del world.volumes[NAME]
    gone, _ = calls_of(engine.Goal.ABSENT).twice(volume)
    assert gone.text == "forget the password and the Docker engine of a volume that is gone"
    assert not dev.engine.exists()


def test_the_server_is_started_waited_for_and_told(server, calls_of, world, asked, dev):
    asked.not_yet = 3
    first, _ = calls_of().twice(server)
    assert first.text == "start the database server"
    assert first.outputs == {
        "host": "127.0.0.1",
        "port": testing.FIRST_PORT,
        "user": "postgres",
        "password_file": str(dev.server_password),
        "container": NAME,
    }
    assert len(asked) == 5, "the last one by the second run"
    assert asked[-1].password.reveal() == dev.server_password.read_text()


def test_other_settings_restart_it(server, calls_of, world, asked):
    calls_of().run(server)
    again, _ = calls_of(server_connections=333).twice(server)
    assert again.text == "restart the database server with other settings"


@pytest.mark.parametrize("state", ["exited", "created", "restarting"])
def test_one_that_does_not_run_is_started_again(server, calls_of, world, asked, state):
    calls_of().run(server)
    world.set_state(NAME, state, last_exit="exited 1")
    again, _ = calls_of().twice(server)
    assert again.text == "start the database server again (exited 1)"


def test_one_that_never_answers_is_told_with_where_to_look(server, calls_of, asked):
    asked.not_yet = 10**6
    with pytest.raises(errors.StepError, match="still missing: The database system is starting up") as raised:
        calls_of().run(server)
    assert f"docker logs {NAME}" in raised.value.hint


def test_it_stays_while_a_tenant_uses_it_and_goes_with_the_last(server, calls_of, world, asked, dev):
    calls_of().run(server)
    mine = manifest.labels(str(dev.directory), "finance", "scheduler")
    world.containers["x"] = dataclasses.replace(world.containers[NAME], name="x", labels=mine)
    kept, _ = calls_of(engine.Goal.ABSENT).twice(server)
    assert kept.text == "tenants still use it: finance"
    del world.containers["x"]
    gone, _ = calls_of(engine.Goal.ABSENT).twice(server)
    assert gone.text == "stop the database server; no tenant uses it"
    assert world.containers == {}
    assert world.networks == {}
    assert set(world.volumes) == {NAME}


def test_a_new_one_is_let_into_the_networks_of_all_tenants_selected_or_not(
    server, calls_of, world, asked, dev
):
    for tenant in ("analytics", "no-longer-declared"):
        world.networks[f"airflow.dev.{tenant}"] = EngineObject(
            f"airflow.dev.{tenant}", manifest.labels(str(dev.directory), tenant)
        )
    world.networks["airflow.dev.theirs"] = EngineObject(
        "airflow.dev.theirs", manifest.labels("/another", "theirs")
    )
    calls_of().twice(server)
    inside = ("airflow.dev", "airflow.dev.analytics", "airflow.dev.no-longer-declared")
    assert world.containers[NAME].networks == inside
    del world.containers[NAME]
    calls_of().twice(server)
    assert world.containers[NAME].networks == inside


def test_one_whose_start_was_cut_short_is_let_in_without_a_restart(server, calls_of, world, asked, dev):
    calls_of().run(server)
    before = world.containers[NAME].id
    name = "airflow.dev.finance"
    world.networks[name] = EngineObject(name, manifest.labels(str(dev.directory), "finance"))
    again, _ = calls_of().twice(server)
    assert again.text == f"let the database server into {name}"
    assert world.containers[NAME].id == before


def test_another_tenant_does_not_restart_it_under_the_others(server, world, asked):
    outputs = {"database-volume": {}, "images": {"images": {"metadata-database": IMAGE}}}
    for tenants in (["analytics"], ["analytics", "finance"]):
        environment = specs.environment("dev", *tenants, runtime="docker")
        ran = calling.Calls(outputs, environment=environment).run(server)
    assert ran.text == "the database server runs"


def test_more_tenants_than_it_has_connections_for_are_told_before_anything_is_changed(server, calls_of):
    assert calls_of(connections=480).faults(server) == []
    (fault,) = calls_of(connections=481).faults(server)
    assert fault.thing == "docker.server_connections of dev"
    assert fault.cause == "It is 500, and 501 are needed: 20 for itself and 481 for each tenant."
    assert calls_of(connections=481, server_connections=501).faults(server) == []
    assert calls_of(engine.Goal.ABSENT, connections=481).faults(server) == []


def test_a_server_of_somebody_else_is_told_and_left_alone(server, calls_of, world, asked):
    calls_of().run(server)
    world.containers[NAME] = dataclasses.replace(world.containers[NAME], labels={})
    world.networks["airflow.dev"] = EngineObject("airflow.dev", manifest.labels("/another"))
    before = dict(world.containers)
    with pytest.raises(errors.StepError, match="it belongs to /another") as raised:
        calls_of().plan(server)
    assert "`docker network rm airflow.dev`" in raised.value.hint
    down = calls_of(engine.Goal.ABSENT).run(server)
    assert down.text == (
        f"there is a container {NAME}, and this toolkit did not make it; "
        "there is a network airflow.dev, and it belongs to /another"
    )
    assert world.containers == before
    assert set(world.networks) == {"airflow.dev"}


def test_what_is_ours_goes_and_what_is_somebody_elses_stays(server, calls_of, world, asked):
    calls_of().run(server)
    world.networks["airflow.dev"] = EngineObject("airflow.dev", manifest.labels("/another"))
    down, _ = calls_of(engine.Goal.ABSENT).twice(server)
    assert down.text == "stop the database server; no tenant uses it"
    assert world.containers == {}
    assert set(world.networks) == {"airflow.dev"}


def test_it_stays_while_another_tenant_is_coming_up_that_has_nothing_yet(
    server, volume, calls_of, world, asked
):
    calls_of().run(server)
    down = calls_of(engine.Goal.ABSENT)
    down.at_work = {"finance": False, "analytics": False}  # analytics is the one that goes.
    for each in (server, volume):
        assert down.run(each).text == "tenants still use it: finance"
    for each in (server, volume):
        assert calls_of(engine.Goal.ABSENT).run(each).changed
    assert world.volumes == {}


def test_of_two_tenants_that_go_at_the_same_time_the_last_takes_everything(
    server, volume, calls_of, world, asked, dev
):
    calls_of().run(server)
    directory = dev.tenants / "finance"
    directory.mkdir(parents=True)
    down = calls_of(engine.Goal.ABSENT)
    down.at_work = {"finance": True, "analytics": True}
    for each in (server, volume):
        assert down.run(each).text == "tenants still use it: finance", "it may have something to drop"
    directory.rmdir()
    for each in (server, volume):
        assert down.run(each).changed
    assert world.containers == world.volumes == {}


class TestAccess:
    """What must be there before tenants' databases are dropped."""

    @pytest.fixture
    def access(self, volume, dev, world, record, calls_of):
        calls_of().run(volume)
        return database_server.DatabaseAccess(dev, world.opened, record=record)

    def test_a_stopped_server_is_started(self, access, calls_of, world, asked):
        first, _ = calls_of(engine.Goal.ABSENT).twice(access)
        assert first.text == "start the database server, to drop what the tenants have in it"
        assert world.containers[NAME].running

    def test_a_lost_password_is_made_anew_so_that_all_can_be_dropped(
        self, access, calls_of, world, asked, dev, server
    ):
        calls_of().run(server)
        asked.password = dev.server_password.read_text()
        dev.server_password.unlink()
        calls_of(engine.Goal.ABSENT).twice(access)
        assert asked.password == dev.server_password.read_text()

    def test_a_server_that_was_not_told_its_password_is_told(self, killed, access, calls_of, asked, dev):
        first, _ = calls_of(engine.Goal.ABSENT).twice(access)
        assert first.text == "start the database server, to drop what the tenants have in it"
        assert asked.password == dev.server_password.read_text()

    def test_a_server_that_still_starts_is_waited_for(self, access, server, calls_of, world, asked):
        calls_of().run(server)
        made = world.containers[NAME].id
        asked.not_yet = len(asked) + 3
        waited, _ = calls_of(engine.Goal.ABSENT).twice(access)
        assert waited.text == "wait until the database server answers (The database system is starting up)"
        assert world.containers[NAME].id == made

    def test_on_the_way_up_nobody_is_asked(self, access, server, calls_of, asked):
        calls_of().run(server)
        asked.clear()
        assert calls_of().run(access).text == "the tenants' databases can be reached"
        assert asked == []

    def test_it_is_kept_out_of_the_networks_that_are_being_removed(self, access, calls_of, world, asked, dev):
        for tenant in ("analytics", "finance"):
            world.networks[f"airflow.dev.{tenant}"] = EngineObject(
                f"airflow.dev.{tenant}", manifest.labels(str(dev.directory), tenant)
            )
        calls_of(engine.Goal.ABSENT).twice(access)
        assert world.containers[NAME].networks == ("airflow.dev", "airflow.dev.finance")

    @pytest.mark.parametrize("state", ["running", "exited"])
    def test_one_of_somebody_else_is_neither_used_nor_replaced(
        self, access, calls_of, world, asked, server, state
    ):
        calls_of().run(server)
        theirs = dataclasses.replace(world.containers[NAME], labels={manifest.OWNER: "/another"}, state=state)
        world.containers[NAME] = theirs
        with pytest.raises(errors.StepError, match="it belongs to /another") as raised:
            calls_of(engine.Goal.ABSENT).run(access)
        assert f"`docker rm --force {NAME}`" in raised.value.hint
        assert world.containers[NAME] == theirs

    def test_data_of_somebody_else_are_none_of_ours(self, access, calls_of, world):
        world.volumes[NAME] = EngineObject(NAME, {manifest.OWNER: "/another"})
        ran = calls_of(engine.Goal.ABSENT).run(access)
        assert ran.text == f"there is a volume {NAME}, and it belongs to /another"
        assert world.containers == {}
