"""What virtual environments are made from: hashed locks, and files of this checkout that go into them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_platform.config import paths

FAKESNOW_PROGRAM = "server.py"
"""fakesnow's server program, in its virtual environment."""


@dataclass(frozen=True)
class Recipe:
    """What makes a virtual environment; all of it is part of the cache entry's digest."""

    lock: Path
    """The hashed requirements."""
    verify: str
    """Python code that must run in the finished environment. A lock can resolve and yet not import."""
    additions: Mapping[str, Path] = field(default_factory=dict)
    """Files of this checkout to put into it, by their place there; `site-packages/` stands for its own.
    Tenants' users may be unable to read the checkout, but not the cache."""

    def digest(self, tag: str) -> str:
        """Changes with everything; `tag` is that of Python and platform."""
        digest = hashlib.sha256(f"{tag}\n{self.verify}\n".encode() + self.lock.read_bytes())
        for place, source in sorted(self.additions.items()):
            digest.update(place.encode() + b"\0" + source.read_bytes())
        return digest.hexdigest()[:16]


def airflow() -> Recipe:
    """Airflow's packages: those of tenants, of images, and of the check of DAG files."""
    images = paths.toolkit().images
    return Recipe(
        lock=images / "airflow" / "requirements.lock",
        # celery 5.7 resolved, and its provider did not import: each executor and provider is tried.
        verify=(
            "import airflow.executors.local_executor, airflow.providers.celery.executors.celery_executor,"
            " airflow.providers.cncf.kubernetes.executors.kubernetes_executor,"
            " airflow.providers.snowflake.hooks.snowflake, airflow.providers.git.bundles.git,"
            " airflow.providers.postgres.hooks.postgres, airflow.providers.amazon.aws.hooks.s3,"
            " airflow.providers.fab.auth_manager.fab_auth_manager"
        ),
        # Fewer garbage collections while it starts: a fifth less processor time, no more memory.
        additions={
            "site-packages/airflow_platform.pth": images / "airflow" / "startup.pth",
        },
    )


def fakesnow() -> Recipe:
    """Those of the stand-in for Snowflake, with the program that serves it."""
    images = paths.toolkit().images
    return Recipe(
        lock=images / "fakesnow" / "requirements.lock",
        verify="import fakesnow.server, snowflake.connector",
        additions={FAKESNOW_PROGRAM: images / "fakesnow" / "server.py"},
    )
