"""A DAG that reads the file named in its run's configuration: what a curious author would try."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import dag, get_current_context, task


@dag(schedule=None, is_paused_upon_creation=False, tags=["test", "tenant:all"])
def reads_a_file():
    @task
    def read() -> int:
        conf = get_current_context()["dag_run"].conf
        return len(Path(conf["file"]).read_text())

    read()


reads_a_file()
