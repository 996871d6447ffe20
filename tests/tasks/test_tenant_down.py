"""Who goes down, and what a protected environment wants to hear first."""

import pytest

from airflow_platform import errors
from airflow_platform.config import paths
from airflow_platform.runtimes import runtime_table
from airflow_platform.tasks import tenant_down
from airflow_platform.tasks.command_line import CommandLine


def leaving(environment="sandbox", *tenants, plan=False, confirmed=()):
    line = CommandLine("tenant-down", environment, tenants, plan=plan)
    spec = line.spec()
    found = tenant_down.leaving(line, spec, runtime_table.of(spec), confirmed)
    return [each.name for each in found]


def test_who_goes_down(environments, settled):
    settled("sandbox", "old")
    settled("sandbox", "left", running=True)
    settled("sandbox", "analytics")
    stray = paths.state("sandbox") / "tenants" / "lost+found"
    stray.mkdir()
    assert leaving() == ["analytics", "finance", "left"]
    assert leaving("sandbox", "old") == ["old"]
    with pytest.raises(errors.UsageError, match="lost"):
        leaving("sandbox", "lost+found")
    assert leaving("sandbox", "old", "finance") == ["finance", "old"]
    with pytest.raises(errors.UsageError, match="older"):
        leaving("sandbox", "older")


def test_a_protected_environment_names_an_example_that_works(environments):
    with pytest.raises(errors.RefusedError) as caught:
        leaving("prod")
    assert caught.value.hint == "Name what you mean: --tenant=analytics --confirm=prod/analytics"
    assert leaving("prod", "analytics", confirmed=("prod/analytics",)) == ["analytics"]
    assert leaving("prod", plan=True) == ["analytics", "finance"]
