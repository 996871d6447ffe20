"""The store of one machine: a directory with `flock` locks, a SQLite journal and the artifacts of recent runs."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from airflow_platform import errors
from airflow_platform.engine import file_lock, sqlite_journal
from airflow_platform.programs import programs

KEPT_RUN_DIRECTORIES = 20
"""Directories of artifacts that are kept: enough to look into last week's failures."""

_TENANT = "tenant-"
"""How the names of tenants' locks begin."""

FORMAT = 1
"""Of the state directory; a newer toolkit raises it when it lays files out in another way."""


@dataclass(frozen=True)
class LocalArtifacts:
    """Artifacts as files of a directory."""

    directory: Path
    """Exists, mode 0700."""

    def put(self, name: str, content: bytes | Path) -> str:
        with errors.state_errors(self.directory / name):
            data = content.read_bytes() if isinstance(content, Path) else content
            (self.directory / name).write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def get(self, name: str) -> Path:
        path = self.directory / name
        if not path.is_file():
            raise errors.StepError(
                f"The artifact {name} of this run is missing.",
                hint="Something else deletes files in the run's directory; run this again.",
            )
        return path


@dataclass(frozen=True)
class _Locks:
    """Several locks as one."""

    locks: Sequence[file_lock.FileLock]

    def confirm(self) -> None:
        for each in self.locks:
            each.confirm()


class LocalStore:
    """Locks, journal and artifacts in an environment's state directory."""

    def __init__(
        self,
        directory: Path,
        environment: str,
        *,
        lock_timeout: float,
        programs: programs.Programs,
        on_note: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare; nothing is touched yet.

        Args:
            directory: The environment's state directory.
            environment: Its name, for messages.
            lock_timeout: Seconds to wait for the environment's lock.
            programs: Inherit the locks; whose interruption ends a wait.
            on_note: Called with lines for people, from several threads.
            now: The wall clock, for what people read; nothing is decided by it.
        """
        self._directory = directory
        self._environment = environment
        self._lock_timeout = lock_timeout
        self._programs = programs
        self._on_note = on_note
        self._now = now
        self._environment_lock = self._lock("environment", f"environment {environment}")

    def check(self) -> None:
        with _refusing(self._directory):
            _require_known(self._directory / "format")

    @contextlib.contextmanager
    def tenant_locks(self, tenants: Sequence[str], *, leaving: bool = False) -> Iterator[_Locks]:
        prepare(self._directory)
        with contextlib.ExitStack() as stack:
            held = []
            for tenant in sorted(tenants):
                thing = f"tenant {tenant} of {self._environment}"
                lock = self._lock(f"{_TENANT}{tenant}", thing, leaving=leaving)
                held.append(stack.enter_context(lock.held()))
            yield _Locks(held)

    def environment_lock(self) -> contextlib.AbstractContextManager[file_lock.FileLock]:
        return self._environment_lock.held(timeout=self._lock_timeout)

    def tenants_at_work(self) -> Mapping[str, bool]:
        found = (self._directory / "locks").glob(f"{_TENANT}*.lock")
        held = {
            path.stem.removeprefix(_TENANT): file_lock.read_holder(path)
            for path in found
            if file_lock.is_held(path)
        }
        return {tenant: holder is not None and holder.leaving for tenant, holder in held.items()}

    def open_journal(self) -> sqlite_journal.SqliteJournal:
        path = self._directory / "journal.sqlite"
        return sqlite_journal.SqliteJournal(path, on_note=self._on_note, now=self._now)

    def artifacts(self, run_id: str) -> LocalArtifacts:
        runs = self._directory / "runs"
        directory = runs / run_id
        try:
            runs.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                directory.mkdir(mode=0o700)
            except FileExistsError:  # A journal that was lost counted to this number before.
                directory = Path(tempfile.mkdtemp(prefix=f"{run_id}-", dir=runs))
            others = sorted((each for each in runs.iterdir() if each != directory), key=_age)
            for old in others[: 1 - KEPT_RUN_DIRECTORIES]:
                shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise errors.StateError.of(directory, error) from error
        return LocalArtifacts(directory)

    def _lock(self, name: str, thing: str, *, leaving: bool = False) -> file_lock.FileLock:
        path = self._directory / "locks" / f"{name}.lock"
        return file_lock.FileLock(
            path, thing, programs=self._programs, on_note=self._on_note, now=self._now, leaving=leaving
        )


def prepare(directory: Path) -> None:
    """Make a state directory, and refuse one that a newer toolkit has written.

    Raises:
        PreflightError: It cannot be written, or its format is newer than this toolkit knows.
    """
    marker = directory / "format"
    with _refusing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        if not _format(marker):
            draft = Path(tempfile.mkdtemp(prefix=".format-", dir=directory)) / "format"
            try:
                draft.write_text(f"{FORMAT}\n")
                draft.replace(marker)
            finally:
                shutil.rmtree(draft.parent, ignore_errors=True)
        _require_known(marker)


def _require_known(marker: Path) -> None:
    written = _format(marker)
    if written and (not written.isdecimal() or int(written) > FORMAT):
        fault = errors.Fault(
            thing=str(marker),
            cause=f"It says format {written!r}; this version of the toolkit knows up to {FORMAT}.",
            remedy="Update this checkout to the version that wrote it, or name another AIRFLOW_PLATFORM_STATE.",
        )
        raise errors.PreflightError("The state directory was written by a newer version.", [fault])


def _format(marker: Path) -> str:
    """What the marker says; "" where there is none, or a machine that lost power kept only its name."""
    try:
        return marker.read_text(errors="replace").strip()
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _refusing(directory: Path) -> Iterator[None]:
    """What the operating system will not let us have is found before anything is changed."""
    try:
        yield
    except OSError as error:
        fault = errors.Fault(
            thing=error.filename if isinstance(error.filename, str) else str(directory),
            cause=f"{error.strerror or error}.",
            remedy="Free some space or fix the permissions there, or name another AIRFLOW_PLATFORM_STATE.",
        )
        raise errors.PreflightError("The state directory cannot be used.", [fault]) from error


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
