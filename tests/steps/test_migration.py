"""The metadata database in PostgreSQL: migrated, copied before, never downgraded."""

import signal

import pytest

from airflow_platform import errors, secrets
from airflow_platform.config import components, state_files
from airflow_platform.runtimes.docker import manifest, migration
from airflow_platform.tenants import airflow_settings, keys, tenant_certificates
from airflow_platform.testing import specs
from airflow_platform.tools.containers.spec import Container, EngineObject
from airflow_platform.tools.postgresql import database_copies, postgresql_server
from tests.doubles import containers as testing
from tests.steps import calling

MIGRATE = ("airflow", "db", "migrate")
MINE = "airflow.dev.analytics"


class Database:
    """The tenant's database: its revision, and copies of it."""

    def __init__(self, monkeypatch, world):
        self.revision = ""
        self.copies = []
        self._world = world
        monkeypatch.setattr(postgresql_server, "revision", self._revision)
        monkeypatch.setattr(database_copies, "copy", self._copy)

    def _revision(self, tenant):
        assert (tenant.user, tenant.database) == ("dev_analytics", "dev_analytics"), "read as the tenant"
        return self.revision

    def _copy(self, server, source, target):
        assert server.user == "postgres"
        assert not self._world.containers, "somebody is connected"
        self.copies.append((source, target, self.revision))


@pytest.fixture
def dev(place):
    return state_files.EnvironmentFiles(place.directory.parent / "dev", own_users=False)


@pytest.fixture
def world(dev):
    made = testing.World(images={"sha256:api-server"})
    made.networks[MINE] = EngineObject(MINE, {})
    return made


@pytest.fixture
def database(monkeypatch, world):
    found = Database(monkeypatch, world)

    class Programs(dict):
        def __getitem__(self, command):
            if command == MIGRATE:
                found.revision = "new"
            return super().__getitem__(command)

    world.programs = Programs({MIGRATE: (0, "Database migrating done!")})
    return found


@pytest.fixture
def calls(dev):
    tenant = dev.tenant("analytics")
    for directory in (tenant.keys, tenant.certificates):
        directory.mkdir(parents=True)
    made = calling.Calls(environment=specs.environment("dev", "analytics", runtime="docker"))
    made.run(
        keys.Keys(
            dev, names=(*keys.NAMES, "database_password", "broker_password"), has_data=lambda name: False
        )
    )
    made.run(tenant_certificates.TenantCertificates(dev))
    names = (*components.AIRFLOW, "worker", "broker", "fakesnow")
    made.outputs |= {
        "ports": {"airflow": 18280},
        "images": {
            "images": {name: f"sha256:{name}" for name in names}, "revision": "new", "known": ["old", "new"],
        },
        "database-role": {"database": "dev_analytics", "role": "dev_analytics"},
        "dag-repository": {"repository": "/nowhere/dags.git"},
    }  # fmt: skip
    return made


@pytest.fixture
def step(dev, world, database):
    server = postgresql_server.Server("127.0.0.1", 1, "postgres", secrets.Secret("of the administrator"))
    return migration.Migration(dev, world.opened, lambda context: server)


def test_an_empty_database_is_migrated_and_not_copied(step, calls, database, world):
    first, _ = calls.twice(step)
    assert first.text == "migrate an empty database to new"
    assert first.outputs == {"revision": "new"}
    assert database.copies == []
    assert "Database migrating done!" in calls.news
    assert world.containers == {}


def test_a_used_one_is_copied_while_nobody_is_connected(step, calls, database, world, dev):
    database.revision = "old"
    image = next(iter(world.images))
    running = Container(
        name=f"{MINE}.scheduler",
        image=image,
        labels=manifest.labels(str(dev.directory), "analytics", "scheduler"),
    )
    world.engine().containers.start(running)
    first, _ = calls.twice(step)
    assert first.text == "back up, then migrate from revision old to new"
    assert database.copies == [("dev_analytics", "dev_analytics.old", "old")]


def test_one_that_was_killed_after_alembic_wrote_its_revision_is_run_to_its_end(
    step, calls, database, world, dev
):
    """Airflow's default pool and what its providers need come after that."""
    world.programs[MIGRATE] = (137, "")
    with pytest.raises(errors.StepError, match="exited 137"):
        calls.run(step)
    assert database.revision == "new"
    world.programs[MIGRATE] = (0, "Database migrating done!")
    again, _ = calls.twice(step)
    assert again.text == "finish the migration to new, of which nothing says that it ended"
    assert database.copies == []
    assert dev.tenant("analytics").migrated.read_text() == "new"


def test_the_mark_of_a_database_that_was_dropped_does_not_vouch_for_the_next(
    step, calls, database, world, dev
):
    dev.tenant("analytics").migrated.write_text("new")
    world.programs[MIGRATE] = (137, "")
    with pytest.raises(errors.StepError, match="exited 137"):
        calls.run(step)
    assert calls.plan(step).summary == "finish the migration to new, of which nothing says that it ended"


def test_a_newer_one_that_was_cut_short_is_finished_too(step, calls, database, dev):
    dev.tenant("analytics").migrated.write_text("old")
    database.revision = "new"
    again, _ = calls.twice(step)
    assert again.changed


def test_a_signal_ends_it_while_it_prints(step, calls, database, world, dev):
    world.programs[MIGRATE] = (None, "one line\nand another\n" * 9)
    calls.programs.interruption.request(signal.SIGTERM)
    with pytest.raises(errors.Interrupted):
        calls.run(step)
    assert world.containers == {}
    assert not dev.tenant("analytics").migrated.exists()


def test_one_that_never_ends_is_ended(step, calls, database, world):
    world.programs[MIGRATE] = (None, "")
    with pytest.raises(errors.StepError, match="did not end within 1800 s"):
        calls.run(step)
    assert world.containers == {}


def test_one_of_a_newer_airflow_is_told_and_left_alone(step, calls, database):
    database.revision = "newest"
    with pytest.raises(errors.StepError, match="at revision newest, which this Airflow does not know"):
        calls.plan(step)


def test_a_migration_that_fails_shows_its_last_lines_without_secrets(step, calls, database, world, dev):
    secret = (dev.tenant("analytics").keys / "database_password").read_text()
    world.programs[MIGRATE] = (1, f"cannot connect with {secret}")
    with pytest.raises(errors.StepError, match="airflow db migrate exited 1") as raised:
        calls.run(step)
    assert "cannot connect with ***" in str(raised.value)
    assert not [line for line in calls.news if secret in line]


def test_a_container_of_somebody_else_is_told_and_left_alone(step, calls, database, world):
    image = next(iter(world.images))
    theirs = Container(name=f"{MINE}.migration", image=image, labels=manifest.labels("/another", "analytics"))
    world.engine().containers.start(theirs)
    with pytest.raises(errors.StepError, match="migration, and it belongs to /another"):
        calls.run(step)
    assert database.revision == ""
    assert set(world.containers) == {theirs.name}


def test_what_is_migrated_with_is_the_tenants_own(step, calls, database, world):
    calls.run(step)
    spec = world.specs[f"{MINE}.migration"]
    assert spec.network == MINE
    assert not spec.ports
    assert spec.environment["AIRFLOW__API_AUTH__JWT_ISSUER"] == "airflow-analytics"
    address = spec.files["/run/airflow/environment/AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].content.reveal()
    assert "@metadata-database:5432/dev_analytics" in address
    assert airflow_settings.ADMIN in spec.files["/run/airflow/passwords.json"].content.reveal()
