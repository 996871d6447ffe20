"""The doors, with a uv that only writes down what it is asked; tests/e2e/test_doors.py uses the real one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

TOOLS = (
    "sh",
    "dirname",
    "readlink",
    "cmp",
    "cksum",
    "tr",
    "sed",
    "id",
    "uname",
    "mkdir",
    "rm",
    "mv",
    "cp",
    "ln",
    "cat",
    "sleep",
    "chmod",
)

UV = """#!/bin/sh
echo "$*|$UV_DEFAULT_INDEX|$UV_INDEX|$SSL_CERT_FILE" >>"$CALLS"
[ "$1" != --quiet ] || shift
case $1 in
  venv)
    for last; do :; done
    mkdir -p "$last/bin"
    printf '#!/bin/sh\\necho "$PYTHONPATH"\\nprintf "%%s\\\\n" "$@"\\n' >"$last/bin/python"
    chmod +x "$last/bin/python"
    ;;
  pip)
    while [ -n "${BLOCK:-}" ] && [ -e "$BLOCK" ]; do sleep 0.02; done
    if [ -n "${REFUSE:-}" ]; then
      echo "error: Failed to fetch the index" >&2
      echo "  Caused by: Connection refused" >&2
      exit 2
    fi
    ;;
esac
"""


class Stranger:
    """A machine with a checkout, a Python and a uv, and little else on its PATH."""

    def __init__(self, root: Path, source: Path) -> None:
        self.root = root
        self.checkout = root / "check out"
        self.bin = root / "bin"
        self.calls = root / "calls"
        self.calls.touch()
        for folder in ("scripts", "airflow_platform/tools"):
            shutil.copytree(source / folder, self.checkout / folder)
        (self.checkout / "requirements").mkdir()
        self.lock = self.checkout / "requirements" / "toolkit.lock"
        self.lock.write_text("invoke==3\n")
        (self.checkout / "requirements" / "bootstrap.lock").write_text("uv==0\n")
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        (self.bin / "python3").symlink_to(os.path.realpath(sys.executable))
        self.put("uv", UV)

    def put(self, name: str, script: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def start(self, *words: str, door: str | Path = "scripts/inv", **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.checkout / door), *words],
            env={"PATH": str(self.bin), "HOME": str(self.root), "CALLS": str(self.calls), **environ},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *words: str, door: str | Path = "scripts/inv", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        with self.start(*words, door=door, **environ) as process:
            out, err = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def called(self, word: str) -> int:
        return sum(word in line for line in self.calls.read_text().splitlines())


@pytest.fixture
def stranger(tmp_path: Path, checkout: Path) -> Stranger:
    return Stranger(tmp_path, checkout)


def test_the_first_call_installs_and_passes_its_arguments_on(stranger: Stranger) -> None:
    result = stranger.run("tenant-up", "--env=a b")
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        str(stranger.checkout), "-P", "-m", "airflow_platform.tasks", "tenant-up", "--env=a b",
    ]  # fmt: skip
    assert "installing" in result.stderr
    assert (stranger.checkout / ".venv" / "uv" / "uv").exists()


def test_the_second_call_starts_nothing_and_says_nothing(stranger: Stranger) -> None:
    stranger.run()
    calls = stranger.calls.read_text()
    result = stranger.run("env-list")
    assert (result.returncode, result.stderr) == (0, "")
    assert stranger.calls.read_text() == calls


def test_a_changed_lock_is_synced_into_the_environment_that_is_there(stranger: Stranger) -> None:
    stranger.run()
    stranger.lock.write_text("invoke==4\n")
    assert stranger.run().returncode == 0
    assert (stranger.called("venv --no-project"), stranger.called("pip sync")) == (1, 2)


def test_nox_has_the_same_door(stranger: Stranger) -> None:
    result = stranger.run("-s", "lint", door="scripts/nox")
    noxfile = str(stranger.checkout / "noxfile.py")
    assert result.stdout.splitlines()[1:] == ["-P", "-m", "nox", "--noxfile", noxfile, "-s", "lint"]


def test_it_is_found_through_symlinks_from_any_directory(stranger: Stranger) -> None:
    (stranger.root / "first").symlink_to("check out/scripts/inv")
    (stranger.root / "second").symlink_to(stranger.root / "first")
    result = stranger.run("env-list", door=stranger.root / "second", CDPATH="/")
    assert (result.returncode, result.stdout.splitlines()[0]) == (0, str(stranger.checkout))


def test_a_failed_first_call_is_one_paragraph_and_leaves_nothing(stranger: Stranger) -> None:
    result = stranger.run(REFUSE="1")
    assert (result.returncode, result.stdout) == (4, "")
    *_, paragraph = result.stderr.splitlines()
    assert "failed: Connection refused. Check the network" in paragraph
    assert "PIP_INDEX_URL" in paragraph
    assert not (stranger.checkout / ".venv").exists()
    assert stranger.run().returncode == 0


def test_a_call_that_is_killed_while_it_installs_is_repaired_by_the_next(stranger: Stranger) -> None:
    with stranger.start(BLOCK=str(stranger.calls)) as process:
        wait_for(lambda: stranger.called("pip sync") == 1)
        os.killpg(process.pid, signal.SIGKILL)
    assert (stranger.checkout / ".venv" / "bin" / "python").exists()
    result = stranger.run("env-list")
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, "env-list")
    assert stranger.called("pip sync") == 2


def test_of_two_calls_at_once_one_installs_and_the_other_says_that_it_waits(stranger: Stranger) -> None:
    block = stranger.root / "block"
    block.touch()
    with stranger.start(BLOCK=str(block)) as first:
        wait_for(lambda: stranger.called("pip sync") == 1)
        with stranger.start() as second:
            said = second.stderr.readline() if second.stderr else ""
            block.unlink()
            second.communicate()
        first.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    assert "waiting" in said
    assert stranger.called("pip sync") == 1


def test_pip_settings_reach_uv(stranger: Stranger) -> None:
    (stranger.root / "pip.conf").write_text("[global]\nindex-url = https://mirror.invalid/simple\n")
    stranger.run(
        PIP_CONFIG_FILE=str(stranger.root / "pip.conf"),
        PIP_EXTRA_INDEX_URL="https://two.invalid https://three.invalid",
        PIP_CERT="/ca.pem",
    )
    assert "|https://mirror.invalid/simple|https://two.invalid https://three.invalid|/ca.pem" in (
        stranger.calls.read_text()
    )


def test_an_old_python_is_named_with_what_is_needed(stranger: Stranger) -> None:
    stranger.put("python3", "#!/bin/sh\necho 3.9 /usr/bin/python3.9\n")
    stranger.put("python3.12", "#!/bin/sh\necho 'no such version' >&2\nexit 127\n")
    result = stranger.run()
    assert result.returncode == 4
    assert result.stderr == (
        "inv: Python 3.11 or newer is needed; python3 is 3.9. Install one and run this again; "
        "on Debian and Ubuntu: apt install python3.11 python3.11-venv\n"
    )


def test_no_python_at_all(stranger: Stranger) -> None:
    (stranger.bin / "python3").unlink()
    result = stranger.run()
    assert (result.returncode, "no Python was found" in result.stderr) == (4, True)


def test_without_uv_and_ensurepip_the_package_is_named(stranger: Stranger) -> None:
    (stranger.bin / "uv").unlink()
    stranger.put(
        "python3",
        '#!/bin/sh\ncase $* in *version_info*) echo "3.12 $0" ;; *ensurepip*) exit 1 ;; esac\n',
    )
    result = stranger.run()
    assert result.returncode == 4
    assert "apt install python3.12-venv" in result.stderr


def test_without_a_home_the_cache_has_no_place(stranger: Stranger) -> None:
    (stranger.bin / "uv").unlink()
    stranger.put("id", "#!/bin/sh\necho 1000\n")
    result = stranger.run(HOME="")
    assert result.returncode == 4
    assert result.stderr == (
        "inv: HOME is not set, so there is no place for the cache. "
        "Set HOME, or AIRFLOW_PLATFORM_CACHE to a directory.\n"
    )


@pytest.mark.parametrize(
    ("environ", "cache"),
    [
        ({}, None),
        ({"HOME": "/h"}, "/h/.cache/airflow-platform"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/airflow-platform"),
        ({"AIRFLOW_PLATFORM_CACHE": "/c"}, "/c"),
    ],
)
def test_what_ci_runs_finds_a_place_for_the_cache(
    stranger: Stranger, checkout: Path, environ: dict[str, str], cache: str | None
) -> None:
    stranger.put("id", "#!/bin/sh\necho 1000\n")
    (stranger.bin / "bash").symlink_to(str(shutil.which("bash")))
    (stranger.checkout / ".ci").mkdir()
    shutil.copy(checkout / ".ci" / "run", stranger.checkout / ".ci" / "run")
    (stranger.checkout / "scripts" / "nox").write_text('#!/bin/sh\necho "$AIRFLOW_PLATFORM_CACHE"\n')
    result = subprocess.run(
        [stranger.checkout / ".ci" / "run"],
        env={"PATH": str(stranger.bin), **environ},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if cache is None:
        assert (result.returncode, "Set HOME, or AIRFLOW_PLATFORM_CACHE" in result.stderr) == (4, True)
    else:
        assert (result.returncode, result.stdout) == (0, f"{cache}\n")


def test_a_uv_that_does_not_run_is_no_uv(stranger: Stranger) -> None:
    stranger.put("uv", "#!/bin/sh\nexit 127\n")
    stranger.put("python3", '#!/bin/sh\ncase $* in *version_info*) echo "3.12 $0" ;; *) exit 1 ;; esac\n')
    assert "virtual environments" in stranger.run().stderr


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
