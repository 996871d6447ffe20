"""What every store and journal promises: the real ones and the doubles."""

import hashlib
import os
import stat

import pytest

from airflow_platform import errors
from airflow_platform.engine.local_store import LocalStore
from airflow_platform.engine.report import Node, Outcome
from airflow_platform.engine.step import Change
from airflow_platform.programs import programs
from airflow_platform.testing.stores import MemoryStore

HOME, PACKAGES = Node("home", "a"), Node("packages")


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    if request.param == "memory":
        return MemoryStore(tmp_path)
    notes = []
    return LocalStore(tmp_path, "test", lock_timeout=0, programs=programs.Programs(), on_note=notes.append)


@pytest.fixture
def open_journal(store):
    opened = []

    def open_one(tenants=("a",)):
        opened.append(store.open_journal())
        run_id = opened[-1].begin_run("up", tenants)
        return opened[-1], run_id

    yield open_one
    for each in opened:
        each.close()


def test_run_ids_differ(open_journal):
    assert open_journal()[1] != open_journal()[1]


def test_what_a_run_left_unfinished_is_told_once(open_journal):
    killed, run_id = open_journal()
    killed.begun(PACKAGES, Change("install"))
    killed.ended(PACKAGES, Outcome.CHANGED, "installed", 1.0)
    killed.begun(HOME, Change("make a home", {"port": 1}))
    killed.close()
    (left,) = open_journal()[0].unfinished()
    assert (left.run, left.node, left.summary) == (int(run_id), HOME, "make a home")
    assert open_journal()[0].unfinished() == ()


def test_a_run_that_ended_left_nothing(open_journal):
    ended, _ = open_journal()
    ended.begun(HOME, Change("make a home"))
    ended.ended(HOME, Outcome.FAILED, "no", 1.0)
    ended.end_run(1)
    ended.close()
    assert open_journal()[0].unfinished() == ()


def test_the_runs_of_other_tenants_may_still_work(open_journal):
    other, _ = open_journal(["b"])
    other.begun(Node("home", "b"), Change("make a home"))
    mine, _ = open_journal(["a"])
    # Of the real journal: this process is alive, and "b" may be its own.
    assert mine.unfinished() == ()
    other.ended(Node("home", "b"), Outcome.CHANGED, "made", 1.0)


def test_the_expected_time_is_that_of_the_last_change(open_journal):
    for outcome, seconds in ((Outcome.CHANGED, 3.0), (Outcome.CHANGED, 2.5), (Outcome.FAILED, 9.0)):
        journal, _ = open_journal()
        journal.begun(HOME, Change("make a home"))
        journal.ended(HOME, outcome, "", seconds)
        journal.end_run(0)
    assert open_journal()[0].expected() == {HOME: 2.5}


def test_tenants_are_locked_one_by_one_and_released(store):
    with store.tenant_locks(["a", "b"]):
        with store.tenant_locks(["c"]):
            pass
        with pytest.raises(errors.BusyError, match="tenant b"), store.tenant_locks(["b", "c"]):
            pass
        with store.tenant_locks(["c"]):
            pass
    with store.tenant_locks(["a", "b", "c"]):
        pass


def test_the_tenants_that_runs_work_on_are_known_and_asking_keeps_nobody_out(store):
    assert store.tenants_at_work() == {}
    with store.tenant_locks(["a", "b-c"]), store.environment_lock(), store.tenant_locks(["d"], leaving=True):
        assert store.tenants_at_work() == {"a": False, "b-c": False, "d": True}
    with store.tenant_locks(["a"]):
        assert store.tenants_at_work() == {"a": False}
    assert store.tenants_at_work() == {}


def test_a_held_lock_confirms_that_it_is_held(store):
    with store.tenant_locks(["a", "b"]) as tenants, store.environment_lock() as environment:
        tenants.confirm()
        environment.confirm()


def test_a_lock_is_released_when_the_work_raises(store):
    with pytest.raises(ValueError, match="x"), store.tenant_locks(["a"]), store.environment_lock():
        raise ValueError("x")
    with store.tenant_locks(["a"]), store.environment_lock():
        pass


def test_one_run_may_hold_the_environments_lock_several_times(store):
    with store.environment_lock(), store.environment_lock():
        pass
    with store.environment_lock():
        pass


def test_artifacts_are_put_and_got_by_name_in_a_place_of_the_run_alone(store, tmp_path):
    artifacts = store.artifacts("1")
    (tmp_path / "made.bin").write_bytes(b"a plan")
    digest = hashlib.sha256(b"a plan").hexdigest()
    assert artifacts.put("one.bin", b"a plan") == digest
    assert artifacts.put("two.bin", tmp_path / "made.bin") == digest
    assert artifacts.get("one.bin").read_bytes() == artifacts.get("two.bin").read_bytes() == b"a plan"
    assert stat.S_IMODE(artifacts.get("one.bin").parent.stat().st_mode) == 0o700
    with pytest.raises(errors.StepError, match=r"one\.bin"):
        store.artifacts("2").get("one.bin")


# Of the real store alone


@pytest.fixture
def local(tmp_path):
    return LocalStore(tmp_path, "test", lock_timeout=0, programs=programs.Programs(), on_note=print)


def test_a_lock_that_a_killed_run_left_is_nobodys_work(local, tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "tenant-killed.lock").write_text("{}")
    assert local.tenants_at_work() == {}
    with local.tenant_locks(["d"], leaving=True):
        (tmp_path / "locks" / "tenant-d.lock").write_text("{")
        assert not local.tenants_at_work()["d"], "nothing says that it goes"


@pytest.mark.parametrize("replaced", [True, False])
def test_a_lock_whose_file_was_deleted_is_lost(local, tmp_path, replaced):
    with local.tenant_locks(["a", "b"]) as tenants, local.environment_lock() as environment:
        for name in ("tenant-b", "environment"):
            path = tmp_path / "locks" / f"{name}.lock"
            path.unlink()
            if replaced:
                path.write_text("")
        with pytest.raises(errors.BusyError, match="lost the lock of tenant b"):
            tenants.confirm()
        with pytest.raises(errors.BusyError, match="lost the lock of environment test"):
            environment.confirm()


def test_a_number_that_a_lost_journal_used_before_gets_a_new_directory(local):
    local.artifacts("1").put("plan.bin", b"old")
    assert list(local.artifacts("1").directory.iterdir()) == []


@pytest.mark.parametrize("skew", [-3600, 3600])
def test_old_run_directories_go_and_the_runs_own_stays_whatever_the_clock_says(local, tmp_path, skew):
    for number in range(1, 30):
        directory = local.artifacts(str(number)).directory
        assert directory.exists()
        moment = directory.stat().st_mtime + skew + number
        os.utime(directory, (moment, moment))
    assert len(list((tmp_path / "runs").iterdir())) == 20


@pytest.mark.parametrize("content", ["2", "99\n", "next", "\xff"])
def test_state_of_a_newer_version_is_refused(local, tmp_path, content):
    (tmp_path / "format").write_text(content)
    with pytest.raises(errors.PreflightError) as caught, local.tenant_locks(["a"]):
        pass
    assert caught.value.exit_code == 4
    assert "Update this checkout" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["format"]


def test_undecodable_state_is_refused_too(local, tmp_path):
    (tmp_path / "format").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.PreflightError), local.tenant_locks(["a"]):
        pass


@pytest.mark.parametrize("content", [None, ""])
def test_state_without_a_format_gets_this_one(local, tmp_path, content):
    if content is not None:
        (tmp_path / "format").write_text(content)
    with local.tenant_locks(["a"]):
        pass
    assert (tmp_path / "format").read_text() == "1\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["format", "locks"]


@pytest.mark.parametrize(("content", "good"), [(None, True), ("", True), ("1", True), ("2", False)])
def test_a_look_at_the_format_changes_nothing(local, tmp_path, content, good):
    if content is not None:
        (tmp_path / "format").write_text(content)
    before = sorted(tmp_path.iterdir())
    if good:
        local.check()
    else:
        with pytest.raises(errors.PreflightError, match="newer version"):
            local.check()
    assert sorted(tmp_path.iterdir()) == before


def test_a_state_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    store = LocalStore(
        tmp_path / "file" / "state", "test", lock_timeout=0, programs=programs.Programs(), on_note=print
    )
    with pytest.raises(errors.PreflightError, match="Not a directory") as caught, store.tenant_locks(["a"]):
        pass
    assert caught.value.exit_code == 4
    with pytest.raises(errors.PreflightError, match="Not a directory"):
        store.check()
    with pytest.raises(errors.StateError, match="Not a directory"), store.environment_lock():
        pass
    with pytest.raises(errors.StateError, match="Not a directory"):
        store.open_journal()
    with pytest.raises(errors.StateError, match="Not a directory"):
        store.artifacts("1")
