"""Programs on a terminal of their own: what reaches ours, and what does not."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_platform.runtimes.process.supervisor import linux

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the harness takes a terminal as Linux has it"
)

HARNESS = """
import array, fcntl, os, subprocess, sys, termios, time
from pathlib import Path
from airflow_platform.programs import programs, terminal

if os.isatty(0):
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
before = termios.tcgetattr(2)
words = sys.argv[1:]
if os.geteuid() == 0:
    code = programs.run_in_foreground(words, env=dict(os.environ), cwd=Path("/"), user=65534)
else:
    def start(streams, prepare):
        names = dict(zip(("stdin", "stdout", "stderr"), streams))
        return subprocess.Popen(words, start_new_session=True, preexec_fn=prepare, **names)
    code = terminal.lend(start, grace=1)
    code = 128 - code if code < 0 else code
time.sleep(0.5)
pending = array.array("i", [0])
fcntl.ioctl(2, termios.FIONREAD, pending)
print("same modes", termios.tcgetattr(2) == before, file=sys.stderr)
print("pending", pending[0], "code", code, file=sys.stderr, flush=True)
"""

INJECT = """
import fcntl, os, termios
print("mine", os.path.realpath("/proc/self/fd/2"), flush=True)

def inject():
    places = list(range(256))
    for name in ("/dev/tty", "/dev/stdin", "OURS"):
        try:
            places.append(os.open(name, os.O_RDWR))
        except OSError as error:
            print(name, "cannot be opened:", error.strerror, flush=True)
    for number in places:
        for letter in b"id\\n":
            try:
                fcntl.ioctl(number, termios.TIOCSTI, bytes([letter]))
            except OSError:
                break

inject()
if os.fork() == 0:
    import time
    time.sleep(0.2)
    inject()
"""


def python_of_all() -> str:
    """A Python that the user of the harness can run; root's own often lies below /root."""
    for path in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        real = Path(path).resolve()
        if os.geteuid() != 0 or (
            real.exists() and all(each.stat().st_mode & 1 for each in (real, *real.parents))
        ):
            return path
    pytest.skip("no Python here that another user can run")


def name_of(pid: int) -> str:
    """The name of a process's program; empty when it has gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


class Terminal:
    """A terminal with the harness on it."""

    def __init__(self, checkout: Path, words: list[str], *, stdin: int | None = None) -> None:
        self.master, slave = os.openpty()
        self.name = os.ttyname(slave)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.text = ""
        self.child = subprocess.Popen(
            [sys.executable, "-c", HARNESS, *(word.replace("OURS", self.name) for word in words)],
            stdin=slave if stdin is None else stdin,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(checkout)},
        )
        os.close(slave)

    def until(self, text: str, seconds: float = 10.0) -> str:
        """Read until a text has come."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.master, 4096).decode()
                except OSError:  # Nobody has it open any more.
                    deadline = 0.0
            assert time.monotonic() < deadline, f"no {text!r} in {self.text!r}"
        return self.text

    def until_asleep(self) -> None:
        """Wait until the program sleeps: a shell that is just starting its `sleep` may swallow a signal."""
        deadline = time.monotonic() + 10
        while "sleep" not in {name_of(each.pid) for each in linux.descendants(self.child.pid)}:
            assert time.monotonic() < deadline, "no sleep was started"
            time.sleep(0.01)

    def close(self) -> None:
        """End the harness, if it has not ended."""
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        os.close(self.master)


@pytest.fixture
def opened(checkout: Path) -> Iterator[object]:
    """Opens terminals."""
    found: list[Terminal] = []

    def open_(*words: str, stdin: int | None = None) -> Terminal:
        found.append(Terminal(checkout, list(words), stdin=stdin))
        return found[-1]

    yield open_
    for each in found:
        each.close()


def test_nothing_is_typed_into_our_terminal(opened) -> None:
    one = opened(python_of_all(), "-c", INJECT)
    text = one.until("code 0")
    assert "pending 0 code 0" in text
    assert "same modes True" in text
    assert f"mine {one.name}\r" not in text
    assert "mine /dev/pts/" in text


def test_output_size_and_exit_code_come_through(opened) -> None:
    text = opened("sh", "-c", "stty size; echo out; echo err >&2; exit 7").until("code 7")
    assert {"30 100", "out", "err"} <= set(text.replace("\r", "").split("\n"))


def test_what_is_typed_reaches_the_program_and_is_echoed_once(opened) -> None:
    one = opened("sh", "-c", "echo ready; read line; echo got $line")
    one.until("ready")
    os.write(one.master, b"hello\r")
    assert one.until("code 0").count("hello") == 2


def test_ctrl_c_ends_the_program_and_nothing_else(opened) -> None:
    one = opened("sh", "-c", "echo ready; sleep 60")
    one.until("ready")
    one.until_asleep()
    os.write(one.master, b"\x03")
    assert "same modes True" in one.until("code 130")


def test_a_new_size_is_passed_on(opened) -> None:
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"
    one = opened("sh", "-c", script)
    one.until("ready")
    fcntl.ioctl(one.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    one.until("40 120")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_for_us_reaches_the_program_and_the_terminal_is_restored(opened, number, code) -> None:
    one = opened("sh", "-c", "echo ready; sleep 60")
    one.until("ready")
    one.until_asleep()
    os.kill(one.child.pid, number)
    assert "same modes True" in one.until(f"code {code}")


def test_a_stream_that_is_no_terminal_is_passed_as_it_is(opened) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"from a pipe\n")
    os.close(theirs)
    one = opened("cat", stdin=ours)
    os.close(ours)
    assert "from a pipe" in one.until("code 0")


def test_a_terminal_that_goes_away_ends_the_program(opened, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    one = opened("sh", "-c", "echo ready $$; sleep 60")
    pid = int(one.until("\n").split()[1])
    os.close(one.master)
    one.master = os.open(os.devnull, os.O_RDONLY)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.05)
