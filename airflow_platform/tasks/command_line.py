"""What a command line says, and what every command does with it: its run, its report, its exit code."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_platform import errors
from airflow_platform.engine.report import OneAtATime
from airflow_platform.programs import programs

if TYPE_CHECKING:
    from airflow_platform.config import specs
    from airflow_platform.engine.order import Order
    from airflow_platform.engine.report import Report
    from airflow_platform.engine.step import EnvironmentT, Goal, Step, TenantT
    from airflow_platform.engine.store import Store

DOOR = "scripts/inv"
"""How commands are shown to people: the door works on every machine, and stock `inv` is shorter."""

LOCK_SECONDS = "60"
"""The default of `--lock-timeout`: a first run holds its lock for the minute that packages take."""


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """The flags that many tasks have."""

    task: str
    environment: str = ""
    """The name of one; "" for tasks that are about no single environment."""
    tenants: tuple[str, ...] = ()
    plan: bool = False
    json: bool = False
    tracebacks: bool = False
    lock_timeout: str = LOCK_SECONDS

    def spec(self) -> specs.Environment:
        """The environment that it names."""
        from airflow_platform.config import load

        return load.environment(self.environment)

    @functools.cached_property
    def reporter(self) -> OneAtATime:
        """Shows a run while it goes on, on standard error."""
        from airflow_platform.reporting import reporters

        return OneAtATime(reporters.choose(sys.stderr, os.environ, json=self.json))

    @functools.cached_property
    def runner(self) -> programs.Programs:
        """Starts the programs of the run; each is marked with what it is for, and this process."""
        return programs.Programs(
            marker={"AIRFLOW_PLATFORM_RUN": f"{self.environment or self.task}-{os.getpid()}"}
        )

    @property
    def lock_seconds(self) -> float:
        """The value of `--lock-timeout`.

        Raises:
            UsageError: It is no number of seconds.
        """
        try:
            value = float(self.lock_timeout)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise errors.UsageError(
                f"--lock-timeout={self.lock_timeout} is no number of seconds.", hint="For example 60."
            )
        return value

    def order(
        self,
        environment: EnvironmentT,
        tenants: Sequence[TenantT],
        steps: Sequence[Step],
        store: Store,
        *,
        goal: Goal,
        reached: str,
        workers: int,
        skip: Mapping[str, str] | None = None,
    ) -> Order[EnvironmentT, TenantT]:
        """What this command has the engine do; see `Order`."""
        from airflow_platform.engine import order

        return order.Order(
            task=self.task,
            environment=environment,
            tenants=tenants,
            goal=goal,
            steps=steps,
            store=store,
            reporter=self.reporter,
            programs=self.runner,
            reached=reached,
            planning=self.plan,
            workers=workers,
            skip=skip or {},
        )

    def finish(self, report: Report, *, notes: Sequence[str] = (), next_commands: Sequence[str] = ()) -> int:
        """Print what a run came to, and return the exit code.

        Args:
            report: Of the run.
            notes: Sentences about the whole that a reader should know.
            next_commands: What a reader could type next, in full.
        """
        from airflow_platform.reporting import document, summary

        if self.json:
            document.write(report)
        summary.show(report, notes=notes, next_commands=next_commands, tracebacks=self.tracebacks)
        return report.exit_code

    def answer(self, headings: Sequence[str], rows: Sequence[Sequence[Any]], report: Report) -> int:
        """Print a query's answer, a table or one document, and return the exit code."""
        from airflow_platform.reporting import document, tables

        if self.json:
            document.write(dataclasses.replace(report, data=tables.objects(headings, rows)))
        else:
            tables.write(headings, rows)
        return report.exit_code
