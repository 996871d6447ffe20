"""How the toolkit reaches one tenant's Airflow: an address, a user and a secret, wherever the tenant runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from airflow_platform import secrets
from airflow_platform.tools.airflow import airflow_client


@dataclass(frozen=True)
class Access:
    """An open way to one tenant's api-server."""

    url: str
    """Its base URL as this machine reaches it."""
    user: str
    password: secrets.Secret
    airflow: airflow_client.Airflow
    """A client that logs in as `user` when a call needs it."""


OpenAccess = Callable[[str], AbstractContextManager[Access]]
"""Opens the way to a tenant by its name; it is closed at the end. Raises StepError where it is not known."""


@contextlib.contextmanager
def opened(url: str, user: str, password: secrets.Secret, *, stranger: Callable[[], str]) -> Iterator[Access]:
    """The way to an address, closed at the end; nothing is sent yet.

    Args:
        url: Where the tenant's api-server should listen.
        user: Airflow's user.
        password: Its password.
        stranger: Says who listens at that address in place of the tenant, for people; "" when it is the tenant, or
            nobody. It is asked before each login: a stopped tenant's port can be taken by anybody.
    """
    client = airflow_client.Airflow(url, user, password, stranger=stranger)
    try:
        yield Access(url, user, password, client)
    finally:
        client.session.close()
