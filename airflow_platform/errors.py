"""What can go wrong, as one tree; `tasks` turns each class into its exit code.

PlatformError                 1  the root: something said no
├── UsageError                2  a name, flag or argument that does not exist or does not fit
├── ConfigurationError        2  files that do not say what they must; carries every fault of the file
├── PreflightError            4  the world is not ready; nothing was changed
├── BusyError                 5  somebody else holds the lock
├── RefusedError              6  not authenticated, or refused by policy
├── StateError                1  the toolkit's own files cannot be read or written
├── StepError                 1  a step's work said no
├── ProgramError              1  a program failed, and these were its last lines
│   ├── ProgramMissing        1  the program is not installed
│   └── ProgramTimeout        1  the program did not end before its deadline
└── Interrupted         129-143  a signal ended the run; it is safe to rerun
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


class ExitCode(enum.IntEnum):
    """Every exit code that the toolkit uses; 129, 130 and 143 are 128 + the number of the signal."""

    DONE = 0
    """Done; or healthy; or equal."""
    FAILED = 1
    """A step failed, or a tenant is not healthy."""
    USAGE = 2
    """The command or the configuration is wrong; nothing was changed."""
    DIFFERENCES = 3
    """`--plan` would change something, or reality differs from the spec."""
    PREFLIGHT = 4
    """A check failed before the first change; nothing was changed."""
    BUSY = 5
    """Somebody else holds the lock; nothing was changed."""
    REFUSED = 6
    """Not authenticated, or refused by policy; nothing was changed."""
    HANGUP = 129
    """Ended by SIGHUP; safe to rerun."""
    INTERRUPTED = 130
    """Ended by SIGINT (Ctrl-C); safe to rerun."""
    TERMINATED = 143
    """Ended by SIGTERM; safe to rerun."""


INTERRUPTED = (ExitCode.HANGUP, ExitCode.INTERRUPTED, ExitCode.TERMINATED)
"""The codes of a command that a signal ended."""


@dataclass(frozen=True)
class Fault:
    """One thing that would stop a run, and what to do about it."""

    thing: str
    """What is wrong: a file and key, a port, a program."""
    cause: str
    """Why it is wrong, in one sentence."""
    remedy: str
    """What the reader does next, in one sentence."""

    def to_json(self) -> dict[str, str]:
        """The fault as the report envelope shows it."""
        return {"thing": self.thing, "cause": self.cause, "remedy": self.remedy}

    def __str__(self) -> str:
        return f"{self.thing}: {self.cause} {self.remedy}".rstrip()


class PlatformError(Exception):
    """A fault with a message for people and a `hint` that says what to do about it."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def faults(self) -> tuple[Fault, ...]:
        """The error as faults, for a report; most errors are one."""
        return (Fault(thing=type(self).__name__, cause=self.message, remedy=self.hint),)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class UsageError(PlatformError):
    """A name, flag or argument that does not exist or does not fit."""

    exit_code = ExitCode.USAGE


class _FaultsError(PlatformError):
    """An error that is a list of faults, all of which were looked for before it was raised."""

    def __init__(self, message: str, faults: Sequence[Fault], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self._faults = tuple(faults)

    def faults(self) -> tuple[Fault, ...]:
        return self._faults

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  {fault}" for fault in self._faults)])


class ConfigurationError(_FaultsError):
    """Files that do not say what they must; carries every fault of the file at once."""

    exit_code = ExitCode.USAGE


class PreflightError(_FaultsError):
    """The world is not ready for the command; nothing was changed."""

    exit_code = ExitCode.PREFLIGHT


class BusyError(PlatformError):
    """Somebody else holds the lock: the message says who, since when and where."""

    exit_code = ExitCode.BUSY


class RefusedError(PlatformError):
    """Not authenticated, or refused by policy."""

    exit_code = ExitCode.REFUSED

    def __init__(self, message: str, *, hint: str = "", untouched: bool = False) -> None:
        """Make the error; `untouched` says that also the work which it ended had changed nothing yet."""
        super().__init__(message, hint=hint)
        self.untouched = untouched


class StateError(PlatformError):
    """The toolkit's own files cannot be read or written: a full disk, a lost permission."""

    @classmethod
    def of(cls, path: Path, error: OSError) -> StateError:
        """The error for a file of ours that the operating system would not let us have."""
        return cls(
            f"{path}: {error.strerror or error}.",
            hint="Free some space or fix the permissions there, then run this again; nothing was lost.",
        )


@contextlib.contextmanager
def state_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says into a `StateError` that names the file, or else this path."""
    try:
        yield
    except OSError as error:
        named = Path(error.filename) if isinstance(error.filename, str) else path
        raise StateError.of(named, error) from error


class StepError(PlatformError):
    """A step's work said no: a component that never became healthy, a DAG that failed."""


class ProgramError(PlatformError):
    """A program ended with a code that means failure."""

    def __init__(
        self, program: str, code: int, tail: Sequence[str], *, message: str = "", hint: str = ""
    ) -> None:
        self.program = program
        self.code = code
        self.tail = tuple(tail)
        super().__init__(message or self._describe(), hint=hint)

    def _describe(self) -> str:
        ended = f"was ended by signal {-self.code}" if self.code < 0 else f"exited {self.code}"
        lines = "".join(f"\n    {line}" for line in self.tail)
        return f"{self.program} {ended}{'; its last lines:' if lines else ' and printed nothing.'}{lines}"


class ProgramMissing(ProgramError):
    """A program that is needed is not on PATH."""

    def __init__(self, program: str, *, hint: str) -> None:
        super().__init__(program, 127, (), message=f"{program} was not found.", hint=hint)


class ProgramTimeout(ProgramError):
    """A program did not end before its deadline and was stopped."""

    def __init__(self, program: str, seconds: float, tail: Sequence[str]) -> None:
        self.seconds = seconds
        lines = "".join(f"\n    {line}" for line in tail)
        message = f"{program} did not end within {seconds:g} s and was stopped; its last lines:{lines}"
        super().__init__(program, 124, tail, message=message)


class Interrupted(PlatformError):
    """A signal ended the run; everything that it began can be taken up by the next one."""

    def __init__(self, signal_number: int, signal_name: str) -> None:
        self.signal_number = signal_number
        super().__init__(f"Interrupted by {signal_name}.", hint="It is safe to run the same command again.")

    @property
    def code(self) -> int:
        """128 + the number of the signal, as shells have it."""
        return 128 + self.signal_number
