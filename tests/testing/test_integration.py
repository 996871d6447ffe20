"""What the fixture for tests of DAGs is made of, as far as it needs no engine."""

import datetime
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_platform import errors, secrets
from airflow_platform.config import components
from airflow_platform.runtimes.docker import manifest as manifests
from airflow_platform.testing import airflow_spec, asking_snowflake, integration, leftovers, specs
from airflow_platform.tools.airflow import airflow_answers, airflow_session
from airflow_platform.tools.containers import engine

ROOT = Path(__file__).parents[2]
NAMES = (*components.AIRFLOW, "worker", "broker", "fakesnow", "metadata-database")


def wanted(*, executor="LocalExecutor", triggerer=False, scheduler=None):
    environment = specs.environment("test-1", runtime="docker", docker={"executor": executor})
    order = airflow_spec.AirflowSpec(
        environment,
        Path("/dags"),
        triggerer,
        scheduler or {},
        {name: f"sha256:{name}" for name in NAMES},
        60.0,
    )
    made = {f"{name}_password": secrets.Secret(name) for name in ("database", "broker", "snowflake", "admin")}
    made |= {name: secrets.Secret(name) for name in ("fernet_key", "api_secret_key", "jwt_secret")}
    files = manifests.Files(made, secrets.Secret("{}"), "CA", "CERTIFICATE", secrets.Secret("KEY"))
    return airflow_spec.Wanted(order, "1", files, Path("/tmp/dags.git"), port=18480)


def test_by_default_there_is_no_more_than_is_needed():
    assert list(wanted().all()) == ["fakesnow", "api-server", "scheduler", "dag-processor"]


def test_celery_and_a_triggerer_are_there_when_asked_for():
    names = set(wanted(executor="CeleryExecutor", triggerer=True).all())
    assert names == {*NAMES} - {"metadata-database"}


def test_all_bear_the_sessions_label_and_live_in_one_network():
    found = wanted()
    everything = [*found.all().values(), found.migration(), found.server()]
    assert {each.labels[leftovers.SESSION] for each in everything} == {"1"}
    assert {each.network for each in everything} == {found.network}


def test_components_are_those_of_the_docker_runtime_but_for_the_label():
    found = wanted(scheduler={"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False"})
    for name, spec in found.all().items():
        (runtimes,) = [each for each in found._tenant().all() if each.labels[manifests.COMPONENT] == name]
        changed = {key for key, value in vars(spec).items() if value != vars(runtimes)[key]}
        extra = {"scheduler": {"environment"}, "fakesnow": {"files"}}.get(name, set())
        assert changed == {"labels", *extra}


def test_the_database_is_the_tenants_own_and_is_not_published():
    server = wanted().server()
    assert server.environment["POSTGRES_USER"] == server.environment["POSTGRES_DB"] == airflow_spec.ROLE
    assert server.ports == {}


def test_options_are_those_of_a_tenants_table_and_faults_are_told_before_anything_is_made():
    with pytest.raises(errors.ConfigurationError) as raised, integration.running_airflow("dags", pool=[]):
        pass
    (fault,) = raised.value.faults()
    assert "Did you mean pools?" in fault.remedy
    with (
        pytest.raises(errors.UsageError, match="against fakesnow"),
        integration.running_airflow("dags", snowflake={"account": "acme-x"}),
    ):
        pass


@pytest.mark.parametrize("host", ["tcp://192.0.2.1:2375", "ssh://docker@build.invalid"])
def test_an_engine_on_another_machine_is_refused(monkeypatch, host):
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(errors.PreflightError) as raised, integration.running_airflow("dags"):
        pass
    assert host in raised.value.faults()[0].cause


def test_an_engine_that_does_not_answer_is_told_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    with (
        pytest.raises(engine.EngineMissing, match="Start Docker Desktop"),
        integration.running_airflow("dags"),
    ):
        pass


def test_the_fixture_imports_no_heavy_library_before_it_is_used():
    script = "import sys; from airflow_platform.testing import integration; print(*sys.modules)"
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    assert not {"docker", "testcontainers", "requests", "cryptography"} & set(done.stdout.split())


class Containers:
    """Says what the program in the container printed."""

    def __init__(self, code, out=b"", error=b""):
        self._code, self._printed = code, ((False, out), (True, error))
        self.asked = None

    def execute(self, name, command, *, on_output):
        self.asked = (name, command[3:])
        for is_error, data in self._printed:
            on_output(is_error, data)
        return self._code


def ask(containers, sql="SELECT 1"):
    made = SimpleNamespace(containers=containers)
    return asking_snowflake.rows(made, "fakesnow-1", sql, database="D", schema="S")


def test_rows_come_with_the_types_of_the_connector():
    printed = (
        b"a warning of the connector\n"
        b'[[1, {"type": "Decimal", "text": "2.50"}, {"type": "date", "text": "2026-01-31"}, null, [1]],'
        b' [2, {"type": "bytearray", "text": "x"}, {"type": "datetime", "text": "2026-01-31 12:00:00+00:00"}, "a", {"type": 1}]]\n'
    )
    containers = Containers(0, printed)
    noon = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
    assert ask(containers) == [
        (1, Decimal("2.50"), noon.date(), None, [1]),
        (2, "x", noon, "a", {"type": 1}),
    ]
    assert containers.asked == ("fakesnow-1", ("SELECT 1", "D", "S", asking_snowflake.AUTHORITIES))


def test_a_refused_statement_is_told_with_fakesnows_words():
    with pytest.raises(asking_snowflake.QueryFailed) as raised:
        ask(Containers(1, error=b"a warning\n002003: no table X\n"), "SELECT * FROM X")
    assert str(raised.value) == "fakesnow refused a statement: 002003: no table X\nSELECT * FROM X"


class Client:
    """An api-server that knows one DAG, in the state that a test says; refuses all else."""

    def __init__(self, state="success", failures=(), files=("good.py",)):
        self._state, self._failures, self._files = state, failures, files
        self.session = SimpleNamespace(entries=self._entries, url="http://127.0.0.1:1")

    def _entries(self, path, key):
        assert (path, key) == ("/api/v2/dags", "dags")
        return [{"relative_fileloc": file} for file in self._files]

    def dag(self, name):
        if name != "good":
            raise airflow_session.NotFound(f"no {name}", status=404)
        return airflow_answers.Dag(name, True, False, "dags", "v", False, None)

    def dags(self):
        return (self.dag("good"),)

    def import_failures(self):
        return self._failures

    def set_paused(self, name, *, paused):
        assert (name, paused) == ("good", False)

    def trigger(self, name, *, conf):
        return SimpleNamespace(id="run-1")

    def wait_for_run(self, name, run, *, timeout):
        start = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)
        end = start + datetime.timedelta(seconds=2)
        return airflow_answers.Run(run, name, self._state, {}, None, start, end)

    def tasks(self, name, run):
        return (
            airflow_answers.TaskInstance("one", self._state, 1, -1, 1.0),
            airflow_answers.TaskInstance("many", None, 0, 3, None),
        )

    def failure(self, name, run):
        return "task one failed at try 1:\n    why" if self._state == "failed" else ""


@pytest.fixture
def dags(tmp_path):
    (tmp_path / "good.py").write_text("import airflow # dag good")
    (tmp_path / "bad.py").write_text("import airflow # dag bad")
    (tmp_path / "sql.py").write_text("SQL = 1")
    return tmp_path


def local(client, dags):
    return integration.LocalAirflow(
        "http://127.0.0.1:1",
        "admin",
        secrets.Secret("x"),
        client,
        dags,
        specs.tenant(),
        "1",
        {},
        lambda: None,
    )


def test_a_result_tells_of_each_task(dags):
    result = local(Client(), dags).run("good")
    assert (result.state, result.seconds) == ("success", 2.0)
    assert result.tasks == {"one": "success", "many[3]": None}


def test_a_run_must_end_as_expected(dags):
    with pytest.raises(integration.UnexpectedState, match="ended as failed, not success") as raised:
        local(Client("failed"), dags).run("good")
    assert "    why" in str(raised.value)
    assert local(Client("failed"), dags).run("good", expect="failed").failure
    assert local(Client("failed"), dags).run("good", expect=None).state == "failed"
    with pytest.raises(integration.UnexpectedState, match="no task failed"):
        local(Client("success"), dags).run("good", expect="failed")


def test_a_dag_whose_file_cannot_be_imported_is_told_at_once(dags):
    failure = airflow_answers.ImportFailure("bad.py", "dags", "Traceback\nNameError: x")
    with pytest.raises(errors.StepError) as raised:
        local(Client(failures=(failure,)), dags).run("bad")
    assert str(raised.value).endswith("there are: good.\nbad.py: NameError: x")


def test_import_failures_wait_for_files_that_look_like_dags_and_for_no_others(dags, monkeypatch):
    monkeypatch.setattr("airflow_platform.testing.local_airflow.time.sleep", refuse)
    failure = airflow_answers.ImportFailure("bad.py", "dags", "NameError: x")
    assert local(Client(failures=(failure,)), dags).import_failures() == (failure,)
    with pytest.raises(AssertionError, match="waited"):
        local(Client(), dags).import_failures()


def refuse(seconds):
    raise AssertionError("waited")


def test_what_the_documentation_shows_is_the_example_that_is_run():
    example = "".join(path.read_text() for path in sorted((ROOT / "tests/dags/integration").glob("*.py")))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/testing.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    assert all(block in example for block in blocks)
