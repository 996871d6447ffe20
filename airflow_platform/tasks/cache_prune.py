"""`cache-prune`: delete what the cache holds."""

from __future__ import annotations

from airflow_platform.config import paths
from airflow_platform.engine.report import Report
from airflow_platform.tasks.command_line import CommandLine
from airflow_platform.tools import cache, parsing_worker


def prune(line: CommandLine) -> int:
    """Delete it, and say how much it was; the exit code. The next tenant-up installs it again."""
    # A worker that waits for the next check runs from the cache, and nobody would miss it.
    parsing_worker.end_all(paths.dag_checks() / "workers")
    pruned = cache.prune(paths.cache())
    rows = [(str(paths.cache()), ", ".join(pruned.names) or "nothing", f"{pruned.freed / 1024**3:.1f} GB")]
    return line.answer(("cache", "deleted", "freed"), rows, Report(line.task, None, "answered", 0))
