"""`tenant-up --env=dev` from nothing, images built: its time against the longest chain of what it waits for.

Each step tells how long it took until what it made was ready. The longest chain of steps that need each other
is what no order of work can beat; the rest is what the toolkit adds. Works in a clone of this checkout with
state of its own, and takes all of it away. Needs a Docker engine and the images of `inv build`.

    python benchmarks/containers.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sh

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from airflow_platform.config import load  # noqa: E402
from airflow_platform.engine import graph, step  # noqa: E402
from airflow_platform.engine.report import Node  # noqa: E402
from airflow_platform.runtimes import contract, runtime_table  # noqa: E402

ENVIRONMENT = "dev"


def inv(directory: Path, *words: str) -> tuple[float, str]:
    """Run `inv` in the clone to its end; seconds, and what it printed."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(directory / "checkout"),
        "AIRFLOW_PLATFORM_STATE": str(directory / "state"),
    }
    began = time.perf_counter()
    argv = [sys.executable, "-P", "-m", "airflow_platform.tasks", *words]
    done = subprocess.run(argv, env=environ, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"inv {' '.join(words)} exited {done.returncode}:\n{done.stderr}")
    return time.perf_counter() - began, done.stdout


def seconds_of(report: Mapping[str, Any]) -> dict[Node, float]:
    """What each step took, as the report tells it."""
    found = {Node(each["name"]): each["seconds"] for each in report["steps"]}
    for tenant in report["tenants"]:
        found |= {Node(each["name"], tenant["name"]): each["seconds"] for each in tenant["steps"]}
    return found


def longest_chain(seconds: Mapping[Node, float]) -> tuple[float, list[Node]]:
    """The chain of steps that need each other which takes longest."""
    spec = load.environment(ENVIRONMENT)
    steps = runtime_table.of(spec).steps(contract.Options())
    arranged = graph.build(steps, [each.name for each in spec.tenants], step.Goal.PRESENT)
    chains: dict[Node, tuple[float, list[Node]]] = {}
    for node in arranged.nodes:
        before = max(
            (chains[need] for need in arranged.needs[node]), default=(0.0, []), key=lambda each: each[0]
        )
        chains[node] = (before[0] + seconds.get(node, 0.0), [*before[1], node])
    return max(chains.values(), key=lambda each: each[0])


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    directory = Path(tempfile.mkdtemp(prefix="airflow-platform-docker-"))
    directory.chmod(0o755)
    try:
        checkout = directory / "checkout"
        sh.git("clone", "--quiet", "--local", str(CHECKOUT), str(checkout))
        shutil.copytree(CHECKOUT / "build", checkout / "build")
        whole, chain, again = [], [], []
        for _ in range(rounds):
            try:
                taken, printed = inv(directory, "tenant-up", f"--env={ENVIRONMENT}", "--json")
                bound, nodes = longest_chain(seconds_of(json.loads(printed)))
                whole.append(taken)
                chain.append(bound)
                again.append(inv(directory, "tenant-up", f"--env={ENVIRONMENT}")[0])
            finally:
                inv(directory, "tenant-down", f"--env={ENVIRONMENT}", "--delete-data")
        ratio = statistics.median(taken / bound for taken, bound in zip(whole, chain, strict=True))
        print(f"Both tenants of {ENVIRONMENT}, images built ({rounds} rounds, medians)")
        print(f"  tenant-up from nothing          {statistics.median(whole):6.2f} s")
        print(f"  longest chain of its steps      {statistics.median(chain):6.2f} s   ratio {ratio:.2f}")
        print(f"    {' > '.join(node.step for node in nodes)}")
        print(f"  tenant-up with nothing to do    {statistics.median(again):6.2f} s")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
