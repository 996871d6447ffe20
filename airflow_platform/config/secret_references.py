"""From a reference to the secret that it names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow_platform import errors, secrets
from airflow_platform.config import paths

if TYPE_CHECKING:
    from airflow_platform.config import specs


def resolve(reference: specs.SecretReference) -> secrets.Secret:
    """The secret.

    Raises:
        PreflightError: The variable is not set, the file cannot be read, or it is empty.
    """
    value, remedy = _look_up(reference)
    if not value:
        fault = errors.Fault(f"secret in {reference}", "It is not there, or empty.", remedy)
        raise errors.PreflightError("A secret is missing.", [fault])
    return secrets.Secret(value)


def _look_up(reference: specs.SecretReference) -> tuple[str, str]:
    if reference.env is not None:
        return os.environ.get(reference.env, ""), f"Set the environment variable {reference.env}."
    path = paths.project().root / (reference.file or "")
    remedy = f"Write the value into {path}, mode 0600."
    try:
        return path.read_text(encoding="utf-8").rstrip("\n"), remedy
    except (OSError, UnicodeDecodeError):
        return "", remedy
