"""The sandbox against `airflow standalone`: time until healthy, an unchanged `tenant-up`, memory.

Everything is measured in one run, in turns, and given as ratios: a busy machine slows both sides. Needs
the packages in the cache (a `tenant-up` brings them); uses state of its own and takes it away.

    python benchmarks/sandbox.py [ROUNDS]
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from airflow_platform import secrets  # noqa: E402
from airflow_platform.config.components import API_SERVER, FAKESNOW  # noqa: E402
from airflow_platform.runtimes.process import supervisor_client  # noqa: E402
from airflow_platform.runtimes.process.supervisor.spec import Spec  # noqa: E402
from airflow_platform.tools.airflow import airflow_client  # noqa: E402

TENANT = "analytics"
DEADLINE = 300.0
"""Seconds until anything must be healthy."""


class Bench:
    """Directories of its own, and the two sides that are compared."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._environ = {
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "AIRFLOW_PLATFORM_STATE": str(directory / "state"),
            "CI": "true",
        }
        self.place = directory / "state" / "sandbox" / "tenants" / TENANT

    def inv(self, *words: str) -> float:
        """Run `inv` to its end; seconds."""
        began = time.perf_counter()
        argv = [sys.executable, "-P", "-m", "airflow_platform.tasks", *words]
        done = subprocess.run(argv, env=self._environ, cwd="/", capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"inv {' '.join(words)} exited {done.returncode}:\n{done.stderr}")
        return time.perf_counter() - began

    def up(self) -> float:
        """`tenant-up` of one tenant; seconds until Airflow says that all its components are healthy."""
        words = ["tenant-up", "--env=sandbox", f"--tenant={TENANT}"]
        argv = [sys.executable, "-P", "-m", "airflow_platform.tasks", *words]
        began = time.perf_counter()
        child = subprocess.Popen(
            argv, env=self._environ, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        seconds = _until_healthy(self.port, began)
        if child.wait():
            sys.exit("tenant-up failed")
        return seconds

    def down(self, *words: str) -> None:
        """`tenant-down` of that tenant."""
        self.inv("tenant-down", "--env=sandbox", f"--tenant={TENANT}", *words)

    def port(self) -> int:
        """The tenant's port, once it has one."""
        return int(json.loads((self.place / "ports.json").read_text())["airflow"])

    def spec(self) -> Spec:
        """What the tenant's supervisor runs."""
        spec = supervisor_client.read_spec(self.place / "run")
        assert spec is not None
        return spec

    @contextlib.contextmanager
    def standalone(self, home: Path, port: int) -> Iterator[float]:
        """`airflow standalone` with the tenant's settings in a home of its own; seconds until healthy."""
        component = next(c for c in self.spec().components if c.name == API_SERVER)
        replaced = {
            "HOME": str(home),
            "SPT_NOENV": "1",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        }
        hidden = {name: Path(path).read_text() for name, path in component.secret_environment.items()}
        environment = {**component.environment, **hidden, **replaced}
        home.mkdir(exist_ok=True)
        (home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
        with (home / "standalone.log").open("ab") as log:
            began = time.perf_counter()
            child = subprocess.Popen(
                [component.argv[0], "standalone"],
                env=environment, cwd=home, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            try:
                yield _until_healthy(lambda: port, began)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                # Its children have sessions of their own and do not end with it.
                _end_all_with(f"AIRFLOW_HOME={home}")

    def memory(self) -> dict[str, float]:
        """MB of proportional set size, of Airflow and of fakesnow."""
        status = supervisor_client.status(self.place / "run")
        assert status is not None
        snowflake = next(c.pid for c in status.components if c.name == FAKESNOW)
        sizes = {each.pid: _pss(each.pid) for each in supervisor_client.processes_of(self.place)}
        return {"Airflow": sum(sizes.values()) - sizes[snowflake], "fakesnow": sizes[snowflake]}

    def run_dags(self) -> None:
        """Run both DAGs to success."""
        password = secrets.Secret((self.place / "keys" / "admin_password").read_text())
        client = airflow_client.Airflow(f"http://127.0.0.1:{self.port()}", "admin", password)
        for dag in ("platform_smoke", "orders_daily"):
            client.set_paused(dag, paused=False)
            run = client.wait_for_run(dag, client.trigger(dag).id, timeout=DEADLINE)
            if run.state != "success":
                sys.exit(client.failure(dag, run.id))


def main(rounds: int) -> None:
    """Measure and print."""
    directory = Path(tempfile.mkdtemp(prefix="airflow-platform-bench-"))
    directory.chmod(0o755)
    bench = Bench(directory)
    try:
        bench.up()
        _print_starts(bench, directory, rounds)
        _print_unchanged(bench, rounds)
        bench.run_dags()
        _print_memory(bench)
    finally:
        bench.down("--delete-data")
        shutil.rmtree(directory, ignore_errors=True)


def _print_starts(bench: Bench, directory: Path, rounds: int) -> None:
    template = next(
        Path(c.argv[0]).parents[2] / "template" for c in bench.spec().components if c.name == "scheduler"
    )
    port = 18990
    names = (
        "standalone, empty home", "standalone, again", "tenant-up, no template", "tenant-up, new tenant", "tenant-up, again",
    )  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        home = directory / f"standalone-{number}"
        for name in names[:2]:
            with bench.standalone(home, port) as taken:
                seconds[name].append(taken)
        bench.down("--delete-data")
        shutil.rmtree(template)
        seconds[names[2]].append(bench.up())
        bench.down("--delete-data")
        seconds[names[3]].append(bench.up())
        bench.down()
        seconds[names[4]].append(bench.up())
    references = dict(zip(names, (names[0], names[1], names[0], names[0], names[1]), strict=True))
    print("\nOne tenant until healthy, packages installed")
    for name, each in seconds.items():
        reference = statistics.median(seconds[references[name]])
        _line(name, each, statistics.median(each) / reference, f"of {references[name]}")


def _print_unchanged(bench: Bench, rounds: int) -> None:
    listing, unchanged = [], []
    for _ in range(max(rounds, 5)):
        listing.append(bench.inv("--list"))
        unchanged.append(bench.inv("tenant-up", "--env=sandbox", f"--tenant={TENANT}"))
    beyond = statistics.median(unchanged) - statistics.median(listing)
    print("\nNothing to change")
    _line("inv --list", listing, 1.0, "")
    _line(
        "inv tenant-up", unchanged, statistics.median(unchanged) / statistics.median(listing), "of inv --list"
    )
    print(f"  {'beyond inv --list':<26}{beyond:>8.2f} s")


def _print_memory(bench: Bench) -> None:
    print("\nMemory of one tenant after its DAGs ran (proportional set size)")
    for name, size in bench.memory().items():
        print(f"  {name:<26}{size:>8.0f} MB")


def _line(name: str, each: list[float], ratio: float, of: str) -> None:
    spread = f"({min(each):.2f} to {max(each):.2f})"
    print(f"  {name:<26}{statistics.median(each):>8.2f} s  {spread:<20}{ratio:>6.2f}  {of}".rstrip())


def _until_healthy(port: Callable[[], int], began: float) -> float:
    """Seconds until the health endpoint calls all four healthy, each with a heartbeat since `began`."""
    since = time.time() - (time.perf_counter() - began)
    while time.perf_counter() - began < DEADLINE:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            url = f"http://127.0.0.1:{port()}/api/v2/monitor/health"
            with urllib.request.urlopen(url, timeout=5) as answer:
                if _all_beat(json.load(answer), since):
                    return time.perf_counter() - began
        time.sleep(0.1)
    sys.exit(f"not healthy within {DEADLINE:g} s")


def _all_beat(health: dict[str, Any], since: float) -> bool:
    names = ("scheduler", "dag_processor", "triggerer")
    beats = [datetime.fromisoformat(health[name][f"latest_{name}_heartbeat"]).timestamp() for name in names]
    healthy = all(health[name]["status"] == "healthy" for name in (*names, "metadatabase"))
    return healthy and all(beat >= since for beat in beats)


def _end_all_with(variable: str) -> None:
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if variable.encode() in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def _pss(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
