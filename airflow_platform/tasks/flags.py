"""Flags that several tasks have: what `--help` says of them, and their defaults."""

from __future__ import annotations

ENV = "The environment: the name of a file in environments/."
TENANT = "One tenant; may be repeated. By default all that are declared."
COMPONENT = "One component, such as scheduler; may be repeated. By default all."
PLAN = "Print what would change, and change nothing; exits 3 when something would."
JSON = "Print one JSON document on standard output."
LOCK_TIMEOUT = "Seconds to wait for the environment's lock."

LOCK_SECONDS = "60"
"""The default of `--lock-timeout`: a first run holds its lock for the minute that packages take."""
