"""The check of a DAG version, before anything is moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from airflow_platform import errors
from airflow_platform.dags.dag_contexts import ProjectContext, ProjectStep
from airflow_platform.engine import step
from airflow_platform.tenants import airflow_settings as manifest

SHOWN = 10
"""Findings that an error shows; `inv dags-check` shows all."""


class Finding(Protocol):
    """One thing that a DAG file must not do."""

    @property
    def severity(self) -> str:
        """`error` or `warning`."""

    @property
    def file(self) -> str:
        """Relative to the repository."""


class Checked(Protocol):
    """What a check came to."""

    @property
    def findings(self) -> Sequence[Finding]: ...

    @property
    def ids(self) -> Mapping[str, str]:
        """The ids of all DAGs, with their files, relative to the folder of DAGs."""


class DagCheck(ProjectStep):
    """Outputs: `dags` (ids with their files; null where nobody could look) and `unread`.

    `unread` are files that could not be imported here, so that their DAGs are not known.
    """

    name = "dag-check"

    def __init__(
        self, check: Callable[[ProjectContext], Checked], *, revision: str, must_pass: bool = True
    ) -> None:
        """Make the step.

        Args:
            check: Checks the DAG version.
            revision: Its commit, for people.
            must_pass: Whether an error ends the run. Otherwise only the DAGs' ids are wanted: on the way back to
                what was good once, no new rule and no missing package may be in the way.
        """
        self._check = check
        self._revision = revision
        self._must_pass = must_pass

    def observe(self, context: ProjectContext) -> Checked | None:
        """What the check says; None where it cannot be made and need not be passed."""
        try:
            return self._check(context)
        except errors.Interrupted:
            raise
        except errors.PlatformError:  # Also a file of another environment that does not say what it must.
            if self._must_pass:
                raise
            return None

    def plan(self, context: ProjectContext, observed: Checked | None) -> step.NoChange:
        if observed is None:
            return step.NoChange("it could not be checked", {"dags": None, "unread": []})
        unread = _unread(observed)
        ids = None if manifest.FOLDER in unread else dict(observed.ids)  # Where Airflow imports none at all.
        outputs: step.Outputs = {"dags": ids, "unread": unread}
        if not self._must_pass:
            return step.NoChange(f"{len(observed.ids)} DAGs", outputs)
        wrong = [str(each) for each in observed.findings if each.severity == "error"]
        if wrong:
            lines = "".join(f"\n    {each}" for each in wrong[:SHOWN])
            more = f"\n    and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
            raise errors.StepError(
                f"{len(wrong)} finding{'s' * (len(wrong) > 1)} in the DAGs of {self._revision[:12]}:{lines}{more}",
                hint=f"Mend and commit; `inv dags-check --ref={self._revision[:12]}` says how. Nothing was moved.",
            )
        warnings = len(observed.findings)
        told = f", {warnings} warning{'s' * (warnings > 1)}" if warnings else ""
        return step.NoChange(f"{len(observed.ids)} DAGs, no error{told}", outputs)


def _unread(checked: Checked) -> list[str]:
    """The files that something is wrong with and that have made no DAG."""
    wrong = {
        each.file.removeprefix(f"{manifest.FOLDER}/") for each in checked.findings if each.severity == "error"
    }
    return sorted(wrong - set(checked.ids.values()))
