"""A DAG bundle on what git-sync brings: one commit at a time, never two of them mixed.

git-sync puts each commit into a directory of its own, named by the commit, and then swaps a link to it. A
bundle that reads through the link would see two commits when it is swapped in the middle of a parse; this one
asks the link once per refresh. Tasks of a run read a copy of the commit that their run started with, which
stays when git-sync has cleaned its own away.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle
from airflow.exceptions import AirflowException


class GitSyncDagBundle(BaseDagBundle):  # type: ignore[misc] # Airflow is not in the environment of the checks.
    """The commit that git-sync's link names.

    Args:
        link: git-sync's link: `--root` and `--link`.
        subdir: The folder of the DAGs in the repository; "" for all of it.
        kwargs: As every bundle has them.
    """

    supports_versioning = True

    def __init__(self, *, link: str, subdir: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._link = Path(link)
        self._subdir = subdir
        self._worktree = self.versions_dir / self.version if self.version else self._link

    def initialize(self) -> None:
        """Find the commit; for the tasks of a run, keep a copy of it.

        Raises:
            AirflowException: git-sync has brought nothing yet, or has cleaned that commit away.
        """
        if self.version:
            with self.lock():
                self._keep(self.version)
        else:
            self.refresh()
        super().initialize()

    @property
    def path(self) -> Path:
        """The folder of the DAGs of one commit."""
        return self._worktree / self._subdir

    def get_current_version(self) -> str:
        """The commit, 40 digits."""
        return self.version or self._worktree.name

    def refresh(self) -> None:
        """Ask the link, once."""
        if self.version:
            raise AirflowException("A commit does not change.")
        self._worktree = self._linked()

    def _linked(self) -> Path:
        try:
            return self._link.parent / self._link.readlink()
        except OSError as error:
            raise AirflowException(f"git-sync has brought nothing to {self._link} yet: {error}.") from error

    def _keep(self, version: str) -> None:
        target = self.versions_dir / version
        if target.is_dir():
            return
        source = self._linked().parent / version
        if not source.is_dir():
            raise AirflowException(
                f"git-sync no longer has commit {version}. Let it keep commits for longer than the longest "
                "queue: --stale-worktree-timeout."
            )
        self.versions_dir.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.versions_dir))
        try:
            shutil.copytree(source, draft / version, symlinks=True, ignore=shutil.ignore_patterns(".git"))
            (draft / version).rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
