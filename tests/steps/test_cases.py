"""What each step plans, as data: `cases/<step>/<case>.json`.

A case says what is observed, what required steps have handed on and what the spec says besides the
defaults of `testing.specs`; then what is planned: a change, no change, or an error. A case of a change
also says what is observed afterwards, and why the second run changes nothing.

    goal          "absent" for the way down
    environment   fields of the environment
    tenant        fields of the tenant
    outputs       by step
    observed      the fields of the step's `Observed`
    change        summary and details       } one
    no_change     reason and outputs        } of
    error         message and hint          } these
    second        after a change: fields observed then, and the reason (or, for `restart`, the summary)

Everything lies under /state and /cache, which do not exist: a plan is made of what was observed, so
one that looks for itself fails here. "as wanted" is the digest of a component's definition.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

import pytest

from airflow_platform import errors
from airflow_platform.engine import step
from airflow_platform.runtimes import contract
from airflow_platform.runtimes.docker import docker_runtime
from airflow_platform.runtimes.process import components, process_runtime
from airflow_platform.testing import specs
from tests.steps import building, calling

CASES = Path(__file__).parent / "cases"
FILES = sorted(CASES.glob("*/*.json"))
KNOWN = {
    "goal", "environment", "tenant", "outputs", "observed", "change", "no_change", "error", "second",
}  # fmt: skip
OF_DOCKER = {"database-role"}
"""Steps of the docker runtime whose facts are data; those of the others are answers of an engine."""

AS_WANTED = "as wanted"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    monkeypatch.setenv("AIRFLOW_PLATFORM_STATE", "/state")
    monkeypatch.setenv("AIRFLOW_PLATFORM_CACHE", "/cache")


def steps_of(environment) -> dict[str, Any]:
    options = contract.Options(restart=("scheduler", "triggerer"))
    found = docker_runtime.DockerRuntime(environment).steps(options)
    of_docker = {each.name: each for each in found if each.name in OF_DOCKER}
    found = process_runtime.ProcessRuntime(environment).steps(options)
    return of_docker | {each.name: each for each in found}


def observed_by(one: step.Step, document: Any) -> Any:
    """What the case says was observed, of the type that the step's `plan` takes."""
    kind = typing.get_type_hints(type(one).plan)["observed"]
    observed = building.build(kind, document)
    if isinstance(observed, components.Observed) and observed.wanted and observed.status:
        digests = {each.name: observed.wanted.digest_of(each) for each in observed.wanted.components}
        running = tuple(
            dataclasses.replace(each, digest=digests[each.name]) if each.digest == AS_WANTED else each
            for each in observed.status.components
        )
        status = dataclasses.replace(observed.status, components=running)
        return dataclasses.replace(observed, status=status)
    return observed


class Case:
    def __init__(self, path: Path) -> None:
        self.document = json.loads(path.read_text())
        assert not self.document.keys() - KNOWN, "a case has no such key"
        tenant = specs.tenant(**self.document.get("tenant", {}))
        environment = specs.environment("sandbox", tenant, **self.document.get("environment", {}))
        steps = steps_of(environment)
        self.step = steps[path.parent.name]
        outputs = self.document.get("outputs", {})
        assert not outputs.keys() - steps.keys(), "outputs of a step that does not exist"
        goal = step.Goal(self.document.get("goal", "present"))
        calls = calling.Calls(outputs, environment=environment, tenant=tenant, goal=goal)
        self.context = calls.context(self.step.scope)

    def plan(self, document: Any) -> step.Change | step.NoChange:
        planned = self.step.plan(self.context, observed_by(self.step, document))
        assert isinstance(planned, step.Change | step.NoChange)
        return planned


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}: {path.stem}")
def test_what_is_observed_decides_what_is_planned(path: Path) -> None:
    case = Case(path)
    (expected,) = case.document.keys() & {"change", "no_change", "error"}
    if expected == "error":
        with pytest.raises(errors.PlatformError) as caught:
            case.plan(case.document["observed"])
        assert {"message": caught.value.message, "hint": caught.value.hint} == case.document["error"]
        return
    planned = case.plan(case.document["observed"])
    assert as_json(planned) == case.document[expected]
    assert ("second" in case.document) == (expected == "change"), "only a change has a second run"
    if expected == "change":
        check_second(case)


def as_json(planned: step.Change | step.NoChange) -> dict[str, Any]:
    if isinstance(planned, step.Change):
        return {"summary": planned.summary, "details": planned.to_json()["details"]}
    return {"reason": planned.reason, "outputs": dict(planned.outputs)}


def check_second(case: Case) -> None:
    second = case.document["second"]
    before, then = case.document["observed"], second["observed"]
    merged = {**before, **then} if isinstance(before, dict) and isinstance(then, dict) else then
    planned = case.plan(merged)
    expected = {key: text for key, text in second.items() if key != "observed"}
    assert expected in (
        {"reason": as_json(planned).get("reason")},
        {"summary": as_json(planned).get("summary")},
    )
    assert isinstance(planned, step.NoChange) or case.step.name == "restart", "it would change for ever"


def test_every_step_of_the_runtime_has_a_case() -> None:
    assert {path.parent.name for path in FILES} == set(steps_of(specs.environment()))


def test_every_way_of_planning_something_has_a_second_run() -> None:
    described = {path.parent.name for path in FILES if "change" in json.loads(path.read_text())}
    assert described == set(steps_of(specs.environment()))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"revision": "a", "wanted": "b", "known": [], "secret": 1}, "has no secret"),
        ({"revision": 1, "wanted": "b", "known": []}, "observed.revision is 1"),
        ({"revision": "a", "wanted": "b"}, "known"),
        (["a"], "not the fields of Observed"),
    ],
)
def test_a_case_that_does_not_fit_its_step_is_refused(document, says) -> None:
    with pytest.raises(TypeError, match=says):
        observed_by(steps_of(specs.environment())["database"], document)
