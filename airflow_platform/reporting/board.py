"""The live board of a terminal: one line a step, by tenant, drawn over until the run ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

import rich.console
import rich.live
import rich.text

from airflow_platform.engine.report import Node, StepReport
from airflow_platform.reporting import looks
from airflow_platform.reporting.progress import Entry, Progress, duration

REFRESHES = 4
"""Drawings a second: seconds pass visibly, and a slow connection keeps up."""


class BoardReporter:
    """A reporter for a terminal."""

    def __init__(self, stream: TextIO, look: looks.Look, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._progress = Progress(clock)
        self._lock = threading.Lock()
        self._ended = False
        self._console = rich.console.Console(
            file=stream,
            force_terminal=True,
            color_system="standard" if look.colour else None,
            width=look.width,
            height=look.height,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._live = rich.live.Live(
            console=self._console,
            get_renderable=self.draw,
            refresh_per_second=REFRESHES,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def begin(self, nodes: Sequence[Node], expected: Mapping[Node, float]) -> None:
        """Put the board up, with every step waiting."""
        self._progress.begin(nodes, expected)
        self._live.start()

    def note(self, text: str) -> None:
        """Written above the board, where it stays."""
        self._console.print(text)

    def started(self, node: Node) -> None:
        """The step's line says that it runs, and since when."""
        with self._lock:
            self._progress.started(node)

    def progress(self, node: Node, text: str) -> None:
        """The step's line says what it says."""
        with self._lock:
            self._progress.told(node, text)

    def ended(self, node: Node, result: StepReport) -> None:
        """The step's line says how it ended."""
        with self._lock:
            self._progress.ended(node, result)

    def end(self) -> None:
        """Draw every step a last time and let the lines scroll away."""
        self._ended = True
        self._live.stop()

    def draw(self) -> rich.text.Text:
        """The board as it is now: all steps, or, where the terminal is too low, what is going on."""
        with self._lock:
            lines = self._lines(brief=False)
            if len(lines) >= self._look.height and not self._ended:
                lines = self._lines(brief=True)[-(self._look.height - 1) :]
        text = rich.text.Text("\n", no_wrap=True, overflow="crop", end="").join(lines)
        text.no_wrap = True
        return text

    def _lines(self, *, brief: bool) -> list[rich.text.Text]:
        lines: list[rich.text.Text] = []
        width = max((len(entry.node.step) for entry in self._progress.entries()), default=0)
        for tenant, entries in self._progress.sections():
            lines.append(self._heading(tenant, entries))
            lines += [self._line(entry, width) for entry in entries if not brief or _matters(entry)]
        return lines

    def _heading(self, tenant: str | None, entries: Sequence[Entry]) -> rich.text.Text:
        done = sum(entry.outcome is not None for entry in entries)
        heading = rich.text.Text(tenant or "environment", style="bold")
        heading.append(f"  {done} of {len(entries)}", style="not bold")
        if done < len(entries):
            running = self._progress.clock() - self._progress.began
            heading.append(f", {duration(running)}", style="not bold")
        return heading

    def _line(self, entry: Entry, width: int) -> rich.text.Text:
        symbols = self._look.symbols
        if entry.outcome is not None:
            sign, colour = symbols.of(entry.outcome), looks.COLOURS[entry.outcome]
            state, seconds, text = entry.outcome.value, duration(entry.seconds), entry.reason
        elif entry.running:
            sign, colour, state = symbols.running, "cyan", "running"
            seconds, text = duration(self._progress.elapsed(entry)), _outlook(entry)
        else:
            sign, colour, state, seconds, text = symbols.waiting, "", "waiting", "", ""
        line = rich.text.Text("  ")
        line.append(f"{sign} {entry.node.step:<{width}}  {state:<9}", style=colour)
        line.append(f"  {seconds:>10}  {text}")
        return self._fitted(line)

    def _fitted(self, line: rich.text.Text) -> rich.text.Text:
        """The line, cut to the terminal's width with the ellipsis that it can show."""
        line.rstrip()
        if line.cell_len > self._look.width:
            line.truncate(self._look.width - len(self._look.symbols.ellipsis), overflow="crop")
            line.append(self._look.symbols.ellipsis)
        return line


def _matters(entry: Entry) -> bool:
    """Whether a step keeps its line on a terminal that is too low for all: it runs, or went wrong."""
    return entry.running or (entry.outcome is not None and not entry.outcome.good)


def _outlook(entry: Entry) -> str:
    usual = f"of about {duration(entry.expected)}" if entry.expected else ""
    return "; ".join(part for part in (usual, entry.news) if part)
