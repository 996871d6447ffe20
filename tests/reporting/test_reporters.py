"""What a run looks like, at 80 columns: on a terminal, in a log, beside a JSON document."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import TextIO, cast

import pytest

from airflow_platform.engine.report import Node, Outcome, Reporter, StepReport
from airflow_platform.reporting import board, lines, looks, reporters

PACKAGES = Node("packages")
DATABASE = Node("database", "analytics")
COMPONENTS = Node("components", "analytics")
SMOKE = Node("smoke", "finance")
NODES = (PACKAGES, DATABASE, COMPONENTS, SMOKE)


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says that it is a terminal, or that it has another encoding."""

    def __init__(self, *, terminal: bool = True, encoding: str = "utf-8") -> None:
        super().__init__()
        self._terminal = terminal
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


def play(reporter: Reporter, clock: Clock) -> Iterator[str]:
    """A run in which one step changes, one is blocked in the end, and one is long; yields at moments to look."""
    reporter.begin(NODES, {COMPONENTS: 12.0})
    reporter.note("The lock of a run that is dead was taken over.")
    reporter.started(PACKAGES)
    clock.now += 0.2
    reporter.ended(PACKAGES, StepReport("packages", Outcome.UNCHANGED, "Airflow 3.3.2 is installed", 0.2))
    reporter.started(DATABASE)
    reporter.ended(
        DATABASE, StepReport("database", Outcome.CHANGED, "made at revision 1f2e3d\nsecond line", 4.0)
    )
    reporter.started(COMPONENTS)
    reporter.progress(
        COMPONENTS, "waiting for a heartbeat of the scheduler, which is newer than its start\nand more"
    )
    clock.now += 3.1
    yield "running"
    clock.now += 100
    yield "long"
    reporter.ended(COMPONENTS, StepReport("components", Outcome.FAILED, "the scheduler did not start", 103.1))
    reporter.ended(SMOKE, StepReport("smoke", Outcome.BLOCKED, "components said no"))
    reporter.end()


def make_lines(look: looks.Look | None = None) -> tuple[io.StringIO, Clock, lines.LinesReporter]:
    stream, clock = io.StringIO(), Clock()
    return stream, clock, lines.LinesReporter(stream, look or looks.Look(), clock)


def test_lines_golden() -> None:
    stream, clock, reporter = make_lines()
    for _ in play(reporter, clock):
        reporter.look_around()
    assert stream.getvalue() == (
        "The lock of a run that is dead was taken over.\n"
        "analytics  database    changed         4.0 s  made at revision 1f2e3d\n"
        "analytics  components  started         3.1 s  usually 12.0 s; waiting for a heartbeat of the scheduler, "
        "which is newer than its start\n"
        "analytics  components  running    1 min 43 s  waiting for a heartbeat of the scheduler, "
        "which is newer than its start\n"
        "analytics  components  failed     1 min 43 s  the scheduler did not start\n"
    )


def test_lines_mention_a_long_step_once_until_it_is_silent_for_too_long() -> None:
    stream, clock, reporter = make_lines()
    reporter.begin(NODES, {})
    reporter.started(COMPONENTS)
    for seconds in (1, 1, 1, 20, 9, 1):
        clock.now += seconds
        reporter.look_around()
    reporter.end()
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["started", "running"]


def test_lines_have_no_control_codes_and_colours_only_on_request() -> None:
    for look, expected in (
        (looks.Look(), set()),
        (looks.Look(colour=True), {"\x1b[31m", "\x1b[0m", "\x1b[32m"}),
    ):
        stream, clock, reporter = make_lines(look)
        for _ in play(reporter, clock):
            pass
        assert set(re.findall(r"\x1b\[[0-9]*m", stream.getvalue())) == expected


def make_board(**look: object) -> tuple[Terminal, Clock, board.BoardReporter]:
    stream, clock = Terminal(), Clock()
    return stream, clock, board.BoardReporter(stream, looks.Look(board=True, **look), clock)  # type: ignore[arg-type]


def test_board_golden() -> None:
    _, clock, reporter = make_board()
    moments = play(reporter, clock)
    next(moments)
    assert reporter.draw().plain == (
        "environment  1 of 1\n"
        "  ✓ packages    unchanged       0.2 s  Airflow 3.3.2 is installed\n"
        "analytics  1 of 2, 3.3 s\n"
        "  ✓ database    changed         4.0 s  made at revision 1f2e3d\n"
        "  ● components  running         3.1 s  of about 12.0 s; waiting for a heartbeat…\n"
        "finance  0 of 1, 3.3 s\n"
        "  ○ smoke       waiting"
    )
    list(moments)
    assert reporter.draw().plain == (
        "environment  1 of 1\n"
        "  ✓ packages    unchanged       0.2 s  Airflow 3.3.2 is installed\n"
        "analytics  2 of 2\n"
        "  ✓ database    changed         4.0 s  made at revision 1f2e3d\n"
        "  ✗ components  failed     1 min 43 s  the scheduler did not start\n"
        "finance  1 of 1\n"
        "  ✗ smoke       blocked         0.0 s  components said no"
    )


def test_a_board_never_draws_beyond_its_width() -> None:
    for width in (40, 80, 120):
        stream, clock, reporter = make_board(width=width)
        for _ in play(reporter, clock):
            assert max(len(line) for line in reporter.draw().plain.splitlines()) <= width
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
        assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= width


def test_a_low_terminal_gets_what_is_going_on_and_in_the_end_everything() -> None:
    _, clock, reporter = make_board(height=7)
    moments = play(reporter, clock)
    next(moments)
    drawn = reporter.draw().plain.splitlines()
    assert [line.split()[0] for line in drawn] == ["environment", "analytics", "●", "finance"]
    list(moments)
    assert len(reporter.draw().plain.splitlines()) == 7


def test_a_board_without_colours_has_none_and_with_ascii_only_ascii() -> None:
    stream, clock, reporter = make_board(symbols=looks.ASCII)
    for _ in play(reporter, clock):
        pass
    assert stream.getvalue().isascii()
    assert not re.search(r"\x1b\[3[0-9]m", stream.getvalue())


@pytest.mark.parametrize(
    ("terminal", "environ", "json", "expected"),
    [
        (True, {}, False, board.BoardReporter),
        (True, {"NO_COLOR": "1"}, False, board.BoardReporter),
        (True, {"CI": "true"}, False, lines.LinesReporter),
        (True, {"TERM": "dumb"}, False, lines.LinesReporter),
        (True, {}, True, lines.LinesReporter),
        (False, {}, False, lines.LinesReporter),
        (False, {"FORCE_COLOR": "1"}, False, lines.LinesReporter),
    ],
)
def test_choice(terminal: bool, environ: dict[str, str], json: bool, expected: type) -> None:
    stream = cast("TextIO", Terminal(terminal=terminal))
    assert isinstance(reporters.choose(stream, environ, json=json), expected)


@pytest.mark.parametrize(
    ("terminal", "environ", "colour"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"CI": "1"}, False),
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (True, {"CI": "1", "FORCE_COLOR": "1"}, True),
        (True, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour(terminal: bool, environ: dict[str, str], colour: bool) -> None:
    assert looks.look_of(Terminal(terminal=terminal), environ).colour is colour


def test_size_and_symbols() -> None:
    look = looks.look_of(Terminal(), {"COLUMNS": "100", "LINES": "x"})
    assert (look.width, look.height, look.symbols) == (100, 24, looks.Symbols())
    assert looks.look_of(Terminal(encoding="latin-1"), {}).symbols is looks.ASCII
