"""Whose an error is that is raised while somebody has an engine."""

from __future__ import annotations

from types import SimpleNamespace

import docker.errors
import pytest
import requests

from airflow_platform import errors, secrets
from airflow_platform.programs import programs
from airflow_platform.tools.containers import (
    containers,
    engine,
    engine_session,
    images,
    installs,
    pushes,
    spec,
)
from airflow_platform.tools.registry.session import Credentials

BROKEN = [
    BrokenPipeError(),
    ConnectionResetError("of another program"),
    requests.exceptions.ConnectionError(),
]


class Client:
    """An engine that answered once, and says what it was told to."""

    def __init__(self, **answers):
        self.api, self.closed = SimpleNamespace(**answers), False

    def close(self):
        self.closed = True


@pytest.fixture
def client(monkeypatch):
    made = Client()
    monkeypatch.setattr(engine, "_knock", lambda host: None)
    monkeypatch.setattr(engine, "_client", lambda where, timeout: made)
    return made


@pytest.mark.parametrize("error", BROKEN, ids=repr)
def test_a_connection_of_somebody_else_that_breaks_is_no_fault_of_the_engine(client, error):
    with pytest.raises(type(error)), engine_session.opened("unix:///nowhere.sock"):
        raise error
    assert client.closed


def gone(*words, **named):
    raise requests.exceptions.ConnectionError("gone")


@pytest.mark.parametrize("ask", ["missing", "identity", "found", "remove"])
def test_one_that_goes_away_is_told_by_whoever_asks_it(client, ask):
    client.api = SimpleNamespace(
        inspect_image=gone, info=gone, containers=gone, inspect_container=gone, remove_container=gone
    )
    with pytest.raises(engine.EngineMissing), engine.connected("unix:///nowhere.sock") as connected:
        {
            "missing": lambda: pushes.missing(connected, {"sha256:1": "base:1"}),
            "identity": lambda: engine.identity(connected),
            "found": lambda: engine_session.of(connected).containers.found({}),
            "remove": lambda: installs.remove(connected.api, "x"),
        }[ask]()


def unheard(*words):
    raise BrokenPipeError


def built(*words, **named):
    return iter([{"stream": "Step 1/1 : FROM scratch"}])


def test_lines_of_a_build_that_nobody_reads_any_more_are_no_fault_of_the_engine(client):
    client.api = SimpleNamespace(build=built, pull=built)
    ours = images.Images(client, programs.Interruption())
    with pytest.raises(BrokenPipeError):
        ours.build({}, arguments={}, labels={}, platform="amd64", progress=unheard)
    with pytest.raises(BrokenPipeError):
        ours.pull("base:1", platform="amd64", progress=unheard)


def test_progress_of_a_push_that_nobody_reads_any_more_is_no_fault_of_the_engine(client):
    client.api = SimpleNamespace(
        inspect_image=lambda name: {"Id": "sha256:1"}, tag=lambda *words, **named: None, push=built
    )
    with pytest.raises(BrokenPipeError):
        pushes.push(
            client,
            "sha256:1",
            repository="registry.example.com/base",
            tag="1",
            credentials=Credentials("AWS", secrets.Secret("token")),
            on_progress=unheard,
        )


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            "could not find an available, non-overlapping IPv4 address pool among the defaults",
            "network prune",
        ),
        ("No such image: sha256:1", "Run this again"),
        ("write /x: no space left on device", "docker system df"),
        ("Bind for 127.0.0.1:1 failed: port is already allocated", "Stop the program"),
    ],
)
def test_what_the_engine_refuses_has_a_remedy(said, remedy):
    with pytest.raises(engine.EngineError) as raised, engine.translated("x"):
        raise docker.errors.APIError("500 Server Error", explanation=said)
    assert remedy in raised.value.hint


def test_files_that_are_not_taken_and_a_program_that_is_late_have_one_too():
    api = SimpleNamespace(put_archive=lambda *words: False)
    file = spec.File(secrets.Secret("x"))
    with pytest.raises(errors.StepError) as raised:
        containers.Containers(SimpleNamespace(api=api))._put(
            "x", spec.Container("x", "i", files={"/x": file})
        )
    assert raised.value.hint
    assert containers.late("x", 1).hint
