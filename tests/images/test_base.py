"""The base of all images: pulled from a real registry, made of Debian packages, refused."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import Any

import docker.errors
import pytest

from airflow_platform import programs
from airflow_platform.config import image_recipes
from airflow_platform.engine import step
from airflow_platform.steps import base_image
from airflow_platform.testing import runs
from airflow_platform.tools import debian
from airflow_platform.tools.containers import engine, images, shelf
from tests.images import conftest
from tests.registry import data_plane

CONFIGURATION = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {data}}}}}
http: {{addr: "127.0.0.1:0"}}
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Debian's docker-registry, open to everyone on this machine."""
    assert shutil.which("docker-registry"), "install the package docker-registry"
    directory = tmp_path_factory.mktemp("registry")
    path, log = directory / "registry.yml", directory / "log"
    path.write_text(CONFIGURATION.format(data=directory / "data"))
    with log.open("w") as file:
        words = ["setpriv", "--pdeathsig", "TERM", "docker-registry", "serve", str(path)]
        server = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield data_plane.address(log, server)
        finally:
            server.terminate()
            server.wait(10)


class Nothing(step.EnvironmentStep[Any, Any]):
    """Stands for the step that takes leftovers away."""

    name = "leftovers"

    def observe(self, context: Any) -> None:
        return None

    def plan(self, context: Any, observed: None) -> step.NoChange:
        return step.NoChange("nothing is left")


def base_of(reference, tmp_path, *, platform="", anew=False):
    return base_image.BaseImage(
        shelf.Shelf(None),
        reference=reference,
        platform=platform,
        cache=tmp_path / "cache",
        checkout="test",
        anew=anew,
    )


def run(reference, tmp_path, **options):
    return runs.run_steps(Nothing(), base_of(reference, tmp_path, **options), tenants=())


def test_a_base_is_pulled_from_its_registry_once(registry, client, parent, tmp_path):
    reference = f"{registry}/company/base:1"
    client.api.tag(parent["id"], f"{registry}/company/base", "1")
    assert '"error"' not in str(client.api.push(reference))
    client.api.remove_image(reference)
    try:
        first, second = run(reference, tmp_path), run(reference, tmp_path)
        assert [each.steps[-1].status.value for each in (first, second)] == ["changed", "unchanged"]
        outputs = first.steps[-1].outputs
        assert outputs["id"] == parent["id"] == outputs["inputs"]
        assert second.steps[-1].outputs == outputs
        assert run(reference, tmp_path, anew=True).steps[-1].outputs == outputs
    finally:
        client.api.remove_image(reference)


def test_a_registry_that_has_no_such_image_is_believed(registry, client):
    with engine.connected(None) as connected:
        ours = images.Images(connected, programs.Interruption())
        with pytest.raises(engine.EngineError, match=r"not found|manifest unknown"):
            ours.pull(f"{registry}/company/none:1", platform="amd64", progress=print)
        with pytest.raises(engine.EngineError):
            ours.require_in_registry(f"{registry}/company/none:1")


@pytest.mark.parametrize("where", ["127.0.0.1:1", "registry.invalid"])
def test_a_registry_that_does_not_answer_is_told_from_one_that_says_no(where):
    with engine.connected(None) as connected:
        ours = images.Images(connected, programs.Interruption())
        with pytest.raises(images.RegistryMissing):
            ours.pull(f"{where}/base:1", platform="amd64", progress=print)
        with pytest.raises(images.RegistryMissing):
            ours.require_in_registry(f"{where}/base:1")


def test_a_base_that_cannot_be_had_stops_before_anything_is_done(tmp_path):
    report = run("registry.invalid/base:1", tmp_path)
    assert report.exit_code == 4
    (fault,) = report.faults
    assert fault.thing == "base image registry.invalid/base:1"
    assert "none of Debian's own" in fault.cause
    assert "images/images.toml" in fault.remedy


def test_another_architecture_than_the_engine_s_is_refused(tmp_path, parent):
    other = "arm64" if parent["architecture"] == "amd64" else "amd64"
    report = run("debian:bookworm-slim", tmp_path, platform=other)
    assert report.exit_code == 4
    assert f"It says {other}, and the Docker engine runs {parent['architecture']}." in report.faults[0].cause


@pytest.fixture
def unreachable(monkeypatch):
    """No registry, and no base that somebody made before."""
    monkeypatch.setattr(debian, "EPOCH", "1600000000")

    def pull(self, reference, **_):
        raise images.RegistryMissing(f"No registry answers for {reference}.")

    monkeypatch.setattr(images.Images, "pull", pull)
    at = shelf.Shelf.at
    monkeypatch.setattr(
        shelf.Shelf, "at", lambda self, name: None if name == "debian:bookworm-slim" else at(self, name)
    )


def test_a_base_made_of_packages_is_a_slim_debian_that_tells_nothing_of_this_machine(
    unreachable, client, containers, tmp_path, parent, monkeypatch
):
    made = base_of("debian:bookworm-slim", tmp_path)._made(parent["architecture"])
    with contextlib.suppress(
        docker.errors.ImageNotFound
    ):  # Its name is always the same: a killed run may have left it.
        client.api.remove_image(made, force=True)
    try:
        first = run("debian:bookworm-slim", tmp_path)
        assert first.steps[-1].status.value == "changed", first.faults
        assert run("debian:bookworm-slim", tmp_path).steps[-1].status.value == "unchanged"
        client.api.remove_image(made)
        monkeypatch.delattr(debian, "bootstrap")  # The files are kept.
        again = run("debian:bookworm-slim", tmp_path)
        assert again.steps[-1].outputs["content"] == first.steps[-1].outputs["content"]
        show = "cat /etc/debian_version /etc/apt/sources.list.d/*; ls /etc/apt /etc/apt/apt.conf.d /usr/share/doc/*"
        container = containers.start(made, "sh", "-c", f"{show} || true", network="none")
        code, said = conftest.ran(container)
        container.remove()
        assert code == 0
        assert said.startswith("12.")
        assert {word for word in said.split() if "://" in word} == {debian.PUBLIC, debian.PUBLIC_SECURITY}
        assert "99mmdebstrap" not in said
        assert "changelog" not in said
        assert client.images.get(made).attrs["Size"] < 140_000_000
    finally:
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.api.remove_image(made, force=True)


def test_the_made_base_is_never_under_debian_s_name(parent, tmp_path):
    made = base_of("debian:bookworm-slim", tmp_path)._made(parent["architecture"])
    assert made.startswith(f"{image_recipes.REPOSITORY}/debian:bookworm-")
