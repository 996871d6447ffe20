"""References to secrets: what is not there is named, what is there prints as ***."""

import pytest

from airflow_platform import errors
from airflow_platform.config import secret_references, specs


def test_a_variable_of_the_environment(monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cret")
    found = secret_references.resolve(specs.SecretReference(env="TOKEN"))
    assert found.reveal() == "s3cret"
    assert "s3cret" not in repr(found)


def test_a_file_below_the_project(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_PLATFORM_PROJECT", str(tmp_path))
    (tmp_path / "key.pem").write_text("one\ntwo\n")
    assert secret_references.resolve(specs.SecretReference(file="key.pem")).reveal() == "one\ntwo"


@pytest.mark.parametrize(
    ("reference", "thing"),
    [
        (specs.SecretReference(env="NOT_SET_ANYWHERE"), "environment variable NOT_SET_ANYWHERE"),
        (specs.SecretReference(file="not/there"), "file not/there"),
    ],
)
def test_a_missing_secret_is_named_with_a_remedy(reference, thing):
    with pytest.raises(errors.PreflightError) as refused:
        secret_references.resolve(reference)
    (fault,) = refused.value.faults()
    assert thing in fault.thing
    assert fault.remedy
