"""WHAT A DAG FILE IS, and whether it keeps to the rules: `inv dags-check`, from a commit to findings.

`commit_check` is the way in. `worker_client` starts `worker/`, which imports the files in Airflow's Python;
`source` reads their texts; `rules/` turns what both found into findings; `result_cache` keeps results.
"""
