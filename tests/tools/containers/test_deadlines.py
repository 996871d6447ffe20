"""Programs in containers that do not end: their container is removed, and what they said last is told."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from airflow_platform.programs import programs
from airflow_platform.tools.containers import follow, image_check, installs


class Api:
    """An engine whose program says one line, and then nothing more until its container is removed."""

    def __init__(self):
        self.removed = threading.Event()

    def frames(self, channel):
        yield True, b"waiting for mirror.example.com\n"
        assert self.removed.wait(30)

    def create_host_config(self, **named):
        return {}

    def create_container(self, *words, **named):
        return {"Id": "x"}

    def put_archive(self, *words):
        return True

    def start(self, container):
        pass

    def attach_socket(self, *words):
        return channel()

    def exec_create(self, *words, **named):
        return {"Id": "x"}

    def exec_start(self, *words, socket):
        return channel()

    def remove_container(self, container, *, force, v):
        assert force
        self.removed.set()


def channel():
    return SimpleNamespace(close=lambda: None, _response=SimpleNamespace(close=lambda: None))


@pytest.fixture
def api(monkeypatch):
    made = Api()
    monkeypatch.setattr(follow, "frames", made.frames)
    return made


def test_a_trial_that_does_not_end_is_not_accepted(api):
    trial = image_check.Trial("sha256:1", ("x",), {}, timeout=0.3)
    with pytest.raises(
        image_check.NotAccepted, match=r"did not end within 0\.3 s; its last lines:\n    waiting"
    ) as raised:
        image_check.run(api, trial, interruption=programs.Interruption(), progress=print)
    assert api.removed.is_set()
    assert "Take back what was last added" in raised.value.hint


def test_an_installation_that_does_not_end_has_failed(api):
    wanted = installs.Installation("sha256:1", ("/mnt/python.sh",), {}, network="n", timeout=0.3)
    with pytest.raises(installs.InstallationFailed, match=r"python\.sh did not end within 0\.3 s") as raised:
        installs.install(api, wanted, interruption=programs.Interruption(), progress=print)
    assert "waiting for mirror.example.com" in str(raised.value)
    assert api.removed.is_set()
    assert "reach the package mirrors" in raised.value.hint


def test_an_installation_ends_before_its_container_does():
    assert installs.TIMEOUT < installs.LIFETIME
