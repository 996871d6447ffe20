"""The wiring of push and promote: what is asked for, what is promoted, what is told."""

from __future__ import annotations

import json

import pytest

from airflow_platform import errors
from airflow_platform.config import built_images, paths, registry_record
from airflow_platform.engine import run
from airflow_platform.engine.report import Outcome, Report, StepReport
from airflow_platform.tasks import push
from airflow_platform.tasks.command_line import CommandLine

TENANT = '[[tenants]]\nname = "a"\nsnowflake = { database = "D", warehouse = "W", role = "R" }\n'
EKS = 'runtime = "eks"\neks = {{ account = "{}", region = "eu-central-1", cluster = "c" }}\n'


@pytest.fixture
def clouds(environments, tmp_path, monkeypatch):
    """The environments stage and prod, in two accounts; nothing was built or pushed."""
    for name, account in {"stage": "111111111111", "live": "222222222222"}.items():
        (environments / f"{name}.toml").write_text(EKS.format(account) + TENANT)
    monkeypatch.setenv("AIRFLOW_PLATFORM_PROJECT", str(tmp_path))
    paths.project().pushed_images.mkdir(parents=True)


@pytest.fixture
def orders(clouds, monkeypatch):
    """What the engine was asked for; it answers that an image was pushed and one was there."""
    found = []

    def execute(order):
        found.append(order)
        sent = {"digest": f"sha256:{'a' * 64}", "layers": 5, "layers_sent": 2, "bytes_sent": 1_500_000}
        copied = {"digest": f"sha256:{'b' * 64}", "layers_moved": 0, "bytes_moved": 0, "requests": 3}
        return Report(
            order.task, order.environment.name, order.reached, 0,
            steps=(
                StepReport("registry", Outcome.UNCHANGED, outputs={"mutable": ["worker"]}),
                StepReport("push-worker", Outcome.CHANGED, seconds=2.0, outputs=sent),
                StepReport("promote-api-server", Outcome.CHANGED, seconds=0.1, outputs=copied),
                StepReport("push-broker", Outcome.UNCHANGED, outputs=sent),
            ),
        )  # fmt: skip

    monkeypatch.setattr(run, "execute", execute)
    return found


def test_a_push_is_a_run_of_the_environment_without_tenants(orders, capsys):
    assert push.push(CommandLine("push", "stage", lock_timeout="5")) == 0
    (order,) = orders
    assert (order.environment.name, tuple(order.tenants), order.planning) == ("stage", (), False)
    assert [each.name for each in order.steps] == ["registry", "record"]
    told = " ".join(capsys.readouterr().err.split())
    assert "worker: 2 of 5 layers sent, 1.5 MB, 2.0 s, sha256:aaaaaaaaaaaa" in told
    assert "api-server: 0 layers moved, 0 bytes, 3 requests, 0.1 s, sha256:bbbbbbbbbbbb" in told
    assert "broker:" not in told
    assert "Tags of worker could be overwritten" in told


def test_with_json_the_images_are_the_data(orders, capsys):
    push.push(CommandLine("push", "stage", json=True))
    document = json.loads(capsys.readouterr().out)
    assert set(document["data"]["images"]) == {"worker", "api-server", "broker"}
    assert document["data"]["images"]["api-server"]["requests"] == 3


def test_a_promotion_locks_the_target(orders):
    words = [f"{name}:1" for name in ("airflow-base", "worker")]
    assert push.promote(CommandLine("promote", "live", plan=True), "stage", words) == 0
    (order,) = orders
    assert (order.environment.name, order.planning, order.reached) == ("live", True, "promoted")
    assert [each.name for each in order.steps] == [
        "registries", "promote-airflow-base", "promote-worker", "record",
    ]  # fmt: skip


def wanted_by(orders):
    survey = orders[-1].steps[0]
    return dict(survey._wanted)


def test_what_is_promoted_is_what_the_record_says_unless_a_tag_is_named(orders):
    names = ("airflow-base", "api-server", "scheduler", "dag-processor", "triggerer", "worker")
    images = {name: registry_record.RecordedImage("1", f"sha256:{name}") for name in names}
    registry = "111111111111.dkr.ecr.eu-central-1.amazonaws.com/airflow-platform"
    registry_record.path("stage").write_text(registry_record.Pushed(registry, images).to_json())
    line = CommandLine("promote", "live")
    push.promote(line, "stage", ())
    assert wanted_by(orders) == images
    push.promote(line, "stage", ("worker", "scheduler:1", "triggerer:2"))
    assert wanted_by(orders) == {
        "worker": images["worker"],
        "scheduler": images["scheduler"],
        "triggerer": registry_record.RecordedImage("2", ""),
    }


@pytest.mark.parametrize(
    ("source", "target", "images", "says"),
    [
        ("stage", "stage", (), "--from and --to both say stage"),
        ("stage", "live", (), "Nothing is known here of the image airflow-base in stage"),
        ("stage", "live", ("broker:1",), "--image=broker is none of the images"),
        ("sandbox", "live", (), "sandbox has no registry"),
        ("stage", "boxes", (), "boxes has no registry"),
        ("stagee", "live", (), "no environment 'stagee'"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(orders, source, target, images, says):
    with pytest.raises(errors.UsageError, match=says):
        push.promote(CommandLine("promote", target), source, images)
    assert orders == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("push",), "push needs --env"),
        (("promote", "--to=live"), "promote needs --from."),
        (("promote",), "promote needs --from and --to"),
        (("push", "--env=sandbox"), "has no registry"),
        (("push", "--env=stage", "--lock-timeout=x"), "is no number of seconds"),
    ],
)
def test_the_command_line_says_what_is_wrong_with_it(command, clouds, words, says):
    code, _, told = command(*words)
    assert (code, says in " ".join(told.split())) == (2, True)


def test_without_aws_credentials_the_command_is_exit_6(command, clouds, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    images = {
        name: built_images.BuiltImage(name, f"airflow-platform/{name}:1", "sha256:1", "amd64", 1)
        for name in ("airflow-base", "api-server", "scheduler", "dag-processor", "triggerer", "worker")
    }
    paths.project().built_images.write_text(built_images.Built(images, "c", "3.3.2", "r", ("r",)).to_json())
    code, _, told = command("push", "--env=stage")
    assert (code, "no usable credentials" in " ".join(told.split())) == (6, True)
