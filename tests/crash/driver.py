"""Runs the real command line in this process, or in forks of it, and ends it at a chosen moment.

    python driver.py run REQUEST          one command line, in this process
    python driver.py serve                a request a line on standard input, each in a fork: spares
                                          the 0.6 s in which the toolkit's libraries are imported

A request is a JSON document:

    argv          what follows `inv`
    environment   the whole environment
    checkout      the repository whose DAGs and locks are used
    uv            the program that stands for uv
    stdout        files that the outputs of a fork go to; as `stderr`
    kill          null, {"step", "tenant", "phase"} or {"seconds"}: where SIGKILL hits the process
    release       {"step", "path"}: a file that is removed when that step begins
    largest_file  null, or the bytes after which a file cannot grow: as on a full disk
    grace         null, or the seconds that programs have between a signal and SIGKILL, instead of the usual ones
    clock         seconds by which the wall clock is wrong, "start" or "step": since when
"""

import datetime
import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

FOREVER = []
"""Contexts that are never left."""


def main(arguments):
    match arguments:
        case ["run", text]:
            request = json.loads(text)
            if request["clock"]:
                shift_clock(*request["clock"])
            sys.exit(run(request))
        case ["serve"]:
            preload()
            serve()


def preload():
    """Import what a run imports."""
    import airflow_platform.runtimes.process.supervisor.loop
    import airflow_platform.tasks.collection
    import airflow_platform.tasks.doctor
    import airflow_platform.tasks.program
    import airflow_platform.tasks.tenant_down
    import airflow_platform.tasks.tenant_status
    import airflow_platform.tasks.tenant_up
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
    from airflow_platform.tools import uv

    move_to(Path(request["checkout"]))
    uv.find = lambda: request["uv"]
    sys.argv = ["inv", *request["argv"]]
    release_at(**request["release"])
    if request["kill"]:
        die_in(**request["kill"]) if "seconds" in request["kill"] else die_at(**request["kill"])
    if request["grace"] is not None:
        be_patient(request["grace"])
    if request["largest_file"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], resource.RLIM_INFINITY))

    from airflow_platform.tasks import collection, program

    return program.PlatformProgram(collection.namespace).outcome(sys.argv)


def move_to(checkout):
    """Have the toolkit work on another project, and with that one's locks."""
    from airflow_platform.config import paths

    os.environ["AIRFLOW_PLATFORM_PROJECT"] = str(checkout)
    paths.toolkit = lambda: paths.Toolkit(checkout)


def watch(watcher):
    """Call something at each phase of each step, as long as this process lives."""
    from airflow_platform.engine import phases

    watching = phases.watched(watcher)
    watching.__enter__()
    FOREVER.append(watching)


def release_at(step, path):
    """Remove what holds a stand-in up when a step begins, so that this step has something to wait for."""

    def release(node, phase):
        if node.step == step and phase.value == "after begin":
            Path(path).unlink(missing_ok=True)

    watch(release)


def be_patient(grace):
    """Give programs another grace."""
    from airflow_platform.programs import programs

    run = programs.Programs.run

    def run_patiently(self, argv, **how):
        return run(self, argv, **{"grace": grace, **how})

    programs.Programs.run = run_patiently


def die_in(seconds):
    """Have SIGKILL hit this process after some time, wherever it is by then."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()


def die_at(step, tenant, phase):
    """Have SIGKILL hit this process at a phase of a step."""

    def die_if(node, now):
        if (node.step, node.tenant, now.value) == (step, tenant, phase):
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    watch(die_if)


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

    def jump(node, phase):
        shift[0] = seconds

    watch(jump)


if __name__ == "__main__":
    main(sys.argv[1:])
