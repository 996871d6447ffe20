"""A real registry behind a proxy, ECR's API by moto, small images, and the real command line on them."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from airflow_platform.config import built_images
from airflow_platform.tools.containers import engine
from tests.registry import aws as local_aws
from tests.registry import data_plane, fault_proxy, small_images
from tests.registry.aws import NAMES, PASSWORD, STAGE, Aws
from tests.registry.toolkit import Toolkit


def pytest_configure() -> None:
    """Say at once what is missing here, instead of in each test."""
    for program, package in {"docker-registry": "docker-registry", "htpasswd": "apache2-utils"}.items():
        assert shutil.which(program), f"install the package {package}"
    if fault := engine.fault(None):
        raise pytest.UsageError(str(fault))


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """ECR's API."""
    with local_aws.running(tmp_path_factory.mktemp("aws") / "config") as made:
        yield made


@pytest.fixture(scope="session")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Two registries, for two accounts."""
    first, second = tmp_path_factory.mktemp("stage"), tmp_path_factory.mktemp("prod")
    with data_plane.running(first, PASSWORD) as stage, data_plane.running(second, PASSWORD) as prod:
        yield stage, prod


@pytest.fixture
def proxies(registries: tuple[str, str], aws: Aws) -> Iterator[tuple[fault_proxy.Proxy, fault_proxy.Proxy]]:
    """One before each registry."""
    with (
        fault_proxy.running(registries[0], PASSWORD) as stage,
        fault_proxy.running(registries[1], PASSWORD) as prod,
    ):
        aws.proxies[:] = [stage, prod]
        stage.checks_tokens = prod.checks_tokens = True
        yield stage, prod
        aws.proxies.clear()


@pytest.fixture
def proxy(proxies: tuple[fault_proxy.Proxy, fault_proxy.Proxy]) -> fault_proxy.Proxy:
    """The one before stage's registry."""
    return proxies[0]


@pytest.fixture
def prefix() -> str:
    """What this test's repositories begin with."""
    return f"t-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """The engine, without what killed tests left there."""
    with engine.connected(None) as connected:
        small_images.sweep(connected)
        yield connected


@pytest.fixture
def sizes() -> tuple[int, ...]:
    """Bytes of the layers of the base, the lowest first."""
    return (300_000, 200_000)


@pytest.fixture
def images(client: Any, prefix: str, sizes: tuple[int, ...]) -> Iterator[dict[str, built_images.BuiltImage]]:
    """A base of two layers, and two components with one more each."""
    base = [small_images.layer(size) for size in sizes]
    made = {
        name: small_images.load(
            client, name, base if name == NAMES[0] else [*base, small_images.layer(1_000)], tag=f"1-{prefix}"
        )
        for name in NAMES
    }
    yield made
    for image in made.values():
        for name in (image.reference, image.id):
            with contextlib.suppress(docker.errors.NotFound):
                client.api.remove_image(name, force=True)


@pytest.fixture
def toolkit(
    tmp_path: Path,
    aws: Aws,
    proxies: tuple[fault_proxy.Proxy, fault_proxy.Proxy],
    prefix: str,
    images: Mapping[str, built_images.BuiltImage],
) -> Toolkit:
    """With the environments stage and prod, and the images built; stage's account is that of the login."""
    made = Toolkit(tmp_path)
    made.declare("stage", STAGE, host=proxies[0].host, prefix=prefix)
    made.record(images)
    aws.make_repositories(prefix)
    return made
