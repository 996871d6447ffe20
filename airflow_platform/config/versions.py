"""The versions that everything is built from, read from `versions.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from airflow_platform.config import paths


@dataclass(frozen=True)
class Versions:
    """What `versions.toml` says."""

    airflow: str
    """Apache Airflow, exactly."""
    airflow_python: str
    """Python versions that Airflow and the locked providers support, as a version specifier."""
    fakesnow: str
    """fakesnow, exactly."""


def read() -> Versions:
    """The versions of this toolkit."""
    data = tomllib.loads(paths.toolkit().versions_file.read_text())
    return Versions(
        airflow=data["airflow"]["version"],
        airflow_python=data["python"]["airflow"],
        fakesnow=data["fakesnow"]["version"],
    )
