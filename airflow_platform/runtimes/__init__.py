"""WHERE AIRFLOW RUNS: a runtime is a set of steps, a journal, locks, and answers about its tenants.

No work is done here, only composed. May import: `dags` and below.
"""
