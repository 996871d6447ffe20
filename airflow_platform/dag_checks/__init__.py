"""WHAT A COMMIT'S DAGS ARE: known, or found out by `parsing`, and held against `rules`.

Nothing here knows where tenants run. May import: `steps` and below.
"""
