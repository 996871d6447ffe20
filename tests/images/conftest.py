"""A real Docker engine: what `inv build` made, small images on it, and containers that are taken away."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from airflow_platform.config import built_images, image_recipes
from airflow_platform.tools.containers import engine
from tests import makers

CHECKOUT = Path(__file__).parents[2]
LABEL = "airflow-platform.test-images"
"""With the name of the tests' process, by which what killed ones left is found again."""

LABELS = {LABEL: makers.this()}
"""What all that these tests make is labelled with."""

SECOND = 1_000_000_000
"""In nanoseconds, as the engine counts."""


def pytest_configure() -> None:
    """Say at once that there is no engine, instead of in each test."""
    if fault := engine.fault(None):
        raise pytest.UsageError(str(fault))


def inv(*words: str, timeout: float = 600, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command line."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "airflow_platform.tasks", *words],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "CI": "1", **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    with engine.connected(None, timeout=600) as found:
        sweep(found)
        yield found
        sweep(found)


def sweep(client: Any) -> None:
    """Take away what these tests made, and others that are no longer there."""
    everything = [
        *client.containers.list(all=True, filters={"label": LABEL}),
        *client.networks.list(filters={"label": LABEL}),
        *client.volumes.list(filters={"label": LABEL}),
    ]
    for each in everything:
        labels = each.attrs.get("Labels") or each.attrs["Config"]["Labels"]
        if labels[LABEL] != LABELS[LABEL] and makers.lives(labels[LABEL]):
            continue
        with contextlib.suppress(docker.errors.APIError):
            each.remove(**({"force": True, "v": True} if hasattr(each, "exec_run") else {}))
    for maker in {each["Labels"][LABEL] for each in client.api.images(all=True, filters={"label": LABEL})}:
        if not makers.lives(maker):
            with contextlib.suppress(docker.errors.APIError):
                remove_images(client, f"{LABEL}={maker}")


def remove_images(client: Any, label: str) -> None:
    """Remove the images with a label, from the last one down."""
    while found := client.api.images(all=True, filters={"label": label}):
        parents = {each["ParentId"] for each in found}
        last = next(each["Id"] for each in found if each["Id"] not in parents)
        client.api.remove_image(last, force=True)


@pytest.fixture(scope="session")
def images(client: Any) -> built_images.Built:
    """The images of this checkout, built when they are not there."""
    done = inv("build", timeout=1800)
    assert done.returncode == 0, done.stderr
    found = built_images.read()
    assert found
    return found


@pytest.fixture(scope="session")
def parent(images: built_images.Built, client: Any) -> dict[str, str]:
    """What small images are made from: Debian with Python and Git, as the outputs of a step."""
    # One with a name: what has none may be gone when a test takes its own name from it.
    found = client.images.list(filters={"reference": f"{image_recipes.REPOSITORY}/airflow-base"})
    newest = max(found, key=lambda each: each.attrs["Created"])
    return {
        "id": newest.id,
        "inputs": newest.id,
        "architecture": newest.attrs["Architecture"],
    }


@pytest.fixture
def name(client: Any) -> Iterator[str]:
    """The name of a small image that nobody else has; whatever has it is gone afterwards."""
    made = f"test-{uuid.uuid4().hex[:8]}"
    yield made
    for _ in range(3):  # One may have been made from another.
        for each in client.images.list(filters={"reference": f"{image_recipes.REPOSITORY}/{made}"}):
            for tag in each.tags:  # It may have names of others, too, and those stay.
                if tag.startswith(f"{image_recipes.REPOSITORY}/{made}:"):
                    client.images.remove(tag)
        label = f"airflow-platform.image={made}"
        for each in client.images.list(filters={"label": label, "dangling": True}):
            with contextlib.suppress(docker.errors.APIError):
                client.images.remove(each.id)


class Containers:
    """Containers of one test."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.network = client.networks.create(f"test-{uuid.uuid4().hex[:8]}", labels=LABELS)
        self.made: list[Any] = []

    def start(self, image: str, *command: str, files: dict[str, str] | None = None, **options: Any) -> Any:
        """Start a container as unprivileged as Kubernetes' Pod Security "restricted" has it."""
        made = self.client.containers.create(
            image,
            list(command) or None,
            **{
                "network": self.network.name,
                "labels": LABELS,
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges"],
                # The image's own check, with another interval: its own would be most of a test's time.
                "healthcheck": {"interval": SECOND},
                **options,
            },
        )
        self.made.append(made)
        if files:
            made.put_archive("/", archive(files, int(str(made.attrs["Config"]["User"]).partition(":")[0])))
        made.start()
        return made

    def remove(self) -> None:
        for each in self.made:
            with contextlib.suppress(Exception):
                each.remove(force=True, v=True)
        self.network.remove()


def archive(files: dict[str, str], owner: int) -> bytes:
    """Files that only their owner can read."""
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.uid = len(text.encode()), 0o400, owner
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture
def containers(client: Any) -> Iterator[Containers]:
    made = Containers(client)
    yield made
    made.remove()


def ran(container: Any, *, timeout: int = 60) -> tuple[int, str]:
    """How a container ends, and what it printed."""
    code = container.wait(timeout=timeout)["StatusCode"]
    return code, container.logs().decode()


def executed(container: Any, *command: str, user: str = "") -> tuple[int, str]:
    """How a program in a running container ends, and what it printed."""
    code, output = container.exec_run(list(command), user=user)
    return code, output.decode()


def wait_until(met: Callable[[], object], what: str, timeout: float = 60) -> None:
    """Wait for a condition, and say which one it was that never came."""
    deadline = time.monotonic() + timeout
    while not met():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def is_healthy(container: Any) -> bool:
    """Whether its own health check says so; what it says otherwise is shown when a test fails."""
    container.reload()
    assert container.status == "running", container.logs(tail=30).decode()
    health = container.attrs["State"]["Health"]
    print(health["Log"][-1:])
    return health["Status"] == "healthy"
