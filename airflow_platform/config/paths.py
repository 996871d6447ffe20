"""Where things are: the checkout, and per environment the state; the cache is shared by all.

| variable | default | default as root |
| --- | --- | --- |
| AIRFLOW_PLATFORM_STATE | the user's state directory / airflow-platform / digest of the checkout's path | /var/lib/airflow-platform/… |
| AIRFLOW_PLATFORM_CACHE | the user's cache directory / airflow-platform | /var/cache/airflow-platform |
| AIRFLOW_PLATFORM_ENVIRONMENTS | environments/ in the checkout | the same |

Root has other defaults because tenants then run as users of their own, who cannot look into /root.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
"""The repository that this toolkit was started from."""

_NAME = "airflow-platform"


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


def environments() -> Path:
    """The directory of the environment files."""
    override = os.environ.get("AIRFLOW_PLATFORM_ENVIRONMENTS")
    return Path(override).absolute() if override else CHECKOUT / "environments"


def _default_state() -> Path:
    digest = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]
    if os.geteuid() == 0:
        return Path("/var/lib") / _NAME / digest
    import platformdirs  # noqa: PLC0415

    return platformdirs.user_state_path(_NAME) / digest
