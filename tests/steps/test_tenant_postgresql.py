"""The step that gives a tenant its role and database, on a double of the server."""

import itertools

import pytest

from airflow_platform import errors, secrets
from airflow_platform.engine import step
from airflow_platform.runtimes.docker import database_role
from airflow_platform.tenants.contexts import EnvironmentStep, TenantStep
from airflow_platform.testing import runs, specs
from tests.steps import calling, database_role_contract, postgresql_double
from tests.steps.database_role_contract import NAME, OUTPUTS, PASSWORD, role_step


class Server(postgresql_double.Postgresql):
    def stop(self):
        self.stopped = True


@pytest.fixture
def server(monkeypatch):
    return Server(monkeypatch)


class TestOnTheDouble(database_role_contract.Contract):
    pass


def test_without_a_server_nothing_is_there_to_delete(server):
    nowhere = role_step(server, server=lambda context: None)
    ran = calling.Calls(goal=step.Goal.ABSENT).run(nowhere)
    assert ran.text == "it is not there"
    assert server.calls == []
    with pytest.raises(errors.StepError, match="There is no database server"):
        calling.Calls().run(nowhere)


def test_a_password_that_is_not_made_yet_can_be_planned_without(server):
    one = role_step(server, password=lambda context: None)
    assert isinstance(calling.Calls().plan(one), step.Change)
    with pytest.raises(errors.StepError, match=f"The password for role {NAME} is not there"):
        calling.Calls().run(one)
    assert server.found == {}


def test_the_password_is_read_where_keys_are_files(place, tenant):
    read = database_role.from_file(place)
    context = calling.Calls().context(step.Scope.TENANT)
    assert read(context) is None
    tenant.database_password.write_text("")
    assert read(context) is None
    tenant.database_password.write_text("p")
    assert read(context) == secrets.Secret("p")


class TheServer(EnvironmentStep):
    """Stands for the step that starts the server."""

    name = "database-server"

    def observe(self, context):
        return None

    def plan(self, context, observed):
        return step.Change("start it") if context.goal is step.Goal.PRESENT else step.NoChange("it stays")

    def apply(self, context, change):
        return {"port": 5432}


class Directory(TenantStep):
    """Stands for the directory, and below for the keys."""

    name = "directory"
    undone_by = "nobody"

    def observe(self, context):
        return None

    def plan(self, context, observed):
        return step.NoChange("it is there")


class Keys(Directory):
    name = "keys"


@pytest.fixture
def around():
    return TheServer(), Directory(), Keys()


def run(server, around, **options):
    def find(context):
        if context.goal is step.Goal.PRESENT:
            assert context.outputs("database-server") == {"port": 5432}
        return server.administrator

    one = role_step(server, server=find).after("database-server", "directory", "keys")
    environment = specs.environment("sandbox", "analytics")
    return runs.run_steps(*around, one, environment=environment, tenants=environment.tenants, **options)


def test_the_engine_takes_it_up_and_down(server, around):
    up, again = run(server, around), run(server, around)
    down = run(server, around, goal=step.Goal.ABSENT)
    assert [runs.outcomes(each)["analytics/database-role"] for each in (up, again, down)] == [
        "changed", "unchanged", "changed",
    ]  # fmt: skip
    (found,) = (each for each in up.tenants[0].steps if each.name == "database-role")
    assert found.outputs == OUTPUTS
    assert PASSWORD.reveal() not in str(up.to_json())
    assert server.found == {}


def test_the_first_plan_waits_for_the_server(server, around):
    report = run(server, around, planning=True)
    (found,) = (each for each in report.tenants[0].steps if each.name == "database-role")
    assert (found.status.value, found.reason) == ("pending", "known after database-server has run")
    assert server.calls == []


def test_only_deleting_data_asks_for_it():
    assert database_role.TenantDatabaseRole.keeps_data


def test_no_two_tenants_have_the_same_name():
    parts = ["a", "b", "pg", "a-b", "b-a", "a-b-c", "dev", "x" * 40, "x" * 39 + "y", "x" * 20]
    pairs = list(itertools.product(parts, parts))
    names = {database_role.name_of(*pair) for pair in pairs}
    assert len(names) == len(pairs)
    assert max(len(name) for name in names) == database_role.LONGEST
    assert not [name for name in names if name.startswith("pg_")]


@pytest.mark.parametrize(
    ("environment", "tenant", "name"),
    [
        ("dev", "analytics", "dev_analytics"),
        ("dev-eu", "data-science", "dev-eu_data-science"),
        ("pg", "a", "_pg_a"),
        ("d" * 40, "t" * 22, "d" * 30 + "__845ccd19786c"),
    ],
)
def test_names_that_people_recognise(environment, tenant, name):
    assert database_role.name_of(environment, tenant) == name
