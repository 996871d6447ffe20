"""The record of an environment's registry, read."""

from __future__ import annotations

import pytest

from airflow_platform import errors
from airflow_platform.config import paths, pushed


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_PLATFORM_PROJECT", str(tmp_path))
    made = paths.project().pushed_images
    made.mkdir(parents=True)
    return made


def test_what_is_written_is_read_back(folder):
    record = pushed.Pushed("r.example.com/p", {"worker": pushed.Image("1", "sha256:a")})
    pushed.path("stage").write_text(record.to_json())
    assert pushed.read("stage") == record


def test_none_and_one_of_another_schema_are_nothing(folder):
    assert pushed.read("stage") is None
    pushed.path("stage").write_text('{"schema": 99, "anything": []}')
    assert pushed.read("stage") is None


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"schema": 1}', '{"schema": 1, "registry": "r", "images": {"a": {"tag": "1"}}}']
)
def test_what_is_no_record_says_how_to_go_on(text):
    pushed.path("stage").write_text(text)
    with pytest.raises(errors.StateError, match="is not what `inv push` writes") as caught:
        pushed.read("stage")
    assert "inv push --env=stage" in caught.value.hint


def test_one_that_cannot_be_read_is_named(folder):
    pushed.path("stage").mkdir()
    with pytest.raises(errors.StateError, match=r"stage\.json"):
        pushed.read("stage")
