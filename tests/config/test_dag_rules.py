"""What DAGs must keep to."""

import pydantic
import pytest

from airflow_platform.config import dag_rules


def test_all_have_a_default():
    assert dag_rules.Rules().least_retries == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"import_seconds": 0},
        {"import_deadline": 0},
        {"import_memory": 1},
        {"interval": -1},
        {"least_retries": -1},
        {"least_retries": 6},
        {"catchup": "yes"},
        {"unknown": 1},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(pydantic.ValidationError):
        dag_rules.Rules.model_validate(wrong)


def test_every_limit_says_why_its_default_is_what_it_is():
    for name, field in dag_rules.Rules.model_fields.items():
        assert len(field.description or "") > 60, name
