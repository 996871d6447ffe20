"""Writes docs/reference.md from the code; without `--write` it says whether the file is current."""

from __future__ import annotations

import ast
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic
from pydantic_core import PydanticUndefined

from airflow_platform import errors
from airflow_platform.config import dag_settings, specs
from airflow_platform.runtimes.docker import manifest
from airflow_platform.tasks import collection

PAGE = Path(__file__).with_name("reference.md")

VARIABLES = {
    "AIRFLOW_PLATFORM_STATE": "Where tenants live. By default the user's state directory, a digest of the project's"
    " path, and the environment's name.",
    "AIRFLOW_PLATFORM_CACHE": "Where installed packages and downloads are kept; safe to delete. By default the user's"
    " cache directory, as root `/var/cache/airflow-platform`.",
    "AIRFLOW_PLATFORM_PROJECT": "The project: the repository with `environments/` and `dags/`. By default the nearest folder,"
    " from the working directory upwards, that has `environments/`; `scripts/inv` works on its own checkout.",
    "AIRFLOW_PLATFORM_ENVIRONMENTS": "Where the files of environments are. By default `environments/` in the project.",
    "NO_COLOR": "Anything: no colours.",
    "FORCE_COLOR": "Anything: colours, also in logs.",
    "CI": "Anything: plain lines instead of the live board.",
    "COLUMNS, LINES": "Size of the terminal, where it does not say so itself.",
    "PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_NO_INDEX, PIP_TRUSTED_HOST, PIP_CERT, PIP_CLIENT_CERT, "
    "PIP_PROXY, PIP_TIMEOUT, PIP_CONFIG_FILE": "pip's settings, also from pip.conf, are passed on to uv, which does"
    " not read them. uv's own variables win.",
}


def page() -> str:
    """The whole page."""
    sections = (introduction, exit_codes, tasks, variables, settings)
    return "\n".join("\n".join(section()) + "\n" for section in sections)


def introduction() -> Iterator[str]:
    """What the page is."""
    yield "# Reference"
    yield ""
    yield "Written from the code by `scripts/nox -s docs -- --write`; a test fails when it is not current."


def exit_codes() -> Iterator[str]:
    """The table of exit codes, from the docstrings in errors.py."""
    yield from ("## Exit codes", "", "| code | meaning |", "| --- | --- |")
    for code, text in docstrings(errors.ExitCode).items():
        yield f"| {errors.ExitCode[code].value} | {text} |"
    yield ""
    yield (
        "Stock `inv` (without `scripts/`) runs the same tasks, but exits 1 for a mistake on the command line and "
        "shows a traceback for errors; `scripts/inv` is the one to use in scripts."
    )


def docstrings(owner: type) -> dict[str, str]:
    """The text under each attribute of a class."""
    body = ast.parse(inspect.getsource(owner)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for attribute, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(attribute, ast.Assign) and isinstance(text, ast.Expr):
            assert isinstance(attribute.targets[0], ast.Name)
            found[attribute.targets[0].id] = one_line(ast.literal_eval(text.value))
    return found


def tasks() -> Iterator[str]:
    """Each task with its flags."""
    yield "## Tasks"
    for name, task in collection.namespace.tasks.items():
        yield ""
        yield f"### inv {name}"
        yield ""
        yield inspect.getdoc(task) or ""
        arguments = task.get_arguments()
        if arguments:
            yield from ("", "| flag | meaning |", "| --- | --- |")
        for argument in arguments:
            needed = (
                " Required." if argument.attr_name in task.required or argument.name in task.required else ""
            )
            value = "=..." if argument.takes_value else ""
            known = f" By default {argument.default}." if argument.takes_value and argument.default else ""
            yield f"| `--{argument.names[0]}{value}` | {argument.help}{known}{needed} |"


def variables() -> Iterator[str]:
    """The environment variables that are read."""
    yield from ("## Environment variables", "", "| variable | meaning |", "| --- | --- |")
    for names, text in VARIABLES.items():
        yield f"| {', '.join(f'`{name}`' for name in names.split(', '))} | {text} |"


def settings() -> Iterator[str]:
    """Each field of an environment's file."""
    yield "## Settings"
    yield ""
    yield "An environment is a file `environments/<name>.toml`."
    yield from _tables(specs.Environment)
    yield from (
        "",
        "## Settings of all DAGs",
        "",
        "What all environments share about their DAGs is in `dags.toml`.",
    )
    yield from _tables(dag_settings.Project)


def _tables(whole: type[pydantic.BaseModel]) -> Iterator[str]:
    """A table for each model of a file."""
    for model, place in models(whole, ""):
        heading = f"{model.__name__}: `{place}`" if place else f"{model.__name__}: top of the file"
        yield from ("", f"### {heading}", "", one_line(model.__doc__ or ""), "")
        yield from ("| key | type | default | meaning |", "| --- | --- | --- | --- |")
        for name, field in model.model_fields.items():
            if (model, name) != (specs.Environment, "name"):
                text = one_line(field.description or "")
                yield f"| `{field.alias or name}` | {kind(field.annotation)} | {default(field)} | {text} |"
        if model is specs.Limits:
            yield from _limits()


def _limits() -> Iterator[str]:
    """What containers may use that have no limits of their own."""
    yield from ("", f"A container that is left out may use {manifest.CPUS:g} cores and this memory:", "")
    yield from ("| container | MiB |", "| --- | --- |")
    for name, memory in manifest.MEMORY.items():
        yield f"| `{name}` | {memory} |"


def models(model: type[pydantic.BaseModel], place: str) -> Iterator[tuple[type[pydantic.BaseModel], str]]:
    """A model and those inside it, each with its place in the file; a model is shown where it comes first."""
    seen = set()
    queue = [(model, place)]
    while queue:
        current, where = queue.pop(0)
        if current in seen:
            continue
        seen.add(current)
        yield current, where
        for name, field in current.model_fields.items():
            inner = f"{where.strip('[]')}.{field.alias or name}".lstrip(".")
            for nested in inside(field.annotation):
                is_list = typing.get_origin(field.annotation) is tuple
                queue.append((nested, f"[[{inner}]]" if is_list else f"[{inner}]"))


def inside(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    """The models that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from inside(argument)


def kind(annotation: Any) -> str:
    """A type for people."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is not None:
        return PHRASES[origin](arguments)
    if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
        return annotation.__name__
    return {str: "text", int: "integer", bool: "true or false", float: "number"}.get(annotation, "anything")


def without_none(arguments: tuple[Any, ...]) -> str:
    """An optional type: the key may be left out, TOML has no null."""
    return kind(next(argument for argument in arguments if argument is not types.NoneType))


PHRASES: dict[Any, Callable[[tuple[Any, ...]], str]] = {
    typing.Annotated: lambda arguments: kind(arguments[0]),
    typing.Literal: lambda arguments: " or ".join(f"`{argument}`" for argument in arguments),
    typing.Union: without_none,
    types.UnionType: without_none,
    tuple: lambda arguments: f"list of {kind(arguments[0])}",
    dict: lambda arguments: f"table of {kind(arguments[1])}",
}
"""How a generic type is said, by what it is made with."""


def default(field: Any) -> str:
    """A default for people; other models and what is empty have none to speak of."""
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, specs.PortRange):
        return f"`{value.first}` to `{value.last}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    if isinstance(value, str | int | float) and value != "":
        return f"`{value}`"
    return ""


def one_line(text: str) -> str:
    """A docstring as the cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Compare, or write."""
    if "--write" in sys.argv:
        PAGE.write_text(page())
    elif not PAGE.exists() or PAGE.read_text() != page():
        sys.exit(f"{PAGE.name} is not what the code says: scripts/nox -s docs -- --write")


if __name__ == "__main__":
    main()
