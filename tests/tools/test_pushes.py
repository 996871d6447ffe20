"""Pushes through the engine: its events, what its words mean, the name that is lent to an image."""

from __future__ import annotations

import threading

import docker.errors
import pytest
import requests

from airflow_platform import errors, secrets
from airflow_platform.tools.containers import engine, pushes
from airflow_platform.tools.registry.session import Credentials

CREDENTIALS = Credentials("AWS", secrets.Secret("token"))
IMAGE = "sha256:1"
PLACE = {"repository": "registry.example.com/p/base", "tag": "1"}
NAME = "registry.example.com/p/base:1"


class Api:
    """The engine's images by every name, and the events of a push."""

    def __init__(self) -> None:
        self.images = {IMAGE: IMAGE, "airflow-platform/base:1": IMAGE}
        self.events: list[object] = []
        self.pushed: list[tuple[str, str, dict[str, str]]] = []
        self.silence = threading.Event()
        self.ended = threading.Event()

    def inspect_image(self, name):
        if name not in self.images:
            raise docker.errors.ImageNotFound(f"No such image: {name}")
        return {"Id": self.images[name]}

    def tag(self, image, repository, tag, *, force):
        assert force
        self.images[f"{repository}:{tag}"] = image

    def remove_image(self, name, *, noprune):
        assert noprune
        del self.images[name]

    def push(self, repository, *, tag, auth_config, stream, decode):
        assert stream
        assert decode
        assert self.images[f"{repository}:{tag}"] == IMAGE
        self.pushed.append((repository, tag, auth_config))
        try:
            for event in self.events:
                if isinstance(event, Exception):
                    raise event
                if event == "silence":
                    self.silence.wait(10)
                else:
                    yield event
        finally:
            self.ended.set()


class Client:
    def __init__(self) -> None:
        self.api = Api()


@pytest.fixture
def client():
    return Client()


def layer(name, status, **detail):
    return {"id": name, "status": status, "progressDetail": detail}


AUX = {"progressDetail": {}, "aux": {"Tag": "1", "Digest": "sha256:d", "Size": 500}}


def push(client, on_progress=lambda progress: None):
    return pushes.push(client, IMAGE, **PLACE, credentials=CREDENTIALS, on_progress=on_progress)


def test_layers_are_told_as_they_arrive(client):
    client.api.events = [
        {"status": "The push refers to repository [registry.example.com/p/base]"},
        layer("top", "Preparing"),
        layer("low", "Preparing"),
        layer("top", "Layer already exists"),
        layer("low", "Pushing", current=1_000_000, total=3_000_000),
        layer("low", "Pushed"),
        AUX,
    ]
    told = []
    done = push(client, lambda progress: told.append(str(progress)))
    assert "1 of 2 layers, low: 1.0 of 3.0 MB" in told
    assert told[-1] == "2 of 2 layers"
    assert [(each.id, each.sent, each.done) for each in done.layers.values()] == [
        ("top", False, True),
        ("low", True, True),
    ]
    assert done.digest == "sha256:d"
    assert client.api.pushed == [
        ("registry.example.com/p/base", "1", {"username": "AWS", "password": "token"})
    ]


@pytest.mark.parametrize(
    ("state", "done", "sent", "retrying"),
    [
        ("Pushed", True, True, False),
        ("Layer already exists", True, False, False),
        ("Mounted from p/other", True, False, False),
        ("Pushing", False, False, False),
        ("Waiting", False, False, False),
        ("Retrying in 5 seconds", False, False, True),
    ],
)
def test_what_the_states_of_a_layer_mean(state, done, sent, retrying):
    progress = pushes.Progress()
    progress.take(layer("a", state))
    (found,) = progress.layers.values()
    assert (found.done, found.sent, progress.retrying) == (done, sent, retrying)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("unauthorized", pushes.NotAuthenticated),
        ("unauthorized: authentication required", pushes.NotAuthenticated),
        ("no basic auth credentials", pushes.NotAuthenticated),
        (
            "denied: Your authorization token has expired. Reauthenticate and try again.",
            pushes.NotAuthenticated,
        ),
        ("denied: User: x is not authorized to perform: ecr:PutImage", pushes.NotAllowed),
        ("denied: requested access to the resource is denied", pushes.NotAllowed),
        ("unexpected status code 403 Forbidden", pushes.NotAllowed),
        ("tag invalid: The image tag '1' already exists and cannot be overwritten", pushes.TagTaken),
        ("toomanyrequests: Rate exceeded", pushes.CutShort),
        ("received unexpected HTTP status: 503 Service Unavailable", pushes.CutShort),
        ('Patch "http://127.0.0.1:5000/v2/": EOF', pushes.CutShort),
        ("write tcp 127.0.0.1:1->127.0.0.1:2: write: broken pipe", pushes.CutShort),
        ("read: connection reset by peer", pushes.CutShort),
        ("dial tcp: lookup registry.example.com: no such host", pushes.CutShort),
        ("net/http: TLS handshake timeout", pushes.CutShort),
        ("name unknown: The repository does not exist", pushes.PushError),
        ("manifest invalid: x", pushes.PushError),
    ],
)
def test_the_engines_words_have_kinds(client, said, kind):
    client.api.events = [layer("a", "Preparing"), {"error": f"{said}\n", "errorDetail": {"message": said}}]
    with pytest.raises(pushes.PushError) as caught:
        push(client)
    assert type(caught.value) is kind
    assert caught.value.said == said.rstrip(".")
    assert caught.value.message.startswith(f"{NAME}: ")


def test_an_engine_that_stops_telling_is_no_success(client):
    client.api.events = [layer("a", "Pushing")]
    with pytest.raises(pushes.CutShort, match="stopped telling"):
        push(client)


def test_an_engine_that_goes_away_is_told_as_such(client):
    client.api.events = [layer("a", "Pushing"), requests.exceptions.ConnectionError("gone")]
    with pytest.raises(engine.EngineMissing):
        push(client)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("before", [None, IMAGE, "sha256:2"])
def test_the_name_for_the_push_is_given_back(client, before, fails):
    if before:
        client.api.images[NAME] = before
    client.api.events = [{"error": "denied: no"}] if fails else [AUX]
    try:
        push(client)
    except pushes.NotAllowed:
        assert fails
    assert client.api.images.get(NAME) == before


def test_an_end_of_the_run_does_not_wait_for_a_silent_engine(client):
    client.api.events = [layer("a", "Pushing"), "silence", AUX]

    def interrupted(progress):
        raise errors.Interrupted(2, "SIGINT")

    with pytest.raises(errors.Interrupted):
        push(client, interrupted)
    assert not client.api.ended.is_set()
    assert NAME not in client.api.images
    client.api.silence.set()
    assert client.api.ended.wait(5)


def test_silence_is_told_too_so_that_somebody_can_end_it(client):
    client.api.events = [layer("a", "Pushing"), "silence", AUX]
    calls = []

    def on_progress(progress):
        calls.append(1)
        if len(calls) == 4:
            client.api.silence.set()

    assert push(client, on_progress).digest == "sha256:d"


def test_a_push_that_is_given_up_ends_with_its_next_event(client):
    client.api.events = [layer("a", "Pushing"), *[layer("a", "Retrying in 5 seconds")] * 3]

    def given_up(progress):
        raise pushes.NotAuthenticated(NAME, "expired")

    with pytest.raises(pushes.NotAuthenticated):
        push(client, given_up)
    assert client.api.ended.is_set()


def test_images_that_are_gone_or_altered_are_told(client):
    client.api.images |= {"sha256:2": "sha256:2", "p/moved:1": "sha256:3", "sha256:4": "sha256:4"}
    wrong = pushes.missing(
        client,
        {
            IMAGE: "airflow-platform/base:1",
            "sha256:2": "p/moved:1",
            "sha256:4": "p/untagged:1",
            "sha256:9": "p/gone:1",
        },
    )
    assert set(wrong) == {"p/moved:1", "p/gone:1"}
    assert "sha256:3 now, and was sha256:2" in wrong["p/moved:1"]
    assert "no such image" in wrong["p/gone:1"]
