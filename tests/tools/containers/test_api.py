"""Asking an engine directly, and what is made of answers that are none."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from pathlib import Path

import pytest

from airflow_platform.tools.containers import api, engine

IMAGE = {
    "Id": "sha256:aa",
    "Architecture": "amd64",
    "Size": 7,
    "RootFS": {"Layers": ["sha256:l1"]},
    "Config": {"Labels": {"a": "b"}, "Hostname": "h", "Image": "i", "Env": ["X=1"]},
}


class Engine(socketserver.ThreadingUnixStreamServer):
    """Answers what it was told; anything else is a mistake of the test."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        version = {"Arch": "arm64", "ApiVersion": "1.41"}
        self.answers: dict[str, tuple[int, object]] = {"/_ping": (200, "OK"), "/version": (200, version)}
        self.asked: list[str] = []
        super().__init__(str(path), Handler)

    @property
    def host(self) -> str:
        return f"unix://{self.server_address}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.removeprefix("/v1.41")
        self.server.asked.append(path)
        code, answer = self.server.answers[path]
        body = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "local"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path):
    with Engine(tmp_path / "docker.sock") as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_an_image(server):
    server.answers["/images/debian%3Abookworm-slim/json"] = (200, IMAGE)
    found = api.image(server.host, "debian:bookworm-slim")
    assert found == api.Image("sha256:aa", "amd64", {"a": "b"}, 7, found.content)


def test_an_image_that_is_not_there(server):
    server.answers["/images/none/json"] = (404, {"message": "No such image: none"})
    assert api.image(server.host, "none") is None


def test_what_it_runs_on(server):
    assert api.platform(server.host) == "arm64"


def test_what_is_left(server):
    query = "label%22%3A+%5B%22a%3Db%22%5D"
    server.answers[f"/containers/json?all=1&filters=%7B%22{query}%7D"] = (200, [{}, {}])
    server.answers[f"/networks?filters=%7B%22{query}%7D"] = (200, [{}])
    server.answers[f"/images/json?filters=%7B%22{query}%2C+%22dangling%22%3A+%5B%22true%22%5D%7D"] = (
        200,
        [{}],
    )
    assert api.left(server.host, "a=b") == 4


def changed(**parts):
    return {**IMAGE, **parts}


def test_content_is_what_an_image_holds_whatever_it_is_called():
    same = [
        changed(Id="sha256:bb", Size=8),
        changed(Config={**IMAGE["Config"], "Labels": None, "Hostname": "x", "Image": "y"}),
    ]
    others = [
        changed(RootFS={"Layers": ["sha256:l1", "sha256:l2"]}),
        changed(Config={**IMAGE["Config"], "Env": ["X=2"]}),
        changed(Architecture="arm64"),
    ]
    content = api.image_of(IMAGE).content
    assert {api.image_of(each).content for each in same} == {content}
    found = {api.image_of(each).content for each in others}
    assert len(found | {content}) == len(others) + 1


SETTINGS = {"Cmd": ["bash"], "Env": ["PATH=/bin"], "Healthcheck": {"Test": ["NONE"]}}

TOLD_1_41 = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False,
    "Tty": False, "OpenStdin": False, "StdinOnce": False, "Image": "", "Volumes": None, "WorkingDir": "",
    "Entrypoint": None, "OnBuild": None, "Labels": None, **SETTINGS,
}  # fmt: skip
"""As engines of 2020 describe settings: with all fields of a container."""

TOLD_1_50 = {
    "User": "", "Volumes": None, "WorkingDir": "", "Entrypoint": [], "OnBuild": None, "Labels": {}, "ArgsEscaped": True,
    **SETTINGS,
}  # fmt: skip
"""Without those that images do not have."""

TOLD_1_52 = SETTINGS
"""Without those that are not set (Engine 29)."""


@pytest.mark.parametrize("told", [TOLD_1_50, TOLD_1_52], ids=["1.50", "1.52"])
def test_an_image_is_the_same_whichever_engine_describes_it(told):
    assert api.image_of(changed(Config=told)) == api.image_of(changed(Config=TOLD_1_41))


def test_an_image_without_settings_is_one():
    described = changed()
    del described["Config"]
    assert api.image_of(described).labels == {}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"error": "no space left"}, "no space left"),
        ({"error": "no space left", "errorDetail": {"code": 1, "message": "no space left"}}, "no space left"),
        ({"errorDetail": {"message": "no space left"}}, "no space left"),
        ({"stream": "Step 1/2"}, ""),
    ],
)
def test_a_failure_in_the_middle_of_an_answer_is_read_as_old_and_new_engines_tell_it(event, said):
    assert engine.failure(event) == said


def test_an_engine_that_says_no_says_why(server):
    server.answers["/images/x/json"] = (500, {"message": "the disk is on fire"})
    with pytest.raises(engine.EngineError, match="the disk is on fire") as caught:
        api.image(server.host, "x")
    assert caught.value.status == 500


def test_no_engine_is_a_fault_with_a_remedy(tmp_path):
    with pytest.raises(engine.EngineMissing) as caught:
        api.platform(f"unix://{tmp_path}/none.sock")
    (fault,) = caught.value.faults()
    assert "None answers" in fault.cause
    assert "Start Docker Desktop" in fault.remedy
