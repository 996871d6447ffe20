"""The doubles refuse what they were not told about; else they would prove nothing."""

import pytest

from airflow_platform.config import specs as real_specs
from airflow_platform.engine.report import Node, Outcome, StepReport
from airflow_platform.engine.step import Change, EnvironmentStep, NoChange
from airflow_platform.testing import reporters, runs, specs, steps, stores

HOME = Node("home", "a")
DONE = StepReport("home", Outcome.CHANGED)


@pytest.fixture
def reporter():
    return reporters.RecordingReporter()


@pytest.mark.parametrize(
    ("tell", "violation"),
    [
        (lambda told: told.started(HOME), "started a/home before it began"),
        (lambda told: (told.begin([HOME], {}), told.begin([HOME], {})), "began twice"),
        (lambda told: told.begin([HOME, HOME], {}), "began with a step twice"),
        (lambda told: (told.begin([], {}), told.started(HOME)), "which it did not begin with"),
        (lambda told: (told.begin([HOME], {}), told.ended(HOME, DONE)), "which never started"),
        (
            lambda told: (told.begin([HOME], {}), told.started(HOME), told.started(HOME)),
            "started a/home twice",
        ),
        (lambda told: (told.begin([HOME], {}), told.end(), told.progress(HOME, "x")), "after the end"),
        (lambda told: (told.begin([HOME], {}), told.end(), told.note("x")), "noted after the end"),
        (lambda told: told.end(), "ended before it began"),
    ],
)
def test_a_sequence_that_makes_no_sense_is_refused_at_once_and_again(reporter, tell, violation):
    with pytest.raises(AssertionError, match=violation):
        tell(reporter)
    with pytest.raises(AssertionError, match=violation):
        reporter.verify()


def test_a_step_has_one_result(reporter):
    reporter.begin([HOME], {})
    reporter.started(HOME)
    reporter.ended(HOME, DONE)
    with pytest.raises(AssertionError, match="which has ended"):
        reporter.ended(HOME, DONE)


def test_missing_results_and_a_missing_end_are_told(reporter):
    with pytest.raises(AssertionError, match="told nothing"):
        reporter.verify()
    reporter.begin([HOME], {})
    with pytest.raises(AssertionError, match="did not end"):
        reporter.verify()
    reporter.end()
    with pytest.raises(AssertionError, match="no result for a/home"):
        reporter.verify()


def test_a_good_sequence_is_recorded(reporter):
    runs.run_steps(steps.ScriptedStep("home", steps.World(), {"a": steps.Script()}), reporter=reporter)
    reporter.verify()
    assert [event.verb for event in reporter.events] == ["begin", "started", "ended", "end"]
    assert reporter.outcomes == {"a/home": "changed"}
    assert reporter.position("started", "a/home") < reporter.position("ended", "a/home")


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.update(x=1),
        lambda world: world.pop("there"),
        lambda world: world.clear(),
        lambda world: world.__delitem__("there"),
        lambda world: world.__setitem__("x", 1),
        lambda world: world.setdefault("x", 1),
    ],
)
def test_a_world_is_changed_by_apply_only(change):
    world = steps.World({"there": 1})
    with pytest.raises(AssertionError):
        change(world)
    assert world == {"there": 1}


def context_of(step, tenant="a"):
    """The context that a step gets, caught by running a step that keeps it."""
    caught = []
    keep = steps.ScriptedStep("keep", steps.World(), {tenant: steps.Script(during=caught.append)})
    runs.run_steps(keep, tenants=[tenant])
    return caught[0]


def test_a_scripted_step_refuses_what_was_not_planned():
    step = steps.ScriptedStep("home", steps.World(), {"a": steps.Script()})
    context = context_of(step)
    with pytest.raises(AssertionError, match="what was not observed"):
        step.plan(context, (False, None))
    with pytest.raises(AssertionError, match="what was not planned"):
        step.apply(context, Change("make a/home"))


def test_a_scripted_step_refuses_a_tenant_without_a_script():
    step = steps.ScriptedStep("home", steps.World(), {"b": steps.Script()})
    with pytest.raises(AssertionError, match="a/home, which has no script"):
        step.observe(context_of(step))


def test_a_memory_journal_refuses_what_makes_no_sense():
    journal = stores.MemoryJournal([])
    with pytest.raises(AssertionError, match="no run has begun"):
        journal.begun(HOME, Change("make"))
    journal.begin_run("up", ["a"])
    journal.begun(HOME, Change("make"))
    with pytest.raises(AssertionError, match="begun already"):
        journal.begun(HOME, Change("make"))
    journal.ended(HOME, Outcome.CHANGED, "", 1.0)
    with pytest.raises(AssertionError, match="ended already"):
        journal.ended(HOME, Outcome.CHANGED, "", 1.0)
    journal.close()
    with pytest.raises(AssertionError, match="closed"):
        journal.end_run(0)


def test_planning_may_ask_a_refusing_store_for_nothing(tmp_path):
    store = stores.RefusingStore()
    for ask in (
        lambda: store.tenant_locks(["a"]),
        store.environment_lock,
        store.open_journal,
        lambda: store.artifacts("1"),
    ):
        with pytest.raises(AssertionError, match="asked for"):
            ask()


def test_a_step_of_ones_own_runs_without_any_double():
    class Plain(EnvironmentStep):
        name = "plain"

        def observe(self, context):
            return context.environment.name

        def plan(self, context, observed):
            return NoChange(observed)

    assert runs.run_steps(Plain()).steps[0].reason == "test"


def test_specs_are_valid_and_take_fields():
    environment = specs.environment("dev", "one", specs.tenant("two", owner="x"), protected=True)
    assert isinstance(environment, real_specs.Environment)
    assert [tenant.name for tenant in environment.tenants] == ["one", "two"]
    assert environment.protected
    assert environment.tenant("two").owner == "x"
    assert specs.environment().tenants[0].name == "analytics"
