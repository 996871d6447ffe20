"""A tenant's directories: modes, owners, what is in the way, and their end."""

import os
import shutil
import stat

import pytest

from airflow_platform import errors
from airflow_platform.engine import step
from airflow_platform.tenants import tenant_directory
from airflow_platform.tools import users
from tests.steps import calling

IS_ROOT = os.geteuid() == 0
OPEN = 0o710 if IS_ROOT else 0o700
MODES = {
    ".": OPEN,
    "keys": OPEN,
    "certificates": 0o750 if IS_ROOT else 0o700,
    "logs": 0o700,
    "run": 0o700,
    "backups": 0o700,
    "home": 0o700,
    "snowflake": 0o700,
}
OF_THE_TENANT = {"home", "snowflake"}


def modes(directory):
    return {name: stat.S_IMODE((directory / name).stat().st_mode) for name in MODES}


def owners(directory):
    return {name: (directory / name).stat().st_uid for name in MODES}


def test_directories_have_the_modes_and_owners_that_keep_others_out(place):
    first, _ = calling.Calls().twice(tenant_directory.TenantDirectory(place))
    directory = place.tenant("analytics").directory
    user = users.of_tenant(directory)
    assert first.outputs == {"user": user}
    assert modes(directory) == MODES
    mine = os.geteuid()
    tenants = mine if user is None else user
    assert owners(directory) == {name: tenants if name in OF_THE_TENANT else mine for name in MODES}
    if user is not None:
        assert {(directory / name).stat().st_gid for name in (".", "keys", "certificates")} == {user}
        assert {(directory / name).stat().st_gid for name in ("logs", "run", "backups")} == {0}


def test_without_root_all_are_ours_alone(place, unprivileged):
    first, _ = calling.Calls().twice(tenant_directory.TenantDirectory(place))
    assert first.outputs == {"user": None}
    assert set(modes(place.tenant("analytics").directory).values()) == {0o700}


def test_tenants_have_user_ids_of_their_own(place):
    found = [
        calling.Calls(tenant=name).run(tenant_directory.TenantDirectory(place)).outputs["user"]
        for name in ("analytics", "finance")
    ]
    assert found == [None, None] if not IS_ROOT else len(set(found)) == 2


def test_a_directory_that_was_opened_is_closed_again(place, tenant):
    tenant.keys.chmod(0o777)
    ran, _ = calling.Calls().twice(tenant_directory.TenantDirectory(place))
    assert ran.text.startswith(f"fix {tenant.directory}")
    assert modes(tenant.directory) == MODES


def test_a_link_is_not_followed(place, tenant, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    tenant.keys.rmdir()
    tenant.keys.symlink_to(elsewhere)
    with pytest.raises(errors.StateError, match="keys"):
        calling.Calls().run(tenant_directory.TenantDirectory(place))
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o755
    assert elsewhere.stat().st_uid == os.geteuid()


@pytest.mark.parametrize("mode", [0o600, 0o700])
def test_a_file_in_the_way_is_named(place, tenant, mode):
    tenant.backups.rmdir()
    tenant.backups.touch(mode)
    with pytest.raises(errors.StateError, match="backups: Not a directory"):
        calling.Calls().run(tenant_directory.TenantDirectory(place))


def test_the_way_down_deletes_it(place, tenant):
    (tenant.home / "logs").mkdir()
    (tenant.home / "logs" / "task.log").write_text("x")
    calls = calling.Calls(goal=step.Goal.ABSENT)
    first, second = calls.twice(tenant_directory.TenantDirectory(place))
    assert (first.text, second.text) == (f"delete {tenant.directory}", "it is not there")
    assert place.found() == ()


def test_keys_go_when_nothing_else_is_left_that_was_encrypted_with_them(place, tenant, monkeypatch):
    for each in (tenant.migrated, tenant.settings, tenant.database, tenant.keys / "fernet_key"):
        each.write_text("x")
    left, delete = [], shutil.rmtree

    def recorded(path):
        if (tenant.keys / "fernet_key").exists() and path in (tenant.keys, tenant.directory):
            left.extend(each.name for each in tenant.directory.iterdir())
        delete(path)

    monkeypatch.setattr(shutil, "rmtree", recorded)
    calling.Calls(goal=step.Goal.ABSENT).run(tenant_directory.TenantDirectory(place))
    assert left == ["keys"]


def test_the_way_down_deletes_nothing_through_a_link(place, tenant, tmp_path):
    (tmp_path / "kept").touch()
    (tenant.home / "link").symlink_to(tmp_path)
    calling.Calls(goal=step.Goal.ABSENT).run(tenant_directory.TenantDirectory(place))
    assert (tmp_path / "kept").exists()


def test_what_cannot_be_written_is_a_fault(place):
    place.directory.touch(0o600)
    (fault,) = calling.Calls().faults(tenant_directory.TenantDirectory(place))
    assert fault.cause == f"{place.directory} cannot be written."
    assert "AIRFLOW_PLATFORM_STATE" in fault.remedy


def test_a_directory_that_tenants_cannot_enter_is_a_fault_where_they_are_users(place, monkeypatch):
    place.directory.mkdir(mode=0o700)
    one = tenant_directory.TenantDirectory(place)
    monkeypatch.setattr(users, "of_tenant", lambda directory: None)
    assert calling.Calls().faults(one) == []
    monkeypatch.setattr(users, "of_tenant", lambda directory: users.FIRST)
    (fault,) = calling.Calls().faults(one)
    assert fault.remedy.startswith(f"Run `chmod o+x {place.directory}`")
    assert calling.Calls(goal=step.Goal.ABSENT).faults(one) == []
