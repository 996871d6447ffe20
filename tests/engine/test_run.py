"""A run: checks first, then the walk, then the report."""

import pytest

from airflow_platform import errors
from airflow_platform.engine.report import Outcome, StepReport, exit_code_of
from airflow_platform.engine.step import (
    Change,
    EnvironmentStep,
    Goal,
    NoChange,
    Unknown,
)
from airflow_platform.testing.runs import outcomes, run_steps
from airflow_platform.testing.steps import Script, ScriptedStep, World

FAULT = errors.Fault("port 18080", "Something listens there.", "Stop it.")


@pytest.fixture
def world():
    return World()


def raising(error):
    def during(context):
        raise error

    return during


def environment_step(world, name, script=None, **relations):
    return ScriptedStep(name, world, script, **relations)


def tenant_step(world, name, a=None, b=None, **relations):
    return ScriptedStep(name, world, {"a": a or Script(), "b": b or Script()}, **relations)


def both(*steps, **options):
    return run_steps(*steps, tenants=["a", "b"], **options)


def fan_in(world, **scripts):
    return [
        environment_step(world, "packages"),
        tenant_step(world, "home", requires=["packages"], **scripts),
        environment_step(world, "commit", requires=["home"]),
        tenant_step(world, "healthy", requires=["commit"]),
    ]


# What a run comes to


def test_the_second_run_changes_nothing_and_the_way_down_removes_all(world):
    steps = fan_in(world)
    assert set(outcomes(both(*steps)).values()) == {"changed"}
    assert set(outcomes(both(*steps)).values()) == {"unchanged"}
    report = both(*steps, goal=Goal.ABSENT)
    assert (report.exit_code, set(outcomes(report).values())) == (0, {"changed"})
    assert world == {}
    assert set(outcomes(both(*steps, goal=Goal.ABSENT)).values()) == {"unchanged"}


def test_the_envelope(world):
    step = ScriptedStep(
        "home", world, {"a": Script(outputs={"url": "http://x", "inner": 1})}, publishes=["url"]
    )
    document = run_steps(step).to_json()
    (tenant,) = document.pop("tenants")
    (shown,) = tenant.pop("steps")
    assert document == {
        "schema": "https://airflow-platform.invalid/report/1",
        "task": "test",
        "environment": "test",
        "status": "present",
        "exit_code": 0,
        "faults": [],
        "steps": [],
        "data": None,
    }
    assert tenant == {"name": "a", "status": "present", "outputs": {"url": "http://x"}}
    assert shown.pop("seconds") >= 0
    assert shown == {"name": "home", "status": "changed", "reason": "make a/home"}


@pytest.mark.parametrize(
    ("found", "checks_failed", "code"),
    [
        ([], False, 0),
        (["changed", "unchanged", "skipped"], False, 0),
        (["unchanged", "pending"], False, 3),
        (["unchanged", "failed"], False, 1),
        (["changed", "broken"], False, 1),
        (["pending", "failed"], False, 1),
        (["blocked"], True, 4),
        (["unchanged", "blocked"], True, 4),
        (["pending", "blocked"], True, 4),
        (["changed", "blocked"], True, 1),
        (["broken", "blocked"], True, 1),
    ],
)
def test_exit_codes(found, checks_failed, code):
    results = [StepReport("step", Outcome(word)) for word in found]
    assert exit_code_of(results, checks_failed=checks_failed) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.StepError("No."), 1),
        (errors.BusyError("Held."), 5),
        (errors.RefusedError("Not you."), 6),
    ],
)
@pytest.mark.parametrize("where", ["check", "observe"])
def test_who_may_work_decides_the_code_while_nothing_was_touched(world, error, code, where):
    class Asking(EnvironmentStep):
        name = "asking"

        def observe(self, context):
            return context.outputs("asking") if where == "check" else self.no(context)

        def no(self, context):
            raise error

    if where == "check":
        Asking.check = Asking.no
        code = 4 if code == 1 else code
    report = run_steps(Asking(), environment_step(world, "after", requires=["asking"]))
    assert report.exit_code == code
    assert report.faults == (errors.Fault("asking", error.message, ""),)


def test_a_refusal_after_a_change_is_a_failure(world):
    refused = environment_step(world, "refused", Script(during=raising(errors.RefusedError("Not you."))))
    assert run_steps(refused).exit_code == 1


@pytest.mark.parametrize(("number", "code"), [(1, 129), (2, 130), (15, 143)])
def test_an_interrupted_run(world, number, code):
    def interrupt(context):
        context.programs.interruption.request(number)
        context.programs.interruption.sleep(5)

    report = both(
        environment_step(world, "packages", Script(during=interrupt)),
        tenant_step(world, "home", requires=["packages"]),
        ScriptedStep("alone", world, {"a": Script(), "b": Script()}),
        workers=1,
    )
    assert (report.exit_code, report.status) == (code, "interrupted")
    assert outcomes(report)["packages"] == "failed"
    assert outcomes(report)["a/home"] == "blocked"
    assert {tenant.status for tenant in report.tenants} == {"interrupted"}
    (fault,) = report.faults
    assert fault.remedy == "It is safe to run the same command again."


# Checks


def test_checks_go_first_and_all_together(world):
    steps = [
        environment_step(world, "packages", Script(faults=[FAULT])),
        environment_step(world, "commit", Script(faults=[FAULT, FAULT]), requires=["packages"]),
        tenant_step(world, "home", a=Script(faults=[FAULT])),
    ]
    report = both(*steps)
    assert (report.exit_code, report.status, len(report.faults)) == (4, "blocked", 4)
    assert set(outcomes(report).values()) == {"blocked"}
    assert [call for step in steps for call in step.calls if not call.startswith("check")] == []
    assert report.tenants[1].steps[0].reason == "the check of packages said no"


def test_a_tenants_fault_blocks_that_tenant_only(world):
    report = both(*fan_in(world, a=Script(faults=[FAULT])))
    assert report.exit_code == 1
    assert outcomes(report) == {
        "packages": "changed",
        "commit": "changed",
        "a/home": "blocked",
        "a/healthy": "blocked",
        "b/home": "changed",
        "b/healthy": "changed",
    }
    assert {tenant.name: tenant.status for tenant in report.tenants} == {"a": "blocked", "b": "present"}


def test_a_tenants_fault_in_a_world_that_is_ready_changes_nothing(world):
    both(*fan_in(world))
    assert both(*fan_in(world, a=Script(faults=[FAULT]))).exit_code == 4


def test_when_every_tenant_has_a_fault_nothing_is_begun(world):
    report = both(*fan_in(world, a=Script(faults=[FAULT]), b=Script(faults=[FAULT])))
    assert (report.exit_code, set(outcomes(report).values()), world) == (4, {"blocked"}, {})


def test_a_broken_check_is_a_defect(world):
    class Careless(EnvironmentStep):
        name = "careless"

        def check(self, context):
            yield FAULT
            raise SystemExit(3)

    report = run_steps(Careless(), environment_step(world, "other"))
    assert report.exit_code == 1
    assert outcomes(report) == {"careless": "broken", "other": "blocked"}
    assert "SystemExit" in report.steps[0].traceback


def test_a_check_must_not_read_outputs(world):
    class Early(EnvironmentStep):
        name = "early"
        requires = ("packages",)

        def check(self, context):
            context.outputs("packages")

    report = run_steps(environment_step(world, "packages"), Early())
    assert outcomes(report)["early"] == "broken"


# Failures


def test_a_failed_step_blocks_only_what_needs_it(world):
    report = both(
        tenant_step(world, "home", a=Script(during=raising(errors.StepError("No.", hint="Do.")))),
        tenant_step(world, "start", requires=["home"]),
        tenant_step(world, "healthy", requires=["start"]),
        tenant_step(world, "alone"),
    )
    assert outcomes(report) == {
        "a/home": "failed",
        "a/start": "blocked",
        "a/healthy": "blocked",
        "a/alone": "changed",
        "b/home": "changed",
        "b/start": "changed",
        "b/healthy": "changed",
        "b/alone": "changed",
    }
    assert report.exit_code == 1
    assert report.faults == (errors.Fault("a/home", "No.", "Do."),)
    reasons = {step.name: step.reason for step in report.tenants[0].steps}
    assert reasons["healthy"] == reasons["start"] == "a/home failed"


def test_a_fan_in_receives_those_that_succeeded_and_lost_tenants_stay_lost(world):
    seen = []
    steps = fan_in(world, a=Script(during=raising(errors.StepError("No."))))
    steps[2] = environment_step(
        world,
        "commit",
        Script(during=lambda context: seen.append([each.name for each in context.tenants])),
        requires=["home"],
    )
    report = both(*steps)
    assert seen == [["b"]]
    found = outcomes(report)
    assert (found["commit"], found["a/healthy"], found["b/healthy"]) == ("changed", "blocked", "changed")


def test_a_fan_in_without_any_tenant_left_is_blocked(world):
    failing = Script(during=raising(errors.StepError("No.")))
    report = both(*fan_in(world, a=failing, b=failing))
    assert outcomes(report)["commit"] == "blocked"
    assert report.steps[1].reason == "a/home failed"


def test_going_down_a_fan_in_goes_on_and_what_tenants_stand_on_stays(world):
    both(*fan_in(world))
    steps = fan_in(world)
    steps[3] = tenant_step(
        world, "healthy", a=Script(during=raising(errors.StepError("No."))), requires=["commit"]
    )
    found = outcomes(both(*steps, goal=Goal.ABSENT))
    assert found == {
        "a/healthy": "failed",
        "b/healthy": "changed",
        "commit": "changed",
        "a/home": "blocked",
        "b/home": "changed",
        "packages": "blocked",
    }


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyError("x")])
def test_anything_that_is_not_ours_is_a_defect(world, error):
    step = environment_step(world, "home", Script(during=raising(error)))
    report = run_steps(step, environment_step(world, "after", requires=["home"]))
    assert (report.exit_code, report.status) == (1, "broken")
    assert outcomes(report) == {"home": "broken", "after": "blocked"}
    (fault,) = report.faults
    assert fault.cause == f"This is a defect: {error!r}."
    assert repr(error).split("(")[0] in report.steps[0].traceback


def test_errors_that_carry_faults_keep_what_they_name(world):
    error = errors.ConfigurationError("Two.", [FAULT, errors.Fault("key", "Wrong.", "Mend it.")])
    report = run_steps(environment_step(world, "home", Script(during=raising(error))))
    assert [fault.thing for fault in report.faults] == ["home: port 18080", "home: key"]


def test_errors_that_carry_no_fault_are_one(world):
    error = errors.ConfigurationError("Nothing.", (), hint="Write something.")
    report = run_steps(environment_step(world, "home", Script(during=raising(error))))
    assert report.faults == (errors.Fault("home", "Nothing.", "Write something."),)


def single(**functions):
    return type("Single", (EnvironmentStep,), {"name": "single", **functions})()


@pytest.mark.parametrize(
    ("functions", "reason"),
    [
        ({"observe": lambda self, context: 1, "plan": lambda *_: None}, "neither Change nor NoChange"),
        ({"observe": lambda self, context: Unknown("x")}, "still unknown until x"),
        (
            {"observe": lambda self, context: 1, "plan": lambda *_: NoChange("there", {"x": object()})},
            "not JSON serializable",
        ),
        (
            {"observe": lambda self, context: 1, "plan": lambda *_: Change("do", {"x": object()})},
            "not JSON serializable",
        ),
        (
            {
                "observe": lambda self, context: 1,
                "plan": lambda *_: Change("do"),
                "apply": lambda *_: None,
            },
            "outputs must be a mapping",
        ),
    ],
)
def test_a_step_that_breaks_its_contract_is_broken(functions, reason):
    report = run_steps(single(**functions))
    assert report.steps[0].status is Outcome.BROKEN
    assert reason in report.steps[0].reason


def test_a_step_that_another_one_undoes_is_asked_nothing_on_the_way_down(world):
    class Keys(EnvironmentStep):
        name = "keys"
        undone_by = "home"

        def check(self, context):
            raise AssertionError("asked")

        observe = check

    report = run_steps(environment_step(world, "home"), Keys(), goal=Goal.ABSENT)
    assert report.exit_code == 0
    (keys,) = [step for step in report.steps if step.name == "keys"]
    assert (keys.status, keys.reason) == (Outcome.UNCHANGED, "undone by home")
