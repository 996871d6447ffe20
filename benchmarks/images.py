"""What `inv build` costs: with nothing to do, against `inv --list`; what components add to the base; from nothing.

    python benchmarks/images.py [--cold]

`--cold` builds everything in a copy of this checkout that shares nothing with it: base, packages, downloads.
Then it builds again with another lock and with another entry point, and takes all of it away. Minutes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PYTHON = CHECKOUT / ".venv" / "bin" / "python"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
RUNS = 15
BUDGET = 0.15
"""Seconds that a build with nothing to do may take beyond `inv --list`."""
COMPONENT_BUDGET = 1.0
"""Megabytes that a component may add to the base."""


def inv(*words: str, checkout: Path = CHECKOUT, environ: Mapping[str, str] | None = None) -> float:
    """Run the command line; its seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [str(PYTHON), "-P", "-m", "airflow_platform.tasks", *words],
        cwd=checkout,
        env={**os.environ, "CI": "1", **(environ or {}), "PYTHONPATH": str(checkout)},
        check=False,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"inv {' '.join(words)} exited {done.returncode}:\n{done.stderr[-3000:]}")
    return seconds


def unchanged() -> float:
    """Print both, measured in turns; the seconds beyond `inv --list`."""
    inv("build")
    seconds: dict[str, list[float]] = {"--list": [], "build": []}
    for _ in range(RUNS):
        for word, each in seconds.items():
            each.append(inv(word))
    middle = {word: statistics.median(each) for word, each in seconds.items()}
    print("Nothing to build")
    for word, each in seconds.items():
        spread = f"({min(each):.2f} to {max(each):.2f})"
        print(f"  inv {word:<22}{middle[word]:>8.2f} s  {spread:<18}{middle[word] / middle['--list']:>6.2f}")
    beyond = middle["build"] - middle["--list"]
    print(f"  beyond inv --list         {beyond:>8.2f} s")
    return beyond


def components() -> float:
    """Print sizes; the megabytes that the largest component adds to the base."""
    images = json.loads((CHECKOUT / "build" / "images.json").read_text())["images"]
    base = images["airflow-base"]["size"]
    print("\nSizes, unpacked")
    added = {name: (images[name]["size"] - base) / 1e6 for name in COMPONENTS}
    for name, each in sorted(images.items()):
        more = f"  +{added[name]:.3f} MB" if name in added else ""
        print(f"  {name:<26}{each['size'] / 1e6:>8.0f} MB{more}")
    return float(max(added.values()))


def cold() -> None:
    """Print the seconds of builds in a copy of this checkout that shares nothing with it."""
    mark = uuid.uuid4().hex[:8]
    with tempfile.TemporaryDirectory(prefix="airflow-platform-cold-") as directory:
        copy = Path(directory) / "checkout"
        copied(copy, mark)
        environ = {
            "AIRFLOW_PLATFORM_CACHE": f"{directory}/cache",
            "AIRFLOW_PLATFORM_STATE": f"{directory}/state",
        }
        try:
            print("\nFrom nothing, in a copy of this checkout")
            for what, change in (
                ("all images", ""),
                ("another lock", "lock"),
                ("another entry point", "entrypoint"),
            ):
                if change:
                    path = copy / "images" / "airflow" / {"lock": "requirements.lock"}.get(change, change)
                    path.write_text(f"{path.read_text()}# {mark}\n")
                seconds = inv("build", checkout=copy, environ=environ)
                print(f"  {what:<26}{seconds:>8.1f} s", flush=True)
        finally:
            remove(mark)


def copied(copy: Path, mark: str) -> None:
    """Copy what Git knows, with names and digests of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True, timeout=60
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, copy / name)
    replace(copy / "airflow_platform/config/image_recipes.py", r"^FORMAT = .*", f'FORMAT = "{mark}"')
    replace(
        copy / "airflow_platform/config/image_recipes.py",
        "^REPOSITORY = .*", f'REPOSITORY = "airflow-platform-cold-{mark}"',
    )  # fmt: skip
    replace(
        copy / "airflow_platform/images/image_step.py",
        "^DOWNLOADS = .*",
        f'DOWNLOADS = "airflow-platform-cold-{mark}"',
    )


def replace(path: Path, pattern: str, text: str) -> None:
    """Replace one line; a line that is not there is a benchmark that measures something else."""
    changed, count = re.subn(pattern, text, path.read_text(), flags=re.MULTILINE)
    assert count == 1, f"{path}: {pattern}"
    path.write_text(changed)


def remove(mark: str) -> None:
    """Take away the images and the downloads of a copy."""
    from airflow_platform.tools.containers import engine  # noqa: PLC0415 - the docker library is slow.

    with engine.connected(None) as client:
        # By name: the same Debian packages are the same image, and it has other names that stay.
        found = client.images.list(filters={"reference": f"airflow-platform-cold-{mark}/*"})
        for name in (name for image in found for name in image.tags):
            if name.startswith(f"airflow-platform-cold-{mark}/"):
                client.images.remove(name)
        for volume in client.volumes.list(filters={"name": f"airflow-platform-cold-{mark}"}):
            volume.remove()


def main(arguments: Sequence[str]) -> None:
    """Measure, print, and exit 1 when a budget is exceeded."""
    from airflow_platform.tools.containers import engine  # noqa: PLC0415

    if fault := engine.fault(None):
        sys.exit(str(fault))
    beyond = unchanged()
    added = components()
    if "--cold" in arguments:
        cold()
    print(
        f"\nA build with nothing to do takes {beyond:.2f} s beyond inv --list; budget {BUDGET} s. "
        f"Components add up to {added:.3f} MB; budget {COMPONENT_BUDGET:g} MB."
    )
    sys.exit(beyond > BUDGET or added >= COMPONENT_BUDGET)


if __name__ == "__main__":
    main(sys.argv[1:])
