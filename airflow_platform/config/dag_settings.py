"""What all environments share about their DAGs: `dags.toml`, in the root of the repository."""

from __future__ import annotations

import urllib.parse
from typing import Annotated

import pydantic

from airflow_platform.config.dag_rules import Rules
from airflow_platform.config.specs import SecretReference, Spec

BranchName = Annotated[
    str, pydantic.StringConstraints(pattern=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$", max_length=100)
]


class Remote(Spec):
    """The Git repository with the branch that all environments follow."""

    url: Annotated[str, pydantic.StringConstraints(pattern=r"^\S+$")]
    """Of the repository: https://, ssh:// or user@host:path; or a path on this machine. Without credentials."""
    user: str = "oauth2"
    """User name for https; GitLab takes any with an access token."""
    token: SecretReference | None = None
    """Access token for https, by reference. It needs to write only where DAGs are synced from."""
    key: SecretReference | None = None
    """Private key for ssh: a file, mode 0600. By default ssh's own configuration and agent."""
    known_hosts: str | None = None
    """File with the server's host key, relative to the repository's root: a server with another key is
    refused. By default ssh's own file; a server that is in neither is refused, too."""

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Remote:
        if "@" in self.url.partition("://")[2].partition("/")[0] and self.url.startswith("http"):
            raise ValueError("credentials do not belong into the address: use user and token")
        parts = urllib.parse.urlsplit(self.url)
        ours = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
        if self.token and parts.scheme != "https" and not ours:
            raise ValueError("a token is for https: anybody on the way could read it otherwise")
        if self.key and self.key.file is None:
            raise ValueError("a key is a file")
        return self


class Branch(Spec):
    """The branch that all environments follow, and the ledger beside it; `inv dags-sync` alone moves them."""

    name: BranchName = "dags-live"
    """The branch. Protect it: only whoever may sync may push, nobody may force."""
    ledger: BranchName = "dags-ledger"
    """The branch with the record of all syncs and rollbacks: beside the other, because it then has the
    same rights and backups, and not in it, because results are known only after the branch has moved."""
    remote: Remote | None = None
    """Where both are. By default in a repository of the toolkit's own on this machine, which only the
    local environments of this checkout follow."""

    @pydantic.model_validator(mode="after")
    def _distinct(self) -> Branch:
        if self.name == self.ledger:
            raise ValueError("name and ledger are the same branch")
        return self


class Project(Spec):
    """What all environments share about their DAGs."""

    branch: Branch = Branch()
    """The branch that they follow."""
    rules: Rules = Rules()
    """What DAGs must keep to."""
