"""What `--list` and `--help` print: groups of tasks, a task's docstring, its flags."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_platform.tasks import task_decorator

if TYPE_CHECKING:
    import invoke.collection
    import invoke.parser.context

CORE_FLAGS: Sequence[tuple[tuple[str, ...], type, str | bool | None, bool, str]] = (
    (("help", "h"), str, None, True, "Show this, or the help of a task."),
    (("list", "l"), bool, False, False, "Show all tasks."),
    (("version", "V"), bool, False, False, "Show the toolkit's version."),
    (
        ("dry", "R"),
        bool,
        False,
        False,
        "The same as a task's --plan: show what would change, change nothing.",
    ),
    (("debug",), bool, False, False, "Write the toolkit's own debug lines to standard error."),
    (("traceback",), bool, False, False, "Show where in the code an error came from."),
    (("complete",), bool, False, False, "Print completions for the words after `--`; shells call this."),
    (("print-completion-script",), str, "", False, "Print the completion script for bash, zsh or fish."),
)
"""Flags of `inv` itself: names, kind, default, whether the value may be left out, help.

Invoke has more, and shorter ones. Those are about its own runner of shell commands, which no task
uses, and a mistyped flag must not turn out to be one of them.
"""

_HEADING = "Usage: inv TASK [--flag=value ...]"


def print_overview(
    core: invoke.parser.context.ParserContext, collection: invoke.collection.Collection
) -> None:
    """Usage, the flags of `inv` itself, and all tasks."""
    print(f"{_HEADING}\n\nFlags of inv itself:\n")
    _print_columns(_flags(core))
    print_tasks(collection)


def print_tasks(collection: invoke.collection.Collection) -> None:
    """All tasks by group, each with the first line of its docstring."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, task in collection.tasks.items():
        summary = (task.__doc__ or "").strip().split("\n")[0]
        groups.setdefault(getattr(task, "group", "Other"), []).append((name, summary))
    width = max((len(name) for tasks in groups.values() for name, _ in tasks), default=0)
    for group, tasks in groups.items():
        print(f"{group}:\n")
        _print_columns(tasks, width)
    print("`inv TASK --help` shows a task's flags.")


def print_task(context: invoke.parser.context.ParserContext, task: Any) -> None:
    """One task: usage with the flags that must be given, the docstring, all flags."""
    required = " ".join(f"{task_decorator.flag(name)}=..." for name in getattr(task, "required", ()))
    print(" ".join(f"Usage: inv {context.name} {required} [--flag=value ...]".split()))
    print(f"\n{inspect.getdoc(task) or ''}\n")
    if flags := _flags(context):
        print("Flags:\n")
        _print_columns(flags)


def _flags(context: invoke.parser.context.ParserContext) -> list[tuple[str, str | None]]:
    """Each flag as one types it, with its help; in the order of their names."""
    rows = []
    for argument in sorted(context.args.values(), key=lambda argument: str(argument.name)):
        long, *short = argument.names
        spelling = ", ".join([*(f"-{letter}" for letter in short), f"--{long}"])
        if argument.takes_value and not argument.optional:
            spelling += "=..."
        if argument.kind is bool and argument.default is True:
            spelling = f"--[no-]{long}"
        rows.append((spelling, argument.help))
    return rows


def _print_columns(rows: Sequence[tuple[str, str | None]], width: int = 0) -> None:
    width = width or max(len(name) for name, _ in rows)
    room = max(shutil.get_terminal_size((80, 24)).columns - width - 6, 20)
    for name, text in rows:
        first, *rest = textwrap.wrap(text or "", room) or [""]
        print(f"  {name:<{width}}   {first}".rstrip())
        for line in rest:
            print(" " * (width + 5) + line)
    print()
