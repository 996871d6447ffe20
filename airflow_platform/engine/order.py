"""An order: what a command wants done, handed from a task to the engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

from airflow_platform.engine.report import Reporter
from airflow_platform.engine.step import EnvironmentT, Goal, Step, TenantT
from airflow_platform.engine.store import Store
from airflow_platform.programs import programs


@dataclass(frozen=True)
class Order(Generic[EnvironmentT, TenantT]):
    """What is to be run, and with what."""

    task: str
    """The command's name, for journal and report."""
    environment: EnvironmentT
    tenants: Sequence[TenantT]
    """The selected ones."""
    goal: Goal
    steps: Sequence[Step]
    store: Store
    reporter: Reporter
    programs: programs.Programs
    reached: str = "present"
    """The word for a tenant that is where it should be: "healthy", "stopped"."""
    planning: bool = False
    """`--plan`: observe and plan, lock nothing, change nothing."""
    skip: Mapping[str, str] = field(default_factory=dict)
    """Steps left out on purpose, with the reason that the report shows."""
    workers: int = 4
    """Steps that may work at the same time."""
    clock: Callable[[], float] = time.monotonic
