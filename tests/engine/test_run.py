"""A run: checks first, then the walk, then the report."""

import hashlib
import threading

import pytest

from airflow_platform import errors, programs
from airflow_platform.engine import run
from airflow_platform.engine.report import Outcome, StepReport, exit_code_of
from airflow_platform.engine.step import (
    Change,
    EnvironmentStep,
    Goal,
    NoChange,
    TenantStep,
    Unknown,
)
from airflow_platform.testing import reporters, runs, stores
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


def meeting():
    """A script that ends only when two of its kind work at the same time."""
    barrier = threading.Barrier(2, timeout=5)

    def during(context):
        barrier.wait()

    return Script(during=during)


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


# Outputs


class Reading(EnvironmentStep):
    name = "reading"
    requires = ("home",)

    def observe(self, context):
        return self.read(context)

    def plan(self, context, observed):
        return NoChange(str(dict(observed)))


def read_with(read, **fields):
    return type("Reading", (Reading,), {"read": lambda self, context: read(context), **fields})()


def test_outputs_are_read_by_name_through_others_and_when_nothing_changed(world):
    def steps():
        return (
            environment_step(world, "packages", Script(outputs={"path": "/x"})),
            tenant_step(world, "home", a=Script(outputs={"port": 1}), requires=["packages"]),
            read_with(lambda context: {**context.outputs("packages"), **context.tenant_outputs("home", "a")}),
        )

    for _ in range(2):
        report = both(*steps())
        assert report.steps[1].reason == "{'path': '/x', 'port': 1}"


@pytest.mark.parametrize(
    "read",
    [
        lambda context: context.outputs("stranger"),
        lambda context: context.outputs("home"),
        lambda context: context.tenant_outputs("home", "a"),
        lambda context: context.tenant_outputs("home", "nobody"),
    ],
)
def test_outputs_that_are_not_a_steps_to_read_are_a_defect(world, read):
    report = both(
        environment_step(world, "stranger"),
        tenant_step(world, "home", a=Script(during=raising(errors.StepError("No.")))),
        read_with(read),
    )
    assert outcomes(report)["reading"] == "broken"
    assert "KeyError" in report.steps[1].reason


def test_outputs_cannot_be_read_on_the_way_down(world):
    both(environment_step(world, "home"))
    report = both(
        environment_step(world, "home"),
        read_with(lambda context: context.outputs("home")),
        goal=Goal.ABSENT,
    )
    assert outcomes(report) == {"reading": "broken", "home": "blocked"}


def test_outputs_of_a_step_that_was_left_out_are_a_fault(world):
    report = run_steps(
        environment_step(world, "home"),
        read_with(lambda context: context.outputs("home")),
        skip={"home": "it is not wanted"},
    )
    assert outcomes(report) == {"home": "skipped", "reading": "failed"}
    assert report.steps[1].reason == "It needs the outputs of step home, left out: it is not wanted."


def test_skipped_steps_say_why_and_stop_nobody(world):
    home = tenant_step(world, "home", a=Script(faults=[FAULT]))
    report = both(home, tenant_step(world, "start", requires=["home"]), skip={"home": "keeps data"})
    assert home.calls == []
    assert report.exit_code == 0
    assert report.tenants[0].steps[0].reason == "keeps data"
    assert outcomes(report)["a/start"] == "changed"


# --plan


def test_plan_walks_the_same_graph_and_touches_nothing(world):
    steps = [
        environment_step(world, "packages", Script(outputs={"path": "/x"})),
        tenant_step(world, "home", a=Script(unknown_until="packages"), requires=["packages"]),
        read_with(lambda context: context.tenant_outputs("home", "b")),
    ]
    report = both(*steps, planning=True)
    assert (report.exit_code, report.status, world) == (3, "pending", {})
    reasons = {str(each.name): each.reason for each in (*report.steps, *report.tenants[0].steps)}
    assert reasons == {
        "packages": "make packages",
        "home": "known after packages has run",
        "reading": "known after home has run",
    }
    both(*steps[:2])
    report = both(*steps, planning=True)
    assert (report.exit_code, report.status) == (0, "present")


def test_a_step_that_writes_in_plan_is_caught(world):
    class Writing(TenantStep):
        name = "writing"

        def observe(self, context):
            world[context.tenant.name] = True

    report = run_steps(Writing(), planning=True)
    assert (report.exit_code, world) == (1, {})
    assert "set a outside apply" in report.tenants[0].steps[0].reason


def test_a_fault_of_a_check_stops_a_plan_too(world):
    report = run_steps(environment_step(world, "home", Script(faults=[FAULT])), planning=True)
    assert report.exit_code == 4


# Artifacts


class WithArtifact(EnvironmentStep):
    name = "artifact"
    content = b"planned"

    def observe(self, context):
        (context.run_directory / "plan.bin").write_bytes(b"planned")
        return context.run_directory

    def plan(self, context, observed):
        digest = hashlib.sha256(b"planned").hexdigest()
        if self.content is None:
            (observed / "plan.bin").unlink()
        else:
            (observed / "plan.bin").write_bytes(self.content)
        return Change("use it", artifacts={"plan.bin": digest})

    def apply(self, context, change):
        return {"read": (context.run_directory / "plan.bin").read_text()}


@pytest.mark.parametrize(
    ("content", "outcome", "reason"),
    [
        (b"planned", "changed", "use it"),
        (b"other", "failed", "not the file that was planned with: SHA-256"),
        (None, "failed", "not the file that was planned with: No such file"),
    ],
)
def test_artifacts_are_verified_before_they_are_used(content, outcome, reason, tmp_path):
    store = stores.MemoryStore(tmp_path)
    step = WithArtifact()
    step.content = content
    report = run_steps(step, store=store)
    assert outcomes(report) == {"artifact": outcome}
    assert reason in report.steps[0].reason
    assert bool(store.history[0].entries) == (outcome == "changed")


# At the same time


def test_two_tenants_work_at_the_same_time(world):
    together = meeting()
    assert both(tenant_step(world, "home", a=together, b=together)).exit_code == 0


def test_independent_steps_of_one_tenant_work_at_the_same_time(world):
    together = {"a": meeting()}
    assert (
        run_steps(ScriptedStep("one", world, together), ScriptedStep("two", world, together)).exit_code == 0
    )


def test_the_pool_is_bounded(world):
    working, most = [], []

    def during(context):
        working.append(1)
        most.append(len(working))
        context.programs.interruption.sleep(0.01)
        working.pop()

    tenants = [f"t{number}" for number in range(12)]
    step = ScriptedStep("home", world, {name: Script(during=during) for name in tenants})
    run_steps(step, tenants=tenants, workers=3)
    assert max(most) == 3


def test_a_reporter_that_cannot_write_any_more_does_not_stop_the_work(world):
    class Closed(reporters.RecordingReporter):
        def started(self, node):
            raise BrokenPipeError

    reporter = Closed()
    assert run_steps(environment_step(world, "home"), reporter=reporter).exit_code == 0
    assert [event.verb for event in reporter.events] == ["begin"]


# Locks and journal around a run


def test_locks_are_held_around_the_work(world, tmp_path):
    store = stores.MemoryStore(tmp_path)
    held = {}

    def note(name):
        return Script(during=lambda context: held.update({name: set(store.held)}))

    both(
        environment_step(world, "packages", note("packages")),
        tenant_step(world, "home", a=note("home"), requires=["packages"]),
        store=store,
    )
    assert held == {"packages": {"a", "b", "environment"}, "home": {"a", "b"}}
    assert store.held == set()


def test_a_busy_tenant_stops_the_run_before_it_begins(world, tmp_path):
    store = stores.MemoryStore(tmp_path)
    step = tenant_step(world, "home")
    with store.tenant_locks(["b"]), pytest.raises(errors.BusyError) as caught:
        both(step, store=store)
    assert caught.value.exit_code == 5
    assert (step.calls, store.history) == ([], [])


def test_expected_times_are_told(world, tmp_path):
    store = stores.MemoryStore(tmp_path)
    run_steps(environment_step(world, "home"), store=store)
    reporter = reporters.RecordingReporter()
    run_steps(environment_step(world, "home"), store=store, reporter=reporter)
    assert [str(node) for node in reporter.expected] == ["home"]


def test_a_journal_that_is_lost_at_the_very_end_does_not_cost_the_report(world, tmp_path):
    class Full(stores.MemoryJournal):
        def end_run(self, exit_code):
            raise errors.StateError("The disk is full.")

    store = stores.MemoryStore(tmp_path)
    store.open_journal = lambda: Full(store.history)
    reporter = reporters.RecordingReporter()
    report = run_steps(environment_step(world, "home"), store=store, reporter=reporter)
    assert report.exit_code == 0
    assert reporter.notes == ["The disk is full."]
    reporter.verify()


def test_a_wait_shows_news_once_and_says_what_was_missing(world):
    answers = iter(["scheduler", "scheduler", "triggerer", ""])
    step = environment_step(
        world,
        "home",
        Script(during=lambda context: context.wait_for("health", lambda: next(answers), timeout=5, every=0)),
    )
    reporter = reporters.RecordingReporter()
    run_steps(step, reporter=reporter)
    assert [event.text for event in reporter.events if event.verb == "progress"] == ["scheduler", "triggerer"]
    late = environment_step(
        World(),
        "late",
        Script(during=lambda context: context.wait_for("health", lambda: "all", timeout=0, hint="Look.")),
    )
    (fault,) = run_steps(late).faults
    assert fault == errors.Fault("late", "Waited 0 s for health; still missing: all.", "Look.")


def test_the_order_says_the_word_for_being_there(world, tmp_path):
    order = run.Order(
        task="up",
        environment=runs.Thing("e"),
        tenants=[],
        goal=Goal.PRESENT,
        steps=[environment_step(world, "home")],
        store=stores.MemoryStore(tmp_path),
        reporter=reporters.RecordingReporter(),
        programs=programs.Programs(),
        reached="healthy",
    )
    assert run.execute(order).status == "healthy"
