"""`python -m airflow_platform.tasks`: what the door `scripts/inv` runs."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line of this process and exit with its code."""
    # With a stricter umask of root's, tenants could not pass the directories that lead to their own files.
    # What must be private is made so by its own mode.
    os.umask(0o022)
    # Invoke would send every library's debug lines to standard error, botocore's with credentials.
    os.environ.pop("INVOKE_DEBUG", None)
    try:
        from airflow_platform.tasks import collection, program

        code = program.PlatformProgram(collection.namespace).outcome(["inv", *sys.argv[1:]])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
