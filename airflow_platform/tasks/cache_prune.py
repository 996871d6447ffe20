"""`cache-prune`: delete what the cache holds."""

from __future__ import annotations

from airflow_platform.config import paths
from airflow_platform.engine.report import Report
from airflow_platform.tasks.command_line import CommandLine
from airflow_platform.tools import cache


def prune(line: CommandLine) -> int:
    """Delete it, and say how much it was; the exit code. The next tenant-up installs it again."""
    pruned = cache.prune(paths.cache())
    rows = [(str(paths.cache()), ", ".join(pruned.names) or "nothing", f"{pruned.freed / 1024**3:.1f} GB")]
    return line.answer(("cache", "deleted", "freed"), rows, Report(line.task, None, "answered", 0))
