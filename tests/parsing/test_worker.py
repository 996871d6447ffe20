"""The worker's process and its client, with a stand-in for Airflow: life, deaths, deadlines, confinement."""

import concurrent.futures
import dataclasses
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import pytest

from airflow_platform import errors, programs
from airflow_platform.parsing import place, protocol
from airflow_platform.supervisor import linux
from airflow_platform.tools import parsing_worker
from tests.parsing.caches import remove, wait_for

STANDIN = Path(__file__).with_name("standin.py")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="macOS has no seccomp and no /proc")


@pytest.fixture
def base():
    """A directory that other users can enter, as a cache is."""
    directory = Path(tempfile.mkdtemp(prefix="airflow-platform-test-"))
    directory.chmod(0o755)
    yield directory
    remove(directory)


@pytest.fixture
def python(base, checkout):
    """What stands for Airflow's Python: starts the stand-in with the worker's one argument."""
    program = base / "python"
    program.write_text(
        "#!/bin/sh\n"
        f'for argument; do :; done\nPYTHONPATH="{checkout}" exec "{sys.executable}" -P "{STANDIN}" "$argument"\n'
    )
    program.chmod(0o755)
    return program


@pytest.fixture
def at(base, python):
    return parsing_worker.Place(
        directory=base / "workers" / "x",
        scratch=base / "scratch",
        python=python,
        environment={"PATH": os.environ["PATH"], "ONLY": "this"},
        users=(None, None),
        idle=60,
    )


@pytest.fixture
def root(base):
    directory = base / "dags"
    directory.mkdir()
    return directory


@pytest.fixture
def worker(at):
    made = parsing_worker.Worker(at, programs.Programs())
    yield made
    made.close()


def import_all(worker, root, texts, **order):
    """Facts by file."""
    for name, text in texts.items():
        (root / name).write_text(text)
    files = tuple(protocol.File(name) for name in texts)
    given = {"seconds": 10, "memory": 512, **order}
    return dict(worker.facts(protocol.Order(str(root), files, **given)))


def pid_of(directory):
    """The worker there, found by who holds its socket's other end."""
    with socket.socket(socket.AF_UNIX) as line, place.reachable(directory) as near:
        line.connect(f"{near}/{protocol.SOCKET}")
        credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], sys.byteorder)


def test_files_are_listed_and_imported_each_in_a_process_of_its_own(worker, root):
    texts = {f"{n}.py": "import os; told = os.getpid()" for n in range(5)}
    found = import_all(worker, root, texts)
    assert worker.files(root) == tuple(sorted(texts))
    assert len({each["told"] for each in found.values()}) == 5
    assert all(each["cpu"] >= 0 for each in found.values())


def test_nothing_to_import_is_done_at_once(worker, root):
    assert import_all(worker, root, {}) == {}


def test_a_second_client_finds_the_same_worker(worker, at, root):
    text = {"a.py": "import os; told = os.getppid()"}
    first = import_all(worker, root, text)
    other = parsing_worker.Worker(at, programs.Programs())
    assert import_all(other, root, text)["a.py"]["told"] == first["a.py"]["told"] == pid_of(at.directory)
    other.close()


def test_clients_that_start_at_the_same_time_get_one_worker(at, root):
    (root / "a.py").write_text("import os; told = os.getppid()")

    def ask(_):
        client = parsing_worker.Worker(at, programs.Programs())
        try:
            (told,) = client.facts(protocol.Order(str(root), (protocol.File("a.py"),)))
            return client.files(root), told[1]["told"]
        finally:
            client.close()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        told = set(pool.map(ask, range(4)))
    assert len(told) == 1


def test_a_worker_has_the_environment_that_it_is_given_and_no_descriptor_of_ours(worker, at, root):
    held = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        text = "import os; told = [sorted(os.environ), len(os.listdir('/proc/self/fd'))]"
        names, descriptors = import_all(worker, root, {"a.py": text})["a.py"]["told"]
    finally:
        os.close(held)
    assert {"ONLY", "HOME", "TMPDIR"} <= set(names)
    assert set(names) <= {
        "ONLY",
        "HOME",
        "TMPDIR",
        "PATH",
        "PWD",
        "PYTHONPATH",
        "SHLVL",
        "_",
        "LC_CTYPE",
        "OLDPWD",
    }
    assert descriptors <= 7  # Three for nothing, two pipes, and the listing's own.


def test_what_is_left_of_a_killed_worker_is_in_nobodys_way(worker, at, root):
    import_all(worker, root, {"a.py": ""})
    os.kill(pid_of(at.directory), signal.SIGKILL)
    os.close(os.open(at.directory / f".{protocol.SOCKET}.new", os.O_CREAT))
    found = import_all(worker, root, {"a.py": "told = 1"})
    assert found["a.py"]["told"] == 1


def test_a_file_with_which_the_worker_dies_is_found_among_others(at, root):
    unconfined = dataclasses.replace(at, environment={**at.environment, "UNCONFINED": "yes"})
    worker = parsing_worker.Worker(unconfined, programs.Programs())
    texts = {f"{n}.py": "told = 1" for n in range(6)}
    texts["3.py"] = "import os, time; os.kill(os.getppid(), 9); time.sleep(100)"
    found = import_all(worker, root, texts)
    worker.close()
    assert found.pop("3.py") == {"ended": "the process that imports ended with it"}
    assert {each["told"] for each in found.values()} == {1}


def test_a_worker_that_dies_of_an_order_again_and_again_is_an_error_with_its_last_lines(worker, at, root):
    with pytest.raises(errors.ProgramError, match="ends again and again"):
        import_all(worker, root, {"a.py": ""}, warm=("end",))


def test_a_worker_that_cannot_start_is_an_error_with_its_last_lines(worker, at):
    at.python.write_text("#!/bin/sh\necho no such library >&2\nexit 1\n")
    with pytest.raises(errors.ProgramError, match="no such library") as raised:
        worker.start()
    assert str(at.directory) in raised.value.hint


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("while True: pass", "late"),
        ("import posix; posix._exit(0)", "it ended its process with code 0"),
        ("import os; os.closerange(3, 1000); import time; time.sleep(100)", "it ended without an answer"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "it was ended by SIGTERM"),
        ("import ctypes; ctypes.string_at(0)", "it was ended by SIGSEGV"),
        ("raise SystemExit(0)", "it ended its process with code 2"),
        ("told = 'x' * 20_000_000", "it told more than anybody wants to know"),
        (
            "told = float('nan'); import json; json.dumps = lambda *a, **k: '[]'",
            "it ended its process with code 0",
        ),
        ("import faulthandler; faulthandler.cancel_dump_traceback_later()\nwhile True: pass", "late"),
    ],
)
def test_how_an_import_came_to_its_end(worker, root, text, ended):
    found = import_all(worker, root, {"a.py": text, "b.py": "told = 1"}, seconds=1.5)
    assert found["a.py"]["ended"] == ended
    assert found["b.py"]["told"] == 1


def test_the_line_of_an_endless_loop_and_of_a_crash_is_told(worker, root):
    found = import_all(
        worker, root, {"a.py": "\n\nwhile True: pass", "b.py": "\nimport os; os.abort()"}, seconds=1
    )
    assert (found["a.py"]["file"], found["a.py"]["line"]) == ("a.py", 3)
    assert (found["b.py"]["file"], found["b.py"]["line"]) == ("b.py", 2)


@LINUX
def test_the_kernel_refuses_programs_sockets_signals_and_memory(worker, root):
    text = """
import ctypes, os, resource, socket, subprocess, threading
told = []
def tried(what):
    try:
        told.append(repr(what()))
    except (OSError, MemoryError) as error:
        told.append(type(error).__name__)
library = ctypes.CDLL(None, use_errno=True)
tried(os.fork)
tried(lambda: os.execv("/bin/true", ["true"]))
tried(lambda: subprocess.run(["true"]))
tried(socket.socket)
tried(lambda: os.kill(os.getppid(), 0))
tried(lambda: os.kill(-1, 0))
tried(os.setsid)
tried(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1)))
tried(lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19))
tried(lambda: bytearray(2 * 1024**3))
told.append(library.fork())
told.append(library.ptrace(16, os.getppid(), 0, 0))
ours = []
thread = threading.Thread(target=ours.append, args=(1,))
thread.start()
thread.join()
told += [ours, len(socket.socketpair()), os.kill(os.getpid(), 0), resource.getrlimit(resource.RLIMIT_CPU)[0] != 1]
"""
    found = import_all(worker, root, {"a.py": text})["a.py"]["told"]
    assert found == [*["PermissionError"] * 9, "MemoryError", -1, -1, [1], 2, None, True]


def test_no_more_are_imported_at_a_time_than_there_are_slots_or_were_asked_for(worker, root):
    text = "import os, time\nbegan = time.monotonic()\ntime.sleep(0.2)\ntold = [began, time.monotonic()]"
    for jobs, most in ((0, 2), (1, 1)):
        spans = [
            each["told"]
            for each in import_all(worker, root, {f"{n}.py": text for n in range(4)}, jobs=jobs).values()
        ]
        assert max(sum(a <= at <= b for a, b in spans) for at, _ in spans) == most


def test_a_client_that_goes_takes_its_imports_with_it(worker, at, root):
    (root / "a.py").write_text("while True: pass")
    worker.start()
    pid = pid_of(at.directory)
    facts = worker.facts(protocol.Order(str(root), (protocol.File("a.py"),)))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(list, facts)
        wait_for(lambda: linux.descendants(pid))
        worker._runner.interruption.request(signal.SIGINT)
        with pytest.raises(errors.Interrupted):
            waiting.result()
    worker.close()
    wait_for(lambda: not linux.descendants(pid))
    assert pid_of(at.directory) == pid


def test_a_worker_that_nobody_finds_any_more_ends(worker, at, root):
    import_all(worker, root, {"a.py": ""})
    pid = pid_of(at.directory)
    (at.directory / protocol.SOCKET).unlink()
    worker.close()
    wait_for(lambda: linux.process(pid) is None or linux.process(pid).zombie)


def test_without_patience_a_worker_ends_with_its_client(at, root):
    worker = parsing_worker.Worker(dataclasses.replace(at, idle=0), programs.Programs())
    import_all(worker, root, {"a.py": ""})
    worker.close()
    wait_for(lambda: place.is_free(at.directory))


def test_workers_end_when_they_are_told_but_not_under_somebody_who_asks(worker, at, root):
    import_all(worker, root, {"a.py": ""})
    began = time.monotonic()
    parsing_worker.end_all(at.directory.parent, timeout=0.5)
    assert time.monotonic() - began < 5
    assert import_all(worker, root, {"a.py": "told = 1"})["a.py"]["told"] == 1
    worker.close()
    wait_for(lambda: place.is_free(at.directory))


def test_where_there_are_no_workers_none_is_ended(base):
    parsing_worker.end_all(base / "nowhere")
    (base / "workers" / "x").mkdir(parents=True)
    parsing_worker.end_all(base / "workers")


def test_what_is_no_order_is_answered_with_an_error(worker, at, root):
    import_all(worker, root, {"a.py": ""})
    for asked in (b"{}\n", b"[]\n", b"not json\n", b'{"ask": "files"}\n', b'{"ask": "import", "files": 1}\n'):
        with socket.socket(socket.AF_UNIX) as line, place.reachable(at.directory) as near:
            line.connect(f"{near}/{protocol.SOCKET}")
            line.sendall(asked)
            assert "error" in protocol.decode(line.recv(10_000).splitlines()[0])
    assert import_all(worker, root, {"a.py": "told = 1"})["a.py"]["told"] == 1


def test_a_deep_directory_is_no_obstacle_to_a_socket(at, root, base):
    deep = base / ("d" * 100) / ("e" * 100) / "x"
    worker = parsing_worker.Worker(dataclasses.replace(at, directory=deep), programs.Programs())
    assert import_all(worker, root, {"a.py": "told = 1"})["a.py"]["told"] == 1
    worker.close()
    parsing_worker.end_all(deep.parent)


def test_the_directory_is_ours_alone(worker, at, root):
    import_all(worker, root, {"a.py": ""})
    assert at.directory.stat().st_mode & 0o777 == 0o700
    for name in (protocol.SOCKET, protocol.LOG, protocol.LOCK):
        assert (at.directory / name).stat().st_mode & 0o077 == 0
