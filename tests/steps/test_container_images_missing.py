"""What doctor says of images that are not there, and of a base that cannot be had."""

from __future__ import annotations

import pytest

from airflow_platform import errors
from airflow_platform.config import built_images
from airflow_platform.runtimes.docker import images
from airflow_platform.tools.containers import engine
from tests.steps import calling

NO_BASE = errors.Fault("base image debian:bookworm-slim", "No registry answers.", "Install mmdebstrap.")


@pytest.fixture
def step(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "fault", lambda host: None)
    monkeypatch.setattr(engine, "architecture", lambda host: "amd64")
    monkeypatch.setattr(engine, "images", lambda host, ids: frozenset(ids))
    return images.ContainerImages(
        host=None, record=tmp_path / "images.json", names=("broker",), building=lambda context: [NO_BASE]
    )


def test_where_images_are_missing_what_keeps_them_from_being_built_is_told_too(step):
    missing, base = calling.Calls().faults(step)
    assert "None were built yet" in missing.cause
    assert "`scripts/inv build`" in missing.remedy
    assert base == NO_BASE


def test_an_engine_that_the_environment_names_is_named_to_the_build_too(step):
    step._host = "unix:///run/second engine.sock"
    missing, _ = calling.Calls().faults(step)
    assert "`DOCKER_HOST='unix:///run/second engine.sock' scripts/inv build`" in missing.remedy


def test_where_they_are_there_nobody_asks_for_the_base(step, tmp_path):
    image = built_images.BuiltImage("broker", "airflow-platform/broker:7-ab", "sha256:aa", "amd64", 1)
    record = built_images.Built({"broker": image}, "c0ffee", "3.3.2", "d2f4", ("d2f4",))
    (tmp_path / "images.json").write_text(record.to_json())
    assert calling.Calls().faults(step) == []
