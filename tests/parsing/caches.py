"""Taking away a cache in which workers may still live."""

import shutil
import time

from airflow_platform.supervisor import linux
from airflow_platform.tools import parsing_worker


def workers(cache):
    """The processes that listen in a cache, without their children, which have the same title."""
    found = {each.pid: each for each in linux.processes() if str(cache) in linux.title(each.pid)}
    return [pid for pid, each in found.items() if each.parent not in found]


def remove(cache):
    """End all workers of a cache, and delete it."""

    def none_is_left():
        # One that was one too many may be so slow that it takes the place of those that have ended.
        for directory in cache.rglob("workers"):
            parsing_worker.end_all(directory)
        return not workers(cache)

    wait_for(none_is_left)
    shutil.rmtree(cache)


def wait_for(happened, *, within=60):
    """Wait until something is so; a busy machine takes its time."""
    deadline = time.monotonic() + within
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)
