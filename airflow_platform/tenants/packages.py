"""Installed packages: one virtual environment a lock, shared by all tenants, in the cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform import errors
from airflow_platform.config import lock_inputs
from airflow_platform.config.package_recipes import Recipe
from airflow_platform.engine import file_lock, step
from airflow_platform.tenants.contexts import EnvironmentContext, EnvironmentStep
from airflow_platform.tools import files, interpreters, package_index, users, uv

SPACE_NEEDED = 3 * 1024**3
"""Bytes: Airflow with its providers takes 1 GB, uv's cache 0.8 GB, and a margin."""

BUILD_TIMEOUT = 1800.0
"""Seconds to wait for another run that builds the same environment."""

LOWEST, BELOW = (3, 11), (3, 14)
"""Python versions for which the locks hold; `versions.toml` says the same, a test compares."""


@dataclass(frozen=True)
class Observed:
    """Where the packages belong, and whether they are there."""

    directory: Path
    interpreter: interpreters.Interpreter | None
    """None for an environment that somebody else built."""
    complete: bool
    packages: int
    """How many the lock names."""


class Packages(EnvironmentStep):
    """A virtual environment with exactly what a lock says.

    Outputs: `python`, `programs` and `environment` (its interpreter, its directory of programs, and
    itself), `directory` (of the cache entry, for what is derived from these packages), `ready`.
    """

    def __init__(self, recipe: Recipe, *, cache: Path, ready: Path | None) -> None:
        """Make the step.

        Args:
            recipe: What is installed.
            cache: The toolkit's cache.
            ready: A virtual environment to use instead, built by somebody else.
        """
        self._recipe = recipe
        self._cache = cache
        self._ready = ready

    def check(self, context: EnvironmentContext) -> Iterable[errors.Fault]:
        if self._ready is not None:
            yield from self._check_ready(self._ready)
            return
        observed = self.observe(context)
        nearest = next(path for path in (observed.directory, *observed.directory.parents) if path.exists())
        if os.geteuid() == 0 and (closed := users.blocking_directory(nearest)):
            yield errors.Fault(
                f"cache {self._cache}",
                f"Tenants run as users of their own, and those cannot enter {closed}.",
                f"Run `chmod o+x {closed}`, or set AIRFLOW_PLATFORM_CACHE to a place that all users can enter.",
            )
        if observed.complete:
            return
        yield from lock_inputs.stale(self._recipe.lock)
        if fault := uv.missing_uv():
            yield fault
        if (free := shutil.disk_usage(nearest).free) < SPACE_NEEDED:
            yield errors.Fault(
                f"disk space for {self._cache}",
                f"{free / 1024**3:.1f} GB are free; the packages need {SPACE_NEEDED / 1024**3:.0f} GB.",
                "Free some space, run `inv cache-prune`, or set AIRFLOW_PLATFORM_CACHE to a larger disk.",
            )

    def observe(self, context: EnvironmentContext) -> Observed:
        if self._ready is not None:
            return Observed(self._ready, None, complete=True, packages=0)
        interpreter = interpreters.find(
            context.programs, lowest=LOWEST, below=BELOW, for_all_users=os.geteuid() == 0
        )
        made_with = f"{interpreter.tag} {interpreter.path}"
        directory = self._cache / self.name / self._recipe.digest(made_with)
        return Observed(
            directory,
            interpreter,
            complete=_is_complete(directory),
            packages=self._recipe.lock.read_text().count("=="),
        )

    def plan(self, context: EnvironmentContext, observed: Observed) -> step.Change | step.NoChange:
        outputs = self._outputs(observed)
        if self._ready is not None:
            return step.NoChange(f"the environment's file names {self._ready}", outputs)
        if observed.complete:
            return step.NoChange(f"lock {observed.directory.name} is installed", outputs)
        assert observed.interpreter is not None
        version = ".".join(map(str, observed.interpreter.version))
        return step.Change(
            f"install {observed.packages} packages for Python {version}",
            {"outputs": outputs, "python": str(observed.interpreter.path)},
        )

    def apply(self, context: EnvironmentContext, change: step.Change) -> step.Outputs:
        outputs: dict[str, Any] = change.details["outputs"]
        directory = Path(outputs["directory"])
        files.make_directory(directory.parent, mode=0o755)
        lock = file_lock.FileLock(
            directory.with_suffix(".lock"),
            str(directory),
            programs=context.programs,
            on_note=context.progress,
        )
        with lock.held(timeout=BUILD_TIMEOUT):
            if not _is_complete(directory):
                self._build(context, directory, Path(change.details["python"]))
        return outputs

    def _build(self, context: EnvironmentContext, directory: Path, python: Path) -> None:
        files.make_directory(directory, mode=0o755)
        context.progress(f"installing from {self._recipe.lock.parent.name}/{self._recipe.lock.name}")
        uv.install(
            context.programs,
            directory / "venv",
            python=python,
            lock=self._recipe.lock,
            cache=self._cache / "downloads",
            environment=package_index.uv_environment(os.environ),
            progress=context.progress,
        )
        self._add(directory / "venv")
        context.progress("importing what will be used")
        environment = {**os.environ, "AIRFLOW_HOME": str(directory / "verify"), "PYTHONPATH": ""}
        context.programs.run(
            [directory / "venv/bin/python", "-c", self._recipe.verify], env=environment, timeout=300,
            hint=f"The lock {self._recipe.lock} does not hold together; rebuild it with `scripts/nox -s lock`.",
        )  # fmt: skip
        shutil.rmtree(directory / "verify", ignore_errors=True)
        files.write(directory / "complete", f"{directory}\n", mode=0o644)

    def _add(self, environment: Path) -> None:
        (site_packages,) = environment.glob("lib/python3.*/site-packages")
        for place, source in self._recipe.additions.items():
            inside = place.removeprefix("site-packages/")
            target = (site_packages if inside != place else environment) / inside
            files.write(target, source.read_bytes(), mode=0o644)

    def _outputs(self, observed: Observed) -> dict[str, Any]:
        environment = observed.directory if self._ready else observed.directory / "venv"
        return {
            "python": str(environment / "bin/python"),
            "programs": str(environment / "bin"),
            "environment": str(environment),
            "directory": str(observed.directory),
            "ready": self._ready is not None,
        }

    def _check_ready(self, ready: Path) -> Iterable[errors.Fault]:
        if not os.access(ready / "bin/python", os.X_OK):
            yield errors.Fault(
                str(ready),
                "The environment's file names it as a virtual environment, but it has no bin/python.",
                "Mend the path under [process] in the environment's file, or remove that key.",
            )


def _is_complete(directory: Path) -> bool:
    """Whether it was built to the end, in this very place, and its interpreter is still there."""
    try:
        built_at = (directory / "complete").read_text().strip()
    except OSError:
        return False
    return built_at == str(directory) and os.access(directory / "venv/bin/python", os.X_OK)


class AirflowPackages(Packages):
    """Airflow with its providers, for the components."""

    name = "airflow-packages"


class SnowflakePackages(Packages):
    """fakesnow, which stands for Snowflake."""

    name = "snowflake-packages"
