"""One DAG version everywhere: from push to served in all tenants, with few and with 500 files; and `dags-status`.

Works in a clone of this checkout with state of its own, and takes all of it away. Needs the packages in the
cache; `dev` takes part where a Docker engine answers and `inv build` has run.

    python benchmarks/parity.py [COMMITS [ENVIRONMENT...]]
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sh

CHECKOUT = Path(__file__).parents[1]

MANY = 500
"""DAG files of the large project."""

TENANTS = 20
"""Of the large fleet: the tenants that are up, each asked several times at once."""

DAG = """
import datetime
from airflow.sdk import dag, task


@dag(
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    default_args={{"owner": "benchmarks", "retries": 1}},
    tags=["tenant:all"],
)
def {name}():
    @task
    def version() -> str:
        return "{version}"

    version()


{name}()
"""


class Bench:
    """A clone, and what is done in it."""

    def __init__(self, directory: Path) -> None:
        self.checkout = directory / "checkout"
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(self.checkout),
            "AIRFLOW_PLATFORM_STATE": str(directory / "state"),
        }
        self.git("clone", "--quiet", "--local", str(CHECKOUT), str(self.checkout), directory=directory)
        if (CHECKOUT / "build").exists():
            shutil.copytree(CHECKOUT / "build", self.checkout / "build")

    def git(self, *words: str, directory: Path | None = None) -> None:
        identity = ["-c", "user.name=benchmarks", "-c", "user.email=benchmarks@example.invalid"]
        sh.git(*identity, *words, _cwd=str(directory or self.checkout))

    def inv(self, *words: str, accepted: tuple[int, ...] = (0,)) -> tuple[float, str]:
        """Run `inv` to its end; seconds, and what it printed."""
        began = time.perf_counter()
        argv = [sys.executable, "-P", "-m", "airflow_platform.tasks", *words]
        done = subprocess.run(argv, env=self.environ, cwd="/", capture_output=True, text=True, check=False)
        if done.returncode not in accepted:
            sys.exit(f"inv {' '.join(words)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
        return time.perf_counter() - began, done.stdout

    def commit(self, version: str, names: list[str]) -> None:
        """Commit these DAGs at a version."""
        for name in names:
            (self.checkout / "dags" / f"{name}.py").write_text(DAG.format(name=name, version=version))
        self.git("add", "dags")
        self.git("commit", "--quiet", "--message", version)

    def sync(self) -> tuple[float, float]:
        """Sync; seconds from the push until all serve it, and of the whole command."""
        whole, printed = self.inv("dags-sync", "--json")
        return max(_delivered(each) for each in json.loads(printed)["tenants"]), whole


def _delivered(tenant: dict[str, Any]) -> float:
    return sum(float(each["seconds"]) for each in tenant["steps"] if each["name"] in ("delivery", "serving"))


@contextlib.contextmanager
def environments(bench: Bench, chosen: list[str]) -> Iterator[list[str]]:
    """The chosen ones, or those that can be up here, up."""
    names = chosen or ["sandbox"]
    engine = subprocess.run([CHECKOUT / "scripts" / "engine", "check"], capture_output=True, check=False)
    if not chosen and engine.returncode == 0 and (bench.checkout / "build" / "images.json").exists():
        names.append("dev")
    try:
        for name in names:
            bench.inv("tenant-up", f"--env={name}")
        yield names
    finally:
        for name in names:
            bench.inv("tenant-down", f"--env={name}", "--delete-data", accepted=(0, 1))


def distribution(label: str, seconds: list[float]) -> None:
    """Print one."""
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    print(
        f"  {label:<44} p50 {statistics.median(ordered):5.2f} s   p95 {p95:5.2f} s"
        f"   ({ordered[0]:.2f} to {ordered[-1]:.2f}, {len(ordered)} times)",
        flush=True,
    )


def status_of_many(bench: Bench) -> None:
    """`dags-status` over a fleet: the tenants that are up, several times each."""
    os.environ |= {key: bench.environ[key] for key in ("PYTHONPATH", "AIRFLOW_PLATFORM_STATE")}
    sys.path.insert(0, str(bench.checkout))
    from airflow_platform.tasks import dags_status  # noqa: PLC0415

    seconds = []
    for _ in range(5):
        look = dags_status.Look("", (), print)
        up = [place for place in look.places if not place.down()]
        look.places = tuple((up * TENANTS)[:TENANTS])
        began = time.perf_counter()
        rows = look.rows()
        seconds.append(time.perf_counter() - began)
        assert all(row.readable for row in rows), rows
    distribution(f"dags-status, {TENANTS} tenants (of {len(up)} api-servers)", seconds)


def main() -> None:
    """Measure and print."""
    commits = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    directory = Path(tempfile.mkdtemp(prefix="airflow-platform-parity-"))
    directory.chmod(0o755)
    try:
        bench = Bench(directory)
        with environments(bench, sys.argv[2:]) as names:
            print(f"From push to served in all tenants of {' and '.join(names)}")
            bench.commit("0", ["bench"])
            bench.sync()
            found = []
            for number in range(1, commits + 1):
                bench.commit(str(number), ["bench"])
                found.append(bench.sync())
            distribution("one of few files changed", [each[0] for each in found])
            distribution("the whole command", [each[1] for each in found])
            status_of_many(bench)
            bench.commit("0", [f"many_{number}" for number in range(MANY)])
            distribution(f"{MANY} files added", [bench.sync()[0]])
            found = []
            for number in range(1, 6):
                bench.commit(str(number), ["many_7"])
                found.append(bench.sync())
            distribution(f"one of {MANY} files changed", [each[0] for each in found])
            distribution("the whole command", [each[1] for each in found])
            status_of_many(bench)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
