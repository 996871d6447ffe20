"""The record of an environment's registry, read."""

from __future__ import annotations

import pytest

from airflow_platform import errors
from airflow_platform.config import paths, registry_record


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_PLATFORM_PROJECT", str(tmp_path))
    made = paths.project().pushed_images
    made.mkdir(parents=True)
    return made


def test_what_is_written_is_read_back(folder):
    record = registry_record.Pushed(
        "r.example.com/p", {"worker": registry_record.RecordedImage("1", "sha256:a")}
    )
    registry_record.path("stage").write_text(record.to_json())
    assert registry_record.read("stage") == record


def test_none_and_one_of_another_schema_are_nothing(folder):
    assert registry_record.read("stage") is None
    registry_record.path("stage").write_text('{"schema": 99, "anything": []}')
    assert registry_record.read("stage") is None


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"schema": 1}', '{"schema": 1, "registry": "r", "images": {"a": {"tag": "1"}}}']
)
def test_what_is_no_record_says_how_to_go_on(text):
    registry_record.path("stage").write_text(text)
    with pytest.raises(errors.StateError, match="is not what `inv push` writes") as caught:
        registry_record.read("stage")
    assert "inv push --env=stage" in caught.value.hint


def test_one_that_cannot_be_read_is_named(folder):
    registry_record.path("stage").mkdir()
    with pytest.raises(errors.StateError, match=r"stage\.json"):
        registry_record.read("stage")
