"""What a worker's process does: takes its place, listens, imports Airflow, serves, ends.

It listens before Airflow is imported, so that its first client waits in line and not in a loop.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from airflow_platform.parsing import children, place, scratch, server

ALREADY_THERE = 0
"""The exit code of one worker too many: nothing is wrong."""


def main(arguments: list[str]) -> int:
    """Run a worker; the exit code.

    Args:
        arguments: One: a JSON object with `directory`, `scratch`, `idle` (seconds) and `users` (ids, or null).
    """
    (told,) = map(json.loads, arguments)
    os.umask(0o022)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # What a careless starter left open is not ours to hold.
    os.chdir("/")
    directory = Path(told["directory"])
    try:
        held = place.take(directory)
    except FileNotFoundError:  # Swept away before we came: whoever started us makes it anew.
        return ALREADY_THERE
    if held is None:
        return ALREADY_THERE
    scratches = Path(told["scratch"])
    listener = place.listen(directory)
    identity = place.identity_of(directory)
    slots = [children.Slot(scratches, user) for user in told["users"]]
    try:
        server.Server(
            listener,
            _airflow,
            slots,
            leftovers=[scratches / name for name in scratch.names(scratches)],
            idle=told["idle"],
            wanted=lambda: place.is_ours(directory, identity),
        ).run()
    except Exception:  # noqa: BLE001 - its log is read by whoever started it.
        traceback.print_exc()
        return 1
    os._exit(0)  # Without taking Airflow apart, which takes a tenth of a second.


def _airflow() -> Any:
    """Import Airflow, and make what is imported cheap to fork; nothing of ours can be imported afterwards."""
    importing = importlib.import_module("airflow_platform.parsing.importing")
    importing.rehearse()
    here = str(Path(__file__).resolve().parents[2])
    sys.path[:] = [each for each in sys.path if each != here]
    for name in [each for each in sys.modules if each.partition(".")[0] == "airflow_platform"]:
        del sys.modules[name]
    sys.dont_write_bytecode = True
    gc.collect()
    gc.freeze()
    return importing
