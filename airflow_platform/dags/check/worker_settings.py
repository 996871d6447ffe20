"""What the program that imports DAG files is told: Airflow's settings."""

from __future__ import annotations

from pathlib import Path


def environment(home: Path, programs: Path) -> dict[str, str]:
    """The whole environment of the program, nothing of whoever starts it."""
    return {
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "USER": "airflow",
        "LOGNAME": "airflow",
        "LANG": "C.UTF-8",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # All that a tenant may have: which one it has is a rule's to say.
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor,CeleryExecutor,KubernetesExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/none.db",
        # The check has a deadline of its own, which also holds where Python code does not run.
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",
        # As deep as the line of the DAG file lies.
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "100",
        # Nobody reads its log.
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{home}/logs",
        # A second thread a core for numbers is no use to an import, and a trouble to a fork.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
