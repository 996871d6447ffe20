"""Steps of other packages: found by the entry-point group `airflow_platform.steps`, loaded when named."""

from __future__ import annotations

import difflib
import importlib.metadata
from collections.abc import Sequence

from airflow_platform import errors
from airflow_platform.engine.step import EnvironmentStep, Step, TenantStep

GROUP = "airflow_platform.steps"


def load(names: Sequence[str]) -> tuple[Step, ...]:
    """The steps of these entry-point names, each made without arguments.

    Raises:
        ConfigurationError: None, or more than one, has that name; it cannot be imported; it is no step.
    """
    if not names:
        return ()
    found = importlib.metadata.entry_points(group=GROUP)
    return tuple(_load(name, [entry for entry in found if entry.name == name], found.names) for name in names)


def _load(name: str, entries: Sequence[importlib.metadata.EntryPoint], known: set[str]) -> Step:
    if len(entries) > 1:
        raise errors.ConfigurationError(
            f"Two packages bring a step {name}: {' and '.join(map(_origin, entries))}.",
            (),
            hint="Uninstall one of them.",
        )
    if not entries:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else "Install the package that brings it."
        raise errors.ConfigurationError(f"No installed package brings a step {name}.", (), hint=hint)
    try:
        kind = entries[0].load()
    except Exception as error:
        raise errors.ConfigurationError(
            f"Step {name} of {_origin(entries[0])} cannot be imported: {error!r}.",
            (),
            hint="Mend or remove that package.",
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, (EnvironmentStep, TenantStep))):
        raise errors.ConfigurationError(
            f"{_origin(entries[0])} is not a class derived from EnvironmentStep or TenantStep.",
            (),
            hint="See docs/plugins.md.",
        )
    if kind.name != name:
        raise errors.ConfigurationError(
            f"The step of {_origin(entries[0])} calls itself {kind.name}, its entry point {name}.",
            (),
            hint="Give both the same name.",
        )
    return kind()


def _origin(entry: importlib.metadata.EntryPoint) -> str:
    package = entry.dist.name if entry.dist is not None else "an unknown package"
    return f"{entry.value} ({package})"
