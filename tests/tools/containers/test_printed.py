"""Lines of programs in containers, whatever pieces they come in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_platform.programs import programs
from airflow_platform.tools.containers import containers, follow, image_check, output_lines
from airflow_platform.tools.containers.spec import Container

TEXT = "größer\nKöln\r\n\n50 %\r100 %\nEnde".encode()
LINES = ["größer", "Köln", "50 %", "100 %", "Ende"]


def pieces(length):
    return [TEXT[at : at + length] for at in range(0, len(TEXT), length)]


@pytest.mark.parametrize("length", [1, 2, 3, 7, len(TEXT)])
def test_lines_are_whole_wherever_the_pieces_end(length):
    assert list(output_lines.lines(pieces(length))) == LINES


def test_the_last_lines_are_kept_and_all_are_passed_on():
    told = []
    said = output_lines.Printed(told.append)
    said.follow(f"{number}\n".encode() for number in range(100))
    assert len(told) == 100
    assert said.last == tuple(told[-output_lines.TAIL :])
    assert output_lines.indented(said.last).startswith("\n    85\n    86\n")


def test_what_was_said_before_an_error_is_kept():
    def broken():
        yield b"first\nsec"
        raise ConnectionResetError

    said = output_lines.Printed(print)
    with pytest.raises(ConnectionResetError):
        said.follow(broken())
    assert said.last == ("first",)


def test_the_lines_of_a_container_are_whole():
    def logs(name, *, stream, follow):
        yield from pieces(1)

    api = SimpleNamespace(
        logs=logs,
        wait=lambda name: {"StatusCode": 0},
        stop=lambda name, timeout: None,
        remove_container=lambda name, force, v: None,
    )
    made = containers.Containers(SimpleNamespace(api=api))
    made.start = lambda spec: None
    told = []
    ended = made.run(
        Container("x", "sha256:1"), timeout=60, interruption=programs.Interruption(), progress=told.append
    )
    assert told == list(ended.tail) == LINES


def test_the_lines_of_a_trial_are_whole(monkeypatch):
    frames = [(is_error, piece) for piece in pieces(1) for is_error in (True, False)]
    monkeypatch.setattr(follow, "frames", lambda channel: frames)
    api = SimpleNamespace(
        create_host_config=lambda **named: {},
        create_container=lambda *words, **named: {"Id": "x"},
        put_archive=lambda *words: True,
        attach_socket=lambda *words: SimpleNamespace(
            close=lambda: None, _response=SimpleNamespace(close=print)
        ),
        start=lambda container: None,
        wait=lambda container, timeout: {"StatusCode": 0},
        remove_container=lambda container, force, v: None,
    )
    told = []
    trial = image_check.Trial("sha256:1", ("x",), {})
    answer = image_check.run(api, trial, interruption=programs.Interruption(), progress=told.append)
    assert told == LINES
    assert answer == TEXT.decode()
