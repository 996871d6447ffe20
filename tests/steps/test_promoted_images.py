"""Promotions: what is asked of either registry, what is the same, what is a conflict, what is copied."""

from __future__ import annotations

import hashlib

import pytest

from airflow_platform import errors
from airflow_platform.config import registry_record
from airflow_platform.images import promoted_images
from airflow_platform.testing import runs, specs
from airflow_platform.tools.registry import distribution
from tests.steps import calling, registry_double
from tests.steps.registry_double import image_id, manifest

NAMES = ("airflow-base", "worker")
CONTENT = {name: manifest(image_id(name), 300_000, 200_000) for name in NAMES}
WANTED = {name: registry_record.RecordedImage(f"1-{name}", CONTENT[name].digest) for name in NAMES}


@pytest.fixture
def source():
    made = registry_double.RegistryDouble(repositories={})
    for name in NAMES:
        made.have(name, f"1-{name}", CONTENT[name])
    return made


@pytest.fixture
def target():
    return registry_double.RegistryDouble("222222222222", repositories=dict.fromkeys(NAMES, "IMMUTABLE"))


def survey_of(source, target, wanted=WANTED):
    return promoted_images.RegistriesForPromotion(source, target, names=("stage", "prod"), wanted=wanted)


@pytest.fixture
def called(tmp_path):
    return calling.Calls(artifacts=tmp_path)


def steps_of(source, target):
    return [
        promoted_images.PromotedImage("airflow-base", source, target),
        promoted_images.PromotedImage("worker", source, target, after=("airflow-base",)),
    ]


def test_what_is_missing_is_copied_with_three_requests(source, target, called):
    survey = survey_of(source, target)
    assert called.faults(survey) == []
    assert "2 of 2 images of 111111111111" in called.run(survey).text
    _, worker = steps_of(source, target)
    planned = called.plan(worker)
    digest = CONTENT["worker"].digest
    assert planned.summary == (f"copy {source.address}/worker@{digest} to {target.address} as 1-worker")
    assert planned.artifacts == {"worker.manifest.json": digest.removeprefix("sha256:")}
    ran = called.run(worker)
    assert ran.outputs == {
        "tag": "1-worker", "digest": digest, "requests": 3, "layers_moved": 0, "bytes_moved": 0,
    }  # fmt: skip
    assert target.images["worker", "1-worker"].content == CONTENT["worker"].content
    assert target.taken_over == [("worker", "1-worker", ("airflow-base",))]
    assert source.asked == [(name, CONTENT[name].digest) for name in NAMES]


def test_layers_that_moved_are_counted(source, target, called):
    target.lacks_layers = True
    survey = survey_of(source, target)
    called.faults(survey)
    called.run(survey)
    base, _ = steps_of(source, target)
    ran = called.run(base)
    assert (ran.outputs["layers_moved"], ran.outputs["bytes_moved"]) == (1, 1_000)
    assert called.news == ["layer 1 of 1: 0.1 MB"]


def test_what_is_there_is_asked_for_once_and_nothing_is_written(source, target, called, tmp_path):
    for name in NAMES:
        target.have(name, f"1-{name}", CONTENT[name])
    survey = survey_of(source, target)
    assert called.faults(survey) == []
    called.run(survey)
    for step in steps_of(source, target):
        ran = called.run(step)
        assert (ran.changed, ran.outputs["requests"]) == (False, 1)
    assert source.asked == []
    assert list(tmp_path.iterdir()) == []


def test_the_same_image_with_layers_compressed_otherwise_is_the_same(source, target, called):
    other = distribution.Manifest(CONTENT["worker"].content + b"\n", CONTENT["worker"].media_type)
    target.have("worker", "1-worker", other)
    survey = survey_of(source, target)
    assert called.faults(survey) == []
    called.run(survey)
    assert called.run(steps_of(source, target)[1]).outputs["digest"] == other.digest


def test_another_image_under_the_tag_is_a_fault_with_both_digests(source, target, called):
    other = manifest(image_id("other"), 5)
    target.have("worker", "1-worker", other)
    (fault,) = called.faults(survey_of(source, target))
    assert fault.thing == f"{target.address}/worker:1-worker"
    for digest in (other.digest, CONTENT["worker"].digest, image_id("other"), image_id("worker")):
        assert digest in fault.cause


def test_all_faults_are_found_at_once(source, target, called):
    del target._repositories["airflow-base"]
    wanted = {**WANTED, "worker": registry_record.RecordedImage("2", "")}
    missing, absent = called.faults(survey_of(source, target, wanted))
    assert missing.thing == "repository p/airflow-base"
    assert absent.thing == f"{source.address}/worker:2"
    assert absent.remedy == "Push it first: `inv push --env=stage`."


def test_an_image_without_a_known_digest_is_what_the_source_has_under_its_tag(source, target, called):
    wanted = {name: registry_record.RecordedImage(f"1-{name}", "") for name in NAMES}
    target.have("worker", "1-worker", CONTENT["worker"])
    survey = survey_of(source, target, wanted)
    assert called.faults(survey) == []
    images = called.run(survey).outputs["images"]
    assert {name: (each["digest"], each["there"]) for name, each in images.items()} == {
        "airflow-base": (CONTENT["airflow-base"].digest, False),
        "worker": (CONTENT["worker"].digest, True),
    }


def test_environments_that_share_a_registry_say_so(source, called):
    source._repositories = dict.fromkeys(NAMES, "IMMUTABLE")
    survey = survey_of(source, source)
    assert called.faults(survey) == []
    assert called.run(survey).text == f"stage and prod share {source.address}: 2 images are there"
    ran = called.run(steps_of(source, source)[0])
    assert (ran.changed, ran.outputs["requests"]) == (False, 1)


def test_either_login_is_made_before_anything_is_asked(source, target, called):
    source.login.raised = errors.RefusedError("no")
    with pytest.raises(errors.RefusedError):
        called.faults(survey_of(source, target))
    assert target.asked == []


def test_on_the_engine_the_manifest_that_was_planned_is_the_one_that_is_written(source, target):
    survey, base, worker = survey_of(source, target), *steps_of(source, target)
    steps = [survey, base.after(survey.name), worker.after(survey.name, base.name)]
    environment = specs.environment("prod")
    planned = runs.run_steps(*steps, environment=environment, tenants=(), planning=True)
    assert (planned.exit_code, target.taken_over) == (3, [])
    done = runs.run_steps(*steps, environment=environment, tenants=())
    assert done.exit_code == 0, done.faults
    written = target.images["worker", "1-worker"]
    assert f"sha256:{hashlib.sha256(written.content).hexdigest()}" == CONTENT["worker"].digest
