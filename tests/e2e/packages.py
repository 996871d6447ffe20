"""Builds the environments of Airflow and fakesnow if they are missing, and prints where they are.

The sandbox session gives them to the tests of DAGs and of fakesnow's server, as environment variables.
"""

from __future__ import annotations

import sys

from airflow_platform.config import load, package_recipes, paths
from airflow_platform.tenants import packages
from airflow_platform.testing.runs import run_steps

VARIABLES = {
    "airflow-packages": "AIRFLOW_PLATFORM_TEST_AIRFLOW",
    "snowflake-packages": "AIRFLOW_PLATFORM_TEST_FAKESNOW",
}


def main() -> int:
    """Print a line `NAME=directory` for each environment."""
    steps = (
        packages.AirflowPackages(package_recipes.airflow(), cache=paths.cache(), ready=None),
        packages.SnowflakePackages(package_recipes.fakesnow(), cache=paths.cache(), ready=None),
    )
    report = run_steps(*steps, environment=load.environment("sandbox"), tenants=())
    for fault in report.faults:
        print(fault, file=sys.stderr)
    for step in report.steps:
        if step.name in VARIABLES and "environment" in step.outputs:
            print(f"{VARIABLES[step.name]}={step.outputs['environment']}")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
