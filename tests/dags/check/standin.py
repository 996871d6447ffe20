"""A worker whose Airflow is a stand-in: a "DAG file" is Python that its child executes.

Started as the real one, by a program in the place of Airflow's Python; see `test_worker_client.py`.
"""

from __future__ import annotations

import codecs
import os
import socket  # noqa: F401 - see below.
import sys
from pathlib import Path
from typing import Any

from airflow_platform.dags.check.worker import worker


class StandIn:
    """In the place of the module `file_import`."""

    def files(self, root: str) -> list[str]:
        """Every Python file; a file `ignore` is read before, as Airflow reads an .airflowignore."""
        ignore = Path(root, "ignore")
        if ignore.exists():
            ignore.read_text()
        return sorted(path.name for path in Path(root).glob("*.py"))

    def warm(self, modules: Any) -> None:
        """Nothing; one name ends the worker."""
        if "end" in modules:
            print("the end is near")
            sys.stdout.flush()
            os.kill(os.getpid(), 11 if os.getpid() != 1 else 0)
            os._exit(3)

    def import_file(self, root: str, file: Any, order: Any) -> dict[str, Any]:
        """Execute it, and report what it calls `told`."""
        found: dict[str, Any] = {"told": None}
        path = Path(root, file.path)
        exec(compile(path.read_text(), str(path), "exec"), found)
        return {"told": found["told"]}


if __name__ == "__main__":
    worker._load_airflow = lambda ours: StandIn()
    codecs.lookup("ascii")  # Others than root cannot enter everywhere where root may have its Python.
    worker.main(sys.argv[1:])
