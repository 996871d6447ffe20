"""What lies where: distinct, inside the tenant's directory, and found again."""

from pathlib import Path

from airflow_platform.config import state_files

PLACE = state_files.EnvironmentFiles(Path("/state/sandbox"))


def properties(place):
    return {
        name: getattr(place, name) for name, kind in vars(type(place)).items() if isinstance(kind, property)
    }


def test_everything_of_a_tenant_is_in_its_directory_under_a_name_of_its_own():
    found = properties(PLACE.tenant("analytics"))
    assert len(set(found.values())) == len(found)
    directory = Path("/state/sandbox/tenants/analytics")
    assert all(directory in path.parents for path in found.values())


def test_what_the_toolkit_reads_back_lies_outside_of_what_the_tenants_user_owns():
    tenant = PLACE.tenant("analytics")
    kept = (
        tenant.keys,
        tenant.ports,
        tenant.settings,
        tenant.run,
        tenant.logs,
        tenant.backups,
        tenant.certificates,
    )
    for owned in (tenant.home, tenant.snowflake):
        assert not [path for path in kept if owned in (path, *path.parents)]


def test_tenants_are_found_by_their_directories(tmp_path):
    place = state_files.EnvironmentFiles(tmp_path)
    assert place.found() == ()
    for name in ("finance", "analytics"):
        place.tenant(name).directory.mkdir(parents=True)
    (place.tenants / "file").touch()
    assert place.found() == ("analytics", "finance")


def test_a_component_has_a_log():
    assert PLACE.tenant("a").log("scheduler") == Path("/state/sandbox/tenants/a/logs/scheduler.log")
    assert PLACE.repository == Path("/state/sandbox/dags.git")
