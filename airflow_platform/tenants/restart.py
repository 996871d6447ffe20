"""A restart that was asked for: noted, so that a killed command's is not forgotten."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable

from airflow_platform.config import state_files
from airflow_platform.engine import step
from airflow_platform.tenants.contexts import TenantContext, TenantStep, asked_restarts
from airflow_platform.tools import files


class Restart(TenantStep):
    """Asks for a restart of components; the step `components` then makes it."""

    name = "restart"

    def __init__(self, place: state_files.EnvironmentFiles, *, components: Iterable[str]) -> None:
        """Make the step.

        Args:
            place: Where the environment's files are.
            components: Names of those that are to restart.
        """
        self._place = place
        self._components = tuple(components)

    def observe(self, context: TenantContext) -> None:
        """Nothing to read: whoever asks for a restart gets one."""

    def plan(self, context: TenantContext, observed: None) -> step.Change | step.NoChange:
        return step.Change(f"ask for a restart of {', '.join(self._components)}")

    def apply(self, context: TenantContext, change: step.Change) -> step.Outputs:
        place = self._place.tenant(context.tenant.name)
        now = datetime.datetime.now(datetime.UTC).isoformat()
        asked = {**asked_restarts(place), **dict.fromkeys(self._components, now)}
        files.write(place.restarts, json.dumps(asked), mode=0o600)
        return {}
