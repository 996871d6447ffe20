"""One small image on the real engine: built, found, cut short, refused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

import docker.errors
import pytest

from airflow_platform.tools.containers import archives, image_cache
from tests.images import conftest, engine_proxy, small_build

DOCKERFILE = "ARG BASE\nFROM ${BASE}\nCOPY text /text\nRUN echo working && sleep 0.1\n"
SLOW_DOCKERFILE = "ARG BASE\nFROM ${BASE}\nCOPY text /text\nRUN echo working && sleep 30\n"
SLOW_INSTALL = "#!/bin/sh\necho working\nsleep 30\n"

MARK = "airflow-platform.test-mark"
"""With the name of the small image: the label of what it is made from, and so of all that comes of it."""


@pytest.fixture
def parent(parent, client, name):
    """The same image, marked: what is left of it is found whatever the toolkit does with its own labels."""
    reference = f"airflow-platform/{name}-parent:1"
    labels = f"{MARK}={name} {conftest.LABEL}={conftest.LABELS[conftest.LABEL]}"
    dockerfile = f"FROM {parent['id']}\nLABEL {labels}\n".encode()
    with archives.packed({"Dockerfile": dockerfile}) as context:
        list(client.api.build(fileobj=context, custom_context=True, rm=True, tag=reference))
    yield {**parent, "id": client.images.get(reference).id}
    conftest.remove_images(client, f"{MARK}={name}")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    made.mkdir()
    (made / "Dockerfile").write_text(DOCKERFILE)
    (made / "text").write_text("first")
    return made


@pytest.fixture
def run(name, folder, parent):
    def run(**options):
        return small_build.run(small_build.recipe(name, folder), parent, **options)

    return run


def outcome(report):
    """How the image's step ended, and why."""
    found = report.steps[-1]
    return found.status.value, found.reason


def references(client, name):
    found = client.images.list(filters={"reference": f"airflow-platform/{name}"})
    return {tag: each.id for each in found for tag in each.tags}


def left(client, name):
    """Containers with their networks, and unnamed images, of a build that was cut short."""
    label, mark = {"label": f"{image_cache.DRAFT}={name}"}, {"label": f"{MARK}={name}"}
    images = client.api.images(filters={**mark, "dangling": True})
    return [*client.api.containers(all=True, filters=mark), *client.api.networks(filters=label)], images


def test_it_is_built_once_and_again_when_something_changed(run, name, folder, client):
    assert outcome(run())[0] == "changed"
    assert outcome(run())[0] == "unchanged"
    (folder / "text").write_text("second")
    assert outcome(run())[0] == "changed"
    assert len(references(client, name)) == 2
    assert left(client, name) == ([], [])


@pytest.mark.parametrize("how", ["Dockerfile", "install.sh"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_is_cut_short_leaves_no_name_and_the_next_one_is_whole(
    name, folder, parent, client, how, number
):
    slow = SLOW_DOCKERFILE if how == "Dockerfile" else SLOW_INSTALL
    if how == "install.sh":
        installing(folder, slow)
    else:
        (folder / how).write_text(slow)
    child = started(name, folder, parent)
    conftest.wait_until(lambda: working(client, how, name), "the build began")
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode == (-9 if number == signal.SIGKILL else 130)
    assert references(client, name) == {}
    (folder / how).write_text(slow.replace("sleep 30", "sleep 0"))
    (folder / "text").write_text("second")
    report = small_build.run(small_build.recipe(name, folder), parent)
    assert (report.exit_code, outcome(report)[0]) == (0, "changed"), report.faults
    assert left(client, name) == ([], [])
    assert len(references(client, name)) == 1


@pytest.mark.parametrize("how", ["Dockerfile", "install.sh"])
def test_a_build_that_is_killed_when_all_is_done_leaves_nothing_without_a_name(
    name, folder, parent, client, how
):
    if how == "install.sh":
        installing(folder, "#!/bin/sh\n")
    child = started(name, folder, parent, "dies")
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    (folder / how).write_text(f"{(folder / how).read_text()}# Another one.\n")
    (folder / "text").write_text("second")
    assert outcome(small_build.run(small_build.recipe(name, folder), parent))[0] == "changed"
    assert left(client, name) == ([], [])


def installing(folder, script):
    """Have an image made by a script in a container instead of by a Dockerfile."""
    (folder / "Dockerfile").unlink()
    (folder / "install.sh").write_text(script)
    (folder / "install.sh").chmod(0o755)


def started(name, folder, parent, *words):
    """The steps in a program of their own."""
    given = [name, str(folder), json.dumps(parent), str(folder.parent / "state"), *words]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.images.small_build", *given],
        cwd=conftest.CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(conftest.CHECKOUT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def working(client, how, name):
    """Whether the slow program runs."""
    found = client.api.containers(filters={"label": f"{MARK}={name}"})
    if how == "install.sh":
        ids = [each["Id"] for each in found]
        with contextlib.suppress(docker.errors.APIError):  # It may not be running yet.
            return ids and any("sleep 30" in " ".join(row) for row in client.api.top(ids[0])["Processes"])
        return False
    return any("sleep 30" in each["Command"] for each in found)


def test_an_engine_that_goes_away_in_the_middle_is_told(name, folder, parent, client, tmp_path):
    (folder / "Dockerfile").write_text(SLOW_DOCKERFILE)
    with engine_proxy.Proxy(tmp_path / "docker.sock", cut_after=b"working") as proxy:
        report = small_build.run(small_build.recipe(name, folder), parent, host=proxy.host)
        assert report.exit_code == 1
        (fault,) = report.faults
        assert "went away" in fault.cause
        assert "Start it again" in fault.remedy
        assert references(client, name) == {}
    (folder / "Dockerfile").write_text(DOCKERFILE)
    assert outcome(small_build.run(small_build.recipe(name, folder), parent))[0] == "changed"
    assert left(client, name) == ([], [])


def test_an_engine_whose_disk_is_full_is_told(name, folder, parent, client, tmp_path):
    said = b'{"errorDetail":{"message":"write /x: no space left on device"},"error":"write /x: no space left on device"}\r\n'
    with engine_proxy.Proxy(tmp_path / "docker.sock", instead={r"POST /v[\d.]+/build\b": said}) as proxy:
        report = small_build.run(small_build.recipe(name, folder), parent, host=proxy.host)
    (fault,) = report.faults
    assert "no space left on device" in fault.cause
    assert "docker system df" in fault.remedy
    assert references(client, name) == {}


def test_a_disk_that_fills_up_while_packages_are_installed_is_told(name, folder, parent, client):
    installing(folder, "#!/bin/sh\ndd if=/dev/zero of=/srv/x bs=1M count=8\n")
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    volume = client.volumes.create(name, driver_opts=options, labels=conftest.LABELS)
    try:
        recipe = small_build.recipe(name, folder, python=True)
        report = small_build.run(recipe, parent, downloads=volume.name)
    finally:
        conftest.wait_until(lambda: left(client, name)[0] == [], "the container is gone")
        volume.remove()
    (fault,) = report.faults
    assert "No space left on device" in fault.cause
    assert "docker system df" in fault.remedy
    assert references(client, name) == {}
    assert left(client, name) == ([], [])


def test_a_step_of_a_dockerfile_that_fails_is_named(name, folder, parent, client):
    (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nRUN echo why >&2; exit 3\n")
    report = small_build.run(small_build.recipe(name, folder), parent)
    assert report.exit_code == 1
    assert "Step 3/" in report.faults[0].cause
    assert "returned a non-zero code: 3" in report.faults[0].cause
    assert references(client, name) == {}
    (folder / "Dockerfile").write_text(DOCKERFILE)
    assert outcome(small_build.run(small_build.recipe(name, folder), parent))[0] == "changed"
    assert left(client, name) == ([], []), "what the first one left is gone"


def test_an_installation_that_fails_shows_its_last_lines(name, folder, parent, client):
    installing(folder, "#!/bin/sh\necho no such package >&2\nexit 3\n")
    report = small_build.run(small_build.recipe(name, folder), parent)
    assert "install.sh exited 3; its last lines:\n    no such package" in report.faults[0].cause
    conftest.wait_until(lambda: left(client, name) == ([], []), "nothing is left")


@pytest.mark.parametrize("how", ["Dockerfile", "install.sh"])
def test_of_two_builds_of_the_same_at_once_one_makes_it_and_the_other_finds_it(
    name, folder, parent, client, how
):
    if how == "install.sh":
        installing(folder, "#!/bin/sh\nsleep 1\n")
    children = [started(name, folder, parent) for _ in range(2)]
    ended = [(child.communicate(timeout=120)[0].strip(), child.returncode) for child in children]
    assert sorted(ended) == [("changed", 0), ("unchanged", 0)]
    assert len(references(client, name)) == 1
    conftest.wait_until(lambda: left(client, name) == ([], []), "nothing is left")
