"""What a component may see, own and inherit. As root, components run as another user."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from airflow_platform.runtimes.process import supervisor_client

IS_ROOT = os.geteuid() == 0
USER = 61_234
OTHER_USER = 61_235
IDENTITY = ("/bin/sh", "-c", "id -u; id -g; id -G; umask; sleep 600")


@pytest.fixture
def open_directory():
    """A directory that other users can reach; pytest's own is private."""
    found = Path(tempfile.mkdtemp())
    found.chmod(0o755)
    if IS_ROOT:
        os.chown(found, USER, USER)
    yield found
    shutil.rmtree(found)


def identity(run, log):
    component = run.component("a", argv=IDENTITY, directory="/", log=str(log))
    status = run.start(component, user=USER if IS_ROOT else None)
    run.wait_until(lambda: log.exists() and log.read_text().count("\n") == 4, "it told who it is")
    user, group, groups, umask = log.read_text().split("\n")[:4]
    assert (int(user), int(group)) == ((USER, USER) if IS_ROOT else (os.getuid(), os.getgid()))
    assert umask.endswith("077")
    if IS_ROOT:
        assert groups == str(USER)
    assert log.stat().st_uid == (USER if IS_ROOT else os.getuid())
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    return status


def test_it_runs_as_its_user_with_a_log_in_a_directory_of_ours(run):
    identity(run, run.directory / "a.log")


def test_it_runs_as_its_user_with_a_log_in_a_directory_of_its_own(run, open_directory):
    identity(run, open_directory / "a.log")


def test_it_ends_with_killed_supervisors_also_as_another_user(run):
    status = identity(run, run.directory / "a.log")

    for pid in (run.guardian(), status.pid):
        os.kill(pid, signal.SIGKILL)

    component = status.components[0].pid
    run.wait_until(lambda: component not in {one.pid for one in run.alive()}, "it has ended")


def test_a_log_that_is_a_link_is_not_followed(run, open_directory):
    victim = run.directory / "victim"
    victim.write_text("precious")
    (open_directory / "a.log").symlink_to(victim)
    component = run.component("a", argv=IDENTITY, directory="/", log=str(open_directory / "a.log"))

    status = run.start(component, user=USER if IS_ROOT else None)

    assert status.components[0].state == "waiting"
    assert victim.read_text() == "precious"
    assert victim.stat().st_uid == os.getuid()


def test_a_secret_is_in_the_environment_and_nowhere_else(run):
    value = "s3cr3t-" * 4
    (run.directory / "key").write_text(value + "\n")
    (run.directory / "key").chmod(0o600)
    code = "assert os.environ['KEY'] == 's3cr3t-' * 4; tell('ready'); time.sleep(600)"
    component = run.component("a", code, secret_environment={"KEY": str(run.directory / "key")})

    status = run.start(component)

    run.told("a", "ready")
    for pid in (status.pid, status.components[0].pid, run.guardian()):
        assert value.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    run.stop()
    told = [path for path in run.directory.iterdir() if path.is_file() and path.name != "key"]
    assert len(told) >= 4
    assert all(value.encode() not in path.read_bytes() for path in told)


def test_a_secret_of_a_third_user_or_behind_a_link_is_refused(run):
    key = run.directory / "key"
    key.write_text("value")
    link = run.directory / "key-link"
    link.symlink_to(key)
    by_link = run.component("link", secret_environment={"KEY": str(link)})
    by_file = run.component("file", secret_environment={"KEY": str(key)})
    if IS_ROOT:
        os.chown(key, OTHER_USER, OTHER_USER)

    run.start(by_link, by_file)

    assert run.of("link").last_exit.startswith("not started: ")
    assert run.of("file").state == ("waiting" if IS_ROOT else "running")


def test_the_environment_is_the_components_own_and_names_the_owner(run):
    status = run.start(run.component("a", environment={"ONLY": "this"}))
    run.told("a", "ready")

    pid = status.components[0].pid
    found = set(Path(f"/proc/{pid}/environ").read_bytes().decode().rstrip("\0").split("\0"))
    assert found == {"ONLY=this", f"AIRFLOW_PLATFORM_OWNER={run.owner}", "SPT_NOENV=1"}


def test_signals_have_their_default_meaning(run):
    status = run.start(run.component("a", argv=("/bin/sleep", "600")))

    lines = Path(f"/proc/{status.components[0].pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    assert {int(fields[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt")} == {0}


def descriptors(pid):
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[int(link.name)] = str(link.readlink())
    return found


@pytest.mark.parametrize("careful", [True, False])
def test_nothing_is_inherited_from_the_starter(run, careful):
    ours = run.directory / "ours"
    with ours.open("w") as file:
        os.set_inheritable(file.fileno(), True)
        if careful:
            run.start(run.component("a"))
        else:
            supervisor_client.write_spec(run.directory, run.spec(run.component("a")))
            careless = subprocess.Popen(
                [sys.executable, "-m", "airflow_platform.runtimes.process.supervisor", run.directory],
                env={"PYTHONPATH": str(Path(supervisor_client.__file__).parents[2])},
                stderr=subprocess.DEVNULL,
                close_fds=False,
            )
    run.told("a", "ready")
    run.wait_until(lambda: run.last_status().spec_digest, "the status names what was started")
    status = run.last_status()

    for pid in (status.pid, run.guardian(), status.components[0].pid):
        assert str(ours) not in descriptors(pid).values()
    assert descriptors(status.components[0].pid).keys() == {0, 1, 2}
    assert descriptors(status.components[0].pid)[0] == "/dev/null"
    run.stop()
    if not careful:
        assert careless.wait(5) == 0
