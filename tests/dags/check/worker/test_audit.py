"""What is noticed while a file is imported; each file is executed in a child of its own."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
from pathlib import Path
from airflow_platform.dags.check.worker.audit import MARK, Audit
root = Path(sys.argv[1])
sys.path.append(str(root))
audit = Audit(root)
audit.begin()
error = ""
try:
    exec(compile((root / "dag.py").read_text(), str(root / "dag.py"), "exec"), {"__file__": str(root / "dag.py")})
except OSError as raised:
    error = str(raised)
audit.let_threads_work()
with audit.off():
    print(json.dumps([[[w["kind"], w["at"]["file"], w["at"]["line"], w["what"]] for w in audit.work],
                      sorted(audit.reads), sorted(audit.asks), MARK in error]))
"""


@pytest.fixture
def notice(tmp_path, checkout):
    """Executes dag.py in a folder with other files; what was done, read and asked, and whether it was stopped."""
    root = (tmp_path / "dags").resolve()
    root.mkdir()

    def run(text, files=()):
        for name, content in dict(files).items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(content)
        (root / "dag.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-P", "-c", PROGRAM, root],
            env={"PYTHONPATH": str(checkout), "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, check=False, timeout=15,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


WORK = {
    "import socket\nsocket.create_connection(('127.0.0.1', 9))": [
        "network",
        "dag.py",
        2,
        "socket.getaddrinfo",
    ],
    "import subprocess\n\nsubprocess.Popen(['true'])": ["process", "dag.py", 3, "subprocess.Popen"],
    "import os\nos.system('true')": ["process", "dag.py", 2, "os.system"],
    "import os\nos.posix_spawn('/bin/true', ['true'], {})": ["process", "dag.py", 2, "os.posix_spawn"],
    "import os\nos.kill(1, 0)": ["process", "dag.py", 2, "os.kill"],
    "import os\nos._exit(4)": ["process", "dag.py", 2, "os._exit(4)"],
}


@pytest.mark.parametrize("text", WORK)
def test_work_is_noticed_and_stopped(notice, text):
    assert notice(text) == [[WORK[text]], ["dag.py"], [], True]


def test_sleep_is_noticed_and_takes_no_time(notice):
    work, _, _, stopped = notice("import time\nfrom time import sleep\ntime.sleep(1000)\nsleep(1000)")
    assert [each[:3] for each in work] == [["sleep", "dag.py", 3], ["sleep", "dag.py", 4]]
    assert not stopped


def test_the_innermost_line_of_the_folder_is_told(notice):
    work, *_ = notice(
        "import helper\ndef f():\n    helper.g()\nf()",
        {"helper.py": "import os\ndef g():\n\n    os.kill(1, 0)"},
    )
    assert work == [["process", "helper.py", 4, "os.kill"]]


def test_a_package_may_look_around_while_it_is_imported(notice, tmp_path):
    (tmp_path / "package.py").write_text("import socket\nsocket.socket().close()\nopen(__file__).close()\n")
    work, needs, _, stopped = notice(f"import sys\nsys.path.append({str(tmp_path)!r})\nimport package")
    assert (work, needs, stopped) == ([], ["dag.py"], False)


def test_what_is_read_and_listed_is_remembered(notice):
    text = """
import os
from pathlib import Path
here = Path(__file__).parent
import helper
(here / "data" / "a.txt").read_text()
os.listdir(here / "data")
os.chdir(here)
open("near.txt").close()
open("/etc/passwd").close()
try:
    open("gone.txt")
except OSError:
    pass
"""
    work, reads, asks, _ = notice(text, dict.fromkeys(("helper.py", "near.txt", "data/a.txt"), ""))
    assert work == []
    assert reads == ["dag.py", "data", "data/a.txt", "gone.txt", "helper.py", "near.txt"]
    assert asks == ["helper", "helper.py", "helper/__init__.py"]


def test_an_event_loop_is_no_network_and_a_connection_is(notice):
    work, _, _, stopped = notice("import asyncio\nasync def f(): pass\nasyncio.run(f())")
    assert (work, stopped) == ([], False)
    text = "import socket\nwith socket.socket() as line:\n    line.connect(('127.0.0.1', 9))"
    work, _, _, stopped = notice(text)
    assert (work, stopped) == ([["network", "dag.py", 3, "socket.connect"]], True)


def test_modules_that_are_not_there_are_remembered_whoever_asks_for_them(notice):
    text = """
import importlib.util
for name in ("a", "b"):
    try:
        importlib.import_module(f"teams.{name}")
    except ModuleNotFoundError:
        pass
importlib.util.find_spec("lost")
try:
    import json.lost
except ImportError:
    pass
"""
    _, needs, asked, _ = notice(text, {"teams/__init__.py": "", "teams/a.py": ""})
    assert needs == ["dag.py", "teams/__init__.py", "teams/a.py"]
    assert {"teams/b.py", "teams/b/__init__.py", "teams/b", "lost.py", "lost"} <= set(asked)
    assert not [
        name for name in asked if name.startswith("json")
    ]  # No file of the folder could come before it.


THREADS = {
    "a pool": """
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen
pool = ThreadPoolExecutor(1)
pool.submit(urlopen, "http://127.0.0.1:9/")
""",
    "a thread of a thread": """
import os, threading
from urllib.request import urlopen
def start():
    threading.Thread(target=os.kill, args=(1, 0), daemon=True).start()

threading.Thread(target=start).start()
""",
}


@pytest.mark.parametrize("what", THREADS)
def test_what_the_authors_threads_do_is_the_authors(notice, what):
    work, *_ = notice(THREADS[what])
    wanted = {"a pool": ["network", "dag.py", 5], "a thread of a thread": ["process", "dag.py", 5]}
    assert wanted[what] in [each[:3] for each in work]


ODD_THREADS = {
    "a join of its own": """
import os, threading
class Own(threading.Thread):
    def join(self):
        raise ValueError("not for others")
Own(target=os.kill, args=(1, 0)).start()
""",
    "a start that fails for want of threads": """
import _thread, os, threading
def fail(*arguments, **named):
    raise RuntimeError("can't start new thread")
# The name differs between versions of Python.
name = next(each for each in ("_start_joinable_thread", "_start_new_thread") if hasattr(threading, each))
real, kept = getattr(threading, name), threading.Thread(target=os.getpid)
setattr(threading, name, fail)
try:
    kept.start()
except RuntimeError:
    pass
setattr(threading, name, real)
threading.Thread(target=os.kill, args=(1, 0)).start()
""",
}


@pytest.mark.parametrize("what", ODD_THREADS)
def test_an_odd_thread_does_not_end_the_import(notice, what):
    work, *_ = notice(ODD_THREADS[what])
    assert [each[0] for each in work] == ["process"]


def test_a_thread_that_a_package_starts_is_the_packages(notice, tmp_path):
    (tmp_path / "package.py").write_text(
        "import socket, threading\nthread = threading.Thread(target=socket.socket)\nthread.start()\nthread.join()\n"
    )
    work, *_ = notice(f"import sys\nsys.path.append({str(tmp_path)!r})\nimport package")
    assert work == []


def test_a_thread_in_the_background_may_sleep_and_keeps_no_processor_busy(notice, tmp_path):
    (tmp_path / "package.py").write_text(
        "import threading, time\ntimes = []\ndef beat():\n    while True:\n        times.append(1)\n        time.sleep(60)\n"
        "def start():\n    threading.Thread(target=beat, daemon=True).start()\n"
    )
    text = f"import sys\nsys.path.append({str(tmp_path)!r})\nimport package, time\npackage.start()\n"
    work, *_ = notice(text + "while not package.times: pass\nassert len(package.times) == 1\n")
    assert work == []


def test_an_odd_entry_of_the_path_harms_nobody(notice):
    work, *_ = notice(
        "import sys\nsys.path.insert(0, 7)\ntry:\n    import lost\nexcept ImportError:\n    pass\n"
    )
    assert work == []
