"""A worker whose Airflow is a stand-in: a "DAG file" is a line of Python that its child executes.

Started as a real worker is, by a program in the place of Airflow's Python; see `tests/parsing/test_worker.py`.
"""

from __future__ import annotations

import codecs
import os
import sys
from pathlib import Path
from typing import Any

from airflow_platform.parsing import confinement, protocol, server, watching, worker


class StandIn:
    """In the place of the module `importing`."""

    def files(self, root: str) -> list[str]:
        """Every Python file; a file `ignore` is read before, as Airflow reads an .airflowignore."""
        ignore = Path(root, "ignore")
        if ignore.exists():
            ignore.read_text()
        return sorted(path.name for path in Path(root).glob("*.py"))

    def warm(self, modules: Any) -> None:
        """Nothing; one name ends the worker."""
        if "end" in modules:
            os.kill(os.getpid(), 9)

    def import_file(self, file: Any, order: Any) -> dict[str, Any]:
        """Execute it, and tell what it calls `told`."""
        found: dict[str, Any] = {"told": None, "watching": watching, "order": order}
        text = Path(order.root, file.path).read_text()
        exec(compile(text, str(Path(order.root, file.path)), "exec"), found)
        return {"told": found["told"]}


if __name__ == "__main__":
    worker._airflow = StandIn  # type: ignore[assignment]
    if "UNCONFINED" in os.environ:
        confinement._filter = lambda: False
    if "TALKATIVE" in os.environ:
        server._REASSURE_EVERY = server._LOOK_EVERY = 0.1
    if "UNTIDY" in os.environ:
        server._TIDYING = 0.0
    if "ORDINARY" in os.environ and os.geteuid() == 0:
        codecs.lookup("ascii")  # Others cannot enter everywhere where root may have its Python.
        os.setgroups([])
        os.setgid(protocol.NOBODY)
        os.setuid(protocol.NOBODY)
    sys.exit(worker.main(sys.argv[1:]))
