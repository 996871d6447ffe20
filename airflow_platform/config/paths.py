"""Where things are: the project, the toolkit's own files, the state of each environment, and the shared cache.

| variable | default | default as root |
| --- | --- | --- |
| AIRFLOW_PLATFORM_PROJECT | the nearest folder, from the working directory upwards, that has `environments/`; else the toolkit's checkout | the same |
| AIRFLOW_PLATFORM_ENVIRONMENTS | environments/ in the project | the same |
| AIRFLOW_PLATFORM_STATE | the user's state directory / airflow-platform / digest of the project's path | /var/lib/airflow-platform/… |
| AIRFLOW_PLATFORM_CACHE | the user's cache directory / airflow-platform | /var/cache/airflow-platform |

Root has other defaults because tenants then run as users of their own, who cannot look into /root.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors

_NAME = "airflow-platform"

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Project:
    """The repository of a company: what should exist, its DAGs, and the records of what was built."""

    root: Path

    @property
    def environments(self) -> Path:
        """The directory of the environment files."""
        override = os.environ.get("AIRFLOW_PLATFORM_ENVIRONMENTS")
        return Path(override).absolute() if override else self.root / "environments"

    @property
    def dags_file(self) -> Path:
        """What all environments share about their DAGs."""
        return self.root / "dags.toml"

    @property
    def images_file(self) -> Path:
        """What the project chooses about its images."""
        return self.root / "images.toml"

    @property
    def built_images(self) -> Path:
        """What `inv build` recorded; may not exist yet."""
        return self.root / "build" / "images.json"

    @property
    def pushed_images(self) -> Path:
        """The directory of what `inv push` and `inv promote` recorded; may not exist yet."""
        return self.root / "build" / "pushed"


@dataclass(frozen=True)
class Toolkit:
    """Files that the toolkit brings: at the top of its checkout, or inside the installed package."""

    root: Path

    @property
    def images(self) -> Path:
        """Dockerfiles, base locks and what else images are made of."""
        return self.root / "images"

    @property
    def versions_file(self) -> Path:
        """The versions of Airflow and its surroundings."""
        return self.root / "versions.toml"

    @property
    def bootstrap_lock(self) -> Path:
        """The hashed requirement that uv is installed from."""
        return self.root / "requirements" / "bootstrap.lock"

    @property
    def package(self) -> Path:
        """The toolkit's code."""
        return _PACKAGE

    @property
    def import_path(self) -> Path:
        """What a program that imports this package needs on its PYTHONPATH."""
        return _PACKAGE.parent


def project() -> Project:
    """The project that commands are about.

    Raises:
        UsageError: There is none here.
    """
    override = os.environ.get("AIRFLOW_PLATFORM_PROJECT")
    if override:
        return Project(Path(override).resolve())
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "environments").is_dir():
            return Project(folder)
    checkout = toolkit().root
    if (checkout / "environments").is_dir():
        return Project(checkout)
    raise errors.UsageError(
        f"There is no project here: neither {here} nor a folder above it has environments/.",
        hint="Change into your project, or set AIRFLOW_PLATFORM_PROJECT to its path.",
    )


def toolkit() -> Toolkit:
    """The toolkit's own files."""
    installed = _PACKAGE / "toolkit_files"
    return Toolkit(installed if installed.is_dir() else _PACKAGE.parent)


def state(environment: str) -> Path:
    """The directory of an environment's state; may not exist yet."""
    override = os.environ.get("AIRFLOW_PLATFORM_STATE")
    return (Path(override).absolute() if override else _default_state()) / environment


def dag_state() -> Path:
    """The directory of what belongs to the DAGs of all environments; no environment can have its name."""
    return state("_dags")


def cache() -> Path:
    """The directory of what is built or downloaded; may not exist yet."""
    override = os.environ.get("AIRFLOW_PLATFORM_CACHE")
    if override:
        return Path(override).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache") / _NAME
    import platformdirs  # noqa: PLC0415 - only where the default is asked for.

    return platformdirs.user_cache_path(_NAME)


def dag_checks() -> Path:
    """What checks of DAGs keep and make, in the cache; may not exist yet."""
    return cache() / "dag-checks"


def _default_state() -> Path:
    digest = hashlib.sha256(str(project().root).encode()).hexdigest()[:12]
    if os.geteuid() == 0:
        return Path("/var/lib") / _NAME / digest
    import platformdirs  # noqa: PLC0415

    return platformdirs.user_state_path(_NAME) / digest
