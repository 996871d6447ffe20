"""Secrets stay where they belong: in their files, and in the database that is encrypted with them."""

from __future__ import annotations

import base64
import os
import threading
import time
import urllib.parse
from pathlib import Path

from airflow_platform.runtimes.process.supervisor import linux
from tests.crash import sandbox

AT_HOME = ("keys", "certificates", "home", "snowflake")
"""Folders of a tenant that only its own user and root may read: secrets may be there."""


class Watch(threading.Thread):
    """Keeps every command line that any process of the sandbox has while it runs."""

    def __init__(self, box):
        super().__init__()
        self._box = box
        self._over = threading.Event()
        self.seen = set()

    def run(self):
        while not self._over.is_set():
            for one in linux.processes():
                self.seen.add(linux.title(one.pid))
            time.sleep(0.002)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        self.join()


def test_no_secret_is_told_anywhere(box):
    outputs = []

    def told(ended):
        outputs.append(ended.stdout + ended.stderr)
        return ended

    with Watch(box) as watch:
        told(box.up(kill={"step": "settings", "tenant": "alpha", "phase": "after begin"}))
        told(box.inv("tenant-up", "--env=crash", "--traceback"))
        told(box.up())
        box.declare("alpha", colour="red")
        (box.home / "controls/refuse_writes").touch()
        refused = told(box.up())
        assert refused.code == 1, refused
        assert "not acceptable" in refused.stderr, "the answer that repeats what was sent is shown, masked"
        told(box.inv("tenant-up", "--env=crash", "--traceback"))
        (box.home / "controls/refuse_writes").unlink()
        told(box.up())
        for words in (
            ("tenant-status",),
            ("doctor",),
            ("env-show",),
            ("tenant-logs", "--tenant=alpha"),
            ("tenant-restart",),
            ("tenant-up", "--plan"),
            ("airflow", "--tenant=alpha", "--args=version"),
        ):
            told(box.inv(words[0], "--env=crash", *words[1:]))
    told(box.down())

    needles = canaries(box)
    assert len(needles) > 12
    for text in (*outputs, *watch.seen):
        assert [each for each in needles if each in text] == [], text
    assert [(path, each) for path in files(box) for each in needles if each.encode() in read(path)] == []


def canaries(box):
    """Every secret, plain and as it may be written elsewhere."""
    texts = set(box.secrets.values())
    for path in box.tenant().keys.iterdir():
        if path.name != "passwords.json":
            texts.add(path.read_text())
    found = set()
    for text in texts:
        coded = base64.b64encode(text.encode()).decode().rstrip("=")
        found |= {text, coded, urllib.parse.quote(text, safe="")}
    return found


def files(box):
    """Every file that a command wrote, apart from those that only the tenant reads."""
    for directory in (box.home / "state", box.home / "cache", box.home / "outputs", box.home / "tmp"):
        for path in directory.rglob("*"):
            parts = path.relative_to(box.home).parts
            if path.is_file() and not (len(parts) > 4 and parts[4] in AT_HOME):
                yield path


def read(path: Path) -> bytes:
    return path.read_bytes()


def test_what_may_hold_secrets_is_closed_to_others(box):
    assert box.up().code == 0
    for folder in AT_HOME:
        directory = box.tenant().directory / folder
        assert not directory.stat().st_mode & 0o007, folder
        for path in directory.rglob("*"):
            public = folder == "certificates" and path.name in ("ca.pem", "server.pem", "bundle.pem")
            assert public or not path.stat().st_mode & 0o077, path
    environments = [Path(f"/proc/{one.pid}/environ") for one in box.processes()]
    assert environments
    for path in environments:
        assert path.stat().st_mode & 0o077 == 0
        assert path.stat().st_uid in (os.getuid(), sandbox.user_of(box, "alpha"))
