"""`inv build` itself, on the images of this checkout."""

from __future__ import annotations

import json

from airflow_platform.config import built_images, paths
from airflow_platform.tools import sqlite_metadata
from tests.images import conftest


def report(done):
    return json.loads(done.stdout)


def statuses(done):
    return {each["name"]: each["status"] for each in report(done)["steps"]}


def test_a_second_build_changes_nothing(images):
    done = conftest.inv("build", "--json")
    assert done.returncode == 0, done.stderr
    assert set(statuses(done).values()) == {"unchanged"}
    assert report(done)["environment"] is None


def test_a_lost_record_is_found_again_without_building(images):
    before = paths.project().built_images.read_text()
    paths.project().built_images.unlink()
    done = conftest.inv("build", "--json")
    changed = [name for name, status in statuses(done).items() if status == "changed"]
    assert changed == ["record"]
    assert built_images.read() == images
    assert paths.project().built_images.read_text() == before


def test_the_record_is_what_the_engine_has(images, client):
    for each in images.images.values():
        found = client.images.get(each.reference)
        assert (found.id, found.attrs["Architecture"], found.attrs["Size"]) == (
            each.id,
            each.architecture,
            each.size,
        )


def test_the_record_knows_airflow_s_revisions(images):
    assert images.revision in images.known_revisions
    assert len(images.known_revisions) > 20
    assert images.airflow == "3.3.2"
    assert sqlite_metadata._REVISION.search(f'revision = "{images.revision}"')


def test_without_an_engine_nothing_is_changed(tmp_path):
    done = conftest.inv("build", "--json", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 4
    (fault,) = report(done)["faults"]
    assert fault["cause"] == f"None answers at unix://{tmp_path}/none.sock."
    assert "Start Docker Desktop" in fault["remedy"]
    assert "Traceback" not in done.stderr
