"""The end of a run, for people: what each tenant is now, what changed, what went wrong, what to type next."""

from __future__ import annotations

import os
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TextIO

from airflow_platform.engine.report import Outcome, Report, StepReport, TenantReport
from airflow_platform.errors import Fault
from airflow_platform.reporting import looks, tables

_COLOUR_OF_CODE = {0: "green", 3: "yellow"}


def show(
    report: Report,
    *,
    notes: Sequence[str] = (),
    next_commands: Sequence[str] = (),
    tracebacks: bool = False,
    stream: TextIO | None = None,
) -> None:
    """Print the summary, to standard error unless told otherwise.

    Args:
        report: What the run came to.
        notes: Sentences about the whole that a reader should know.
        next_commands: What a reader could type next, in full.
        tracebacks: Whether `--traceback` was given.
        stream: Where to print.
    """
    stream = stream or sys.stderr
    look = looks.look_of(stream, os.environ)
    stream.write(text_of(report, look, notes=notes, next_commands=next_commands, tracebacks=tracebacks))
    stream.flush()


def show_tracebacks(report: Report, stream: TextIO | None = None) -> None:
    """Print where in the code its faults came from, for answers that need no summary."""
    for trace in _tracebacks(report):
        print(f"\n{trace}", file=stream or sys.stderr)


def text_of(
    report: Report,
    look: looks.Look,
    *,
    notes: Sequence[str] = (),
    next_commands: Sequence[str] = (),
    tracebacks: bool = False,
) -> str:
    """The summary as text."""
    blocks = [_headline(report, look)]
    if report.steps and any(_is_told(step) for step in report.steps):
        blocks.append("\n".join(["environment", *_steps(report.steps, look)]))
    blocks += [_tenant(tenant, look) for tenant in report.tenants]
    if report.faults:
        blocks.append("\n".join(_faults(report.faults, look)))
    if tracebacks:
        blocks += _tracebacks(report)
    blocks += ["\n".join(_wrapped(note, "", look.width)) for note in notes]
    if next_commands:
        blocks.append("\n".join(["Next:", *(f"  {command}" for command in next_commands)]))
    return "\n" + "\n\n".join(blocks) + "\n"


def _headline(report: Report, look: looks.Look) -> str:
    where = f" {report.environment}" if report.environment else ""
    colour = _COLOUR_OF_CODE.get(report.exit_code, "red")
    counts = Counter(step.status for step in _all_steps(report))
    steps = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome])
    status = look.paint(report.status, colour)
    return f"{report.task}{where}: {status}" + (f" (steps: {steps})" if steps else "")


def _tenant(tenant: TenantReport, look: looks.Look) -> str:
    lines = [f"{tenant.name}: {tenant.status}"]
    names = {name.replace("_", " "): value for name, value in tenant.outputs.items()}
    lines += tables.details(names, indent="  ").splitlines()
    lines += _steps(tenant.steps, look)
    return "\n".join(lines)


def _steps(steps: Sequence[StepReport], look: looks.Look) -> Iterator[str]:
    """A line for each step that would change something, was left out, or did not get where it should."""
    told = [step for step in steps if _is_told(step)]
    width = max((len(step.name) for step in told), default=0)
    for step in told:
        state = look.paint(f"{step.status.value:<9}", looks.COLOURS[step.status])
        first, *rest = (step.reason.strip() or "-").split("\n")
        yield f"  {state}  {step.name:<{width}}  {first}"
        yield from (f"      {line}" for line in rest)


def _is_told(step: StepReport) -> bool:
    """What changed was told while it happened; what is blocked by another step follows from that one."""
    if step.status is Outcome.BLOCKED:
        return bool(step.faults)
    return step.status not in (Outcome.UNCHANGED, Outcome.CHANGED)


def _faults(faults: Sequence[Fault], look: looks.Look) -> Iterator[str]:
    yield "What went wrong:"
    for fault in faults:
        yield from _wrapped(f"{fault.thing}: {fault.cause}", f"  {look.symbols.bad} ", look.width)
        yield from _wrapped(fault.remedy, f"    {look.symbols.arrow} ", look.width)


def _wrapped(text: str, start: str, width: int) -> Iterator[str]:
    """A paragraph; lines that come from a program keep their own ends."""
    first, *rest = text.split("\n")
    indent = " " * len(start)
    yield from textwrap.wrap(
        first, width, initial_indent=start, subsequent_indent=indent, break_long_words=False
    )
    yield from (indent + line for line in rest)


def _tracebacks(report: Report) -> list[str]:
    return [step.traceback.rstrip() for step in _all_steps(report) if step.traceback]


def _all_steps(report: Report) -> list[StepReport]:
    return [*report.steps, *(step for tenant in report.tenants for step in tenant.steps)]
