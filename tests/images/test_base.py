"""The base of all images: pulled from a real registry, made of Debian packages, refused."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

import docker.errors
import pytest

from airflow_platform.images import base_image
from airflow_platform.programs import programs
from airflow_platform.testing import runs
from airflow_platform.tools import debian
from airflow_platform.tools.containers import engine, image_cache, images
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


def run(reference, *, platform="", pull=False):
    base = base_image.BaseImage(
        image_cache.ImageCache(None), reference=reference, platform=platform, pull=pull
    )
    return runs.run_steps(base, tenants=())


def test_a_base_is_pulled_from_its_registry_once(registry, client, parent):
    reference = f"{registry}/company/base:1"
    client.api.tag(parent["id"], f"{registry}/company/base", "1")
    assert '"error"' not in str(client.api.push(reference))
    client.api.remove_image(reference)
    try:
        first, second = run(reference), run(reference)
        assert [each.steps[-1].status.value for each in (first, second)] == ["changed", "unchanged"]
        outputs = first.steps[-1].outputs
        assert outputs["id"] == parent["id"]
        assert second.steps[-1].outputs == outputs
        assert run(reference, pull=True).steps[-1].outputs == outputs
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


def test_a_base_that_cannot_be_had_stops_before_anything_is_done():
    report = run("registry.invalid/base:1")
    assert report.exit_code == 4
    (fault,) = report.faults
    assert fault.thing == "base image registry.invalid/base:1"
    assert "images/base-from-debian" in fault.remedy
    assert "images.toml" in fault.remedy


def test_another_architecture_than_the_engine_s_is_refused(parent):
    other = "arm64" if parent["architecture"] == "amd64" else "amd64"
    report = run("debian:bookworm-slim", platform=other)
    assert report.exit_code == 4
    assert f"It says {other}, and the Docker engine runs {parent['architecture']}." in report.faults[0].cause


def test_the_script_makes_a_slim_debian_that_tells_nothing_of_this_machine(client, containers):
    """Under a name that nobody uses, by the release that the script is told."""
    name = "debian:bookworm"
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.api.inspect_image(name)
        pytest.fail(f"this engine has a {name} of its own; remove it, or run this on another engine")
    script = conftest.CHECKOUT / "images" / "base-from-debian"
    try:
        subprocess.run([script, name], check=True, timeout=600)
        show = "cat /etc/debian_version /etc/apt/sources.list.d/*; ls /etc/apt /etc/apt/apt.conf.d /usr/share/doc/*"
        container = containers.start(name, "sh", "-c", f"{show} || true", network="none")
        code, said = conftest.ran(container)
        container.remove()
        assert code == 0
        assert said.startswith("12.")
        assert {word for word in said.split() if "://" in word} == {debian.PUBLIC, debian.PUBLIC_SECURITY}
        assert "99mmdebstrap" not in said
        assert "changelog" not in said
        assert client.images.get(name).attrs["Size"] < 140_000_000
        subprocess.run([script, "--if-missing", name], check=True, timeout=10)  # It is there.
    finally:
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.api.remove_image(name, force=True)


def test_the_script_refuses_what_is_no_image_of_debians():
    script = conftest.CHECKOUT / "images" / "base-from-debian"
    done = subprocess.run([script, "company/base:1"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 4
    assert "not an image of Debian's own" in done.stderr
