"""Runs on a world of files, in processes of their own: see files_run.py."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("files_run.py")


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def start_run():
    """Start a run in a process of its own; all are ended with the test."""
    with contextlib.ExitStack() as stack:

        def starting(directory, **order):
            child = stack.enter_context(start(json.dumps({"directory": str(directory), **order})))
            stack.callback(child.kill)
            return child

        yield starting


@pytest.fixture(scope="module")
def run_forked():
    """Run orders one after the other, each in a fork that may be killed, and return their answers."""
    server = start()

    def running(directory, **order):
        server.stdin.write(json.dumps({"directory": str(directory), **order}) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    yield running
    server.stdin.close()
    assert server.wait(timeout=5) == 0
    server.stdout.close()
