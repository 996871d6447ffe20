"""Who goes down, and what a protected environment wants to hear first."""

import pytest

from airflow_platform import errors
from airflow_platform.config import paths
from airflow_platform.tasks import running, selecting


def call(environment="sandbox", *tenants, plan=False):
    return running.Call("tenant-down", environment, tenants, plan=plan)


def names(tenants):
    return [each.name for each in tenants]


def test_who_goes_down(environments, settled):
    settled("sandbox", "old")
    settled("sandbox", "left", running=True)
    settled("sandbox", "analytics")
    stray = paths.state("sandbox") / "tenants" / "lost+found"
    stray.mkdir()
    assert names(selecting.leaving(call(), ())) == ["analytics", "finance", "left"]
    assert names(selecting.leaving(call("sandbox", "old"), ())) == ["old"]
    with pytest.raises(errors.UsageError, match="lost"):
        selecting.leaving(call("sandbox", "lost+found"), ())
    assert names(selecting.leaving(call("sandbox", "old", "finance"), ())) == ["finance", "old"]
    with pytest.raises(errors.UsageError, match="older"):
        selecting.leaving(call("sandbox", "older"), ())


def test_a_protected_environment_names_an_example_that_works(environments):
    with pytest.raises(errors.RefusedError) as caught:
        selecting.leaving(call("prod"), ())
    assert caught.value.hint == "Name what you mean: --tenant=analytics --confirm=prod/analytics"
    assert names(selecting.leaving(call("prod", "analytics"), ("prod/analytics",))) == ["analytics"]
    assert names(selecting.leaving(call("prod", plan=True), ())) == ["analytics", "finance"]
