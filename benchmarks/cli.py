"""How long `inv --list` takes, as a ratio to bare Invoke with an empty tasks.py.

Runs of all commands are interleaved, so that a busy machine slows all of them; medians are compared.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PYTHON = CHECKOUT / ".venv" / "bin" / "python"
RUNS = 21
BUDGET = 1.15
"""Of `inv --list` to bare Invoke; the door's own part comes on top and is shown apart."""

Command = tuple[list[str], Path]


def commands(empty: Path) -> dict[str, Command]:
    """What is compared, the reference first: argument list and working directory."""
    ours = [str(PYTHON), "-P", "-m", "airflow_platform.tasks"]
    return {
        "bare invoke --list, empty tasks.py": ([str(PYTHON), "-m", "invoke", "--list"], empty),
        "inv --list": ([*ours, "--list"], CHECKOUT),
        "scripts/inv --list": ([str(CHECKOUT / "scripts" / "inv"), "--list"], CHECKOUT),
        "inv tenant-up --help": ([*ours, "tenant-up", "--help"], CHECKOUT),
        "inv --complete": ([*ours, "--complete", "--", "inv ten"], CHECKOUT),
        "python -c pass": ([str(PYTHON), "-c", "pass"], empty),
    }


def measure(compared: Mapping[str, Command], runs: int) -> dict[str, list[float]]:
    """Seconds of each run of each command."""
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    seconds: dict[str, list[float]] = {name: [] for name in compared}
    for number in range(runs + 1):
        for name, (words, directory) in compared.items():
            began = time.perf_counter()
            subprocess.run(words, cwd=directory, env=environ, capture_output=True, check=False, timeout=60)
            if number:  # The first round fills caches.
                seconds[name].append(time.perf_counter() - began)
    return seconds


def report(seconds: Mapping[str, Sequence[float]]) -> float:
    """Print a line a command; the ratio that has a budget."""
    reference, listing, *_ = (statistics.median(each) for each in seconds.values())
    print(f"{'command':<36}{'median':>9}{'min':>9}{'max':>9}{'ratio':>8}")
    for name, each in seconds.items():
        median = statistics.median(each)
        figures = "".join(f"{1000 * figure:>6.0f} ms" for figure in (median, min(each), max(each)))
        print(f"{name:<36}{figures}{median / reference:>8.2f}")
    return listing / reference


def main() -> None:
    """Measure, print, and exit 1 when the budget is exceeded."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "tasks.py").touch()
        ratio = report(measure(commands(Path(directory)), RUNS))
    print(f"\ninv --list takes {ratio:.2f} times as long as bare invoke; budget {BUDGET}.")
    sys.exit(ratio > BUDGET)


if __name__ == "__main__":
    main()
