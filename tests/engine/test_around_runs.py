"""Steps and tenants at the same time, and the locks, journal and reporter around them."""

import threading

import pytest

from airflow_platform import errors
from airflow_platform.engine import run
from airflow_platform.engine.order import Order
from airflow_platform.engine.step import Goal
from airflow_platform.programs import programs
from airflow_platform.testing import reporters, runs, stores
from airflow_platform.testing.runs import run_steps
from airflow_platform.testing.steps import Script, ScriptedStep, World


@pytest.fixture
def world():
    return World()


def environment_step(world, name, script=None, **relations):
    return ScriptedStep(name, world, script, **relations)


def tenant_step(world, name, a=None, b=None, **relations):
    return ScriptedStep(name, world, {"a": a or Script(), "b": b or Script()}, **relations)


def both(*steps, **options):
    return run_steps(*steps, tenants=["a", "b"], **options)


def meeting():
    """A script that ends only when two of its kind work at the same time."""
    barrier = threading.Barrier(2, timeout=5)

    def during(context):
        barrier.wait()

    return Script(during=during)


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
    assert store.held == {}


def test_a_busy_tenant_stops_the_run_before_it_begins(world, tmp_path):
    store = stores.MemoryStore(tmp_path)
    step = tenant_step(world, "home")
    with store.tenant_locks(["b"]), pytest.raises(errors.BusyError) as caught:
        both(step, store=store)
    assert caught.value.exit_code == 5
    assert (step.calls, store.history) == ([], [])


@pytest.mark.parametrize("goal", Goal)
def test_whether_tenants_are_being_taken_away_is_told_with_their_locks(world, tmp_path, goal):
    told = []

    class Told(stores.MemoryStore):
        def tenant_locks(self, tenants, *, leaving=False):
            told.append(leaving)
            return super().tenant_locks(tenants, leaving=leaving)

    both(tenant_step(world, "home"), store=Told(tmp_path), goal=goal)
    assert told == [goal is Goal.ABSENT]


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
    order = Order(
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
