"""The door for stock Invoke: `inv --list` in this directory; `scripts/inv` needs nothing installed."""

from airflow_platform.tasks.collection import namespace

__all__ = ["namespace"]
