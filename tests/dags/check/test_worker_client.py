"""The worker's process and its client, with a stand-in for Airflow: ends, deadlines, limits, what is blamed."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.dags.check import worker_client
from airflow_platform.dags.check.worker import messages
from airflow_platform.programs import programs
from airflow_platform.tools import temporary
from tests.dags.check.real import as_root

STANDIN = Path(__file__).with_name("standin.py")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="macOS has no /proc and no namespaces")
NOBODY = 65534


@pytest.fixture
def base():
    """A directory that other users can enter, as a cache is."""
    directory = Path(tempfile.mkdtemp(prefix="airflow-platform-test-"))
    directory.chmod(0o755)
    yield directory
    temporary.remove(directory)


@pytest.fixture
def root(base):
    directory = base / "dags"
    directory.mkdir()
    return directory


@pytest.fixture
def launch(base, checkout):
    """Starts the stand-in with the worker's one argument."""
    program = base / "python"
    program.write_text(
        "#!/bin/sh\n"
        f'for argument; do :; done\nPYTHONPATH="{checkout}" exec "{sys.executable}" -P "{STANDIN}" "$argument"\n'
    )
    program.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "ONLY": "this"}
    return worker_client.Launch(program, lambda home: environment, None)


@pytest.fixture
def worker(launch, root):
    made = worker_client.Worker(launch, root, programs.Programs())
    yield made
    made.close()


def import_all(worker, root, texts, **order):
    """Facts by file."""
    for name, text in texts.items():
        (root / name).write_text(text)
    files = tuple(messages.File(name) for name in texts)
    return dict(worker.facts(messages.ImportRequest(files, **{"seconds": 10, "memory": 256, **order})))


def test_an_order_survives_the_line():
    order = messages.ImportRequest(
        (messages.File("a.py", ("os",)), messages.File("b.py")), warm=("airflow.sdk",)
    )
    read = messages.ImportRequest.from_json(messages.decode(messages.encode(order.to_json())))
    assert [each.path for each in read.files] == ["a.py", "b.py"]
    assert ([*read.files[0].modules], [*read.warm]) == (["os"], ["airflow.sdk"])


def test_files_are_listed_and_imported_each_in_a_process_of_its_own(worker, root):
    texts = {f"{n}.py": "import os; told = [os.getpid(), os.getppid()]" for n in range(5)}
    found = import_all(worker, root, texts)
    assert worker.files() == tuple(sorted(texts))
    assert len({each["told"][0] for each in found.values()}) == 5
    assert len({each["told"][1] for each in found.values()}) == 1
    assert all(each["cpu"] >= 0 for each in found.values())
    assert import_all(worker, root, {}) == {}


def test_as_many_are_imported_at_a_time_as_there_are_cores(worker, root, monkeypatch):
    monkeypatch.setattr(worker_client, "_jobs", lambda: 2)
    text = "import time; began = time.monotonic(); time.sleep(0.5); told = [began, time.monotonic()]"
    spans = [each["told"] for each in import_all(worker, root, {f"{n}.py": text for n in range(4)}).values()]
    assert max(sum(a <= at <= b for a, b in spans) for at, _ in spans) == 2


def test_a_worker_has_the_environment_that_it_is_given_and_no_descriptor_of_ours(worker, root):
    text = "import os; told = [sorted(os.environ), len(os.listdir('/proc/self/fd'))]"
    names, descriptors = import_all(worker, root, {"a.py": text})["a.py"]["told"]
    shell = {"PWD", "PYTHONPATH", "SHLVL", "_", "LC_CTYPE", "OLDPWD"}
    assert set(names) - shell == {"ONLY", "HOME", "TMPDIR", "PATH"}
    assert descriptors <= 7  # Three for nothing, two pipes, and the listing's own.


def test_airflow_is_imported_without_the_folder_that_the_toolkit_is_in(worker, root, checkout):
    told = import_all(worker, root, {"a.py": "import sys; told = sys.path"})["a.py"]["told"]
    assert str(checkout) not in told


ENDS = {
    "while True: pass": "late",
    "held = []\nwhile True: held.append(b'x' * 10_000_000)": "memory",
    "import posix; posix._exit(0)": "it ended without an answer",
    "import posix; posix._exit(4)": "it exited with code 4",
    "import os, signal; os.kill(os.getpid(), signal.SIGTERM)": "it was ended by SIGTERM",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": "it ended without an answer",
    "import ctypes; ctypes.string_at(0)": "it was ended by SIGSEGV",
    "raise SystemExit(0)": "the file crashed the importer: SystemExit: 0",
    "told = 'x' * 20_000_000": "it answered more than 16 MiB",
    "told = float('nan'); import json; json.dumps = lambda *a, **k: '[]'": "it ended without an answer",
    "import signal; signal.signal(signal.SIGABRT, signal.SIG_IGN)\nwhile True: pass": "late",
}


@LINUX
def test_how_an_import_came_to_its_end_and_that_others_are_not_affected(worker, root):
    texts = {f"{number}.py": text for number, text in enumerate(ENDS)}
    found = import_all(worker, root, {**texts, "good.py": "told = 1"}, seconds=3)
    assert {ENDS[texts[path]]: each.get("ended") for path, each in found.items() if path in texts} == {
        each: each for each in ENDS.values()
    }
    assert found["good.py"]["told"] == 1


def test_the_line_of_an_endless_loop_of_a_crash_and_of_an_exception_is_reported(worker, root):
    texts = {
        "loop.py": "\n\nwhile True: pass",
        "crash.py": "\nimport os; os.abort()",
        "raise.py": "def f():\n    raise KeyboardInterrupt('x' * 1000)\n\nf()",
    }
    found = import_all(worker, root, texts, seconds=2)
    places = {path: (each["ended_at"]["file"], each["ended_at"]["line"]) for path, each in found.items()}
    assert places == {"loop.py": ("loop.py", 3), "crash.py": ("crash.py", 2), "raise.py": ("raise.py", 2)}
    assert len(found["raise.py"]["ended"]) < 500


def test_a_failure_of_what_imports_is_not_blamed_on_the_file(worker, root):
    (root / "a.py").write_bytes(b"\xff")  # The stand-in cannot read it.
    ((_, found),) = worker.facts(messages.ImportRequest((messages.File("a.py"),)))
    assert found["ended"].startswith("a defect of airflow-platform, not of the file: UnicodeDecodeError")
    assert "ended_at" not in found


@LINUX
def test_memory_counts_what_is_used_and_not_what_is_reserved(worker, root):
    text = "import mmap\nheld = mmap.mmap(-1, 2 * 1024**3)\ntold = 1"
    assert import_all(worker, root, {"a.py": text})["a.py"].get("told") == 1


def test_what_a_file_does_to_its_directory_costs_nobody_else(worker, root):
    harm = ("os.chmod(os.getcwd(), 0)", "os.rmdir(os.getcwd())", "open('left', 'w').close()")
    for number, each in enumerate(harm):
        assert (
            import_all(worker, root, {f"{number}.py": f"import os\n{each}\ntold = 1"})[f"{number}.py"]["told"]
            == 1
        )
    assert import_all(worker, root, {"a.py": "import os; told = os.listdir()"})["a.py"]["told"] == []


@LINUX
def test_a_file_with_which_the_worker_dies_is_found_among_others(worker, root):
    texts = {f"{n}.py": "told = 1" for n in range(6)}
    texts["3.py"] = "import os, time; os.kill(os.getppid(), 9); time.sleep(100)"
    found = import_all(worker, root, texts)
    assert found.pop("3.py") == {"ended": "the process that imports ended with it", "cpu": 0.0}
    assert {each["told"] for each in found.values()} == {1}


@LINUX
def test_a_file_that_ends_others_is_blamed_and_they_are_not(worker, root, monkeypatch):
    monkeypatch.setattr(worker_client, "_jobs", lambda: 2)
    harm = """
import os, pathlib, signal, time
time.sleep(0.5)
for each in pathlib.Path("/proc").glob("[0-9]*/stat"):
    try:
        pid, parent = int(each.parent.name), int(each.read_text().rpartition(")")[2].split()[1])
    except OSError:
        continue
    if parent == os.getppid() and pid != os.getpid():
        os.kill(pid, signal.SIGKILL)
told = 2
"""
    texts = {"harm.py": harm, "victim.py": "import time; time.sleep(2); told = 1"}
    assert {path: each.get("told") for path, each in import_all(worker, root, texts).items()} == {
        "harm.py": 2, "victim.py": 1,
    }  # fmt: skip


def test_a_worker_that_dies_again_and_again_is_an_error_with_its_last_lines(worker, root):
    with pytest.raises(
        errors.ProgramError, match="ended while it was asked; its last lines:\n    the end is near"
    ):
        import_all(worker, root, {"a.py": ""}, warm=("end",))


def test_a_worker_that_cannot_start_is_an_error_with_its_last_lines(launch, root):
    launch.python.write_text("#!/bin/sh\necho no such library >&2\nexit 1\n")
    with (
        contextlib.closing(worker_client.Worker(launch, root, programs.Programs())) as worker,
        pytest.raises(errors.ProgramError, match="no such library"),
    ):
        worker.files()


@pytest.mark.parametrize("said", ["not json", "[]", "["])
def test_a_worker_that_talks_nonsense_is_an_error(launch, root, said):
    launch.python.write_text(f"#!/bin/sh\necho '{said}'\n")
    with (
        contextlib.closing(worker_client.Worker(launch, root, programs.Programs())) as worker,
        pytest.raises(errors.ProgramError, match=r"no JSON|no object|ended"),
    ):
        worker.files()


def test_a_worker_that_says_nothing_is_given_up(launch, root, monkeypatch):
    monkeypatch.setattr(worker_client, "SILENCE", 0.2)
    monkeypatch.setattr(worker_client, "LISTING", 0.1)
    launch.python.write_text("#!/bin/sh\nsleep 60\n")
    with (
        contextlib.closing(worker_client.Worker(launch, root, programs.Programs())) as worker,
        pytest.raises(errors.ProgramError, match=r"said nothing for 0.3 s"),
    ):
        worker.files()


def test_ctrl_c_ends_a_check_and_what_it_had_begun(launch, root):
    runner = programs.Programs()
    worker = worker_client.Worker(launch, root, runner)
    text = f"import os, time\nopen({str(root / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(100)"
    timer = threading.Thread(target=lambda: (wait_for((root / "pid").exists), runner.interruption.request(2)))
    timer.start()
    with pytest.raises(errors.Interrupted):
        import_all(worker, root, {"a.py": text})
    worker.close()
    timer.join()
    child = int((root / "pid").read_text())
    wait_for(lambda: not is_running(child))


@LINUX
def test_a_caller_that_is_killed_leaves_nothing_running(launch, root, checkout):
    (root / "a.py").write_text(
        f"import os, time\nopen({str(root / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(100)"
    )
    program = (
        "import sys; from pathlib import Path; from airflow_platform.programs import programs\n"
        "from airflow_platform.dags.check import worker_client; from airflow_platform.dags.check.worker import messages\n"
        "launch = worker_client.Launch(Path(sys.argv[1]), lambda home: {'PATH': '/usr/bin:/bin'}, None)\n"
        "worker = worker_client.Worker(launch, Path(sys.argv[2]), programs.Programs())\n"
        "list(worker.facts(messages.ImportRequest((messages.File('a.py'),))))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, launch.python, root], cwd=checkout) as caller:
        wait_for(lambda: (root / "pid").exists() and (root / "pid").read_text())
        caller.send_signal(signal.SIGKILL)
    child = int((root / "pid").read_text())
    wait_for(lambda: not is_running(child))


def test_a_listing_that_does_not_end_is_an_error(worker, root, monkeypatch):
    os.mkfifo(root / "ignore", 0o644)
    monkeypatch.setattr(worker_client, "LISTING", 0.5)
    with pytest.raises(errors.ProgramError, match=r"had not listed the files after 0.5 s"):
        worker.files()


def test_a_listing_that_takes_too_much_memory_or_rights_is_refused(worker, root, monkeypatch):
    monkeypatch.setattr(worker_client, "MEMORY", 64)
    (root / "ignore").write_bytes(b"x" * 256 * 1024**2)
    with pytest.raises(worker_client.RefusedError, match="takes more than 64 MiB"):
        worker.files()
    (root / "ignore").unlink()
    (root / "ignore").mkdir()
    with pytest.raises(worker_client.RefusedError, match="Is a directory: 'ignore'"):
        worker.files()


class TestAsRoot:
    """What only root's checks have."""

    pytestmark = [as_root, LINUX]  # noqa: RUF012

    @pytest.fixture
    def launch(self, launch):
        return worker_client.Launch(launch.python, launch.settings, NOBODY, self.notes.append)

    @pytest.fixture(autouse=True)
    def noted(self):
        self.notes = []

    def told(self, worker, root, text):
        return import_all(worker, root, {"a.py": text})["a.py"].get("told")

    def test_imports_are_nobodys_and_have_no_groups(self, worker, root):
        text = "import os\ntold = [os.getuid(), os.getgid(), os.getgroups()]\nopen('x', 'w').close()"
        assert self.told(worker, root, text) == [NOBODY, NOBODY, []]

    def test_what_is_written_for_everybody_is_gone_with_the_worker(self, worker, root):
        if self.notes == [worker_client.UNCONTAINED]:
            pytest.skip("root may not make namespaces here")
        names = [
            f"{folder}/airflow-platform-left-{os.getpid()}" for folder in ("/tmp", "/var/tmp", "/dev/shm")
        ]
        texts = {f"{n}.py": f"for name in {names}: open(name, 'w').close()\ntold = 1" for n in range(3)}
        assert {each.get("told") for each in import_all(worker, root, texts).values()} == {1}
        assert not any(map(os.path.exists, names))

    def test_native_code_has_no_network_and_sees_no_process_of_others(self, worker, root):
        if self.notes == [worker_client.UNCONTAINED]:
            pytest.skip("root may not make namespaces here")
        text = """
import os, socket
line = socket.socket()
told = [line.connect_ex(("192.0.2.1", 9)) != 0, os.getppid(), len([n for n in os.listdir("/proc") if n.isdigit()])]
"""
        refused, parent, processes = self.told(worker, root, text)
        assert (refused, parent, processes <= 3) == (True, 1, True)

    def test_where_there_are_no_namespaces_it_is_said_and_works(self, launch, root, monkeypatch):
        monkeypatch.setattr(worker_client, "_NAMESPACES", ("false",))
        with contextlib.closing(worker_client.Worker(launch, root, programs.Programs())) as worker:
            assert self.told(worker, root, "import os; told = os.getuid()") == NOBODY
        assert self.notes == [worker_client.UNCONTAINED]


def wait_for(happened, *, within=30):
    """Wait until something is so; a busy machine takes its time."""
    deadline = time.monotonic() + within
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
