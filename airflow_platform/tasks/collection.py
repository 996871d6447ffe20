"""The tasks as Invoke wants them."""

from __future__ import annotations

from invoke.collection import Collection

from airflow_platform.tasks import commands

namespace = Collection(*commands.TASKS)
