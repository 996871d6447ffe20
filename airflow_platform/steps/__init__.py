"""WHAT WE DO: observe, then change. One file a step or a few that belong together.

Steps do not import each other; a runtime composes them. Six modules are no steps but what several steps share:
`contexts`, `dag_contexts`, `becoming_healthy`, `database_container`, `handed`, `ownership`.
May import: `manifests` and below.
"""
