"""WHAT A DAG FILE IS, found by importing it: a program of its own that runs in Airflow's Python.

Standard library and Airflow only, started as `python -c` with this folder's place; stays warm for the next
check. May import: nothing else of the toolkit.

    worker (Airflow imported once, answers on a socket) ── child (one DAG file, confined, one answer on a pipe)

A child is what a DAG file can harm. The worker runs no code of anybody's but Airflow's and ours.
"""
