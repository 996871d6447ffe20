"""The tasks, in the order and the groups in which `inv --list` shows them."""

from __future__ import annotations

from invoke.collection import Collection

namespace = Collection()
