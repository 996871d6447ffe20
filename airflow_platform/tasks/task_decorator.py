"""How a task is declared: explicit names and flags, help for each, nothing positional, no short flags.

Invoke's own conveniences undermine exit codes: with a required positional, `inv up --help` runs the
task, and automatic short flags shadow one another. What is declared here is checked at import.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import invoke.exceptions
import invoke.tasks

from airflow_platform import errors

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_KINDS = ("str", "str | None", "bool", "tuple[str, ...]")

Body = Callable[..., int | None]
"""A task's function: takes Invoke's context and keyword arguments, returns its exit code (None is 0)."""


class Task(invoke.tasks.Task):  # type: ignore[type-arg]
    """A task with a group to be listed under and flags that must be given."""

    group: str
    """The heading under which `--list` shows it."""
    required: tuple[str, ...]
    """Parameters without a default: each must be given, as a flag."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Any]:
        """Invoke's, which empties `help` the first time and then has none for the second."""
        kept = dict(self.help)
        try:
            return super().get_arguments(ignore_unknown_help)
        finally:
            self.help = kept


def task_named(name: str, *, group: str, help: Mapping[str, str]) -> Callable[[Body], Task]:
    """Declare a task.

    Args:
        name: What users type: lower case, words joined by hyphens.
        group: The heading under which `--list` shows it.
        help: For each parameter, one line for people.

    A parameter is `str` without a default (must be given), `str` or `str | None` with one, `bool`, or
    `tuple[str, ...]` with the default `()` for a flag that may be repeated. The function's return
    value is the exit code.

    Raises:
        TypeError: The declaration breaks these rules.
    """

    def declare(body: Body) -> Task:
        parameters = _parameters(body)
        _check(name, body, parameters, help)
        task = Task(
            _wrapped(name, body, parameters),
            name=name,
            positional=[],
            auto_shortflags=False,
            iterable=[each.name for each in parameters if each.annotation == _KINDS[3]],
            help=dict(help),
        )
        task.group = group
        task.required = _required(parameters)
        return task

    return declare


def wants_traceback(context: Any) -> bool:
    """Whether `--traceback` was given; stock Invoke does not know it."""
    return bool(context.config.get("traceback", False))


def flag(parameter: str) -> str:
    """The flag of a parameter; one whose name Python reserves, such as `from_`, ends in an underscore."""
    return f"--{parameter.strip('_').replace('_', '-')}"


def check_given(name: str, required: tuple[str, ...], values: Mapping[str, object]) -> None:
    """Refuse a call without a required flag.

    Raises:
        UsageError: Names all missing flags.
    """
    missing = [parameter for parameter in required if not values.get(parameter)]
    if missing:
        flags = " and ".join(map(flag, missing))
        raise errors.UsageError(
            f"{name} needs {flags}.", hint=f"`inv {name} --help` shows what each flag means."
        )


def _parameters(body: Body) -> list[inspect.Parameter]:
    return list(inspect.signature(body).parameters.values())[1:]


def _required(parameters: list[inspect.Parameter]) -> tuple[str, ...]:
    return tuple(each.name for each in parameters if each.default is inspect.Parameter.empty)


def _wrapped(name: str, body: Body, parameters: list[inspect.Parameter]) -> Body:
    """The function that Invoke calls: lists become tuples, a code other than 0 ends the command line."""
    required = _required(parameters)
    repeated = [each.name for each in parameters if each.annotation == _KINDS[3]]

    @functools.wraps(body)
    def call(context: Any, **values: Any) -> None:
        check_given(name, required, values)
        for parameter in repeated:
            values[parameter] = tuple(values.get(parameter) or ())
        code = body(context, **values)
        if code:
            raise invoke.exceptions.Exit(code=int(code))

    # Invoke takes the kind of a flag from its default, and a tuple is no kind that it knows.
    signature = inspect.signature(body)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            each.replace(default=None) if each.name in repeated else each
            for each in signature.parameters.values()
        ]
    )
    return call


def _check(name: str, body: Body, parameters: list[inspect.Parameter], help: Mapping[str, str]) -> None:
    if not _NAME.fullmatch(name):
        raise TypeError(f"task {name!r}: a name is lower case words joined by hyphens")
    if not (body.__doc__ or "").strip():
        raise TypeError(f"task {name}: a docstring is its help")
    for each in parameters:
        if each.annotation not in _KINDS:
            raise TypeError(f"task {name}: {each.name} is {each.annotation!r}, not one of {_KINDS}")
        if each.annotation == _KINDS[3] and each.default != ():
            raise TypeError(f"task {name}: {each.name} needs the default ()")
    if set(help) != {each.name for each in parameters}:
        raise TypeError(f"task {name}: help must describe exactly its parameters")
