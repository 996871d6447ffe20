"""Exit code 6 outlives a step that had begun, where the error says that nothing came of it."""

from __future__ import annotations

import pytest

from airflow_platform import errors
from airflow_platform.testing.runs import run_steps
from airflow_platform.testing.steps import Script, ScriptedStep, World


def refusing(untouched):
    def during(context):
        raise errors.RefusedError("You may not.", untouched=untouched)

    return Script(during=during)


@pytest.mark.parametrize(("untouched", "code"), [(True, 6), (False, 1)])
def test_a_refusal_in_the_middle_is_exit_6_only_where_it_left_nothing(untouched, code):
    report = run_steps(ScriptedStep("push", World(), refusing(untouched)), tenants=())
    assert report.exit_code == code


def test_after_another_change_it_is_a_failure():
    world = World()
    report = run_steps(
        ScriptedStep("first", world),
        ScriptedStep("second", world, refusing(untouched=True), requires=("first",)),
        tenants=(),
    )
    assert report.exit_code == 1
