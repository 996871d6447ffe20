"""IMPORTING DAG FILES: a program of its own that runs in Airflow's Python.

`worker` imports Airflow once and forks a child for each DAG file; `file_import` is what the child does. May import:
the standard library, Airflow, and each other; nothing else of the toolkit.
"""
