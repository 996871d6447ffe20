"""Steps of other packages: found by the entry-point group `airflow_platform.steps`, loaded when named."""

from __future__ import annotations

import difflib
import importlib.metadata
from collections import Counter
from collections.abc import Sequence

from airflow_platform import errors
from airflow_platform.engine.step import EnvironmentStep, Step, TenantStep

GROUP = "airflow_platform.steps"

_Entries = Sequence[importlib.metadata.EntryPoint]


def load(names: Sequence[str]) -> tuple[Step, ...]:
    """The steps of these entry-point names, each made without arguments.

    Raises:
        ConfigurationError: None, or more than one, has such a name; one cannot be imported, or is
            no step. Carries the faults of all names.
    """
    if not names:
        return ()
    found = tuple(importlib.metadata.entry_points(group=GROUP))
    steps: list[Step] = []
    faults: list[errors.Fault] = []
    for name, times in Counter(names).items():
        loaded = _load(name, found) if times == 1 else _fault(name, "It is named twice.", "Name it once.")
        if isinstance(loaded, errors.Fault):
            faults.append(loaded)
        else:
            steps.append(loaded)
    if faults:
        raise errors.ConfigurationError("Steps of other packages cannot be used.", faults)
    return tuple(steps)


def _load(name: str, found: _Entries) -> Step | errors.Fault:
    entries = [entry for entry in found if entry.name == name]
    if not entries:
        near = difflib.get_close_matches(name, {entry.name for entry in found}, n=1)
        remedy = f"Did you mean {near[0]}?" if near else "Install the package that brings it."
        return _fault(name, "No installed package brings it.", remedy)
    if len(entries) > 1:
        both = " and ".join(sorted(map(_origin, entries)))
        return _fault(name, f"Two packages bring it: {both}.", "Uninstall one of them.")
    try:
        kind = entries[0].load()
        is_step = isinstance(kind, type) and issubclass(kind, (EnvironmentStep, TenantStep))
        step = kind() if is_step else None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - another package's code may raise anything.
        cause = f"{_origin(entries[0])} cannot be loaded: {error!r}."
        return _fault(name, cause, "Mend or remove that package.")
    if step is None:
        cause = f"{_origin(entries[0])} is not a class derived from EnvironmentStep or TenantStep."
        return _fault(name, cause, "See docs/plugins.md.")
    if getattr(step, "name", None) != name:
        cause = f"{_origin(entries[0])} calls itself {getattr(step, 'name', 'nothing')}, not {name}."
        return _fault(name, cause, "Give the step and its entry point the same name.")
    assert isinstance(step, Step)
    return step


def _fault(name: str, cause: str, remedy: str) -> errors.Fault:
    return errors.Fault(f"step {name}", cause, remedy)


def _origin(entry: importlib.metadata.EntryPoint) -> str:
    package = entry.dist.name if entry.dist is not None else "an unknown package"
    return f"{entry.value} ({package})"
