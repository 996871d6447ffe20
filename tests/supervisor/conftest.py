"""A run directory with a real supervisor, and components that are short Python programs."""

import contextlib
import os
import signal
import sys
import time
import uuid
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.runtimes.process import supervisor_client
from airflow_platform.runtimes.process.supervisor import linux
from airflow_platform.runtimes.process.supervisor.spec import OWNER_VARIABLE, Component, Spec, Status
from airflow_platform.tools import processes

PRELUDE = """
import os, pathlib, signal, subprocess, sys, time
def tell(name, text=""):
    pathlib.Path(name + ".new").write_text(str(text))
    os.replace(name + ".new", name)
def spawn(code, *words, **more):
    return subprocess.Popen([sys.executable, "-S", "-c", PRELUDE + code, *words], **more)
def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.02)
"""
SLEEP = "tell('ready'); time.sleep(600)"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); tell('ready'); time.sleep(600)"


def wait_until(condition, what, timeout=10.0):
    """Return the condition's first true value."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {timeout:g} s until {what}"
        time.sleep(0.01)
    return found


class Run:
    """One run directory; each component works in a directory of its own name."""

    def __init__(self, directory):
        self.directory = directory
        self.owner = f"test-{uuid.uuid4().hex}"

    def component(self, name, code=SLEEP, **more):
        work = self.directory / name
        work.mkdir(exist_ok=True)
        program = f"PRELUDE = {PRELUDE!r}\n{PRELUDE}\n{code}"
        definition = {
            "argv": (sys.executable, "-S", "-c", program),
            "directory": str(work),
            "log": str(self.directory / f"{name}.log"),
            "environment": {"PATH": os.defpath},
            "stop_timeout": 10.0,
        }
        return Component(name=name, **{**definition, **more})

    def spec(self, *components, user=None):
        return Spec(owner=self.owner, components=components, user=user)

    def start(self, *components, user=None):
        supervisor_client.write_spec(self.directory, self.spec(*components, user=user))
        return supervisor_client.start(self.directory, python=Path(sys.executable), timeout=10)

    def reload(self, *components):
        supervisor_client.write_spec(self.directory, self.spec(*components))
        return supervisor_client.reload(self.directory, 10)

    def stop(self):
        supervisor_client.stop(self.directory, 15)

    def last_status(self):
        return Status.from_text((self.directory / "status.json").read_text())

    def of(self, name):
        return next(one for one in self.last_status().components if one.name == name)

    def told(self, component, name, timeout=10.0):
        """Wait until the component has told this, and return the text."""
        path = self.directory / component / name
        wait_until(path.exists, f"{component} told {name}", timeout)
        return path.read_text()

    def log(self):
        return (self.directory / "supervisor.log").read_text()

    def alive(self):
        return processes.marked(OWNER_VARIABLE, self.owner)

    def guardian(self):
        found = linux.process(self.last_status().pid)
        assert found is not None
        return found.parent

    def try_again(self, name, restarts):
        """Have a component that ends be tried each time at once, instead of after 1, 2, 4, 8, … seconds."""

        def tried():
            if self.of(name).state == "waiting":
                os.kill(self.last_status().pid, signal.SIGHUP)
            return self.of(name).restarts >= restarts

        wait_until(tried, f"{name} was tried {restarts} times more")

    def wait_until(self, condition, what, timeout=10.0):
        return wait_until(condition, what, timeout)

    def clean_up(self):
        with contextlib.suppress(errors.PlatformError):
            supervisor_client.stop(self.directory, 1)
        for one in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
        wait_until(lambda: not self.alive(), "everything that this test started has ended")


@pytest.fixture
def run(memory_path):
    found = Run(memory_path)
    yield found
    found.clean_up()


@pytest.fixture
def stubborn():
    return STUBBORN
