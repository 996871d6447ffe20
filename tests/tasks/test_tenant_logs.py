"""Logs that are followed: what ends it, and with which code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest


@pytest.fixture
def follow(environments, settled, checkout):
    """Follows a log of one line; returns the running command."""
    settled("sandbox", "analytics").log("scheduler").write_text("one\n")
    words = ["tenant-logs", "--env=sandbox", "--tenant=analytics", "--component=scheduler", "--follow"]
    started = []

    def start():
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "airflow_platform.tasks", *words],
                env={**os.environ, "PYTHONPATH": str(checkout)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        assert started[-1].stdout.readline() == "one\n"
        return started[-1]

    yield start
    for each in started:
        if each.poll() is None:
            each.kill()
        each.communicate()


def test_following_ends_when_nobody_reads_even_if_no_line_comes(follow):
    command = follow()
    command.stdout.close()
    assert command.wait(timeout=10) == 0
    assert command.stderr.read() == ""
    command.stdout = None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_following_that_is_ended_on_purpose_says_nothing(follow, number, code):
    command = follow()
    time.sleep(0.5)
    command.send_signal(number)
    assert command.wait(timeout=10) == code
    assert command.stderr.read() == ""
