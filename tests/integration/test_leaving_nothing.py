"""Nothing of a test run is left, however it ends; and nobody's running test run is touched."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_platform.testing import leftovers
from airflow_platform.tools import cache
from airflow_platform.tools.containers import labelled_objects

ROOT = Path(__file__).parents[2]
EXAMPLE = "tests/dags/integration"


def of(client, session):
    return [str(each) for each in labelled_objects.found(client, leftovers.SESSION, session)]


def sessions(client):
    return {each.value for each in labelled_objects.found(client, leftovers.SESSION)}


def mounted(client, session):
    """Volumes that containers of a session use, also those without a label."""
    listed = client.api.containers(all=True, filters={"label": f"{leftovers.SESSION}={session}"})
    return {mount["Name"] for each in listed for mount in each["Mounts"] if mount["Type"] == "volume"}


def directories(place):
    """What the runs of one cache have on disk."""
    return {each.name for each in (place / cache.TESTS).iterdir()}


class Child:
    """A pytest of its own, on the example beside the DAGs."""

    def __init__(self, log, place, before, client):
        self._log, self._before, self._client = log, before, client
        environment = {**os.environ, "AIRFLOW_PLATFORM_CACHE": str(place)}
        # fmt: off
        words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--log-cli-level=INFO", EXAMPLE]
        # fmt: on
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                words, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def printed(self):
        return self._log.read_text(errors="replace")

    def session(self):
        """Its session, as soon as there is one."""
        return self._wait(lambda: next(iter(sessions(self._client) - self._before), None))

    def wait_for_containers(self, session, count):
        self._wait(lambda: len([each for each in of(self._client, session) if "container" in each]) >= count)

    def _wait(self, look, seconds=240):
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, self.printed
            assert self.process.poll() is None, self.printed
            time.sleep(0.1)
        return found

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)


@pytest.fixture
def child(tmp_path, client):
    made = []

    def start(name):
        made.append(Child(tmp_path / name, tmp_path / "cache", sessions(client), client))
        return made[-1]

    yield start
    for each in made:
        each.end()


@pytest.mark.timeout(900)  # Two Airflows come up, one after the other.
def test_a_killed_run_is_swept_by_the_next_one_which_leaves_nothing_itself(airflow, child, client, tmp_path):
    killed = child("killed")
    dead = killed.session()
    killed.wait_for_containers(dead, 3)  # Its lifeline, and what starts first: the middle of coming up.
    volumes = mounted(client, dead)
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait(timeout=10)
    left = of(client, dead)
    assert any("network" in each for each in left)
    assert any("volume" in each for each in left)
    assert any("metadata-database" in each for each in left)
    (file,) = directories(tmp_path / "cache")

    following = child("next")
    session = following.session()
    assert of(client, dead) == [], "it sweeps before it begins"
    following.wait_for_containers(session, 6)
    assert file not in directories(tmp_path / "cache")
    volumes |= mounted(client, session)
    assert len(volumes) >= 3 + 2  # Three have names; the lifelines have one each that the image asks for.
    assert following.process.wait(timeout=300) == 0, following.printed
    assert "2 passed" in following.printed
    assert "removing what killed test runs left" in following.printed
    assert of(client, session) == []
    assert volumes & {each["Name"] for each in client.api.volumes()["Volumes"]} == set()

    # Ours ran beside both all the time.
    assert airflow.run("platform_smoke").state == "success"
    assert airflow.session in sessions(client)


def test_an_interrupted_run_leaves_nothing(child, client):
    interrupted = child("interrupted")
    session = interrupted.session()
    interrupted.wait_for_containers(session, 2)
    interrupted.process.send_signal(signal.SIGINT)
    assert interrupted.process.wait(timeout=60) == 2, interrupted.printed
    assert of(client, session) == []
    assert "KeyboardInterrupt" in interrupted.printed


def test_a_session_that_lives_is_not_swept(client):
    with leftovers.session(client, image(client)) as session:
        client.api.create_network(session, labels={leftovers.SESSION: session})
        assert not any(session in each for each in leftovers.sweep(client))
        assert f"network {session}" in of(client, session)
    assert of(client, session) == []


def image(client):
    """Of whatever has `cat`; also where the images are not built under a name that we know."""
    from airflow_platform.config import built_images

    recorded = built_images.read()
    assert recorded is not None
    return recorded.images["metadata-database"].id


def test_an_error_on_the_way_up_is_told_and_leaves_nothing(client, tmp_path, monkeypatch):
    from airflow_platform.testing import integration

    begun, session = [], leftovers.session

    @contextlib.contextmanager
    def noted(*words):
        with session(*words) as name:
            begun.append(name)
            yield name

    monkeypatch.setattr(leftovers, "session", noted)
    with (
        pytest.raises(Exception, match="is not a directory"),
        integration.running_airflow(tmp_path / "nothing"),
    ):
        pass
    (name,) = begun
    assert of(client, name) == []
