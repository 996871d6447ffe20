"""WHICH DAGS ARE SERVED: DAG trees, the branch, delivery, what tenants serve.

`check/` says what a DAG file is and whether it keeps to the rules. Nothing here knows where tenants run.
May import: `steps` and below.
"""
