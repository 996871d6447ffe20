import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest

from airflow_platform.tools import processes

MARK = "STARTED_FOR"

STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)


@pytest.fixture
def owner():
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def start():
    started = []

    def start_one(owner, *argv, **more):
        environment = {MARK: owner}
        child = subprocess.Popen(argv or ["/bin/sleep", "600"], env=environment, **more)
        started.append(child)
        return child

    yield start_one
    for child in started:
        child.kill()
        child.communicate()


def test_the_processes_of_an_owner_are_found_and_no_others(start, owner):
    ours, _longer, _other = start(owner), start(owner + "x"), start("other")

    (found,) = processes.marked(MARK, owner)

    assert (found.pid, processes.user_of(found), processes.command_of(found)) == (
        ours.pid,
        os.getuid(),
        "/bin/sleep 600",
    )


def test_a_process_is_found_as_soon_as_whoever_started_it_knows_that_it_runs(start, owner, monkeypatch):
    for _ in range(50):
        child = start(owner)
        listed = [psutil.Process(child.pid)]
        # To list all takes so long that the kernel is done by then.
        monkeypatch.setattr(psutil, "pids", lambda pid=child.pid: [pid])

        assert processes.marked(MARK, owner) == tuple(listed)

        child.kill()


def test_a_zombie_is_no_process(start, owner):
    child = start(owner, "/bin/true")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert processes.marked(MARK, owner) == ()


def test_the_processes_of_a_user_are_found(start, owner):
    if os.geteuid() != 0:
        assert processes.marked(MARK, owner, user=61_236) == ()
        return
    child = start("other", user=61_236)

    assert child.pid in {one.pid for one in processes.marked(MARK, owner, user=61_236)}


@pytest.mark.root
def test_the_mark_of_an_owner_is_believed_only_of_its_user_and_of_ours(start, owner):
    ours, tenants, _strangers = start(owner), start("other", user=61_236), start(owner, user=61_237)

    assert {one.pid for one in processes.marked(MARK, owner, user=61_236)} == {ours.pid, tenants.pid}
    assert {one.pid for one in processes.marked(MARK, owner)} == {ours.pid}


def test_the_user_of_a_listener_is_known_without_its_process():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        assert processes.users_listening(port) == {os.getuid()}
    assert processes.users_listening(port) == set()


@pytest.mark.parametrize("user", [0, os.getuid()])
def test_a_user_that_is_no_tenants_is_refused(owner, user):
    with pytest.raises(ValueError, match="not a tenant's own"):
        processes.marked(MARK, owner, user=user)


def test_processes_are_ended_the_stubborn_ones_too(start, owner):
    polite = start(owner)
    stubborn = start(owner, sys.executable, "-S", "-c", STUBBORN, stdout=subprocess.PIPE)
    assert stubborn.stdout.readline() == b"ready\n"

    assert processes.end(processes.marked(MARK, owner), grace=0.3) == ()

    assert (polite.wait(5), stubborn.wait(5)) == (-signal.SIGTERM, -signal.SIGKILL)
    assert processes.marked(MARK, owner) == ()


def test_a_later_process_with_the_same_id_is_left_alone(start, owner):
    child = start(owner)
    (found,) = processes.marked(MARK, owner)

    found._ident = (child.pid, found.create_time() - 1)  # As of a process that had this id before.

    assert processes.end([found], grace=0.1) == ()
    assert child.poll() is None


def test_what_has_ended_already_is_no_fault(start, owner):
    child = start(owner)
    found = processes.marked(MARK, owner)
    child.kill()
    child.wait()

    assert processes.end(found, grace=0.1) == ()


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")],
)
def test_a_listener_is_named_with_its_process(family, address):
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError as error:
        assert family == socket.AF_INET6, error  # noqa: PT017 - a machine without IPv6 has no such listeners.
        assert all(":" not in one.address for one in processes.listeners())
        return
    with server:
        port = server.getsockname()[1]
        name = Path("/proc/self/comm").read_text().strip()

        assert processes.listeners(port) == (processes.Listener(address, port, os.getpid(), name),)
        assert processes.listeners(port)[0] in processes.listeners()
        assert str(processes.listeners(port)[0]) == f"process {os.getpid()} ({name}) on {address}"
    assert processes.listeners(port) == ()


def test_a_bound_port_that_does_not_listen_is_no_listener():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        assert processes.listeners(bound.getsockname()[1]) == ()
