"""Runs in a new image before it may be tagged: every provider and every executor must import.

A lock can resolve and yet not import: with celery 5.7 the scheduler and the worker crashed at start. Prints
Alembic's head revision and all known ones as JSON; whoever starts the image compares databases with them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXECUTORS = (
    "airflow.executors.local_executor",
    "airflow.providers.celery.executors.celery_executor",
    "airflow.providers.cncf.kubernetes.executors.kubernetes_executor",
    # Celery imports it when the first task ends.
    "celery.backends.database",
    "celery.app.control",
)

KINDS = ("operators", "sensors", "hooks", "triggers", "bundles")
"""Parts of a provider's description that list `python-modules`."""

CLASSES = ("auth-managers", "executors", "secrets-backends", "logging")
"""Parts that list dotted names of classes."""

_REVISION = re.compile(r"""^revision(?::\s*str)?\s*=\s*["']([0-9a-f]+)["']""", re.MULTILINE)
_DOWN = re.compile(r"""^down_revision(?:[^=\n]*)?=\s*["']([0-9a-f]+)["']""", re.MULTILINE)


def modules(described: dict[str, Any]) -> Iterator[str]:
    """The modules that a provider says it has."""
    for kind in KINDS:
        for part in described.get(kind, ()):
            yield from part.get("python-modules", ())
    for part in described.get("transfers", ()):
        yield part["python-module"]
    for part in described.get("connection-types", ()):
        yield part["hook-class-name"].rpartition(".")[0]
    for kind in CLASSES:
        for name in described.get(kind, ()):
            yield str(name).rpartition(".")[0]


def providers_found() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each installed provider, and its own description."""
    for point in importlib.metadata.entry_points(group="apache_airflow_provider"):
        assert point.dist is not None
        yield point.dist.name, point.load()()


def problem(module: str, ours: set[str]) -> str:
    """Why a module does not import; "" when it does, or needs only what is left out on purpose."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        return "" if left_out(error.name or "", ours) else f"{module}: {error}"
    except Exception as error:  # noqa: BLE001 - anything that it raises keeps it from being used.
        if type(error).__name__ == "AirflowOptionalProviderFeatureException":
            return ""
        return f"{module}: {type(error).__name__}: {error}"
    return ""


def left_out(missing: str, ours: set[str]) -> bool:
    """Whether a module is of another provider, or of a library, that is not installed."""
    if missing.startswith("airflow.providers."):
        mine = (each for each in ours if each.startswith("airflow.providers."))
        return not any(f"{missing}.".startswith(f"{each}.") for each in mine)
    return missing.partition(".")[0] not in ours


def installed() -> set[str]:
    """Names that the installed distributions have: what one of them lacks is no optional extra."""
    providers = (name.removeprefix("apache-airflow-providers-") for name, _ in providers_found())
    return {f"airflow.providers.{name.replace('-', '.')}" for name in providers} | set(
        importlib.metadata.packages_distributions()
    )


def revisions() -> tuple[str, tuple[str, ...]]:
    """Alembic's head, and all that this Airflow knows."""
    import airflow  # noqa: PLC0415

    texts = [path.read_text() for path in Path(airflow.__path__[0]).glob("migrations/versions/*.py")]
    known = {match for text in texts for match in _REVISION.findall(text)}
    heads = known - {match for text in texts for match in _DOWN.findall(text)}
    if len(heads) != 1:
        sys.exit(f"Airflow's migrations have {len(heads)} heads: {', '.join(sorted(heads))}")
    return heads.pop(), tuple(sorted(known))


def main() -> None:
    """Import everything, then print what there is; exits 1 and names each module that does not import."""
    warnings.simplefilter("ignore")
    ours = installed()
    found = dict(providers_found())
    names = [*EXECUTORS, *(module for described in found.values() for module in modules(described))]
    problems = [said for name in dict.fromkeys(names) if (said := problem(name, ours))]
    if problems:
        sys.exit("\n".join(problems))
    revision, known = revisions()
    answer = {
        "providers": sorted(found),
        "modules": len(set(names)),
        "revision": revision,
        "known_revisions": known,
    }
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
