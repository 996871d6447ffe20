"""How long something waited, by the system's own figures."""

import sys
import threading
import time

import pytest

from airflow_platform.parsing import waiting


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how long a thread was in line")
def test_waiting_is_told_from_work():
    stopwatch = waiting.Stopwatch()
    threading.Event().wait(0.5)
    assert 0.4 < stopwatch.waited() < 5
    stopwatch, until = waiting.Stopwatch(), time.process_time() + 0.5
    while time.process_time() < until:
        pass
    assert stopwatch.waited() < 0.4


def test_where_the_system_does_not_say_nothing_has_waited(monkeypatch, tmp_path):
    monkeypatch.setattr(waiting, "_SCHEDULED", str(tmp_path / "none"))
    stopwatch = waiting.Stopwatch()
    threading.Event().wait(0.01)
    assert stopwatch.waited() == 0
