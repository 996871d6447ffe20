"""One toolkit for many Airflow installations: from a typed spec to a tenant that has run a DAG.

The folders are layers; `docs/architecture.md` draws them and `pyproject.toml` has them checked.
Nothing is re-exported here: import the module that you mean.
"""
