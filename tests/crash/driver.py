"""Runs the real command line in this process, or in forks of it, and ends it at a chosen moment.

    python driver.py run REQUEST          one command line, in this process
    python driver.py serve                a request a line on standard input, each in a fork: spares
                                          the 0.6 s in which the toolkit's libraries are imported

A request is a JSON document:

    argv          what follows `inv`
    environment   the whole environment
    checkout      the repository whose DAGs and locks are used
    stdout        files that the outputs go to, as `stderr`
    kill          null, or {"step", "tenant", "phase"}: where SIGKILL hits the process
    clock         seconds by which the wall clock is wrong; after = "step": from the first step on
"""

import datetime
import json
import os
import signal
import sys
import time

PHASES = ("before begin", "after begin", "after the effect", "after end")
"""Of a step: around its two entries in the journal."""


def main(arguments):
    match arguments:
        case ["run", text]:
            request = json.loads(text)
            if request["clock"]:
                shift_clock(request["clock"], request["clock_from"])
            sys.exit(run(request))
        case ["serve"]:
            preload()
            serve()


def preload():
    """Import what a run imports."""
    import airflow_platform.supervisor.loop
    import airflow_platform.tasks.asking
    import airflow_platform.tasks.collection
    import airflow_platform.tasks.program
    import airflow_platform.tasks.running
    import airflow_platform.tools.certificates  # noqa: F401


def serve():
    """Fork for each request, and answer with the fork's process id and, when it ended, its wait status."""
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                become(request)
                code = run(request)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


def become(request):
    """Have the request's outputs and environment, and a session of its own, like a command from a shell."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        path = request["stdout" if number == 1 else "stderr"]
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir("/")


def run(request):
    """The command line, with the request's checkout and death; its exit code."""
    from pathlib import Path

    from airflow_platform.config import paths
    from airflow_platform.tools import uv

    paths.CHECKOUT = Path(request["checkout"])
    uv.find = lambda: request["uv"]
    sys.argv = ["inv", *request["argv"]]
    if request["kill"]:
        die_at(**request["kill"])

    from airflow_platform.tasks import collection, program

    return program.PlatformProgram(collection.namespace).outcome(sys.argv)


def die_at(step, tenant, phase):
    """Have SIGKILL hit this process at a phase of a step; nothing in the toolkit knows of it."""
    from airflow_platform.engine import journal

    def die_if(node, now):
        if (node.step, node.tenant, now) == (step, tenant, phase):
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    def around(function, before, after):
        def wrapped(self, node, *arguments):
            die_if(node, before)
            function(self, node, *arguments)
            die_if(node, after)

        return wrapped

    begun, ended = journal.SqliteJournal.begun, journal.SqliteJournal.ended
    journal.SqliteJournal.begun = around(begun, *PHASES[:2])
    journal.SqliteJournal.ended = around(ended, *PHASES[2:])


def shift_clock(seconds, since):
    """Have this process's wall clock be wrong, from the start or from the first step on; others' stay right.

    Monotonic clocks are what they are: that is the point.
    """
    right = time.time
    shift = [seconds if since == "start" else 0]
    time.time = lambda: right() + shift[0]

    class Wrong(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls):
            raise AssertionError("a time without a zone")

    datetime.datetime = Wrong
    from airflow_platform.engine import journal

    begun = journal.SqliteJournal.begun

    def jump(self, *arguments):
        shift[0] = seconds
        begun(self, *arguments)

    journal.SqliteJournal.begun = jump


if __name__ == "__main__":
    main(sys.argv[1:])
