"""What is found by importing with the real Airflow: the same errors, work at import, what files need."""

import contextlib
import json
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from airflow_platform.dags.check.rules import import_time
from airflow_platform.testing import specs as made
from tests.dags.check.conftest import PACKAGES, dag, found
from tests.dags.check.real import real

pytestmark = real

BAG = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1], bundle_path=__import__("pathlib").Path(sys.argv[1]))
print(json.dumps([sorted(bag.import_errors), sorted(bag.dags)]))
"""

CYCLE = """
import datetime
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
with DAG("cycle", schedule=None):
    one, two = EmptyOperator(task_id="one"), EmptyOperator(task_id="two")
    one >> two >> one
"""

WRONG_ARGUMENT = """
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
with DAG("wrong", schedule=None):
    BashOperator(
        task_id="one", bash_command="true", nonsense=1
    )
"""


def test_what_fails_in_airflow_fails_here_in_the_same_files(repository, tmp_path):
    files = {
        "good.py": dag("good"),
        "syntax.py": "# airflow dag\ndef f(:\n",
        "raises.py": "# airflow dag\n\nraise ValueError('no')\n",
        "cycle.py": CYCLE,
        "wrong.py": WRONG_ARGUMENT,
        "schedule.py": dag("odd").replace('"@daily"', '"every day"'),
        "helper.py": "value = 1\n",
        "folder/inner.py": dag("inner"),
    }
    checked = repository.check(files)
    told = subprocess.run(
        [f"{PACKAGES}/bin/python", "-c", BAG, repository.place / "dags"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    failing, dags = json.loads(told.stdout.splitlines()[-1])
    assert (
        sorted({each.file.removeprefix("dags/") for each in checked.findings if each.rule == "import-error"})
        == failing
    )
    assert sorted(checked.ids) == dags
    assert found(checked, "syntax.py") == [("import-error", 2, "error")]
    assert found(checked, "raises.py") == [("import-error", 3, "error")]
    assert found(checked, "cycle.py") == [("import-error", 5, "error")]
    assert found(checked, "wrong.py") == [("import-error", 5, "error")]


def test_a_message_of_many_lines_is_told_in_one(repository):
    text = "# airflow dag\nclass E(Exception): pass\ntry:\n    1/0\nexcept ZeroDivisionError:\n    raise E('one\\n  two\\nthree')\n"
    (finding,) = repository.check({"raises.py": text}).findings
    assert (finding.line, finding.message.endswith("E: one two three")) == (6, True)


def test_work_that_is_repeated_is_told_once(repository):
    text = "# airflow dag\nfrom airflow.sdk import Variable\nfor _ in range(10_000): Variable.get('x', default=1)\n"
    checked = repository.check({"asks.py": text}, import_seconds=600)
    assert found(checked, "asks.py") == [("variable-at-import", 3, "error")]


def test_airflows_ignore_file_and_its_safe_mode_are_honoured(repository):
    files = {
        ".airflowignore": "ignored\nfolder/\n",
        "ignored.py": "raise ValueError",
        "folder/also.py": "# airflow dag\nraise ValueError",
        "helper.py": "raise ValueError('no such words in here')",
        "good.py": dag("good"),
    }
    checked = repository.check(files)
    assert [each.path for each in checked.files] == ["good.py"]
    assert checked.findings == ()


def test_work_at_import_is_found_at_its_line_and_the_rest_is_still_checked(repository):
    text = """# airflow dag
import os, socket, subprocess, time, urllib.request
from airflow.models import Variable as Old
from airflow.sdk import BaseHook, Variable
from shared import works
time.sleep(3600)
assert Variable.get("orders_schema") == "MARTS"
assert Variable.get("nowhere", default="other") == "other"
assert Old.get("orders_schema") == "MARTS"
assert BaseHook.get_connection("warehouse").host == "warehouse.invalid"
for work in (
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: socket.gethostbyname("localhost"),
    lambda: subprocess.run(["true"]),
    lambda: os.system("true"),
    works,
):
    try:
        work()
    except OSError:
        pass
"""
    shared = "import subprocess\ndef works():\n    subprocess.run(['true'])\n"
    checked = repository.check({"works.py": text + dag("works"), "shared.py": shared})
    assert found(checked, "works.py") == [
        ("sleep-at-import", 6, "error"),
        ("variable-at-import", 7, "error"),
        ("variable-at-import", 8, "error"),
        ("variable-at-import", 9, "error"),
        ("connection-at-import", 10, "error"),
        ("network-at-import", 12, "error"),
        ("network-at-import", 13, "error"),
        ("process-at-import", 14, "error"),
        ("process-at-import", 15, "error"),
    ]
    assert found(checked, "shared.py") == [("process-at-import", 3, "error")]
    assert list(checked.ids) == ["works"]


def test_what_a_package_does_while_it_is_imported_is_not_the_authors(repository):
    # Both look for the machine's abilities by sockets or programs.
    checked = repository.check({"uses.py": "import uuid, urllib3.util.connection, platform\n" + dag("uses")})
    assert checked.findings == ()


def test_modules_are_looked_for_where_tasks_find_them(repository):
    text = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import for_types_only
try:
    import not_there_and_not_needed
except ImportError:
    pass

def work():
    import json
    import numpy.linalg
    import helping.inner
    from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook
    from airflow.operators.python import PythonOperator
    import nowhere
    from airflow.providers.nowhere import Hook
    import helping.nothing
"""
    files = {
        "uses.py": dag("uses") + text,
        "helping/__init__.py": "",
        "helping/inner.py": "def f():\n    import lost\n",
    }
    checked = repository.check(files)
    base = len(dag("uses").splitlines())
    assert found(checked, "uses.py") == [("module-missing", base + line, "error") for line in (16, 17, 18)]
    assert found(checked, "helping/inner.py") == [("module-missing", 2, "error")]
    assert "nowhere" in checked.findings[0].message or "lost" in checked.findings[0].message


def test_what_runs_elsewhere_needs_no_module_of_ours(repository):
    text = """
import contextlib, sys
from airflow.providers.standard.operators.python import PythonVirtualenvOperator

if sys.version_info < (3, 0):
    import old_python
with contextlib.suppress(ImportError):
    import not_there

def called():
    import polars_of_its_own

with DAG("elsewhere", schedule=None, tags=["tenant:all"], default_args={"owner": "team", "retries": 1}):
    @task.virtualenv(requirements=["x"])
    def one():
        import only_there

    @task.external_python(python="/opt/python")
    def two():
        import only_there

    one() >> two() >> PythonVirtualenvOperator(task_id="three", python_callable=called)
"""
    assert repository.check({"uses.py": dag("uses") + text}).findings == ()


def test_files_that_only_functions_import_must_be_whole_and_there(repository):
    text = """
def work():
    import helper
    from pack import module
"""
    files = {
        "uses.py": dag("uses") + text,
        "helper.py": "value = 1\nreturn value\n",
        "pack/__init__.py": "",
        "pack/module.py": "def f():\n    from . import gone, there\n",
        "pack/there.py": "",
    }
    checked = repository.check(files)
    assert found(checked, "helper.py") == [("module-broken", 2, "error")]
    assert found(checked, "pack/module.py") == [("module-missing", 2, "error")]
    assert len(checked.findings) == 2


def test_files_that_may_fail_or_have_been_imported_are_not_compiled(repository):
    text = """
import sys
if sys.version_info >= (4,):
    from newer import value
try:
    import legacy
except Exception:
    legacy = None
from pack.linked import fine

def work():
    from pack.linked import fine
    import linked_bad
"""
    files = {
        "uses.py": dag("uses") + text,
        "newer.py": "value = (\n",
        "legacy.py": "import lost\ndef f():\n    import lost\n",
        ".airflowignore": "common\n",  # Airflow walks no folder twice.
        "common/__init__.py": "",
        "common/fine.py": "from . import other\n",
        "common/other.py": "",
        "pack/__init__.py": "",
        "bad.py": "value = 1\nvalue = (\n",
    }
    place = repository.place / "dags"
    (place / "pack").mkdir(parents=True)
    (place / "pack" / "linked").symlink_to("../common")
    (place / "linked_bad.py").symlink_to("bad.py")
    checked = repository.check(files)
    assert found(checked) == [("module-broken", 2, "error")], checked.findings
    assert checked.findings[0].file == "dags/linked_bad.py"


def test_executors_of_all_environments_can_be_named_and_no_other(repository):
    def of(executor):
        return dag("one").replace("@task\n", f'@task(executor="{executor}")\n')

    docker = made.environment("dev", "analytics", runtime="docker")
    assert repository.check({"one.py": of("LocalExecutor")}).findings == ()
    assert found(repository.check({"one.py": of("CeleryExecutor")})) == [("executor-unknown", 17, "error")]
    assert repository.check({}, docker).findings == ()
    assert found(repository.check({"one.py": of("LocalExecutor")}, docker)) == [
        ("executor-unknown", 17, "error")
    ]
    assert found(repository.check({"one.py": of("Nonsense")}))[0][0] == "import-error"


def test_a_dag_that_runs_again_and_again_is_told_the_same_each_time(repository):
    text = dag("one").replace('"@daily"', '"@continuous"').replace("catchup=False", "max_active_runs=1")
    messages = {repository.check({"one.py": text + "#" * times}).findings[0].message for times in (1, 2)}
    assert messages == {"The DAG one runs again as soon as it has ended; 60 s must lie between two runs."}
    assert repository.check({}, interval=0).findings == ()


def test_what_would_steer_a_terminal_is_not_passed_on(repository):
    (finding,) = repository.check(
        {"odd.py": "# airflow dag\nraise ValueError('\x1b]0;title\x07\x1b[2J')\n"}
    ).findings
    assert finding.message == "ValueError: ?]0;title??[2J"
    assert str(finding).isprintable()


def test_a_thread_of_the_author_and_a_long_wait_are_found(repository, monkeypatch):
    monkeypatch.setattr(import_time, "LONGEST_WAIT", 1.0)
    files = {
        "asks.py": "# airflow dag\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "from urllib.request import urlopen\nThreadPoolExecutor().submit(urlopen, 'http://127.0.0.1:9/')\n",
        "waits.py": "import threading\nthreading.Event().wait(4)\n" + dag("waits"),
    }
    checked = repository.check(files)
    assert found(checked, "asks.py") == [("network-at-import", 4, "error")]
    assert found(checked, "waits.py") == [("import-slow", 1, "warning")]


def test_needs_are_found_in_texts_and_while_importing(repository):
    files = {
        "uses.py": "from pathlib import Path\nimport one\n"
        "text = (Path(__file__).parent / 'sql' / 'x.sql').read_text()\n"
        "list(Path(__file__).parent.glob('conf/*.json'))\n"
        "def work():\n    from two import three\n" + dag("uses"),
        "one.py": "import shared.deep\n",
        "two/__init__.py": "",
        "two/three.py": "from . import four\n",
        "two/four.py": "",
        "shared/deep.py": "",
        "sql/x.sql": "select 1",
        "conf/a.json": "{}",
        "unrelated.py": "",
    }
    (file,) = repository.check(files).files
    assert file.path == "uses.py"
    assert file.needs == (
        "one.py",
        "shared/deep.py",
        "sql/x.sql",
        "two/__init__.py",
        "two/four.py",
        "two/three.py",
    )


def test_dags_tasks_and_schedules_are_seen_as_airflow_has_them(repository):
    text = '''
import datetime
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.snowflake.operators.snowflake import SnowflakeSqlApiOperator
from airflow.sdk import DAG, dag, task

@dag(schedule="* * * * *", start_date=datetime.datetime(2026, 1, 1), catchup=True,
     tags=["tenant:finance"], default_args={"owner": "x", "retries": 9, "pool": "snowflake"})
def often():
    SQLExecuteQueryOperator(task_id="asks", conn_id="lost" + "_one", sql="select 1")
    SQLExecuteQueryOperator.partial(task_id="maps", conn_id="lost" + "_two").expand(sql=["select 1"])

often()

with DAG("seldom", schedule=datetime.timedelta(seconds=30), tags=["tenant:nobody"]):
    @task(retries=1)
    def nothing():
        """Owned by nobody."""
    nothing()
'''
    checked = repository.check({"many.py": text})
    told = [(each.rule, each.line, each.tenants) for each in checked.findings]
    assert told == [
        ("pool-unknown", 10, ("sandbox/finance",)),
        ("connection-unknown", 10, ("sandbox/finance",)),
        ("connection-unknown", 11, ("sandbox/finance",)),
        ("retries-policy", 7, ()),
        ("schedule-policy", 7, ()),
        ("owner-missing", 15, ()),
        ("schedule-policy", 15, ()),
        ("tenant-tag", 15, ()),
    ] or sorted(told) == sorted(
        [
            ("connection-unknown", 10, ("sandbox/finance",)),
            ("connection-unknown", 11, ("sandbox/finance",)),
            ("owner-missing", 15, ()),
            ("pool-unknown", 10, ("sandbox/finance",)),
            ("retries-policy", 7, ()),
            ("schedule-policy", 7, ()),
            ("schedule-policy", 15, ()),
            ("tenant-tag", 15, ()),
        ]
    )


def test_the_dags_of_this_repository_pass(repository, checkout):
    files = {
        str(path.relative_to(checkout / "dags")): path.read_bytes()
        for path in (checkout / "dags").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    tenant = made.tenant(pools=({"name": "snowflake", "slots": 1},))
    checked = repository.check(files, made.environment("dev", tenant))
    assert checked.findings == ()
    assert sorted(checked.ids) == ["orders_daily", "platform_smoke"]


def test_a_linked_folder_is_followed_as_airflow_does(repository, shared_cache):
    elsewhere = shared_cache / "elsewhere"  # Where other users can read, too.
    elsewhere.mkdir()
    (elsewhere / "one.py").write_text(dag("one"))
    (repository.place / "dags").mkdir()
    (repository.place / "dags" / "linked").symlink_to(elsewhere)
    checked = repository.check({"two.py": dag("two")})
    assert dict(checked.ids) == {"one": "linked/one.py", "two": "two.py"}
    (elsewhere / "one.py").write_text(dag("changed"))
    assert list(repository.check().ids) == ["changed", "two"]


def test_a_folder_that_airflow_refuses_altogether_is_a_finding(repository):
    (repository.place / "dags" / "real").mkdir(parents=True)
    (repository.place / "dags" / "linked").symlink_to("real")
    checked = repository.check({"real/one.py": dag("one")})
    (finding,) = checked.findings
    assert (finding.file, finding.line, finding.rule) == ("dags", 1, "import-error")
    assert "recursive loop" in finding.message
    assert "airflow-platform-test" not in finding.message
    assert checked.files == ()


@pytest.mark.parametrize(
    ("text", "told"), [(b"caf\xe9.py\n", "below/.airflowignore"), (b"!\n", "airflowignore")]
)
def test_an_airflowignore_that_airflow_cannot_read_is_a_finding(repository, text, told):
    checked = repository.check({"below/one.py": dag("one"), "below/.airflowignore": text})
    (finding,) = checked.findings
    assert (finding.file, finding.rule) == ("dags", "import-error")
    assert f"{told} cannot be read: " in finding.message
    assert "airflow-platform-test" not in finding.message


def test_an_airflowignore_that_may_not_be_read_is_a_finding(repository, shared_cache):
    closed = shared_cache / "closed"
    closed.write_text("canary\n")
    closed.chmod(0)
    (repository.place / "dags" / "below").mkdir(parents=True)
    (repository.place / "dags" / "below" / ".airflowignore").symlink_to(closed)
    (finding,) = repository.check({"below/one.py": dag("one")}).findings
    assert (finding.file, finding.rule) == ("dags", "import-error")
    assert "below/.airflowignore cannot be read: Permission denied" in finding.message


def test_links_to_what_has_no_end_or_may_not_be_read_are_findings_and_stop_nobody(repository, shared_cache):
    there = shared_cache / "endless"
    there.mkdir()
    (there / "closed.py").write_text("canary")
    (there / "closed.py").chmod(0)
    with (there / "large.py").open("wb") as file:
        file.truncate(64 * 1024**3)
    os.mkfifo(there / "pipe.py")
    (repository.place / "dags").mkdir()
    (repository.place / "dags" / "zero.py").symlink_to("/dev/zero")
    for path in there.iterdir():
        (repository.place / "dags" / path.name).symlink_to(path)
    checked = repository.check({"good.py": dag("good")}, import_deadline=10)
    assert list(checked.ids) == ["good"]
    assert {each.file for each in checked.findings} == {"dags/closed.py", "dags/large.py"}


def test_an_archive_of_dags_is_looked_into(repository, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("inside.py", dag("inside").replace("tenant:all", "other"))
    checked = repository.check({"packed.zip": (tmp_path / "packed.zip").read_bytes()})
    assert dict(checked.ids) == {"inside": "packed.zip"}
    assert found(checked, "packed.zip") == [("tenant-tag", 1, "error")]


CASES = {
    "threads": """
from concurrent.futures import ThreadPoolExecutor
import hashlib
with ThreadPoolExecutor(max_workers=64) as pool:
    list(pool.map(lambda n: hashlib.sha256(b"x" * 1_000_000).digest(), range(200)))
""",
    "asyncio": "import asyncio\nasync def name(): pass\nasyncio.run(name())\n",
    "gitpython": "import git\n",
}


@pytest.mark.parametrize("name", CASES)
def test_what_airflow_imports_without_complaint_is_not_refused(repository, name):
    assert repository.check({"one.py": CASES[name] + dag("one")}).findings == ()


def test_a_module_of_a_namespace_package_that_is_not_there_is_missing(repository):
    text = "\ndef work():\n    from google.cloud import storage\n    from google.protobuf import message\n"
    checked = repository.check({"late.py": dag("late") + text})
    (finding,) = checked.findings
    assert (finding.rule, finding.about) == ("module-missing", "google.cloud.storage")
    assert list(checked.ids) == ["late"]


def test_what_a_file_put_among_the_modules_need_not_be_one(repository):
    text = "import sys\nsys.modules['odd'] = object()\n\ndef work():\n    from odd import thing\n\n"
    assert repository.check({"odd_one.py": text + dag("odd_one")}).findings == ()


def test_files_that_write_the_same_file_outside_are_not_refused_and_leave_nothing(repository):
    name = f"/tmp/airflow-platform-case-{os.getpid()}.json"
    text = f"with open({name!r}, 'w') as file:\n    file.write('x')\n"
    assert repository.check({f"w{n}.py": text + dag(f"w{n}") for n in range(3)}).findings == ()
    assert not Path(name).exists()


def test_a_file_that_native_code_reads_is_part_of_what_is_known(repository):
    def database(name):
        path = repository.place / "dags" / "flows.db"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as made:
            made.execute("CREATE TABLE flows (id)")
            made.execute("INSERT INTO flows VALUES (?)", [name])
            made.commit()
        return path.read_bytes()

    text = "import pathlib, sqlite3\nwith sqlite3.connect(pathlib.Path(__file__).parent / 'flows.db') as flows:\n"
    text += "    name = flows.execute('SELECT id FROM flows').fetchone()[0]\n" + dag("x").replace(
        '"x"', "name"
    )
    assert list(repository.check({"flows.py": text, "flows.db": database("one")}).ids) == ["one"]
    checked = repository.check({"flows.db": database("no valid id!")})
    assert (checked.imported, [each.rule for each in checked.findings]) == (1, ["import-error"])
