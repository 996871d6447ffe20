"""The record of an environment's images."""

from __future__ import annotations

import json
import stat

import pytest

from airflow_platform.config import paths, registry_record
from airflow_platform.images import push_record
from airflow_platform.testing import specs
from tests.steps import calling


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_PLATFORM_PROJECT", str(tmp_path))
    return paths.project().pushed_images


OUTPUTS = {
    "push-worker": {"tag": "1", "digest": "sha256:a", "layers": 3},
    "push-broker": {"tag": "7", "digest": "sha256:b", "layers": 2},
}


def record(steps=("worker", "broker")):
    return push_record.ImageRecord(registry="r.example.com/p", steps={name: f"push-{name}" for name in steps})


def calls(outputs=None):
    return calling.Calls(outputs or OUTPUTS, environment=specs.environment("stage"))


def test_digests_are_written_down_and_read_back(folder):
    step = record()
    first, _ = calls().twice(step)
    assert first.text == "write down 2 digests"
    assert first.outputs == {"path": str(folder / "stage.json")}
    images = {
        "worker": registry_record.RecordedImage("1", "sha256:a"),
        "broker": registry_record.RecordedImage("7", "sha256:b"),
    }
    assert registry_record.read("stage") == registry_record.Pushed("r.example.com/p", images)
    assert stat.S_IMODE((folder / "stage.json").stat().st_mode) == 0o644
    assert registry_record.read("prod") is None


def test_another_digest_is_written_down():
    calls().run(record())
    changed = {**OUTPUTS, "push-worker": {"tag": "2", "digest": "sha256:c"}}
    assert calls(changed).run(record()).changed
    assert registry_record.read("stage").images["worker"] == registry_record.RecordedImage("2", "sha256:c")


def test_an_image_that_is_no_longer_pushed_leaves_the_record():
    calls().run(record())
    assert calls().run(record(("worker",))).changed
    assert set(registry_record.read("stage").images) == {"worker"}
    assert json.loads(registry_record.path("stage").read_text())["schema"] == registry_record.SCHEMA
