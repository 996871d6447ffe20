"""What is noticed while a file is imported; each file is executed in a child of its own."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
from pathlib import Path
from airflow_platform.parsing.watching import MARK, Watch
root = Path(sys.argv[1])
sys.path.append(str(root))
watch = Watch(root)
watch.begin()
error = ""
try:
    exec(compile((root / "dag.py").read_text(), str(root / "dag.py"), "exec"), {"__file__": str(root / "dag.py")})
except OSError as raised:
    error = str(raised)
with watch.off():
    print(json.dumps([[[w["kind"], w["file"], w["line"], w["what"]] for w in watch.work],
                      sorted(watch.needs), sorted(watch.asked), MARK in error]))
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


def test_what_is_read_listed_and_asked_for_is_remembered(notice):
    text = """
import os
from pathlib import Path
here = Path(__file__).parent
import helper
(here / "data" / "a.txt").read_text()
os.listdir(here / "data")
(here / "maybe").exists()
os.path.isdir(here / "folder")
os.chdir(here)
open("near.txt").close()
open("/etc/passwd").close()
os.stat("/etc/passwd")
try:
    open("gone.txt")
except OSError:
    pass
"""
    work, needs, asked, _ = notice(text, {"helper.py": "", "near.txt": "", "data/a.txt": ""})
    assert work == []
    assert needs == ["dag.py", "data", "data/a.txt", "gone.txt", "helper.py", "near.txt"]
    assert asked == ["folder", "maybe"]
