"""Starting programs, with real, small ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_platform import errors
from airflow_platform.programs.programs import (
    Interruption,
    Programs,
    require,
    run_in_foreground,
    start_detached,
)
from airflow_platform.secrets import Mask, Secret


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def wait_for(done: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pid_in(path: Path) -> int:
    wait_for(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


def test_output_is_returned_and_the_tail_has_both_streams() -> None:
    done = Programs().run(shell("echo out; echo err >&2"), timeout=5)
    assert (done.code, done.stdout) == (0, "out\n")
    assert sorted(done.tail) == ["err", "out"]


def test_standard_input_is_fed_and_closed() -> None:
    assert Programs().run(["cat"], stdin="text", timeout=5).stdout == "text"


def test_much_input_and_output_do_not_block_each_other() -> None:
    text = "x" * 1_000_000
    assert Programs().run(["cat"], stdin=text, timeout=10).stdout == text


def test_the_deadline_holds_while_input_is_not_read() -> None:
    began = time.monotonic()
    with pytest.raises(errors.ProgramTimeout):
        Programs().run(["sleep", "30"], stdin="x" * 1_000_000, timeout=0.2)
    assert time.monotonic() - began < 20


def test_a_program_that_does_not_read_its_input_is_no_failure() -> None:
    assert Programs().run(["true"], stdin="x" * 1_000_000, timeout=5).code == 0


def test_environment_and_marker(tmp_path: Path) -> None:
    programs = Programs(marker={"RUN": "7"})
    env = {"PATH": os.environ["PATH"], "A": "1"}
    done = programs.run(shell("echo $A$RUN; pwd"), env=env, cwd=tmp_path, timeout=5)
    assert done.stdout.split() == ["17", str(tmp_path)]


def test_a_failure_shows_the_last_lines_and_the_remedy() -> None:
    with pytest.raises(errors.ProgramError) as caught:
        Programs().run(shell("seq 100; exit 3"), timeout=5, hint="Try less.")
    assert caught.value.code == 3
    assert caught.value.tail == tuple(str(number) for number in range(89, 101))
    assert caught.value.hint == "Try less."


def test_an_expected_failure_is_an_answer() -> None:
    assert Programs().run(shell("exit 3"), timeout=5, check=False).code == 3


def test_a_missing_program_is_named_with_a_remedy() -> None:
    with pytest.raises(errors.ProgramMissing, match=r"no-such-program was not found\. Install it\."):
        Programs().run(["no-such-program"], timeout=5, hint="Install it.")
    with pytest.raises(errors.ProgramMissing):
        require("no-such-program")
    assert require("sh").endswith("/sh")


def test_a_program_does_not_outlive_a_listener_that_fails(tmp_path: Path) -> None:
    def fail(line: str) -> None:
        raise ZeroDivisionError(line)

    with pytest.raises(ZeroDivisionError):
        Programs().run(shell(f"echo $$ >{tmp_path}/pid; echo news >&2; sleep 60"), timeout=60, on_line=fail)
    assert not alive(pid_in(tmp_path / "pid"))


def test_the_tail_and_the_lines_are_masked_and_the_output_is_not() -> None:
    mask = Mask()
    mask.add(Secret("hunter2"))
    lines: list[str] = []
    done = Programs(mask=mask).run(shell("echo hunter2; echo hunter2 >&2"), timeout=5, on_line=lines.append)
    assert (done.stdout, done.tail, lines) == ("hunter2\n", ("***", "***"), ["***"])


def test_lines_come_while_the_program_runs(tmp_path: Path) -> None:
    lines: list[str] = []
    script = "echo one >&2; while [ ! -e seen ]; do sleep 0.02; done; printf two >&2"

    def on_line(line: str) -> None:
        lines.append(line)
        (tmp_path / "seen").touch()

    Programs().run(shell(script), timeout=15, cwd=tmp_path, on_line=on_line)
    assert lines == ["one", "two"]


def test_a_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! >{tmp_path}/pid; wait"
    with pytest.raises(errors.ProgramTimeout):
        Programs().run(shell(script), timeout=2)
    wait_for(lambda: not alive(pid_in(tmp_path / "pid")))


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace() -> None:
    with pytest.raises(errors.ProgramTimeout):
        Programs().run(shell("trap '' TERM; while :; do sleep 0.05; done"), timeout=0.2, grace=0.3)


def test_a_grandchild_that_keeps_the_pipe_open_does_not_hold_us_up() -> None:
    began = time.monotonic()
    assert Programs().run(shell("setsid sleep 30 & echo done"), timeout=20).stdout == "done\n"
    assert time.monotonic() - began < 20


def test_an_interruption_stops_the_program_with_the_same_signal(tmp_path: Path) -> None:
    interruption = Interruption()
    programs = Programs(interruption=interruption)
    script = (
        f"trap 'echo int >{tmp_path}/got; exit' INT; touch {tmp_path}/ready; while :; do sleep 0.02; done"
    )

    def interrupt() -> None:
        wait_for((tmp_path / "ready").exists)
        interruption.request(signal.SIGINT)
        programs.signal(signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(errors.Interrupted) as caught:
        programs.run(shell(script), timeout=20)
    watcher.join()
    assert caught.value.code == 130
    assert (tmp_path / "got").read_text() == "int\n"


def test_after_an_interruption_nothing_more_is_started() -> None:
    interruption = Interruption()
    interruption.request(signal.SIGTERM)
    with pytest.raises(errors.Interrupted) as caught:
        Programs(interruption=interruption).run(["true"], timeout=5)
    assert caught.value.code == 143


def test_a_sleep_ends_with_the_interruption() -> None:
    interruption = Interruption()
    threading.Timer(0.1, interruption.request, [signal.SIGTERM]).start()
    with pytest.raises(errors.Interrupted):
        interruption.sleep(30)


def test_the_first_signal_decides_the_exit_code() -> None:
    interruption = Interruption()
    interruption.request(signal.SIGHUP)
    interruption.request(signal.SIGINT)
    assert interruption.error().code == 129


def test_a_held_descriptor_is_inherited_until_it_is_released(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        programs = Programs()
        script = shell(f"[ -e /proc/self/fd/{file.fileno()} ] && echo held || echo free")
        programs.hold(file.fileno())
        assert programs.run(script, timeout=5).stdout == "held\n"
        programs.release(file.fileno())
        assert programs.run(script, timeout=5).stdout == "free\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as another user")
def test_a_program_of_another_user_inherits_no_lock(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        programs = Programs()
        programs.hold(file.fileno())
        script = shell(f"[ -e /proc/self/fd/{file.fileno()} ] && echo held || echo free")
        assert programs.run(script, timeout=5, user=65534).stdout == "free\n"


PARENT = """
import sys
from airflow_platform.programs.programs import Programs, start_detached
from pathlib import Path
here = Path(sys.argv[1])
start_detached(["sh", "-c", f"echo $$ >{here}/detached; sleep 60"], env={"PATH": sys.argv[2]}, cwd=here, log=here / "log")
Programs().run(["sh", "-c", f"echo $$ >{here}/child; sleep 60; :"], timeout=60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_children_end_with_a_killed_run_and_what_is_detached_lives_on(tmp_path: Path, checkout: Path) -> None:
    words = [sys.executable, "-c", PARENT, str(tmp_path), os.environ["PATH"]]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(checkout)}) as parent:
        child, detached = pid_in(tmp_path / "child"), pid_in(tmp_path / "detached")
        parent.kill()
    wait_for(lambda: not alive(child))
    assert alive(detached)
    os.killpg(detached, signal.SIGKILL)


def test_a_detached_program_writes_to_its_log_and_holds_nothing(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        script = f"ls /proc/self/fd | tr '\\n' ' '; readlink /proc/$$/fd/{held.fileno()} || echo closed >&2"
        pid = start_detached(
            shell(script), env={"PATH": os.environ["PATH"]}, cwd=tmp_path, log=tmp_path / "log"
        )
    wait_for(lambda: not alive(pid))
    assert "closed" in (tmp_path / "log").read_text()
    assert str(tmp_path / "lock") not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -TERM $$", 143)])
def test_a_foreground_program_returns_a_shells_exit_code(script: str, code: int, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"]}
    assert run_in_foreground(shell(script), env=env, cwd=tmp_path, user=None) == code
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
