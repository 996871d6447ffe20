"""Pushes: what the survey finds, what each image's step does, what is tried again."""

from __future__ import annotations

import contextlib

import pytest

from airflow_platform import errors
from airflow_platform.config import built_images
from airflow_platform.engine.step import Scope
from airflow_platform.images import pushed_images
from airflow_platform.testing import runs, specs
from airflow_platform.tools.containers import engine, pushes
from airflow_platform.tools.registry import answers
from tests.steps import calling, registry_double
from tests.steps.registry_double import image_id, manifest

NAMES = ("airflow-base", "worker")


def image(name, content=None):
    return built_images.BuiltImage(
        name, f"airflow-platform/{name}:1-{name}", image_id(content or name), "amd64", 1_000
    )


IMAGES = {name: image(name) for name in NAMES}


@pytest.fixture
def registry():
    return registry_double.RegistryDouble(repositories=dict.fromkeys(NAMES, "IMMUTABLE"))


@pytest.fixture
def dock(monkeypatch, registry):
    """The engine, whose pushes end as each test says."""

    class Dock:
        def __init__(self):
            self.raised: list[Exception | None] = []
            self.wrong: dict[str, str] = {}
            self.tokens: list[str] = []
            self.states: list[str] = ["Pushed", "Layer already exists"]
            self.digest = ""
            self.opened = 0

        @contextlib.contextmanager
        def connect(self):
            self.opened += 1
            yield object()

        def push(self, client, pushed, *, repository, tag, credentials, on_progress):
            self.tokens.append(credentials.password.reveal())
            progress = pushes.Progress()
            on_progress(progress)
            for number, state in enumerate(self.states):
                progress.take({"id": f"l{number}", "status": state, "progressDetail": {}})
                on_progress(progress)
            if self.raised and (error := self.raised.pop(0)):
                raise error
            name = repository.rpartition("/")[2]
            content = manifest(pushed, 300_000, 200_000)
            registry.have(name, tag, content)
            progress.digest = self.digest or content.digest
            return progress

    made = Dock()
    monkeypatch.setattr(pushes, "push", made.push)
    monkeypatch.setattr(pushes, "missing", lambda client, images: made.wrong)
    return made


@pytest.fixture
def survey(registry, dock):
    return pushed_images.RegistryForPush(registry, wanted=NAMES, images=IMAGES, connect=dock.connect)


@pytest.fixture
def step(registry, dock):
    return pushed_images.PushedImage(IMAGES["worker"], registry, connect=dock.connect)


def calls(**digests):
    given = dict.fromkeys(NAMES, "") | digests
    return calling.Calls({"registry": {"digests": given}})


def test_a_registry_that_has_all_is_asked_once_an_image_and_the_engine_not_at_all(registry, survey, dock):
    for name in NAMES:
        registry.have(name, f"1-{name}", manifest(IMAGES[name].id, 1))
    called = calling.Calls()
    assert called.faults(survey) == []
    ran = called.run(survey)
    assert not ran.changed
    assert ran.text == "111111111111.dkr.ecr.eu-central-1.amazonaws.com/p has 2 of 2 images"
    assert ran.outputs["digests"]["worker"] == manifest(IMAGES["worker"].id, 1).digest
    assert (len(registry.asked), dock.opened) == (2, 0)


def test_all_faults_are_found_at_once(registry, survey, dock):
    del registry._repositories["worker"]
    other = manifest(image_id("other"), 1)
    registry.have("airflow-base", "1-airflow-base", other)
    dock.wrong = {"airflow-platform/worker:1-worker": "The engine has no such image any more"}
    missing, conflict, gone = calling.Calls().faults(survey)
    assert missing.thing == "repository p/worker"
    assert conflict.thing.endswith("/airflow-base:1-airflow-base")
    for digest in (other.digest, image_id("other"), IMAGES["airflow-base"].id):
        assert digest in conflict.cause
    assert gone.remedy == "Run `scripts/inv build`, which builds it again."


def test_an_engine_that_is_not_there_is_a_fault_only_where_it_is_needed(registry, survey, monkeypatch):
    fault = errors.Fault("Docker engine", "None.", "Start it.")

    def connect():
        raise engine.EngineMissing("None.", [fault])

    survey._connect = connect
    assert calling.Calls().faults(survey) == [fault]


def test_what_was_not_built_stops_before_anything_is_asked(registry, dock):
    survey = pushed_images.RegistryForPush(
        registry, wanted=(*NAMES, "broker"), images=IMAGES, connect=dock.connect
    )
    (fault,) = calling.Calls().faults(survey)
    assert (fault.thing, registry.asked) == ("images broker", [])


def test_tags_that_can_be_moved_are_told(registry, survey):
    registry._repositories["worker"] = "MUTABLE"
    called = calling.Calls()
    called.faults(survey)
    ran = called.run(survey)
    assert ran.outputs["mutable"] == ["worker"]
    assert "tags of worker could be overwritten" in ran.text


def test_an_image_that_the_survey_found_is_not_asked_for_again(registry, step, dock):
    ran = calls(worker="sha256:d").run(step)
    assert (ran.changed, ran.outputs["digest"], registry.asked, dock.opened) == (False, "sha256:d", [], 0)


def test_an_image_that_somebody_has_pushed_since_is_not_pushed_again(registry, step, dock):
    registry.have("worker", "1-worker", manifest(IMAGES["worker"].id, 1))
    assert not calls().run(step).changed
    assert dock.opened == 0


def test_what_is_missing_is_pushed_and_verified(registry, step):
    first = calls()
    ran = first.run(step)
    assert ran.text == "push 111111111111.dkr.ecr.eu-central-1.amazonaws.com/p/worker:1-worker"
    assert ran.outputs == {
        "tag": "1-worker",
        "digest": manifest(IMAGES["worker"].id, 300_000, 200_000).digest,
        "layers": 2,
        "layers_sent": 1,
        "bytes_sent": 200_000,  # The engine names the uppermost first, and that was the one.
    }
    assert "2 of 2 layers" in first.news
    assert not calls().run(step).changed


def test_names_and_order(step, survey):
    assert step.name == "push-worker"
    assert survey.scope is step.scope is Scope.ENVIRONMENT


def test_another_image_under_the_tag_is_an_error_with_both_digests(registry, step):
    other = manifest(image_id("other"), 1)
    registry.have("worker", "1-worker", other)
    with pytest.raises(errors.StepError) as caught:
        calls().run(step)
    assert other.digest in caught.value.message
    assert IMAGES["worker"].id in caught.value.message


def test_a_registry_that_has_another_digest_than_was_pushed_is_an_error(step, dock):
    dock.digest = "sha256:else"
    with pytest.raises(errors.StepError, match="sha256:else was pushed, but the registry has sha256:"):
        calls().run(step)


def expired():
    return pushes.NotAuthenticated("worker", "token has expired")


def test_a_token_that_expired_is_renewed_once(step, dock):
    dock.raised = [expired()]
    assert calls().run(step).changed
    assert dock.tokens == ["token-1", "token-2"]


def test_a_login_that_is_refused_twice_is_exit_6_and_left_nothing(step, dock):
    dock.raised = [expired(), expired()]
    with pytest.raises(errors.RefusedError, match="not even a new one") as caught:
        calls().run(step)
    assert caught.value.untouched


def test_what_may_not_be_pushed_names_the_actions(step, dock):
    dock.raised = [pushes.NotAllowed("worker", "denied: requested access to the resource is denied")]
    with pytest.raises(errors.RefusedError, match="ecr:InitiateLayerUpload") as caught:
        calls().run(step)
    assert caught.value.untouched


def test_a_push_that_was_cut_is_tried_three_times_with_growing_waits(step, dock):
    dock.raised = [pushes.CutShort("worker", "EOF"), pushes.CutShort("worker", "EOF")]
    called = calls()
    assert called.run(step).changed
    assert called.patience.now == 2.0 + 4.0
    dock.raised = [pushes.CutShort("worker", "EOF")] * 3
    step._registry.images.clear()
    with pytest.raises(pushes.CutShort):
        calls().run(step)


def test_a_tag_that_was_taken_by_the_same_image_meanwhile_is_well(registry, step, dock, monkeypatch):
    content = manifest(IMAGES["worker"].id, 1)

    def push(*arguments, **keywords):
        registry.have("worker", "1-worker", content)
        raise pushes.TagTaken("worker", "tag invalid")

    monkeypatch.setattr(pushes, "push", push)
    assert calls().run(step).outputs["digest"] == content.digest


def test_a_tag_that_is_refused_though_nothing_is_there_is_an_error(step, dock):
    dock.raised = [pushes.TagTaken("worker", "tag invalid")]
    with pytest.raises(pushes.TagTaken):
        calls().run(step)


def test_while_the_engine_tries_again_the_token_is_looked_at(registry, step, dock, monkeypatch):
    """The registry's answer renews the login, and the push begins anew instead of waiting for the engine."""
    dock.states = ["Pushing", "Retrying in 5 seconds", "Retrying in 4 seconds"]
    real = registry.manifest

    def asked(name, reference):
        if registry.asked:  # Not for the look before the push.
            registry.login.renew(registry.login.now) if registry.login.number == 1 else None
            dock.states = ["Pushed", "Pushed"]
        return real(name, reference)

    monkeypatch.setattr(registry, "manifest", asked)
    assert calls().run(step).changed
    assert dock.tokens == ["token-1", "token-2"]


def test_a_token_that_is_still_good_leaves_the_engine_to_it(registry, step, dock):
    dock.states = ["Retrying in 5 seconds", "Retrying in 4 seconds", "Retrying in 3 seconds", "Pushed"]
    assert calls().run(step).changed
    assert dock.tokens == ["token-1"]
    assert len(registry.asked) == 3, "before, once while it waited, and after"


def test_an_end_of_the_run_ends_the_push(step, dock):
    called = calls()
    called.programs.interruption.request(15)
    with pytest.raises(errors.Interrupted):
        called.run(step)


def run(registry, dock):
    steps = [
        pushed_images.RegistryForPush(registry, wanted=NAMES, images=IMAGES, connect=dock.connect),
        *(
            pushed_images.PushedImage(IMAGES[name], registry, connect=dock.connect).after("registry")
            for name in NAMES
        ),
    ]
    return runs.run_steps(*steps, environment=specs.environment("stage"), tenants=())


def test_a_refusal_that_left_nothing_is_exit_6_also_in_the_middle(registry, dock):
    dock.raised = [pushes.NotAllowed("x", "denied: no")] * 2
    assert run(registry, dock).exit_code == 6


def test_a_refusal_after_something_arrived_is_exit_1(registry, dock):
    dock.raised = [None, pushes.NotAllowed("x", "denied: no")]
    assert run(registry, dock).exit_code == 1


def test_a_refusal_of_the_check_is_exit_6(registry, dock):
    registry.login.raised = answers.not_allowed("AWS", "ecr:GetAuthorizationToken", "")
    assert run(registry, dock).exit_code == 6
