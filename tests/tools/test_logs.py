"""Logs: their last lines, and lines as they come."""

import contextlib
import itertools

import pytest

from airflow_platform.tools import logs


class Enough(Exception):
    """Ends following."""


def texts(lines):
    return [(line.source, line.text) for line in lines]


@pytest.mark.parametrize(
    ("content", "count", "expected"),
    [
        (b"", 3, []),
        (b"one\n", 3, ["one"]),
        (b"one\ntwo\nthree\n", 2, ["two", "three"]),
        (b"one\ntwo", 1, ["two"]),
        (b"one\ntwo\n", 0, []),
        (b"\xff\n", 1, ["\ufffd"]),
        (b"a\r\nb\r\n", 2, ["a", "b"]),
    ],
)
def test_the_last_lines(tmp_path, content, count, expected):
    path = tmp_path / "log"
    path.write_bytes(content)
    assert [line.text for line in logs.last({"a": path}, count)] == expected


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_the_last_lines_of_a_long_log_are_read_from_its_end(tmp_path, monkeypatch, block):
    monkeypatch.setattr(logs, "BLOCK", block)
    path = tmp_path / "log"
    path.write_text("".join(f"line {number} é\n" for number in range(200)))
    assert [line.text for line in logs.last({"a": path}, 3)] == [
        f"line {number} é" for number in (197, 198, 199)
    ]


def test_logs_come_one_after_the_other_and_a_missing_one_has_no_lines(tmp_path):
    (tmp_path / "b").write_text("1\n2\n")
    (tmp_path / "c").write_text("3\n")
    found = logs.last({"a": tmp_path / "a", "b": tmp_path / "b", "c": tmp_path / "c"}, 1)
    assert texts(found) == [("b", "2"), ("c", "3")]


def followed(wanted, *happenings):
    """The lines that are seen when these things happen, one between two looks."""
    steps = itertools.chain(happenings, [None])

    def sleep():
        happening = next(steps)
        if happening is None:
            raise Enough
        happening()

    seen = []
    lines = logs.follow(wanted, sleep)
    with contextlib.suppress(Enough):
        while True:
            line = next(lines)
            seen.append((line.source, line.text))
    return seen


def appending(path, text):
    def append():
        with path.open("a") as file:
            file.write(text)

    return append


def test_only_new_and_whole_lines_are_followed(tmp_path):
    path = tmp_path / "log"
    path.write_text("old\n")
    happenings = [appending(path, text) for text in ("new\nha", "lf", "\n")]
    assert followed({"a": path}, *happenings) == [("a", "new"), ("a", "half")]


def test_a_log_that_is_begun_later_is_taken_up(tmp_path):
    path = tmp_path / "log"
    assert followed({"a": path}, appending(path, "first\n"), appending(path, "second\n")) == [
        ("a", "first"), ("a", "second"),
    ]  # fmt: skip


def test_a_log_that_is_rotated_or_cut_is_read_from_its_start(tmp_path):
    path = tmp_path / "log"
    path.write_text("old\n" * 10)

    def rotate():
        path.rename(tmp_path / "log.1")
        path.write_text("rotated\n" * 11)

    def cut():
        path.write_text("cut\n")

    assert followed({"a": path}, rotate, cut) == [("a", "rotated")] * 11 + [("a", "cut")]


def test_a_log_that_goes_is_waited_for(tmp_path):
    path = tmp_path / "log"
    path.write_text("old\n")
    assert followed({"a": path}, path.unlink, lambda: path.write_text("new\n")) == [("a", "new")]
