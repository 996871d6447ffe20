"""From a name to a spec: reads `environments/<name>.toml` and `dags.toml`, and reports every fault of a file at once."""

from __future__ import annotations

import contextlib
import difflib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_platform import errors
from airflow_platform.config import paths

if TYPE_CHECKING:
    import pydantic

    from airflow_platform.config import dag_settings, specs

SpecT = TypeVar("SpecT", bound="specs.Spec")


def names(directory: Path | None = None) -> tuple[str, ...]:
    """The environments that are declared, by their files' names."""
    return tuple(sorted(path.stem for path in (directory or paths.project().environments).glob("*.toml")))


def require(name: str, directory: Path | None = None) -> Path:
    """The file of an environment, which may say anything.

    Raises:
        UsageError: There is none of that name; names the nearest one and all.
    """
    place = directory or paths.project().environments
    known = names(place)
    if name not in known:
        raise errors.UsageError(f"There is no environment {name!r}.", hint=_instead(name, known, str(place)))
    return place / f"{name}.toml"


def environment(name: str, directory: Path | None = None) -> specs.Environment:
    """Load an environment.

    Raises:
        UsageError: There is none of that name; names the nearest one and all.
        ConfigurationError: The file does not say what it must; carries every fault.
    """
    from airflow_platform.config import specs  # noqa: PLC0415 - pydantic takes 40 ms to import.

    path = require(name, directory)
    data = _read(path)
    if "name" in data:
        raise _faulty(
            path, [errors.Fault(f"{_shown(path)}: name", "The file's name says it.", "Remove this key.")]
        )
    return _validate(specs.Environment, {"name": name, **data}, path)


def all_environments() -> tuple[specs.Environment, ...]:
    """Every environment that is declared, by name.

    Raises:
        ConfigurationError: A file does not say what it must; carries every fault of that file.
    """
    return tuple(environment(name) for name in names())


def suggested() -> tuple[specs.Environment, ...]:
    """Environments to name in advice, by name: those whose files say what they must."""
    found = []
    for name in names():
        with contextlib.suppress(errors.PlatformError):
            found.append(environment(name))
    return tuple(found)


def dag_project(path: Path | None = None) -> dag_settings.Project:
    """What `dags.toml` says about the DAGs of all environments; a file that is not there says nothing.

    Raises:
        ConfigurationError: It does not say what it must; carries every fault.
    """
    from airflow_platform.config import dag_settings  # noqa: PLC0415

    path = path or paths.project().dags_file
    return _validate(dag_settings.Project, _read(path) if path.exists() else {}, path)


def given(data: dict[str, Any], source: str) -> specs.Environment:
    """An environment that is in no file.

    Args:
        data: As a file has it, and its name.
        source: What faults are told of, instead of the file.

    Raises:
        ConfigurationError: It does not say what it must; carries every fault.
    """
    from airflow_platform.config import specs  # noqa: PLC0415

    return _validate(specs.Environment, data, Path(source))


def select(spec: specs.Environment, wanted: Sequence[str]) -> tuple[specs.Tenant, ...]:
    """The tenants of these names, or all when none is named, in the file's order.

    Raises:
        UsageError: One of them is not declared.
    """
    known = [tenant.name for tenant in spec.tenants]
    for name in wanted:
        if name not in known:
            raise errors.UsageError(
                f"Environment {spec.name} has no tenant {name!r}.",
                hint=_instead(name, known, "the environment"),
            )
    return tuple(tenant for tenant in spec.tenants if not wanted or tenant.name in wanted)


def _instead(name: str, known: Sequence[str], place: str) -> str:
    if not known:
        return f"Nothing is declared in {place}."
    near = difflib.get_close_matches(name, known, n=1)
    listed = f"Known: {', '.join(known)}."
    return f"Did you mean {near[0]}? {listed}" if near else listed


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        fault = errors.Fault(_shown(path), f"It is not valid TOML: {error}.", "Mend that line.")
    except UnicodeDecodeError:
        fault = errors.Fault(_shown(path), "It is not UTF-8 text.", "Save it as UTF-8.")
    except OSError as error:
        fault = errors.Fault(_shown(path), f"It cannot be read: {error.strerror}.", "Mend its permissions.")
    raise _faulty(path, [fault])


def _validate(model: type[SpecT], data: dict[str, Any], path: Path) -> SpecT:
    import pydantic  # noqa: PLC0415

    try:
        # Through JSON, because there an array may become a tuple and nothing else is converted.
        return model.model_validate_json(json.dumps(data, default=str))
    except pydantic.ValidationError as error:
        faults = [_fault(path, data, details, model) for details in error.errors()]
        raise _faulty(path, faults) from None


def _faulty(path: Path, faults: Sequence[errors.Fault]) -> errors.ConfigurationError:
    number = f"{len(faults)} faults" if len(faults) > 1 else "a fault"
    return errors.ConfigurationError(f"{_shown(path)} has {number}; nothing was changed.", faults)


def _shown(path: Path) -> str:
    """The path as a reader of the project would write it."""
    root = paths.project().root
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _fault(path: Path, data: Any, details: Any, model: type[pydantic.BaseModel]) -> errors.Fault:
    location: tuple[str | int, ...] = details["loc"]
    cause = details["msg"].removeprefix("Value error, ")
    return errors.Fault(
        thing=f"{_shown(path)}: {_key(location, data) or 'file'}",
        cause=f"{cause[:1].upper()}{cause[1:]}{_got(details, model)}.",
        remedy=_remedy(details, location, model),
    )


def _got(details: Any, model: type[pydantic.BaseModel]) -> str:
    """What the file says instead; never where a secret belongs, since a secret may stand there itself."""
    value = details.get("input")
    shown = isinstance(value, (str, int, float, bool)) and details["type"] != "missing"
    return f", not {value!r}" if shown and not _is_secret(details["loc"], model) else ""


def _is_secret(location: Sequence[str | int], model: type[pydantic.BaseModel]) -> bool:
    """Whether a location is a reference to a secret, or inside of one."""
    from airflow_platform.config import specs  # noqa: PLC0415

    owners = [_model_at(model, location[:end]) for end in range(len(location) + 1)]
    return specs.SecretReference in owners or "secret_variables" in location


def _key(location: Sequence[str | int], data: Any) -> str:
    """`tenants[1] (finance).snowflake.database`: where it stands, and whose it is."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
            data = data[part] if isinstance(data, list) and part < len(data) else None
            named = data.get("name", data.get("id")) if isinstance(data, dict) else None
            text += f" ({named})" if isinstance(named, str) else ""
        else:
            text += f".{part}" if text else part
            data = data.get(part) if isinstance(data, dict) else None
    return text


def _remedy(details: Any, location: Sequence[str | int], model: type[pydantic.BaseModel]) -> str:
    kind = details["type"]
    owner = _model_at(model, location[:-1])
    known = [field.alias or name for name, field in owner.model_fields.items()] if owner else []
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        return f"Did you mean {near[0]}?" if near else f"Remove it; there are: {', '.join(known)}."
    if kind == "string_pattern_mismatch" and location[-1] == "name":
        return (
            "Use 1 to 40 lower-case letters, digits and hyphens, beginning with a letter and not ending "
            "with a hyphen: the name becomes part of a Kubernetes namespace."
        )
    document = _document(owner, location[-1]) if owner and location else ""
    verb = "Add it." if kind == "missing" else "Change it."
    return f"{verb} {document}".strip()


def _document(owner: type[pydantic.BaseModel], key: str | int) -> str:
    for name, field in owner.model_fields.items():
        if key in (name, field.alias):
            return " ".join((field.description or "").split())
    return ""


def _model_at(
    model: type[pydantic.BaseModel], location: Sequence[str | int]
) -> type[pydantic.BaseModel] | None:
    """The model that a location's last key belongs to; None where it is no model."""
    import pydantic  # noqa: PLC0415

    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        fields = {field.alias or name: field.annotation for name, field in current.model_fields.items()}
        current = _inner(fields.get(str(part)))
        if current is None:
            return None
    return current if isinstance(current, type) and issubclass(current, pydantic.BaseModel) else None


def _inner(annotation: Any) -> Any:
    """The model inside `tuple[Model, ...]`, `Model | None` and the like."""
    import pydantic  # noqa: PLC0415

    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _inner(argument)
        if found is not None:
            return found
    return None
