"""What steps hand on, what a plan touches (nothing), and which artifacts are used (those planned with)."""

import pytest

from airflow_platform import errors
from airflow_platform.engine.step import Change, EnvironmentStep, Goal, NoChange, TenantStep
from airflow_platform.testing import stores
from airflow_platform.testing.runs import outcomes, run_steps
from airflow_platform.testing.steps import Script, ScriptedStep, World

FAULT = errors.Fault("port 18080", "Something listens there.", "Stop it.")


@pytest.fixture
def world():
    return World()


def environment_step(world, name, script=None, **relations):
    return ScriptedStep(name, world, script, **relations)


def tenant_step(world, name, a=None, b=None, **relations):
    return ScriptedStep(name, world, {"a": a or Script(), "b": b or Script()}, **relations)


def both(*steps, **options):
    return run_steps(*steps, tenants=["a", "b"], **options)


def fail(context):
    raise errors.StepError("No.")


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
        tenant_step(world, "home", a=Script(during=fail)),
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
        return context.artifacts.put("plan.bin", b"planned")

    def plan(self, context, observed):
        if self.content is None:
            context.artifacts.get("plan.bin").unlink()
        else:
            context.artifacts.put("plan.bin", self.content)
        return Change("use it", artifacts={"plan.bin": observed})

    def apply(self, context, change):
        return {"read": context.artifacts.get("plan.bin").read_text()}


@pytest.mark.parametrize(
    ("content", "outcome", "reason"),
    [
        (b"planned", "changed", "use it"),
        (b"other", "failed", "not the file that was planned with: SHA-256"),
        (None, "failed", "artifact plan.bin of this run is missing"),
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


@pytest.mark.parametrize("lost", ["a", "environment"])
def test_a_run_that_lost_a_lock_changes_nothing_more(lost, tmp_path, world):
    """As a Lease that ran out while a step was looking at the world, and that somebody else took."""
    store = stores.MemoryStore(tmp_path)

    class Losing(EnvironmentStep):
        name = "losing"

        def observe(self, context):
            store.held.pop(lost)

        def plan(self, context, observed):
            return Change("change it")

        def apply(self, context, change):
            raise AssertionError("applied without a lock")

    report = run_steps(Losing(), store=store)
    assert (report.exit_code, outcomes(report)) == (5, {"losing": "failed"})
    assert "is lost" in report.steps[0].reason
    assert store.history[0].entries == []
