"""What `inv dags-check` costs: nothing changed, one file changed, everything new; against Airflow's own import.

    python benchmarks/dags_check.py [ROUNDS]

Everything happens in a copy of this checkout with DAG files of its own, and in a cache of its own that has the
packages of this machine's. References and subjects take turns, so that a busy machine slows all of them.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sh

CHECKOUT = Path(__file__).parents[1]
PYTHON = CHECKOUT / ".venv" / "bin" / "python"
FILES = 200
ROUNDS = 5
UNCHANGED, CHANGED, COLD = 0.3, 1.2, 1.2
"""Seconds beyond `inv --list` with nothing changed; how many times as long as one import of Airflow a check takes in
which one file has changed; and how many times as long as one DagBag of the same few files, where nothing is known."""

DAG = """
import datetime

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import DAG, task

with DAG(
    "bench_{number:03}",
    schedule="@daily",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    default_args={{"owner": "team", "retries": 1}},
    tags=["tenant:all"],
):

    @task
    def begin():
        return {number}

    one = SQLExecuteQueryOperator(task_id="one", conn_id="snowflake_default", sql="select 1")
    two = SQLExecuteQueryOperator(task_id="two", conn_id="snowflake_default", sql="select 2")
    begin() >> one >> two
"""
BAG = """
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
"""
SERIALISED = BAG + "from airflow.serialization.serialized_objects import DagSerialization as it\n"
SERIALISED += "for dag in bag.dags.values(): it.to_dict(dag)\n"


class Bench:
    """A copy of the checkout, and what is timed in it."""

    def __init__(self, directory: Path) -> None:
        directory.chmod(0o755)  # As root, DAG files are imported by users who must get there.
        self.copy = directory / "checkout"
        self.cache = directory / "cache"
        self.home = directory / "home"
        self.cache.mkdir(mode=0o755)
        self.home.mkdir()
        sh.git("clone", "--quiet", "--no-hardlinks", str(CHECKOUT), str(self.copy))
        self.packages = self._packages()
        self.changes = 0

    def inv(self, *words: str) -> float:
        """Run the command line; its seconds."""
        return self._timed([str(PYTHON), "-P", "-m", "airflow_platform.tasks", *words], self._environment())

    def airflow(self, program: str) -> float:
        """Run a program of Airflow's Python on the DAG files; its seconds."""
        environment = {
            "PATH": f"{self.packages}/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        }
        return self._timed(
            [f"{self.packages}/bin/python", "-c", program, str(self.copy / "dags")], environment
        )

    def write(self, number: int, text: str = "") -> None:
        """Write one DAG file."""
        path = self.copy / "dags" / f"bench_{number:03}.py"
        path.write_text(DAG.format(number=number) + text)

    def commit(self) -> None:
        """Commit what is there."""
        identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
        for words in (["add", "--all"], [*identity, "commit", "--quiet", "--allow-empty", "--message=bench"]):
            sh.git("-C", str(self.copy), *words)

    def change(self) -> None:
        """Commit a change of one file."""
        self.changes += 1
        self.write(self.changes % FILES, f"# change {self.changes}\n")
        self.commit()

    def forget(self) -> None:
        """Make nothing known."""
        shutil.rmtree(self.cache / "dag-checks", ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        kept = {
            key: value for key, value in os.environ.items() if key not in ("CI", "PYTHONDONTWRITEBYTECODE")
        }
        return {
            **kept,
            "AIRFLOW_PLATFORM_CACHE": str(self.cache),
            "AIRFLOW_PLATFORM_STATE": str(self.home / "state"),
            "PYTHONPATH": str(self.copy),
        }

    def _timed(self, words: list[str], environment: dict[str, str]) -> float:
        began = time.perf_counter()
        done = subprocess.run(
            words, cwd=self.copy, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            sys.exit(
                f"{' '.join(words)} exited {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return seconds

    def _packages(self) -> Path:
        """This machine's packages, linked to where the copy looks for its own."""
        found = subprocess.run(
            [PYTHON, CHECKOUT / "tests" / "e2e" / "packages.py"],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        lines = dict(line.split("=", 1) for line in found.stdout.splitlines() if "=" in line)
        environment = Path(lines["AIRFLOW_PLATFORM_TEST_AIRFLOW"])
        entry = self.cache / "airflow-packages" / environment.parent.name
        entry.mkdir(parents=True)
        (entry / "venv").symlink_to(environment)
        (entry / "complete").write_text(f"{entry}\n")
        return environment


def in_turns(rounds: int, *measured: Callable[[], float]) -> list[list[float]]:
    """Seconds of each, measured in turns."""
    seconds: list[list[float]] = [[] for _ in measured]
    for _ in range(rounds):
        for each, measure in zip(seconds, measured, strict=True):
            each.append(measure())
    return seconds


def show(name: str, seconds: list[float], reference: list[float]) -> float:
    """Print a line; the ratio of the medians."""
    ratio = statistics.median(seconds) / statistics.median(reference)
    spread = f"({min(seconds):.2f} to {max(seconds):.2f})"
    print(f"  {name:<40}{statistics.median(seconds):>7.2f} s  {spread:<18}{ratio:>6.2f}")
    return ratio


def cold(bench: Bench, rounds: int) -> float:
    """Print what a check costs of which nothing is known; how many times as long as a DagBag of the same."""

    def check() -> float:
        bench.forget()
        return bench.inv("dags-check")

    imported, bag, serialised, listing, checked = in_turns(
        rounds,
        lambda: bench.airflow("import airflow.dag_processing.dagbag"),
        lambda: bench.airflow(BAG),
        lambda: bench.airflow(SERIALISED),
        lambda: bench.inv("--list"),
        check,
    )
    show("Airflow imported, nothing else", imported, bag)
    show("one DagBag of them", bag, bag)
    show("one DagBag, serialised", serialised, bag)
    show("inv dags-check", checked, bag)
    beyond = [each - statistics.median(listing) for each in checked]
    return show("inv dags-check, beyond inv --list", beyond, bag)


def known(bench: Bench, rounds: int) -> tuple[float, float]:
    """Print what a check costs with nothing and with one file changed: seconds beyond `inv --list`, and a ratio."""

    def change() -> float:
        bench.change()
        return bench.inv("dags-check")

    bench.inv("dags-check")
    imported, listing, unchanged, changed = in_turns(
        2 * rounds,
        lambda: bench.airflow("import airflow.dag_processing.dagbag"),
        lambda: bench.inv("--list"),
        lambda: bench.inv("dags-check"),
        change,
    )
    show("Airflow imported, nothing else", imported, imported)
    show("inv --list", listing, imported)
    show("inv dags-check, nothing changed", unchanged, imported)
    ratio = show("inv dags-check, one file changed", changed, imported)
    beyond = statistics.median(unchanged) - statistics.median(listing)
    print(f"  nothing changed, beyond inv --list      {beyond:>7.2f} s")
    return beyond, ratio


def main() -> None:
    """Measure, print, and exit 1 when a budget is exceeded."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory(prefix="airflow-platform-bench-") as directory:
        bench = Bench(Path(directory))
        print("Nothing is known, 2 files (those of this repository)")
        few = cold(bench, rounds)
        for number in range(FILES - 2):
            bench.write(number)
        bench.commit()
        print(f"\nNothing is known, {FILES} files")
        cold(bench, max(1, rounds // 2))
        print(f"\n{FILES} files, known")
        beyond, changed = known(bench, rounds)
    print(f"\nnothing changed {beyond:.2f} s beyond inv --list; budget {UNCHANGED}")
    print(f"one file changed, {changed:.2f} times as long as one import of Airflow; budget {CHANGED}")
    print(f"2 new files, beyond inv --list, {few:.2f} times as long as one DagBag of them; budget {COLD}")
    sys.exit(beyond > UNCHANGED or changed > CHANGED or few > COLD)


if __name__ == "__main__":
    main()
