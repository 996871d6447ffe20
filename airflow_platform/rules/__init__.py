"""WHAT DAGS MUST BE: rules that are held against the facts of DAG files.

Pure functions: facts, tenants and limits in, findings out. Nothing is imported, read or asked here; what a file
is, was found out by `parsing` and by looking at its text. May import: what `parsing` has agreed upon.
"""
