"""Secrets enter neither report, nor reporter, nor journal, wherever a step lets them slip."""

import json

import pytest

from airflow_platform import errors, secrets
from airflow_platform.engine import local_store
from airflow_platform.engine.step import Change, EnvironmentStep, NoChange
from airflow_platform.programs import programs
from airflow_platform.testing.reporters import RecordingReporter
from airflow_platform.testing.runs import run_steps

CANARY = 'canary-"7f3a"\nsecond-line-9c1e'
PIECES = ("7f3a", "second-line-9c1e")


class Leaking(EnvironmentStep):
    name = "leaking"
    publishes = ("url",)
    leak = ""

    def check(self, context):
        if self.leak == "check":
            raise errors.StepError(f"password {CANARY}", hint=CANARY)
        if self.leak == "check-fault":
            yield errors.Fault(CANARY, CANARY, CANARY)

    def observe(self, context):
        context.progress(f"looking with {CANARY}")

    def plan(self, context, observed):
        if self.leak == "no-change":
            return NoChange(f"there with {CANARY}", {"url": [CANARY]})
        return Change(f"use {CANARY}", {"environment": {CANARY: [CANARY]}})

    def apply(self, context, change):
        if self.leak == "failed":
            raise errors.StepError(f"refused {CANARY}", hint=f"not {CANARY}")
        if self.leak == "broken":
            raise ValueError(CANARY)
        return {"url": f"http://u:{CANARY}@x", "inner": {CANARY: 1}}


@pytest.mark.parametrize(
    "leak", ["changed", "no-change", "failed", "broken", "check", "check-fault", "planning"]
)
def test_no_secret_anywhere(leak, tmp_path):
    step, reporter = Leaking(), RecordingReporter()
    step.leak = leak
    started = programs.Programs()
    started.mask.add(secrets.Secret(CANARY))
    real = local_store.LocalStore(tmp_path, "test", lock_timeout=0, programs=started, on_note=reporter.note)
    report = run_steps(
        step, store=real, reporter=reporter, with_programs=started, planning=leak == "planning"
    )
    texts = [json.dumps(report.to_json()), repr(report), repr(reporter.events), repr(reporter.results)]
    files = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    for text in texts + files:
        assert not [piece for piece in PIECES if piece in text], text
    assert "***" in repr(report)


def test_steps_hand_on_what_they_made_unmasked(tmp_path):
    class Reading(EnvironmentStep):
        name = "reading"
        requires = ("leaking",)

        def observe(self, context):
            return context.outputs("leaking")["url"]

        def plan(self, context, observed):
            return NoChange(str(CANARY in observed))

    started = programs.Programs()
    started.mask.add(secrets.Secret(CANARY))
    report = run_steps(Leaking(), Reading(), with_programs=started)
    assert report.steps[1].reason == "True"


def test_a_secret_in_a_change_is_a_defect_before_anything_happens():
    class Careless(Leaking):
        def plan(self, context, observed):
            return Change("use it", {"password": secrets.Secret(CANARY)})

    report = run_steps(Careless())
    assert report.steps[0].reason == "TypeError('Object of type Secret is not JSON serializable')"
