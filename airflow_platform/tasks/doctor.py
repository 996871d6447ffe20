"""`doctor`: everything that would stop a run, all at once, each with its remedy."""

from __future__ import annotations

import dataclasses
import platform
import sys

from airflow_platform import errors
from airflow_platform.config import paths
from airflow_platform.reporting import tables
from airflow_platform.tasks import tenant_up
from airflow_platform.tasks.command_line import CommandLine
from airflow_platform.tools import cache


def examine(line: CommandLine) -> int:
    """Show the facts, then every fault; the exit code."""
    report, runtime = tenant_up.examined(line)
    versions = runtime.versions()
    outdated = [
        errors.Fault(
            f"version of {name}",
            "The lock under images/ pins another than versions.toml.",
            "Run `scripts/nox -s lock`.",
        )
        for name, each in versions.items()
        if each.pinned != each.wanted
    ]
    facts = {
        "environment": f"{line.environment} ({runtime.name})",
        "toolkit": f"Python {platform.python_version()}, {sys.prefix}",
        **{name: str(each) for name, each in versions.items()},
        "state": str(paths.state(line.environment)),
        "cache": str(paths.cache()),
        "free space": f"{cache.free_space(paths.cache()) / 1024**3:.1f} GB",
        "isolation": runtime.isolation(),
    }
    if not line.json:
        tables.write_details(facts)
    report = dataclasses.replace(report, data=facts)
    if outdated:
        code = report.exit_code or int(errors.ExitCode.PREFLIGHT)
        report = dataclasses.replace(
            report, status="not ready", exit_code=code, faults=(*report.faults, *outdated)
        )
    return line.finish(report)
