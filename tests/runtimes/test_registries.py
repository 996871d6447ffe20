"""Which registry an environment has, and which steps bring images there."""

from __future__ import annotations

import pytest

from airflow_platform import errors
from airflow_platform.config import built_images, components, image_recipes, paths, registry_record
from airflow_platform.images import registries
from airflow_platform.programs import programs
from airflow_platform.testing import specs

EKS = {"account": "111111111111", "region": "eu-central-1", "cluster": "c"}
AIRFLOW = ("airflow-base", "api-server", "scheduler", "dag-processor", "triggerer", "worker")


@pytest.fixture(autouse=True)
def records(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_PLATFORM_PROJECT", str(tmp_path))
    paths.project().pushed_images.mkdir(parents=True)


def eks(name="stage", **registry):
    settings = {"registry": registry} if registry else {}
    return specs.environment(name, runtime="eks", eks=EKS, **settings)


def record(*names):
    images = {
        name: built_images.BuiltImage(name, f"airflow-platform/{name}:1-{name}", "sha256:1", "amd64", 1)
        for name in names
    }
    paths.project().built_images.write_text(built_images.Built(images, "c", "3.3.2", "r", ("r",)).to_json())


def test_an_eks_environment_has_the_ecr_of_its_account():
    address = registries.address(eks())
    assert str(address) == "111111111111.dkr.ecr.eu-central-1.amazonaws.com/airflow-platform"
    assert (address.account, address.region, address.profile) == ("111111111111", "eu-central-1", None)


def test_a_registry_can_be_elsewhere():
    address = registries.address(
        eks(account="222222222222", region="us-east-1", prefix="team/airflow", profile="shared")
    )
    assert str(address) == "222222222222.dkr.ecr.us-east-1.amazonaws.com/team/airflow"
    assert address.profile == "shared"
    assert address.repository("worker") == "team/airflow/worker"
    assert str(registries.address(eks(host="127.0.0.1:5000"))) == "127.0.0.1:5000/airflow-platform"


@pytest.mark.parametrize("runtime", ["process", "docker"])
def test_an_environment_of_this_machine_has_none_unless_it_says_so(runtime):
    with pytest.raises(errors.UsageError, match=f"sandbox has no registry: runtime {runtime} runs"):
        registries.address(specs.environment(runtime=runtime))
    with pytest.raises(errors.UsageError):
        registries.address(specs.environment(runtime=runtime, registry={"region": "eu-central-1"}))
    complete = {"account": "111111111111", "region": "eu-central-1"}
    assert registries.address(specs.environment(runtime=runtime, registry=complete)).account == "111111111111"


@pytest.mark.parametrize(
    "registry",
    [
        {"account": "1"},
        {"region": "europe"},
        {"prefix": "Airflow"},
        {"prefix": "/airflow"},
        {"host": "http://registry.example.com"},
        {"host": "registry/x"},
        {"images": ()},
        {"images": ("worker", "worker")},
        {"images": ("Worker",)},
        {"profile": ""},
    ],
)
def test_settings_that_mean_nothing_are_refused(registry):
    with pytest.raises(ValueError, match="registry"):
        eks(**registry)


def test_airflows_images_are_pushed_and_what_stands_in_locally_is_not():
    assert registries.images(eks()) == AIRFLOW
    assert set(AIRFLOW) == {components.BASE_IMAGE, *components.IMAGES}
    assert set(AIRFLOW) < set(image_recipes.published())
    assert (
        registries.images(
            eks(
                images=(
                    "broker",
                    "worker",
                    "airflow-base",
                )
            )
        )[0]
        == "airflow-base"
    )


def steps_of(spec):
    with registries.push_steps(spec, programs.Programs()) as steps:
        return {each.name: tuple(each.requires) for each in steps}


def test_a_push_has_a_step_for_each_image_that_was_built_the_base_first():
    record("airflow-base", "worker", "broker", "fakesnow")
    steps = steps_of(
        eks(
            images=(
                "worker",
                "airflow-base",
                "broker",
            )
        )
    )
    assert steps == {
        "registry": (),
        "push-airflow-base": ("registry",),
        "push-worker": ("registry", "push-airflow-base"),
        "push-broker": ("registry",),
        "record": ("push-airflow-base", "push-worker", "push-broker"),
    }


def test_without_a_record_there_is_still_somebody_to_say_so():
    assert "registry" in steps_of(eks())


def test_a_component_that_goes_without_its_base_waits_for_nobody():
    record("worker")
    assert steps_of(eks(images=("worker",)))["push-worker"] == ("registry",)


def test_a_promotion_has_a_step_for_each_image():
    wanted = {
        "worker": registry_record.RecordedImage("1", ""),
        "airflow-base": registry_record.RecordedImage("1", ""),
    }
    runner = programs.Programs()
    with registries.promotion_steps(eks(), eks("prod", prefix="prod"), wanted, runner) as steps:
        found = {each.name: tuple(each.requires) for each in steps}
    assert found == {
        "registries": (),
        "promote-airflow-base": ("registries",),
        "promote-worker": ("registries", "promote-airflow-base"),
        "record": ("promote-airflow-base", "promote-worker"),
    }


@pytest.mark.parametrize(("profile", "accepted"), [({}, True), ({"profile": "stage"}, False)])
def test_the_target_may_read_the_source_unless_that_has_credentials_of_its_own(profile, accepted):
    source, target = eks(**{"prefix": "p", **profile}), eks("prod", account="222222222222")
    with registries.promotion_steps(source, target, {}, programs.Programs()) as (survey, *_):
        assert ("222222222222" in survey._source.login._accepted) is accepted
        assert survey._target.login._accepted == {"222222222222"}


def test_environments_with_one_registry_have_one_connection():
    with registries.promotion_steps(eks(), eks("prod"), {}, programs.Programs()) as (survey, *_):
        assert survey._source is survey._target


def test_what_is_known_of_a_source_is_what_was_pushed_there_else_what_was_built():
    assert registries.known_in(eks()) == {}
    record("worker")
    assert registries.known_in(eks()) == {"worker": registry_record.RecordedImage("1-worker", "")}
    images = {"worker": registry_record.RecordedImage("0-worker", "sha256:a")}
    there = str(registries.address(eks()))
    registry_record.path("stage").write_text(registry_record.Pushed(there, images).to_json())
    assert registries.known_in(eks()) == images
    assert registries.known_in(eks(prefix="moved")) == {
        "worker": registry_record.RecordedImage("1-worker", "")
    }
