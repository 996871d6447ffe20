"""Runs the real command line, and ends it with SIGKILL at the first moment at which no run before was ended.

    python dying.py ENDED WORD...    what follows `inv`

ENDED is a file with a line for each moment, `TENANT/STEP PHASE`: in the middle of a step, before and after its
effect. What one tenant's run was ended at is not tried again at another's.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from airflow_platform.engine import phases, report
from airflow_platform.tasks import __main__ as command

MIDDLE = (phases.Phase.AFTER_BEGIN, phases.Phase.AFTER_EFFECT)


def main(ended: Path, *words: str) -> None:
    """One command line, which ends with its exit code or is killed."""
    before = {each.rpartition("/")[2] for each in ended.read_text().splitlines()}

    def end(node: report.Node, phase: phases.Phase) -> None:
        if phase in MIDDLE and f"{node.step} {phase.value}" not in before:
            with ended.open("a") as file:
                file.write(f"{node} {phase.value}\n")
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    sys.argv = ["inv", *words]
    with phases.watched(end):
        command.main()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
