"""Proxies of Docker's own settings are in no container and no image: their address may hold a password."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace

import docker
import pytest

from airflow_platform.programs import programs
from airflow_platform.testing import testcontainers_adapter
from airflow_platform.tools.containers import (
    build_network,
    containers,
    image_check,
    images,
    installs,
    lifeline,
)
from airflow_platform.tools.containers.spec import Container

PROXY = (
    "http://ci:word@proxy.example.com:3128"  # checkov:skip=CKV_SECRET_4: 2026-11-27: Only the look of one.
)
SPEC = Container("x", "sha256:1", environment={"A": "1"}, network="n", hostname="x")


class Stop(Exception):
    """What was asked for is known."""


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the library would send to make a container or an image, of a machine whose settings have a proxy."""
    settings = {"httpProxy": PROXY, "httpsProxy": PROXY, "noProxy": "localhost"}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": {"default": settings}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(docker.APIClient, "_retrieve_server_version", lambda self: "1.41")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    monkeypatch.setattr(docker.models.images.ImageCollection, "get", lambda self, name: None)
    sent = []

    def send(*words, **named):
        sent.append(json.dumps([*words[1:], named], default=str))
        raise Stop

    monkeypatch.setattr(docker.APIClient, "create_container_from_config", send)
    monkeypatch.setattr(docker.APIClient, "_post", send)
    return sent


@pytest.fixture
def client(asked):
    made = docker.DockerClient(base_url="unix:///nowhere.sock")
    yield made
    made.close()


def start(client):
    containers.Containers(client).start(SPEC)


def install(client):
    wanted = installs.Installation("sha256:1", ("x",), {}, network="n")
    installs.install(client.api, wanted, interruption=programs.Interruption(), progress=print)


def attempt(client):
    image_check.run(
        client.api,
        image_check.Trial("sha256:1", ("x",), {}),
        interruption=programs.Interruption(),
        progress=print,
    )


def hold(client):
    with lifeline.held(client, name="x", image="sha256:1", labels={}):
        pass


def build(client):
    ours = images.Images(client, programs.Interruption())
    ours.build({"Dockerfile": b""}, arguments={"A": "1"}, labels={}, platform="amd64", progress=print)


def start_for_tests(client):
    made = testcontainers_adapter.SpecContainer(SPEC)
    with contextlib.closing(made), testcontainers_adapter.without_ryuk():
        made.start()


@pytest.mark.parametrize("make", [start, install, attempt, hold, build, start_for_tests])
def test_what_is_made_is_not_told_of_them(asked, client, make):
    with pytest.raises(Stop):
        make(client)
    (sent,) = asked
    assert "proxy" not in sent.lower()


def test_an_installation_can_be_told_of_them(client):
    found = build_network.for_all(images.Images(client, SimpleNamespace()).proxies())
    assert found.environment["https_proxy"] == found.environment["HTTP_PROXY"] == PROXY
    assert found.environment["no_proxy"] == "localhost"
    assert {each.reveal() for each in found.secrets} == {"word"}
