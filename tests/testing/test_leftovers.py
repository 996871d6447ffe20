"""Which objects of an engine are leftovers of killed test runs, and which are somebody's running tests."""

from airflow_platform.testing import leftovers
from airflow_platform.tools.containers.labelled_objects import CONTAINER, NETWORK, VOLUME, Marked


def lifeline(session, state):
    labels = frozenset({(leftovers.SESSION, session), (leftovers.PART, leftovers.LIFELINE)})
    return Marked(CONTAINER, f"{session}.lifeline", session, labels, state)


def thing(kind, session, state=""):
    return Marked(kind, f"{session}.thing", session, frozenset({(leftovers.SESSION, session)}), state)


def everything(session):
    return [thing(CONTAINER, session, "running"), thing(NETWORK, session), thing(VOLUME, session)]


def test_what_has_no_lifeline_is_left_even_while_it_runs():
    assert leftovers.dead(everything("a")) == tuple(everything("a"))


def test_what_has_a_running_lifeline_is_not():
    alive = [*everything("a"), lifeline("a", "running")]
    assert leftovers.dead([*alive, *everything("b")]) == tuple(everything("b"))


def test_a_lifeline_that_has_ended_is_left_too():
    found = [lifeline("a", "exited"), *everything("a")]
    assert leftovers.dead(found) == tuple(found)


def test_a_lifeline_that_is_about_to_start_is_given_time():
    found = [lifeline("a", "created"), lifeline("b", "created")]
    assert leftovers.dead(found) == ()
    assert leftovers.dead(found, late=frozenset({"a"})) == (found[0],)


class Engine:
    """Answers with one list after the other, and remembers what was removed."""

    def __init__(self, monkeypatch, *answers):
        self._answers = list(answers)
        self.removed = []
        monkeypatch.setattr(
            leftovers.labelled_objects, "found", lambda client, label, value="": self._answers.pop(0)
        )
        monkeypatch.setattr(
            leftovers.labelled_objects, "remove", lambda client, things: self.removed.extend(things)
        )


def test_a_sweep_looks_again_at_what_was_about_to_start(monkeypatch):
    starting = [lifeline("a", "created"), lifeline("b", "created")]
    later = [lifeline("a", "created"), lifeline("b", "running"), lifeline("c", "created"), *everything("b")]
    engine, waited = Engine(monkeypatch, starting, later), []
    assert leftovers.sweep(None, sleep=waited.append) == ("container a.lifeline",)
    assert (engine.removed, waited) == ([lifeline("a", "created")], [leftovers.STARTING])


def test_a_sweep_with_nothing_to_do_waits_for_nothing(monkeypatch):
    engine, waited = Engine(monkeypatch, [lifeline("a", "running"), *everything("a")]), []
    assert leftovers.sweep(None, sleep=waited.append) == ()
    assert (engine.removed, waited) == ([], [])
