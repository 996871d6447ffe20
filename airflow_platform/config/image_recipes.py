"""Which images there are, in which order, and everything that each is made of.

An image's tag is a digest of all its inputs, and its parent's: two checkouts with the same inputs mean the
same tag, and where that tag is there is nothing to build. Only the base is known by what it holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_platform.config import components, package_recipes, paths, versions

REPOSITORY = "airflow-platform"
"""The first part of every image's name in the local engine."""

BASE = "base-image"
"""The name of what all are made from."""

FORMAT = 2
"""Of how the toolkit makes images; a change of it that changes images raises it, and all are built again."""

LOCK = "requirements.lock"
"""The file of a recipe that names its Python packages."""


@dataclass(frozen=True)
class Recipe:
    """One image."""

    name: str
    parent: str
    """The recipe, or the base, that it is made from."""
    title: str
    """For people, and for its labels."""
    version: str = ""
    """The first part of its tag: of what it holds."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """What it is made of, by the place where the build finds it."""
    install: tuple[str, ...] = ()
    """A program and its arguments that are run in a container of the parent; what that changes is the image.
    Empty where a Dockerfile among `files` makes it."""
    before: tuple[str, ...] = ()
    """What is run before that in a container of its own, for what it leaves in the cache of packages."""
    python: bool = False
    """Whether the installation needs uv and the package index."""
    published: bool = True
    """Whether anything is started from it; else it is only the parent of others."""
    verify: str = ""
    """The file that must run in it before it may be tagged; "" where there is none."""

    def inputs(self, parent: str, architecture: str) -> str:
        """16 hexadecimal digits over all that it is made of.

        Args:
            parent: The same of its parent.
            architecture: What it is to run on.
        """
        made_of = [FORMAT, self.name, parent, architecture, self.install, *self.before]
        digest = hashlib.sha256(json.dumps(made_of).encode())
        for place, path in sorted(self.files.items()):
            content = path.read_bytes()
            digest.update(json.dumps([place, is_program(path), len(content)]).encode() + content)
        return digest.hexdigest()[:16]

    def reference(self, inputs: str) -> str:
        """Repository and tag of what is made from these inputs."""
        tag = f"{self.version}-{inputs}" if self.version else inputs
        return f"{REPOSITORY}/{self.name}:{tag}"


def is_program(path: Path) -> bool:
    """Whether a file is to be run: the one bit of its mode that Git keeps."""
    return bool(path.stat().st_mode & 0o100)


def recipes() -> tuple[Recipe, ...]:
    """All of them, parents first."""
    wanted = versions.read()
    airflow = paths.toolkit().images / "airflow"
    return (
        _system("airflow-system", "airflow", "airflow:50000:root:0:/home/airflow"),
        _python("airflow-packages", "airflow", package_recipes.airflow().additions),
        Recipe(
            name=components.BASE_IMAGE,
            parent="airflow-packages",
            title="Apache Airflow with its providers",
            version=wanted.airflow,
            files=_files(airflow, "Dockerfile", "entrypoint", "clean-logs", "healthcheck.py", "verify.py"),
            verify="verify.py",
        ),
        *(_component(name, wanted.airflow) for name in components.IMAGES),
        _python("fakesnow-packages", "fakesnow", {}),
        _service(
            "fakesnow",
            wanted.fakesnow,
            "fakesnow-packages",
            "fakesnow, a stand-in for Snowflake",
            "server.py",
        ),
        _system(
            "metadata-database-system", "metadata-database", "postgres:999:postgres:999:/var/lib/postgresql"
        ),
        _service(
            "metadata-database", "15", "metadata-database-system", "PostgreSQL for metadata", "entrypoint"
        ),
        _system("broker-system", "broker", "redis:999:redis:999:/var/lib/redis"),
        _service("broker", "7", "broker-system", "Redis for Celery", "entrypoint", "healthcheck"),
    )


def published() -> tuple[str, ...]:
    """The names of the images that something is started from."""
    return tuple(each.name for each in recipes() if each.published)


def _system(name: str, folder: str, account: str) -> Recipe:
    """Debian packages, and the account that their programs run as."""
    place = paths.toolkit().images / folder
    root = {f"rootfs/{each.relative_to(place / 'rootfs')}": each for each in _below(place / "rootfs")}
    packages = tuple(_lines(place / "system-packages.txt"))
    return Recipe(
        name=name,
        parent=BASE,
        title=f"Debian packages of {folder}",
        files={**root, "system.sh": paths.toolkit().images / "install" / "system.sh"},
        install=("/mnt/system.sh", account, *packages),
        published=False,
    )


def _python(name: str, folder: str, additions: Mapping[str, Path]) -> Recipe:
    """What a hashed lock says, in a virtual environment."""
    place, install = paths.toolkit().images / folder, paths.toolkit().images / "install"
    build_packages = tuple(_lines(place / "build-packages.txt"))
    where = f"/opt/{folder}-venv"
    return Recipe(
        name=name,
        parent="airflow-system",
        title=f"Python packages of {folder}",
        files={
            **additions,
            LOCK: place / LOCK,
            "python.sh": install / "python.sh",
            **({"build.sh": install / "build.sh"} if build_packages else {}),
        },
        install=("/mnt/python.sh", where),
        before=("/mnt/build.sh", where, *build_packages) if build_packages else (),
        python=True,
        published=False,
    )


def _component(name: str, version: str) -> Recipe:
    return _service(name, version, components.BASE_IMAGE, f"Apache Airflow's {name}")


def _service(name: str, version: str, parent: str, title: str, *files: str) -> Recipe:
    return Recipe(name, parent, title, version, _files(paths.toolkit().images / name, "Dockerfile", *files))


def _files(folder: Path, *names: str) -> dict[str, Path]:
    return {name: folder / name for name in names}


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _lines(path: Path) -> Iterator[str]:
    """What a list of packages names, without comments and empty lines; one that is not there names none."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if name := line.partition("#")[0].strip():
            yield name
