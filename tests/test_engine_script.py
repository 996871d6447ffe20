"""scripts/engine with a stand-in for dockerd: what is started, shared, ended, left alone, and said.

The stand-in answers like an engine. As it is no root's business, `id` stands in for root, too.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

DOCKERD = f"""#!{sys.executable} -P
import json, os, sys
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

if cause := os.environ.get("CAUSE"):
    sys.exit("failed to start daemon: " + cause)

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        said = json.dumps({{"ApiVersion": "1.41", "Arch": "amd64"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *words):
        pass

print("arguments:", *sys.argv[1:], flush=True)
socket = sys.argv[sys.argv.index("--host") + 1].removeprefix("unix://")
if os.path.exists(socket):
    os.unlink(socket)
ThreadingUnixStreamServer.daemon_threads = True
ThreadingUnixStreamServer(socket, Handler).serve_forever()
"""


class Machine:
    """A machine on which scripts/engine is run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "bin"
        self.programs.mkdir()
        self.socket = directory / "e.sock"
        self.environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "DOCKER_HOST": f"unix://{self.socket}",
            "AIRFLOW_PLATFORM_STATE": str(directory / "state"),
            "AIRFLOW_PLATFORM_CACHE": str(directory / "cache"),
        }
        self.program("dockerd", DOCKERD)
        self.program("id", "#!/bin/sh\necho 0\n")
        self.program("mount", "#!/bin/sh\n")
        self.program("iptables", "#!/bin/sh\n")
        # Every process seems to have a network of its own, so that an engine of this machine is no other one.
        self.program("readlink", "#!/bin/sh\necho $$\n")

    def program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def engine(self, *words: str, **environment: str) -> tuple[int, str]:
        if words[0] in ("start", "join"):
            words = (*words, "--data-root", str(self.directory / "data"))
        done = subprocess.run(
            [ROOT / "scripts" / "engine", *words],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=15,
        )
        assert not done.stdout
        return done.returncode, done.stderr

    @property
    def answers(self) -> bool:
        return self.engine("check")[0] == 0

    @property
    def log(self) -> str:
        (found,) = self.directory.glob("state/engine-*/dockerd.log")
        return found.read_text()

    def started(self) -> int | None:
        found = [path.read_text() for path in self.directory.glob("state/engine-*/started")]
        return int(found[0].split()[0]) if found else None


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.fail("the door has to be opened once: scripts/nox --version")
    made = Machine(tmp_path_factory.mktemp("m"))
    yield made
    if (process := made.started()) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, 9)


@pytest.fixture
def users() -> Iterator[list[subprocess.Popen[bytes]]]:
    found = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    yield found
    for each in found:
        each.kill()
        each.wait()


def test_an_engine_is_started_where_none_answers_and_ended(machine):
    code, said = machine.engine("check")
    assert code == 4
    assert f"None answers at unix://{machine.socket}" in said
    assert "scripts/engine start" in said
    code, said = machine.engine("start")
    assert (code, said.count("\n")) == (0, 1), said
    assert "dockerd.log" in said
    assert machine.answers
    assert f"--host unix://{machine.socket} --data-root {machine.directory}/data" in machine.log
    assert machine.engine("start") == (0, "")
    assert machine.engine("stop") == (0, "")
    assert not machine.answers


def test_an_engine_that_was_there_is_used_and_left_alone(machine, users):
    before = subprocess.Popen([machine.programs / "dockerd", "--host", machine.environment["DOCKER_HOST"]])
    try:
        until = time.monotonic() + 10
        while not machine.answers:
            assert time.monotonic() < until
        for words in (("start",), ("join", str(users[0].pid)), ("leave", str(users[0].pid))):
            assert machine.engine(*words) == (0, "")
        code, said = machine.engine("stop")
        assert code == 4
        assert "left alone" in said
        assert machine.answers
    finally:
        before.kill()
        before.wait()


def test_an_engine_ends_with_the_last_that_leaves(machine, users):
    first, second = (str(each.pid) for each in users)
    assert machine.engine("join", first)[0] == 0
    assert machine.engine("join", second) == (0, "")
    code, said = machine.engine("stop")
    assert code == 4
    assert "in use by process" in said
    assert machine.engine("leave", first) == (0, "")
    assert machine.answers
    assert machine.engine("leave", second) == (0, "")
    assert not machine.answers


def test_who_was_killed_does_not_keep_it(machine, users):
    first, second = users
    machine.engine("join", str(first.pid))
    machine.engine("join", str(second.pid))
    second.kill()
    second.wait()
    assert machine.engine("leave", str(first.pid)) == (0, "")
    assert not machine.answers


def test_one_that_was_asked_for_by_name_stays(machine, users):
    user = str(users[0].pid)
    machine.engine("join", user)
    assert machine.engine("start") == (0, "")
    assert machine.engine("leave", user) == (0, "")
    assert machine.answers
    assert machine.engine("join", user) == (0, "")
    assert machine.engine("leave", user) == (0, "")
    assert machine.answers
    assert machine.engine("stop") == (0, "")


def test_an_engine_that_was_killed_is_started_again(machine):
    machine.engine("start")
    os.kill(machine.started(), 9)
    until = time.monotonic() + 10
    while machine.answers:
        assert time.monotonic() < until
    assert machine.engine("start")[0] == 0
    assert machine.answers


@pytest.mark.parametrize(
    ("cause", "remedy"),
    [
        ("Devices cgroup isn't mounted", "Mount control groups"),
        ("failed to create NAT chain DOCKER: iptables failed", "Packets cannot be filtered"),
        ("error initializing graphdriver: operation not permitted", "In a container, run it"),
        ("write /data/x: no space left on device", "Free some space"),
        ("something that nobody thought of", "More is in"),
    ],
)
def test_an_engine_that_ends_at_once_says_why_and_what_to_do(machine, cause, remedy):
    code, said = machine.engine("start", CAUSE=cause)
    assert code == 4
    assert f"the Docker engine ended: {cause}. {remedy}" in said


def test_who_is_not_root_is_told_what_to_do(machine):
    machine.program("id", "#!/bin/sh\necho 1000\n")
    code, said = machine.engine("start")
    assert code == 4
    assert "sudo" in said
    assert machine.started() is None


def test_no_engine_is_started_beside_another_one(machine):
    (machine.programs / "readlink").unlink()
    other = subprocess.Popen(
        [machine.programs / "dockerd", "--host", f"unix://{machine.directory}/other.sock"]
    )
    try:
        until = time.monotonic() + 10
        while Path(f"/proc/{other.pid}/comm").read_text() != "dockerd\n":
            assert time.monotonic() < until
        code, said = machine.engine("start")
        assert code == 4
        assert "another Docker engine runs here (process " in said
        assert machine.started() is None
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_on_another_machine_nothing_is_started(machine):
    code, said = machine.engine("start", DOCKER_HOST="tcp://127.0.0.1:9")
    assert code == 4
    assert "nothing is started from here" in said


def test_without_a_word_it_says_how_it_is_used(machine):
    code, said = machine.engine("")
    assert code == 2
    assert "scripts/engine join PID" in said
    assert "set -eu" not in said
