"""A DAG file that cannot be imported."""

import a_library_that_nobody_installed
from airflow.sdk import dag


@dag(dag_id="nobody_sees_this", schedule=None, tags=["tenant:all"])
def nobody_sees_this() -> None:
    """Need a library."""
    a_library_that_nobody_installed.work()


nobody_sees_this()
