"""`inv build` from the command line to the answer, on steps that play what they were told."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from airflow_platform import errors
from airflow_platform.config import built_images
from airflow_platform.images import build_steps
from airflow_platform.tasks import build as task
from airflow_platform.tasks.command_line import CommandLine
from airflow_platform.testing.steps import Script, ScriptedStep, World

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text())
RECORD = built_images.Built(
    {"broker": built_images.BuiltImage("broker", "airflow-platform/broker:7-ab", "sha256:aa", "amd64", 1)},
    "c0ffee", "3.3.2", "d2f4", ("d2f4",),
)  # fmt: skip


class Played:
    """Steps of a build that were told what to do."""

    def __init__(self) -> None:
        self.world = World()
        self.script = Script()
        self.pulled: list[bool] = []

    def steps(self, *, pull=False):
        self.pulled.append(pull)
        return (ScriptedStep("broker", self.world, self.script),)


@pytest.fixture
def played(monkeypatch):
    made = Played()
    monkeypatch.setattr(build_steps.Images, "build_steps", lambda self, pull=False: made.steps(pull=pull))
    monkeypatch.setattr(built_images, "read", lambda: RECORD)
    return made


def build(*, pull=False, lock_timeout="60", **said):
    return task.build(CommandLine("build", lock_timeout=lock_timeout, **said), pull=pull)


def test_what_was_built_is_in_the_answer(played, capsys):
    assert build(json=True) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert (document["task"], document["environment"], document["status"]) == ("build", None, "built")
    assert document["data"]["images"]["broker"]["id"] == "sha256:aa"
    assert [each["status"] for each in document["steps"]] == ["changed"]


def test_the_next_commands_are_about_environments_that_there_are(played, capsys, environments):
    build()
    said = capsys.readouterr().err
    assert "scripts/inv tenant-up --env=boxes" in said
    assert "scripts/inv push --env=cloud" in said
    build()
    assert "Next:" not in capsys.readouterr().err, "nothing has changed"


def test_where_images_could_go_to_several_registries_none_is_named(played, capsys, environments):
    (environments / "other.toml").write_text((environments / "cloud.toml").read_text())
    build()
    assert "push" not in capsys.readouterr().err


def test_nothing_is_told_that_could_not_be_done(played, capsys, environments):
    for path in environments.iterdir():
        path.unlink()
    (environments / "boxes.toml").write_text("a slip of the pen")
    assert build() == 0
    assert "Next:" not in capsys.readouterr().err


def test_with_plan_nothing_is_built(played, capsys):
    assert build(plan=True, json=True) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["data"], played.world) == (None, {})


def test_a_build_that_stops_before_it_begins_exits_4(played, capsys):
    played.script = Script(faults=[errors.Fault("Docker engine", "None answers.", "Start it.")])
    assert build(json=True) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["faults"] == [{"thing": "Docker engine", "cause": "None answers.", "remedy": "Start it."}]
    assert document["data"] is None


def test_pull_fetches_the_base_again(played):
    build(pull=True)
    build()
    assert played.pulled == [True, False]


def test_a_timeout_that_is_none_is_refused(played):
    with pytest.raises(errors.UsageError, match="--lock-timeout=soon"):
        build(lock_timeout="soon")


def test_the_state_of_builds_is_that_of_no_environment():
    from airflow_platform.config import specs
    from airflow_platform.programs import programs

    store = build_steps.Images().store(programs.Programs(), lock_timeout=1, on_note=print)
    assert not specs.is_name(store._directory.name)
