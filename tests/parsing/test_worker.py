"""The worker's process and its client, with a stand-in for Airflow: life, deaths, deadlines, confinement."""

import concurrent.futures
import dataclasses
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from airflow_platform import errors, programs
from airflow_platform.parsing import confinement, place, protocol
from airflow_platform.supervisor import linux
from airflow_platform.tools import parsing_worker
from tests.parsing.caches import remove, wait_for
from tests.parsing.real import as_root

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


@pytest.fixture
def ordinary(at):
    """A worker that is not root's: its imports have the rights that it has."""
    if os.geteuid() == 0:
        for directory in (at.directory, at.scratch):
            directory.mkdir(parents=True)
            os.chown(directory, protocol.NOBODY, protocol.NOBODY)
    there = dataclasses.replace(at, environment={**at.environment, "ORDINARY": "yes"})
    made = parsing_worker.Worker(there, programs.Programs())
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


def test_a_worker_that_is_dying_is_not_connected_to_again(worker, at, root):
    """A child that outlives it for a moment holds open what it listened on."""
    import_all(worker, root, {"a.py": ""})
    dying = pid_of(at.directory)
    timer = threading.Timer(0.3, os.kill, (dying, signal.SIGKILL))
    timer.start()
    worker._restart(last=False)
    timer.join()
    assert pid_of(at.directory) != dying
    assert import_all(worker, root, {"a.py": "told = 1"})["a.py"]["told"] == 1


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
        ("raise SystemExit(0)", "it made what imports it fail: SystemExit: 0"),
        ("told = 'x' * 20_000_000", "it told more than anybody wants to know"),
        (
            "told = float('nan'); import json; json.dumps = lambda *a, **k: '[]'",
            "it ended its process with code 0",
        ),
        ("import faulthandler; faulthandler.cancel_dump_traceback_later()\nwhile True: pass", "late"),
    ],
)
def test_how_an_import_came_to_its_end(worker, root, text, ended):
    found = import_all(worker, root, {"a.py": text, "b.py": "told = 1"}, seconds=3)
    assert found["a.py"]["ended"] == ended
    assert found["b.py"]["told"] == 1


def test_the_line_of_an_endless_loop_and_of_a_crash_is_told(worker, root):
    found = import_all(
        worker, root, {"a.py": "\n\nwhile True: pass", "b.py": "\nimport os; os.abort()"}, seconds=3
    )
    assert (found["a.py"]["file"], found["a.py"]["line"]) == ("a.py", 3)
    assert (found["b.py"]["file"], found["b.py"]["line"]) == ("b.py", 2)


def test_a_failure_of_what_imports_is_not_told_as_the_files(worker, root):
    (root / "a.py").write_bytes(b"\xff")  # The stand-in cannot read it.
    order = protocol.Order(str(root), (protocol.File("a.py"),))
    ((_, found),) = worker.facts(order)
    assert found["ended"].startswith(
        "what imports it failed, a defect of airflow-platform and not of the file: Uni"
    )
    assert "line" not in found


def test_an_exception_that_leaves_a_file_is_told_with_its_line(worker, root):
    found = import_all(worker, root, {"a.py": "def f():\n    raise KeyboardInterrupt('x' * 1000)\n\nf()"})[
        "a.py"
    ]
    assert (found["file"], found["line"]) == ("a.py", 2)
    assert found["ended"].startswith("it made what imports it fail: KeyboardInterrupt: xxx")
    assert len(found["ended"]) < 500


DIRECTORIES = {
    "closed": "os.chmod(os.getcwd(), 0)",
    "closed within": "os.makedirs('a/b'); open('a/b/c', 'w').close(); os.chmod('a', 0)",
    "deep": "[(os.mkdir('d'), os.chdir('d')) for _ in range(1200)]",
    "gone": "os.rmdir(os.getcwd())",
    "closed above": "os.chmod('..', 0)",
    "a link": "here = os.getcwd(); os.rmdir(here); os.symlink(os.path.dirname(here), here)",
}


@pytest.mark.parametrize("what", DIRECTORIES)
def test_what_a_file_does_to_its_directory_is_in_nobodys_way(ordinary, at, root, what):
    harm = f"import os\n{DIRECTORIES[what]}\ntold = 0"
    texts = {"0.py": harm, **{f"{n}.py": "open('left', 'w').close(); told = 1" for n in range(1, 5)}}
    for _ in range(2):
        found = import_all(ordinary, root, texts, jobs=1)
        assert [each.get("told", each) for _, each in sorted(found.items())] == [0, 1, 1, 1, 1]
        os.kill(pid_of(at.directory), signal.SIGKILL)
    assert import_all(ordinary, root, {"1.py": texts["1.py"]})["1.py"]["told"] == 1
    wait_for(lambda: all(each.is_symlink() for each in at.scratch.iterdir()))


@as_root
@pytest.mark.parametrize("what", ["closed", "closed within", "deep"])
def test_as_root_what_a_file_does_to_its_directory_is_in_nobodys_way(at, root, what):
    worker = parsing_worker.Worker(dataclasses.replace(at, users=(65532, 65533)), programs.Programs())
    harm = f"import os\n{DIRECTORIES[what]}\ntold = os.getuid()"
    texts = {"0.py": harm, **{f"{n}.py": "open('left', 'w').close(); told = 1" for n in range(1, 5)}}
    for _ in range(2):
        found = import_all(worker, root, texts)
        assert found.pop("0.py")["told"] in (65532, 65533)
        assert {each["told"] for each in found.values()} == {1}
        wait_for(lambda: not list(at.scratch.iterdir()))
        os.kill(pid_of(at.directory), signal.SIGKILL)
    worker.close()


def test_what_takes_long_to_delete_is_deleted_when_nobody_waits_and_by_the_next_worker(at, root):
    there = dataclasses.replace(at, environment={**at.environment, "UNTIDY": "yes"})
    worker = parsing_worker.Worker(there, programs.Programs())
    text = "import os\nfor n in range(100): open(str(n), 'w').close()\ntold = 1"
    (at.scratch / "left" / "over").mkdir(parents=True)
    assert import_all(worker, root, {"a.py": text, "b.py": text})["b.py"]["told"] == 1
    wait_for(lambda: not list(at.scratch.iterdir()))
    worker.close()


@as_root
def test_threads_are_limited_only_where_a_user_id_is_an_imports_own(at, root):
    text = {"a.py": "import os, resource; told = [os.getuid(), resource.getrlimit(resource.RLIMIT_NPROC)[0]]"}
    told = []
    for number, user in enumerate((65533, protocol.NOBODY)):
        there = dataclasses.replace(at, directory=at.directory.with_name(str(number)), users=(user,))
        worker = parsing_worker.Worker(there, programs.Programs())
        told.append(import_all(worker, root, text)["a.py"]["told"])
        worker.close()
    assert told[0] == [65533, confinement.MOST_THREADS]
    assert told[1] == [protocol.NOBODY, resource.getrlimit(resource.RLIMIT_NPROC)[0]]


@LINUX
def test_a_file_that_switches_its_deadline_off_ends_with_its_worker(worker, at, root):
    text = """
import ctypes, faulthandler, os, resource, time
faulthandler.cancel_dump_traceback_later()
library = ctypes.CDLL(None)
assert library.prctl(1, 0, 0, 0, 0) == -1
assert library.prctl(15, b"name", 0, 0, 0) == 0
assert library.unshare(0) == -1
assert 0 < resource.getrlimit(resource.RLIMIT_CPU)[1] < 10_000
open(os.path.join(os.path.dirname(__file__), "ready"), "w").close()
time.sleep(1000)
""".replace("__file__", repr(str(root / "a.py")))
    (root / "a.py").write_text(text)
    worker.start()
    pid = pid_of(at.directory)
    facts = worker.facts(protocol.Order(str(root), (protocol.File("a.py"),)))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(list, facts)
        wait_for((root / "ready").exists)
        (child,) = linux.descendants(pid)
        worker._runner.interruption.request(signal.SIGINT)  # Nobody asks for the file anew.
        with pytest.raises(errors.Interrupted):
            waiting.result()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: (now := linux.process(child.pid)) != child or now.zombie)


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


def test_a_listing_that_does_not_end_is_refused_and_harms_nobody(worker, at, root, monkeypatch):
    os.mkfifo(root / "ignore", 0o644)
    with monkeypatch.context() as patched:
        patched.setattr(parsing_worker, "LISTING", 0.5)
        with pytest.raises(errors.ProgramError, match=r"had not listed the files after 0.5 s"):
            worker.files(root)
    pid = pid_of(at.directory)
    (root / "ignore").unlink()
    assert import_all(worker, root, {"a.py": "import os; told = os.getppid()"})["a.py"]["told"] == pid
    assert worker.files(root) == ("a.py",)


def test_a_listing_that_takes_too_much_memory_is_refused(worker, root):
    with (root / "ignore").open("wb") as file:
        file.truncate(64 * 1024**3)
    with pytest.raises(parsing_worker.Refused, match="MemoryError: Airflow takes more than 1024 MiB"):
        worker.files(root)


def test_a_listing_that_fails_is_an_error_with_its_last_line(worker, root):
    (root / "ignore").write_bytes(b"\xff")
    with pytest.raises(errors.ProgramError, match=r"could not be listed: .*UnicodeDecodeError"):
        worker.files(root)


@as_root
def test_as_root_files_are_not_listed_as_root(at, root):
    worker = parsing_worker.Worker(dataclasses.replace(at, users=(protocol.NOBODY,)), programs.Programs())
    (root / "ignore").write_text("canary")
    (root / "ignore").chmod(0o600)
    with pytest.raises(parsing_worker.Refused, match="Permission denied: 'ignore'"):
        worker.files(root)
    worker.close()


@LINUX
def test_a_worker_that_says_nothing_is_ended_and_replaced(worker, at, root, monkeypatch):
    found = import_all(worker, root, {"a.py": "import os; told = os.getppid()"})["a.py"]
    monkeypatch.setattr(parsing_worker, "SILENCE", 3)
    os.kill(found["told"], signal.SIGSTOP)
    assert worker.files(root) == ("a.py",)
    assert pid_of(at.directory) != found["told"]
    wait_for(lambda: (now := linux.process(found["told"])) is None or now.zombie)


def test_a_worker_that_is_busy_says_so_and_is_left_alone(at, root, monkeypatch):
    monkeypatch.setattr(parsing_worker, "SILENCE", 2)
    there = dataclasses.replace(at, environment={**at.environment, "TALKATIVE": "yes"})
    worker = parsing_worker.Worker(there, programs.Programs())
    found = import_all(worker, root, {"a.py": "import os, time; time.sleep(4); told = os.getppid()"})["a.py"]
    assert found["told"] == pid_of(at.directory)
    worker.close()


def test_that_the_kernel_confines_nothing_is_told(at, root):
    (root / "a.py").write_text("")
    for number, (environment, wanted) in enumerate(
        [({}, []), ({"UNCONFINED": "yes"}, [parsing_worker.UNCONFINED])]
    ):
        told = []
        there = dataclasses.replace(
            at,
            directory=at.directory.with_name(str(number)),
            environment={**at.environment, **environment},
            tell=told.append,
        )
        worker = parsing_worker.Worker(there, programs.Programs())
        assert worker.files(root) == ("a.py",)
        worker.close()
        assert told == wanted


def test_what_dead_workers_have_left_is_swept_away(at, root, base):
    workers, scratches = base / "workers", base / "scratches"
    made = {}
    for name in ("dead", "living", "wanted"):
        there = dataclasses.replace(at, directory=workers / name, scratch=scratches / name)
        made[name] = parsing_worker.Worker(there, programs.Programs())
        import_all(made[name], root, {"a.py": "open('left', 'w').close()"})
    (scratches / "older" / "tmp").mkdir(parents=True)
    for name in ("dead", "wanted"):
        os.kill(pid_of(workers / name), signal.SIGKILL)
        wait_for(lambda there=workers / name: place.is_free(there))
        made[name].close()
    parsing_worker.sweep(workers, scratches, without="wanted")
    for directory in (workers, scratches):
        assert sorted(path.name for path in directory.iterdir()) == ["living", "wanted"]
    assert import_all(made["living"], root, {"a.py": "told = 1"})["a.py"]["told"] == 1
    made["living"].close()
    parsing_worker.sweep(base / "nowhere", base / "nowhere", without="wanted")


def test_a_worker_whose_directory_was_swept_away_is_started_in_a_new_one(worker, at, root):
    import_all(worker, root, {"a.py": ""})
    os.kill(pid_of(at.directory), signal.SIGKILL)
    parsing_worker.sweep(at.directory.parent, at.scratch.with_name("none"), without="")
    wait_for(lambda: place.is_free(at.directory))
    assert import_all(worker, root, {"a.py": "told = 1"})["a.py"]["told"] == 1


def test_a_lock_in_a_directory_that_is_gone_is_nobodys(base, monkeypatch):
    directory = base / "x"
    directory.mkdir()
    real = place.fcntl.flock

    def swept(held, how):
        real(held, how)
        (directory / protocol.LOCK).unlink()

    monkeypatch.setattr(place.fcntl, "flock", swept)
    with pytest.raises(FileNotFoundError):
        place.take(directory)


def test_no_more_are_imported_at_a_time_than_there_are_slots_or_were_asked_for(worker, root):
    text = f"""
import os, time
began = time.monotonic()
open(os.path.join({str(root)!r}, f"{{os.getpid()}}.began"), "w").close()
while sum(name.endswith(".began") for name in os.listdir({str(root)!r})) < 2:
    time.sleep(0.01)
time.sleep(0.2)
told = [began, time.monotonic()]
"""
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
    parsing_worker.end_all(at.directory.parent, timeout=0.5)  # It would wait for ever else.
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
