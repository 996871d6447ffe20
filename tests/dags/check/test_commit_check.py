"""The check of a commit, with a worker that plays what it is told: what is asked, kept, and made of odd answers."""

import dataclasses
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest

from airflow_platform import errors
from airflow_platform.config import dag_rules, load, paths
from airflow_platform.dags.check import baseline, commit_check, records, result_cache, worker_client
from airflow_platform.dags.check.rules import subject
from airflow_platform.programs import programs
from airflow_platform.testing import specs
from airflow_platform.tools import users
from airflow_platform.tools.git import git

SANDBOX = specs.environment("sandbox", "analytics", "finance")
NOTHING = {"dags": [], "errors": [], "work": [], "missing": [], "reads": [], "asks": [], "cpu": 0.01}


def dag(name, file, **fields):
    task = {
        "id": "t",
        "at": {"file": file, "line": 3},
        "owner": "team",
        "retries": 1,
        "pool": "default_pool",
        "connections": [],
    }
    return {"id": name, "at": {"file": file, "line": 2}, "tags": ["tenant:all"], "catchup": False, "schedule": "@daily",
            "interval": 86400.0, "tasks": [task], **fields}  # fmt: skip


class Worker:
    """Tells of each Python file one DAG of its name, or what a test says."""

    asked: ClassVar[list[list[str]]] = []
    orders: ClassVar[list[object]] = []
    told: ClassVar[dict[str, dict]] = {}
    settings: ClassVar[dict[str, str]] = {}
    started = 0

    def __init__(self, launch, root, runner):
        Worker.started += 1
        self._root = root

    def close(self):
        pass

    def files(self):
        return tuple(sorted(path.name for path in self._root.glob("*.py") if b"dag" in path.read_bytes()))

    def facts(self, order):
        Worker.asked.append([each.path for each in order.files])
        Worker.orders.append(order)
        for each in order.files:
            made = {**NOTHING, "dags": [dag(each.path.removesuffix(".py"), each.path)]}
            yield each.path, Worker.told.get(each.path, made)


@pytest.fixture
def worker(monkeypatch, tmp_path):
    Worker.asked, Worker.orders, Worker.told, Worker.started = [], [], {}, 0
    Worker.settings = {}
    monkeypatch.setattr(worker_client, "Worker", Worker)

    def launch(*_):
        return worker_client.Launch(Path("/venv/bin/python"), lambda home: Worker.settings, None)

    monkeypatch.setattr(commit_check, "_launch", launch)
    return Worker


@pytest.fixture
def repository(tmp_path):
    place = tmp_path / "repository"
    (place / "dags").mkdir(parents=True)
    subprocess.run(["git", "-C", place, "init", "--quiet"], check=True, timeout=15)
    return place


def commit(place, **files):
    for name, text in files.items():
        (place / "dags" / f"{name}.py").write_text(text)
    for words in (
        ["add", "--all"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--allow-empty", "-mx"],
    ):
        subprocess.run(["git", "-C", place, *words], check=True, timeout=15)
    return git.resolve(programs.Programs(), place, "HEAD", "dags")


def check(place, *environments, rules=None, everybody=("analytics", "finance")):
    return held(place, baseline.of(environments or (SANDBOX,), rules or dag_rules.Rules(), everybody))


def held(place, against):
    return commit_check.check(
        commit(place), against, runner=programs.Programs(), progress=lambda text: None, checkout=place
    )


def test_a_version_is_imported_once(worker, repository):
    commit(repository, one="dag", two="dag # 2", helper="value = 1")
    first = check(repository)
    assert worker.asked == [["one.py", "two.py"]]
    assert dict(first.ids) == {"one": "one.py", "two": "two.py"}
    assert first.findings == ()
    again = check(repository)
    assert (again.imported, again.files, worker.started) == (0, first.files, 1)


def test_a_changed_file_and_who_needs_it_are_imported_again(worker, repository):
    commit(repository, one="import helper # dag", two="dag", helper="value = 1")
    check(repository)
    commit(repository, helper="value = 2")
    checked = check(repository)
    assert worker.asked[1:] == [["one.py"]]
    assert {each.path: each.needs for each in checked.files} == {"one.py": ("helper.py",), "two.py": ()}


def test_every_file_that_is_no_python_counts_however_it_is_read(worker, repository):
    (repository / "dags" / "flows.db").write_text("1")
    commit(repository, one="dag", two="dag # 2")
    check(repository)
    assert check(repository).imported == 0
    for text in ("2", "3"):
        (repository / "dags" / "flows.db").write_text(text)
        assert check(repository).imported == 2
    (repository / "dags" / "more.json").write_text("{}")
    assert check(repository).imported == 2


def test_python_files_count_where_they_were_read_or_looked_for(worker, repository):
    worker.told["one.py"] = {**NOTHING, "reads": ["data.py", "gone.py"], "asks": ["maybe.py"]}
    (repository / "dags" / "data.py").write_text("1")
    commit(repository, one="dag")
    check(repository)
    for name, imported in (("data.py", 1), ("gone.py", 1), ("maybe.py", 1), ("other.py", 0)):
        (repository / "dags" / name).write_text("2")
        assert check(repository).imported == imported, name
    (repository / "dags" / "maybe.py").write_text("3")  # It was only looked for.
    assert check(repository).imported == 0


def test_an_error_of_a_file_outside_the_folder_is_not_kept(worker, repository):
    message = "PermissionError: [Errno 13] Permission denied: '/tmp/x.json'"
    worker.told["one.py"] = {**NOTHING, "errors": [{"at": {"file": "one.py", "line": 1}, "message": message}]}
    commit(repository, one="dag")
    assert [check(repository).count("error") for _ in range(2)] == [1, 1]
    assert worker.asked == [["one.py"], ["one.py"]]


def test_other_rules_are_applied_to_what_is_known(worker, repository):
    commit(repository, one="dag")
    check(repository)
    found = check(repository, rules=dag_rules.Rules(least_retries=2)).findings
    assert [(each.rule, each.line) for each in found] == [("retries-policy", 2)]
    assert len(worker.asked) == 1


def test_values_that_files_can_see_are_part_of_what_is_known(worker, repository):
    commit(repository, one="dag")
    check(repository)
    check(repository, specs.environment("sandbox", specs.tenant("analytics", variables={"x": "1"})))
    assert len(worker.asked) == 2
    assert worker.orders[1].variables == {"x": "1"}
    assert "snowflake_default" in worker.orders[1].connections


def test_airflows_settings_are_part_of_what_is_known_of_a_file(worker, repository):
    commit(repository, one="dag")
    check(repository)
    worker.settings = {"AIRFLOW__CORE__EXECUTOR": "Another"}
    commit(repository, other="x")
    assert check(repository).imported == 1


def test_executors_are_those_of_the_tenants_environments(worker, repository):
    told = dag("one", "one.py")
    told["tasks"][0]["executor"] = "CeleryExecutor"
    worker.told["one.py"] = {**NOTHING, "dags": [told]}
    commit(repository, one="dag")
    (finding,) = check(repository).findings
    assert (finding.rule, finding.line) == ("executor-unknown", 3)
    for executor, rules in (("CeleryExecutor", []), ("LocalExecutor", ["executor-unknown"])):
        docker = specs.environment("dev", "analytics", runtime="docker", docker={"executor": executor})
        assert [each.rule for each in check(repository, docker).findings] == rules


def test_the_smoke_dag_of_an_environment_may_have_no_retries(worker, repository):
    commit(repository, one="dag")
    smoke = specs.environment("sandbox", dags={"smoke": "one"})
    assert check(repository, smoke, rules=dag_rules.Rules(least_retries=2)).findings == ()


def test_a_bad_end_is_told_and_not_kept(worker, repository):
    worker.told["one.py"] = {"ended": "late", "ended_at": {"file": "one.py", "line": 4}, "cpu": 9.0}
    commit(repository, one="dag", two="dag")
    for _ in range(2):
        found = check(repository).findings
        assert [(each.file, each.line, each.rule) for each in found] == [("dags/one.py", 4, "import-timeout")]
    assert worker.asked == [["one.py", "two.py"], ["one.py"]]


def test_the_worker_is_told_what_to_look_for_and_what_to_warm(worker, repository):
    text = "import os, helper\nfrom airflow.sdk import dag\ndef f():\n    import late.one\n"
    commit(repository, one=text, helper="import deep, airflow.providers.http.hooks.http")
    check(repository)
    (order,) = worker.orders
    (file,) = order.files
    assert file.modules == (
        "airflow.providers.http.hooks.http", "airflow.sdk", "airflow.sdk:dag", "deep", "late.one", "os"
    )  # fmt: skip
    assert order.warm == ("airflow.providers.http.hooks.http", "airflow.sdk")
    assert (order.seconds, order.memory) == (30.0, 1024)


def test_declared_tenants_are_those_of_all_files(worker, repository, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_PLATFORM_ENVIRONMENTS", str(tmp_path))
    (tmp_path / "other.toml").write_text(
        'runtime = "process"\n[[tenants]]\nname = "elsewhere"\nsnowflake = { database = "D", warehouse = "W", role = "R" }\n'
    )
    worker.told["one.py"] = {**NOTHING, "dags": [dag("one", "one.py", tags=["tenant:elsewhere"])]}
    commit(repository, one="dag")
    assert held(repository, baseline.declared()).findings == ()
    assert [each.rule for each in check(repository).findings] == ["tenant-tag"]


def test_a_link_is_not_read_by_us(worker, repository, tmp_path):
    (tmp_path / "secret.py").write_text("import secret # dag")
    (repository / "dags" / "link.py").symlink_to(tmp_path / "secret.py")
    commit(repository, one="dag")
    check(repository)
    assert all(file.modules == () for order in worker.orders for file in order.files)


def test_what_a_link_leads_to_counts(worker, repository):
    (repository / "dags" / "link.py").symlink_to("one.py")
    commit(repository, one="dag", two="dag # 2")
    check(repository)
    commit(repository, two="dag # 3")
    check(repository)
    commit(repository, one="dag # 4")
    check(repository)
    assert worker.asked[1:] == [["two.py"], ["link.py", "one.py"]]


def test_of_a_version_from_which_a_link_leads_away_nothing_is_kept(worker, repository, tmp_path):
    (repository / "dags" / "lib").symlink_to(tmp_path / "outside")
    commit(repository, one="dag")
    first = check(repository)
    again = check(repository)
    assert (first.tree, worker.asked) == (again.tree, [["one.py"], ["one.py"]])


def test_nor_of_one_without_dag_files(worker, repository, tmp_path):
    (repository / "dags" / "lib").symlink_to(tmp_path / "outside")
    commit(repository, helper="value = 1")
    assert (check(repository).files, check(repository).files, worker.started) == ((), (), 2)


LINKED = {
    "read": {"reads": ["lib/helpers.py"]},
    "listed": {"reads": ["lib"]},
    "asked for": {"asks": ["lib/more.py"]},
    "asked for by another link": {"asks": ["lib/back/common/more.py"]},
}


@pytest.mark.parametrize("what", LINKED)
def test_what_is_below_a_link_to_a_folder_counts(worker, repository, what):
    worker.told["one.py"] = {**NOTHING, **LINKED[what]}
    (repository / "dags" / "common").mkdir()
    (repository / "dags" / "lib").symlink_to("common")
    (repository / "dags" / "common" / "back").symlink_to("..")
    commit(repository, one="dag", **{"common/helpers": "value = 1"})
    check(repository)
    assert check(repository).imported == 0
    commit(repository, other="x")
    assert check(repository).imported == 0
    commit(repository, **{"common/helpers": "value = 2", "common/more": ""})
    assert check(repository).imported == 1


def test_what_imports_name_below_a_link_to_a_folder_is_needed(worker, repository):
    (repository / "dags" / "common").mkdir()
    (repository / "dags" / "lib").symlink_to("common")
    commit(
        repository,
        one="def f(): from lib.helpers import X  # dag",
        **{"common/helpers": "import common.deep", "common/deep": ""},
    )
    (file,) = check(repository).files
    assert file.needs == ("common/deep.py", "common/helpers.py")


def test_a_link_to_nothing_that_comes_to_lead_to_a_file_is_another(worker, repository):
    (repository / "dags" / "link.txt").symlink_to("gone.txt")
    worker.told["one.py"] = {**NOTHING, "asks": ["link.txt"]}
    commit(repository, one="dag")
    check(repository)
    (repository / "dags" / "gone.txt").write_text("x")
    assert check(repository).imported == 1


def test_a_link_to_the_folder_itself_is_what_is_in_it(worker, repository):
    (repository / "dags" / "here").symlink_to(".")
    worker.told["one.py"] = {**NOTHING, "reads": ["here", "here/here/other.py"]}
    commit(repository, one="dag")
    check(repository)
    assert check(repository).imported == 0
    commit(repository, other="x")
    assert check(repository).imported == 1


def test_a_link_to_nothing_inside_is_known(worker, repository):
    (repository / "dags" / "link.txt").symlink_to("gone.txt")
    worker.told["one.py"] = {**NOTHING, "reads": ["link.txt"]}
    commit(repository, one="dag")
    check(repository)
    assert check(repository).imported == 0


def test_files_that_git_does_not_know_are_imported_though_the_version_is_the_same(
    worker, repository, monkeypatch
):
    monkeypatch.setattr(worker, "files", lambda self: ("one.py", "folder/found.py"))
    commit(repository, one="dag")
    check(repository)
    check(repository)
    assert worker.asked == [["one.py", "folder/found.py"], ["folder/found.py"]]


FLEETING = {
    "a slow import": ({**NOTHING, "cpu": 9.0}, "import-slow"),
    "a wait": ({**NOTHING, "waited": 20.0}, "import-slow"),
    "no threads": (
        {
            **NOTHING,
            "errors": [
                {"at": {"file": "one.py", "line": 1}, "message": "RuntimeError: can't start new thread"}
            ],
        },
        "import-error",
    ),
    "no memory": (
        {**NOTHING, "errors": [{"at": {"file": "one.py", "line": 1}, "message": "MemoryError"}]},
        "import-memory",
    ),
}


@pytest.mark.parametrize("what", FLEETING)
def test_what_may_be_the_machines_fault_is_tried_again(worker, repository, what):
    worker.told["one.py"], rule = FLEETING[what]
    commit(repository, one="dag", two="dag")
    assert rule in [each.rule for each in check(repository).findings]
    del worker.told["one.py"]
    assert check(repository).findings == ()
    assert worker.asked == [["one.py", "two.py"], ["one.py"]]


@pytest.fixture
def declared(tmp_path, monkeypatch):
    """One environment is declared; checks a commit for all environments."""
    monkeypatch.setenv("AIRFLOW_PLATFORM_ENVIRONMENTS", str(tmp_path / "environments"))
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "dev.toml").write_text(
        'runtime = "process"\n[[tenants]]\nname = "one"\nsnowflake = { database = "D", warehouse = "W", role = "R" }\n'
    )
    return lambda place: held(place, baseline.declared())


@pytest.mark.parametrize("what", ["a slow import", "a link away"])
def test_ids_of_a_version_without_errors_are_known_though_it_is_looked_at_again(
    worker, repository, declared, what
):
    if what == "a slow import":
        worker.told["one.py"] = {**NOTHING, "dags": [dag("one", "one.py")], "cpu": 9.0}
    else:
        (repository / "dags" / "x.sql").symlink_to("/nowhere")
    commit(repository, one="dag", two="dag # 2")
    checked = declared(repository)
    assert checked.count("error") == 0
    assert result_cache.dag_ids(checked.tree) == {"one": "one.py", "two": "two.py"}
    assert declared(repository).imported == (1 if what == "a slow import" else 2)


def test_ids_of_a_version_with_errors_are_not_known(worker, repository, declared):
    worker.told["one.py"] = {**NOTHING, "dags": [dag("one", "one.py", tags=[])]}
    commit(repository, one="dag")
    checked = declared(repository)
    assert checked.count("error") == 1
    assert result_cache.dag_ids(checked.tree) is None


def test_what_is_declared_is_loaded_once_for_all_who_ask_for_ids(worker, repository, declared, monkeypatch):
    dev = paths.project().environments / "dev.toml"
    dev.write_text(f"# Nobody has loaded this one.\n{dev.read_text()}")
    commit(repository, one="dag")
    checked = declared(repository)
    real, loaded = load.all_environments, []

    def all_environments():
        loaded.append(1)
        return real()

    monkeypatch.setattr(load, "all_environments", all_environments)
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(result_cache.dag_ids, [checked.tree] * 32))
    assert found == [{"one": "one.py"}] * 32
    assert len(loaded) == 1
    dev.write_text("nothing = 1")
    assert result_cache.dag_ids(checked.tree) is None


def test_a_limit_that_becomes_lower_has_a_file_measured_again(worker, repository):
    worker.told["one.py"] = {**NOTHING, "dags": [dag("one", "one.py")], "cpu": 1.5}
    commit(repository, one="dag")
    assert check(repository).findings == ()
    worker.told["one.py"] = {**worker.told["one.py"], "cpu": 0.5}
    assert check(repository, rules=dag_rules.Rules(import_seconds=1)).findings == ()
    assert worker.asked == [["one.py"], ["one.py"]]


def test_a_file_that_becomes_a_folder_is_another(worker, repository):
    worker.told["one.py"] = {**NOTHING, "asks": ["data"]}
    (repository / "dags" / "data").write_text("1")
    commit(repository, one="dag")
    check(repository)
    (repository / "dags" / "data").unlink()
    (repository / "dags" / "data").mkdir()
    (repository / "dags" / "data" / "x").write_text("1")
    assert check(repository).imported == 1


def test_a_module_that_only_a_function_imports_must_be_whole_and_there(worker, repository):
    worker.told["one.py"] = {
        **NOTHING,
        "dags": [dag("one", "one.py")],
        "broken": [{"at": {"file": "helper.py", "line": 1}, "message": "SyntaxError: no"}],
    }
    text = "def f():\n    import helper\n    from . import gone  # dag\n    try:\n        import maybe\n    except ImportError:\n        pass"
    commit(repository, one=text, helper="def f(:", maybe="def f(:")
    found = [(each.file, each.line, each.rule, each.about) for each in check(repository).findings]
    assert found == [
        ("dags/helper.py", 1, "module-broken", ""),
        ("dags/one.py", 3, "module-missing", ".gone"),
    ]
    assert [file.loads for file in worker.orders[0].files] == [("helper.py",)]


def test_a_file_that_git_does_not_know_is_imported_each_time(worker, repository, monkeypatch):
    monkeypatch.setattr(worker, "files", lambda self: ("one.py", "folder/found.py"))
    commit(repository, one="dag")
    checked = check(repository)
    assert sorted(checked.ids) == ["folder/found", "one"]
    commit(repository, other="x")
    check(repository)
    assert worker.asked == [["one.py", "folder/found.py"], ["folder/found.py"]]


def test_no_files_of_a_check_are_left(worker, repository):
    commit(repository, one="dag")
    check(repository)
    assert list((paths.dag_checks() / "trees").iterdir()) == []


class TestLaunch:
    """What a worker is started with."""

    @pytest.fixture(autouse=True)
    def installed(self, monkeypatch, tmp_path):
        """The packages, as the step would install them; how often it was asked."""
        self.entry = tmp_path / "packages" / "ab12"
        self.entry.mkdir(parents=True)
        (self.entry / "complete").write_text(f"{self.entry}\n")
        self.asked = []
        monkeypatch.setattr(
            commit_check, "install_packages", lambda *_: self.asked.append(1) or self.entry / "venv"
        )

    def launch(self):
        return commit_check._launch(programs.Programs(), lambda text: None)

    def test_it_has_airflows_python_and_a_clean_environment(self, monkeypatch):
        monkeypatch.setenv("DEPLOY_TOKEN", "canary")
        launch = self.launch()
        assert launch.python == self.entry / "venv" / "bin" / "python"
        assert "canary" not in str(launch.settings(Path("/home")))

    def test_the_step_is_asked_once_and_again_when_its_work_is_gone(self):
        self.launch()
        self.launch()
        assert len(self.asked) == 1
        (self.entry / "complete").unlink()
        self.launch()
        assert len(self.asked) == 2

    @pytest.mark.parametrize("found", [None, 1_900_000_000])
    def test_as_root_imports_are_never_roots(self, monkeypatch, found):
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(users, "of_tenant", lambda directory: found)
        assert self.launch().user == (found or 65534)

    def test_as_another_user_imports_are_ours(self, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert self.launch().user is None


def test_limits_are_all_that_the_projects_rules_say():
    rules = dag_rules.Rules(interval=7, catchup=True)
    assert dataclasses.asdict(subject.Limits(**rules.model_dump())) == rules.model_dump()


def test_what_is_held_against_survives_being_kept():
    tenant = specs.tenant("one", variables={"x": "1"}, pools=({"name": "p", "slots": 1},))
    against = baseline.of([specs.environment("dev", tenant, "two")], dag_rules.Rules(), ["two", "one"])
    assert records.read(baseline.Baseline, json.loads(json.dumps(dataclasses.asdict(against)))) == against
    assert [(str(each), sorted(each.pools)) for each in against.tenants] == [
        ("dev/one", ["default_pool", "p"]),
        ("dev/two", ["default_pool"]),
    ]


def test_a_known_result_needs_neither_specs_nor_an_http_client():
    program = (
        "import sys; from airflow_platform.tasks import dags_check; from airflow_platform.dags.check import commit_check;"
        "print(sorted({'pydantic', 'urllib3', 'cryptography', 'rich'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=paths.project().root,
        capture_output=True,
        text=True,
        check=True,
        timeout=15,
    )
    assert done.stdout.strip() == "[]"


def test_packages_that_cannot_be_installed_are_exit_4(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(errors.PreflightError) as raised:
        commit_check.install_packages(programs.Programs(), lambda text: None)
    assert raised.value.exit_code == 4
