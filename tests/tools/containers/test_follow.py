"""Streams that a signal ends."""

from __future__ import annotations

import signal
import threading

import pytest

from airflow_platform import errors, programs
from airflow_platform.tools.containers import follow


def test_items_come_in_order():
    assert list(follow.items(iter([1, 2, 3]), programs.Interruption(), lambda: None)) == [1, 2, 3]


def test_an_error_of_the_stream_is_raised_where_it_is_followed():
    def stream():
        yield 1
        raise ValueError("broken")

    followed = follow.items(stream(), programs.Interruption(), lambda: None)
    assert next(followed) == 1
    with pytest.raises(ValueError, match="broken"):
        next(followed)


def endless(fed):
    while not fed.is_set():
        yield 1


def test_a_signal_ends_a_stream_that_never_pauses():
    fed, interruption = threading.Event(), programs.Interruption()
    followed = follow.items(endless(fed), interruption, fed.set)
    assert next(followed) == 1
    interruption.request(signal.SIGTERM)
    with pytest.raises(errors.Interrupted):
        next(followed)
    assert fed.is_set()


@pytest.mark.parametrize("pauses", [True, False])
def test_a_stream_ends_in_time(pauses):
    fed = threading.Event()

    def stream():
        yield from endless(fed) if not pauses else ()
        assert fed.wait(10)

    with pytest.raises(follow.Late):
        list(follow.items(stream(), programs.Interruption(), fed.set, timeout=0.2))
    assert fed.is_set()


def test_a_signal_ends_it_and_stops_who_feeds_it():
    fed = threading.Event()

    def stream():
        yield 1
        assert fed.wait(10)

    interruption = programs.Interruption()
    followed = follow.items(stream(), interruption, fed.set)
    assert next(followed) == 1
    interruption.request(signal.SIGTERM)
    with pytest.raises(errors.Interrupted):
        next(followed)
    assert fed.is_set()
