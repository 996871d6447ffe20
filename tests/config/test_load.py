"""Environment files: every fault at once, each with file, key and remedy."""

import pytest

from airflow_platform import errors
from airflow_platform.config import load, specs

GOOD = """
runtime = "process"
[[tenants]]
name = "analytics"
snowflake = { database = "A", warehouse = "W", role = "R" }
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="test"):
        (tmp_path / f"{name}.toml").write_text(text)
        return tmp_path

    return write


def faults_of(directory, name="test"):
    with pytest.raises(errors.ConfigurationError) as refused:
        load.environment(name, directory)
    return refused.value.faults()


def only_fault(directory):
    (fault,) = faults_of(directory)
    return fault


def test_a_good_file_becomes_a_frozen_spec(write):
    spec = load.environment("test", write(GOOD))
    assert (spec.name, spec.runtime, [tenant.name for tenant in spec.tenants]) == (
        "test",
        "process",
        ["analytics"],
    )
    with pytest.raises(ValueError, match="frozen"):
        spec.runtime = "docker"


@pytest.mark.parametrize("name", load.names())
def test_the_repositorys_own_environments_are_valid(name):
    assert load.environment(name).tenants


def test_production_like_environments_are_protected():
    assert [name for name in load.names() if load.environment(name).protected] == ["prod", "stage"]


def test_an_unknown_environment_names_the_nearest_and_all(write):
    directory = write(GOOD, "sandbox")
    write(GOOD, "prod")
    with pytest.raises(errors.UsageError) as refused:
        load.environment("sandbx", directory)
    assert refused.value.hint == "Did you mean sandbox? Known: prod, sandbox."


def test_an_unknown_tenant_names_the_nearest_and_all(write):
    spec = load.environment("test", write(GOOD))
    with pytest.raises(errors.UsageError) as refused:
        load.select(spec, ["analitics"])
    assert "Did you mean analytics?" in refused.value.hint


def test_all_faults_of_a_file_come_at_once(write):
    found = faults_of(
        write("""
            runtime = "proces"
            portected = true
            [process]
            ports = { first = 10, last = "x" }
            [[tenants]]
            name = "ok"
            parallelism = "3"
            snowflake = { database = "A B", warehouse = "W" }
        """)
    )
    keys = [fault.thing.split(": ", 1)[1] for fault in found]
    assert sorted(keys) == [
        "portected",
        "process.ports.first",
        "process.ports.last",
        "runtime",
        "tenants[0] (ok).parallelism",
        "tenants[0] (ok).snowflake.database",
        "tenants[0] (ok).snowflake.role",
    ]
    assert all(fault.cause and fault.remedy for fault in found)


def test_a_misspelt_key_names_the_nearest(write):
    assert only_fault(write("portected = true\n" + GOOD)).remedy == "Did you mean protected?"


def test_broken_toml_names_the_line(write):
    fault = only_fault(write("runtime = \n"))
    assert "line 1" in fault.cause


def test_two_tenants_of_one_name(write):
    fault = only_fault(write(GOOD + GOOD.split('"process"')[1]))
    assert "Two tenants are called analytics" in fault.cause


@pytest.mark.parametrize("name", ["Bad", "1st", "a_b", "a-", "ä", "a" * 41, ""])
def test_a_name_that_cannot_be_a_namespace(write, name):
    fault = only_fault(write(GOOD.replace("analytics", name)))
    assert "namespace" in fault.remedy


def test_two_names_that_together_are_too_long_for_a_namespace(write):
    directory = write(GOOD.replace("analytics", "a" * 40), "e" * 30)
    (fault,) = faults_of(directory, "e" * 30)
    assert "71 characters" in fault.cause


@pytest.mark.parametrize(
    ("extra", "cause"),
    [
        ('pools = [{ name = "p", slots = 1 }, { name = "p", slots = 2 }]', "Two pools are called p"),
        ('variables = { v = "1" }\nsecret_variables = { v = { env = "V" } }', "Two variables are called v"),
        ('connections = [{ id = "snowflake_default", type = "http" }]', "comes from the table snowflake"),
        ('secret_variables = { v = { env = "V", file = "f" } }', "exactly one of env and file"),
    ],
)
def test_what_can_be_declared_only_once(write, extra, cause):
    assert cause in only_fault(write(GOOD + extra)).cause


def test_an_account_needs_a_way_to_log_in(write):
    fault = only_fault(write(GOOD.replace('role = "R"', 'role = "R", account = "org-acc"')))
    assert "password or private_key" in fault.cause


def test_eks_needs_a_place(write):
    assert "account, region and cluster" in only_fault(write(GOOD.replace("process", "eks"))).cause


def test_no_tenant_at_all(write):
    assert "tenants" in only_fault(write('runtime = "process"\ntenants = []\n')).thing


def test_the_name_is_the_files(write):
    assert only_fault(write('name = "other"\n' + GOOD)).remedy == "Remove this key."


def test_every_field_is_documented():
    undocumented = [
        f"{model.__name__}.{name}"
        for model in specs.Spec.__subclasses__()
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert undocumented == []


@pytest.mark.parametrize(
    "extra",
    [
        'secret_variables = { token = "hunter2" }',
        'secret_variables = { token = { env = "hunter2" } }',
        'connections = [{ id = "api", type = "http", password = "hunter2" }]',
        'connections = [{ id = "api", type = "http", password = { file = 2, hunter2 = 1 } }]',
    ],
)
def test_a_secret_in_place_of_its_reference_is_never_shown(write, extra):
    found = faults_of(write(GOOD + extra))
    assert not any("hunter2'" in str(fault) for fault in found)
    assert all(fault.remedy for fault in found)


def test_a_private_key_in_place_of_its_reference_is_never_shown(write):
    text = GOOD.replace('role = "R"', 'role = "R", account = "a", private_key = "hunter2"')
    assert not any("hunter2" in str(fault) for fault in faults_of(write(text)))


def test_an_environment_that_is_in_no_file_is_checked_in_the_same_way():
    spec = {"name": "here", "runtime": "docker", "tenants": [{"name": "a", "snowflake": {"database": "D"}}]}
    with pytest.raises(errors.ConfigurationError) as raised:
        load.given(spec, "options")
    assert [fault.thing for fault in raised.value.faults()] == [
        "options: tenants[0] (a).snowflake.warehouse",
        "options: tenants[0] (a).snowflake.role",
    ]
    spec["tenants"][0]["snowflake"] |= {"warehouse": "W", "role": "R"}
    assert load.given(spec, "options").tenant("a").snowflake.role == "R"
