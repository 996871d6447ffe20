"""WHAT KEEPS A TENANT RUNNING: a small program that outlives the command which started it.

Standard library only, started as `python -m airflow_platform.supervisor SPEC`; knows nothing of
Airflow. May import: nothing else of the toolkit.
"""
