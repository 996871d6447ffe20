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


@pytest.mark.parametrize("figures", [None, "0 0 0\n", "", "words\n"])
def test_where_the_system_does_not_say_nothing_has_waited(monkeypatch, tmp_path, figures):
    monkeypatch.setattr(waiting, "_SCHEDULED", str(tmp_path / "figures"))
    if figures is not None:
        (tmp_path / "figures").write_text(figures)
    stopwatch = waiting.Stopwatch()
    threading.Event().wait(0.02)
    assert stopwatch.waited() == 0
