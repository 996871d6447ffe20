"""The DAGs of this repository: what can be said of their text, and what the real Airflow makes of them."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).parents[2] / "dags"
VARIABLE = "AIRFLOW_PLATFORM_TEST_AIRFLOW"
PACKAGES = os.environ.get(VARIABLE, "")
real = [
    pytest.mark.sandbox,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        not PACKAGES,
        reason=f"{VARIABLE} names no virtual environment made from images/airflow/requirements.lock",
    ),
]

PROBE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print(json.dumps({"errors": bag.import_errors, "dags": {
    dag.dag_id: {
        "paused": dag.is_paused_upon_creation,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tasks": {task.task_id: {"pool": task.pool, "retries": task.retries, "owner": task.owner,
                                 "after": sorted(task.upstream_task_ids)} for task in dag.tasks},
        "described": bool(dag.doc_md),
    } for dag in bag.dags.values()}}))
"""

DAYS = """
import datetime, importlib.util, json, sys, types
spec = importlib.util.spec_from_file_location("orders_daily", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
noon = datetime.datetime(2026, 3, 1, 12)
midnight = datetime.datetime(2026, 2, 28)
def run(conf, start):
    return module.day_of(types.SimpleNamespace(conf=conf, data_interval_start=start, run_after=noon)).isoformat()
day = datetime.date(2026, 1, 31)
orders = module.orders_of(day)
print(json.dumps({
    "days": [run({"day": "2026-01-31"}, midnight), run({}, midnight), run(None, None)],
    "same": orders == module.orders_of(day),
    "ids": len({order[0] for order in orders + module.orders_of(day + datetime.timedelta(days=1))}),
    "in the day": all(order[4].startswith("2026-01-31T") for order in orders),
}))
"""


def ask_airflow(home: Path, program: str, *arguments: Path) -> Any:
    """Run a program in Airflow's environment; the JSON that it prints last."""
    environment = {"PATH": f"{PACKAGES}/bin:/usr/bin:/bin", "HOME": str(home), "AIRFLOW_HOME": str(home)}
    environment["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [f"{PACKAGES}/bin/python", "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return ask_airflow(tmp_path_factory.mktemp("airflow"), PROBE, DAGS)


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.name)
def test_a_dag_needs_nothing_but_airflow_and_its_providers(path):
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported - {"airflow", *sys.stdlib_module_names} == set()


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.name)
def test_a_file_is_named_after_its_dag_and_found_by_safe_mode(path):
    text = path.read_text()
    assert f'dag_id="{path.stem}"' in text
    assert "dag" in text
    assert "airflow" in text, "the dag-processor passes over files without these two words"


def test_every_statement_file_is_used():
    text = (DAGS / "orders_daily.py").read_text()
    for path in sorted((DAGS / "sql").glob("*.sql")):
        assert f'"{path.name}"' in text


class TestOnAirflow:
    pytestmark = real

    def test_all_are_imported(self, found):
        assert found["errors"] == {}
        assert sorted(found["dags"]) == ["orders_daily", "platform_smoke"]

    def test_only_the_smoke_dag_starts_unpaused(self, found):
        paused = {name: dag["paused"] for name, dag in found["dags"].items()}
        assert paused == {"platform_smoke": False, "orders_daily": None}

    def test_none_catches_up_or_overlaps(self, found):
        assert all(dag["max_active_runs"] == 1 and not dag["catchup"] for dag in found["dags"].values())

    def test_all_have_an_owner_and_a_description(self, found):
        assert all(dag["described"] for dag in found["dags"].values())
        tasks = [task for dag in found["dags"].values() for task in dag["tasks"].values()]
        assert {task["owner"] for task in tasks} == {"platform", "orders-team"}

    def test_only_declared_pools_are_used(self, found):
        tasks = [task for dag in found["dags"].values() for task in dag["tasks"].values()]
        assert {task["pool"] for task in tasks} <= {"default_pool", "snowflake"}

    def test_the_smoke_dag_uses_no_pool_that_a_tenant_might_not_have(self, found):
        (task,) = found["dags"]["platform_smoke"]["tasks"].values()
        assert (task["pool"], task["retries"]) == ("default_pool", 0)

    def test_orders_are_checked_before_and_after_the_merge(self, found):
        tasks = found["dags"]["orders_daily"]["tasks"]
        assert tasks["merge_revenue"]["after"] == ["check_orders"]
        assert tasks["check_revenue"]["after"] == ["merge_revenue"]
        assert "stage_orders" in tasks["load_orders"]["after"]

    def test_a_run_knows_its_day_and_days_have_orders_of_their_own(self, tmp_path):
        told = ask_airflow(tmp_path, DAYS, DAGS / "orders_daily.py")
        assert told["days"] == ["2026-01-31", "2026-02-28", "2026-02-28"]
        assert told["same"]
        assert told["ids"] == 100
        assert told["in the day"]
