"""What `inv push` and `inv promote` cost with the images of this checkout, against Docker's own push and the login.

    python benchmarks/registry.py

Two registries of this machine stand for ECR in two accounts, and a local AWS gives tokens. Needs Docker, the
packages docker-registry and apache2-utils, and what `inv build` makes. Minutes, most of them the first push.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from airflow_platform.config import built_images, specs  # noqa: E402
from tests.registry import aws, data_plane, toolkit  # noqa: E402

RUNS = 15
PREFIX = "airflow-platform"
PUSH_BUDGET = 0.1
"""Seconds that a push with nothing to send may take beyond its login."""
REQUESTS_BUDGET = 3
"""An image, where all layers are there; and no byte of a layer."""
PROMOTE = ("promote", "--from=stage", "--to=prod")

LOGIN = (
    "from airflow_platform.config import load; from airflow_platform.images import registries;"
    "from airflow_platform.tasks import collection, program, push;"
    "from airflow_platform.tools.registry import ecr;"
    "where = registries.address(load.environment('stage'));"
    "ecr.Ecr(where.account, where.region, on_secret=lambda secret: None).credentials()"
)
"""The reference of an unchanged push: Python, the toolkit and boto3 imported, a token fetched."""


def seconds_of(script: str, environment: dict[str, str]) -> float:
    """Run a program; its seconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=CHECKOUT, check=True, timeout=60)
    return time.perf_counter() - began


def done(kit: toolkit.Toolkit, *words: str) -> tuple[toolkit.Result, float]:
    """Run a command that must go well; what it came to, and its seconds."""
    began = time.perf_counter()
    result = kit.run(*words, timeout=1800)
    assert result.code == 0, result.error
    return result, time.perf_counter() - began


def pushed_by_docker(host: str, names: tuple[str, ...], images: built_images.Built) -> float:
    """Seconds that Docker's own command takes for the same images, one after the other."""
    password = ["docker", "login", "--username=AWS", "--password-stdin", host]
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "DOCKER_CONFIG": directory}
        subprocess.run(
            password, input=aws.PASSWORD, text=True, check=True, capture_output=True, env=environment
        )
        seconds = 0.0
        for name in names:
            target = f"{host}/docker/{name}:{images.images[name].tag}"
            subprocess.run(["docker", "tag", images.images[name].id, target], check=True)
            began = time.perf_counter()
            try:
                subprocess.run(
                    ["docker", "push", "--quiet", target], check=True, capture_output=True, env=environment
                )
                seconds += time.perf_counter() - began
            finally:
                subprocess.run(["docker", "rmi", "--no-prune", target], check=True, capture_output=True)
    return seconds


def first_push(kit: toolkit.Toolkit, reference: float) -> None:
    """Print a push into an empty registry, against Docker's own."""
    result, seconds = done(kit, "push", "--env=stage")
    layers = sum(each["layers_sent"] for each in result.images.values())
    size = sum(each["bytes_sent"] for each in result.images.values())
    print("Push into an empty registry")
    print(f"  docker push, one by one       {reference:>8.2f} s    1.00")
    print(f"  inv push                      {seconds:>8.2f} s    {seconds / reference:.2f}")
    print(f"  {len(result.images)} images, {layers} layers sent, {size / 1e6:.1f} MB")


def unchanged_push(kit: toolkit.Toolkit) -> float:
    """Print a push with nothing to send, in turns with its login; the seconds beyond that."""
    login, push = [], []
    for _ in range(RUNS):
        login.append(seconds_of(LOGIN, kit.environment))
        push.append(done(kit, "push", "--env=stage")[1])
    reference = statistics.median(login)
    print("\nNothing to push")
    for name, each in {"start and login": login, "inv push": push}.items():
        middle = statistics.median(each)
        spread = f"({min(each):.2f} to {max(each):.2f})"
        print(f"  {name:<30}{middle:>8.2f} s  {spread:<18}{middle / reference:>6.2f}")
    beyond = statistics.median(after - before for before, after in zip(login, push, strict=True))
    print(f"  beyond the login              {beyond:>8.2f} s  median of the pairs")
    return beyond


def promotion(kit: toolkit.Toolkit) -> bool:
    """Print promotions to another account: of everything, of tags alone, of nothing; whether within budget."""
    print("\nPromote to another account")
    result, seconds = done(kit, *PROMOTE)
    _told("nothing is there", result, seconds)
    kit.retag("stage")
    result, seconds = done(kit, *PROMOTE)
    within = all(
        each["requests"] <= REQUESTS_BUDGET and each["bytes_moved"] == 0 for each in result.images.values()
    )
    _told("all layers are there", result, seconds)
    _told("all is there", *done(kit, *PROMOTE))
    return within


def _told(name: str, result: toolkit.Result, seconds: float) -> None:
    requests = max(each["requests"] for each in result.images.values())
    size = sum(each["bytes_moved"] for each in result.images.values())
    print(f"  {name:<30}{seconds:>8.2f} s  {size / 1e6:>8.1f} MB  at most {requests} requests an image")


@contextlib.contextmanager
def surroundings(images: built_images.Built) -> Iterator[tuple[toolkit.Toolkit, str]]:
    """Registries, a local AWS, and the environments stage and prod; a third registry is for Docker's own push."""
    names = specs.Registry().images
    with contextlib.ExitStack() as stack:
        directories = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(4)]
        hosts = [stack.enter_context(data_plane.running(each, aws.PASSWORD)) for each in directories[:3]]
        cloud = stack.enter_context(aws.running(directories[3] / "config"))
        cloud.plain = True
        kit = toolkit.Toolkit(directories[3])
        kit.declare("stage", aws.STAGE, images=names, host=hosts[0], prefix=PREFIX)
        profile = cloud.profile_of(aws.PROD)
        kit.declare("prod", aws.PROD, images=names, host=hosts[1], prefix=PREFIX, profile=profile)
        cloud.make_repositories(PREFIX, names)
        cloud.make_repositories(PREFIX, names, profile_name=profile)
        kit.record(images.images)
        yield kit, hosts[2]


def main() -> None:
    """Measure, print, and exit 1 when a budget is exceeded."""
    images = built_images.read()
    if images is None:
        sys.exit("Nothing is built. Run: scripts/inv build")
    names = specs.Registry().images
    with surroundings(images) as (kit, other):
        first_push(kit, pushed_by_docker(other, names, images))
        beyond = unchanged_push(kit)
        within = promotion(kit)
    print(f"\nAn unchanged push takes {beyond:.2f} s beyond its login; budget {PUSH_BUDGET}.")
    sys.exit(beyond > PUSH_BUDGET or not within)


if __name__ == "__main__":
    main()
