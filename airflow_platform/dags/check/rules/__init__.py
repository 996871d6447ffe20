"""WHAT DAGS MUST BE: rules that are held against the facts of DAG files.

`catalogue` lists them all. Pure functions: facts, tenants and limits in, findings out; nothing is imported, read or asked.
"""
