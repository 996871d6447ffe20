"""A Git repository somewhere else: fetched from, pushed to, and what it answers in our words.

Nothing here ever forces: a push that is no fast-forward is `LostRace`, whoever pushed before.
"""

from __future__ import annotations

import re
import shlex
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors, secrets
from airflow_platform.programs import programs
from airflow_platform.tools.git import git

TIMEOUT = 120.0
"""Seconds for one fetch or push; DAGs are small, so this is about a server that hangs."""

CONNECT_TIMEOUT = 10
"""Seconds until an ssh server must have answered."""

SLOWEST = (1000, 20)
"""Bytes a second, and for how many seconds less than that is borne: then the transfer counts as stuck."""


class NotReachable(errors.StepError):
    """Nobody answers there, or not in time."""


class Cut(errors.StepError):
    """The transfer broke off; whether a push has arrived is not known."""


class LostRace(errors.StepError):
    """Somebody else has moved the branch meanwhile."""


class Rewritten(errors.StepError):
    """A branch no longer contains what it contained: somebody has forced it."""


class _NoBranch(errors.StepError):
    """A branch is not there; Git then fetches none of the others."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is no branch {name}.")


@dataclass(frozen=True)
class Remote:
    """Where it is, and how one gets in."""

    url: str
    """https://, ssh://, user@host:path, or a path; without credentials."""
    user: str = ""
    token: secrets.Secret | None = None
    key: Path | None = None
    known_hosts: Path | None = None

    def __str__(self) -> str:
        return self.url


def fetch(
    runner: programs.Programs,
    repository: Path,
    remote: Remote,
    branches: Sequence[str],
    *,
    timeout: float | None = None,
) -> None:
    """Move branches of a bare repository forward to where they are in another.

    One that is gone there stays here, and a push puts it back.

    Raises:
        NotReachable: Nobody answers, or it is no repository.
        Cut: The transfer broke off; the branches are as they were.
        Rewritten: A branch there no longer contains what is known of it here; nothing was changed here.
        RefusedError: Not authenticated, no right to read, or another host key than the pinned one.
    """
    there = tuple(branches)
    words = ("fetch", "--no-progress", "--atomic", "--no-tags", "--no-write-fetch-head", remote.url)
    try:
        while there:
            specs = (f"refs/heads/{name}:refs/heads/{name}" for name in there)
            try:
                _call(runner, repository, remote, *words, *specs, timeout=timeout or TIMEOUT)
            except _NoBranch as missing:
                if missing.name not in there:
                    raise
                there = tuple(name for name in there if name != missing.name)
            else:
                return
    except errors.ProgramTimeout as error:
        raise NotReachable(
            f"{remote} did not answer within {error.seconds:g} s.", hint="Try again when it is reachable."
        ) from error
    except LostRace as error:
        raise Rewritten(
            f"{remote}: a branch no longer contains what is known of it in {repository}: somebody has forced it.",
            hint="Find out who, and what was lost: the old history is still here. To accept the new one, delete "
            "that directory.",
        ) from error


def push(
    runner: programs.Programs,
    repository: Path,
    remote: Remote,
    commit: str,
    branch: str,
) -> None:
    """Move a branch of another repository forward to a commit, or make it.

    Args:
        runner: Starts Git.
        repository: Has the commit.
        remote: Where to.
        commit: 40 digits.
        branch: Its name there.

    Raises:
        LostRace: The commit does not follow from what the branch is at now.
        NotReachable, Cut, RefusedError: As for `fetch`; refused also where we may not write.
    """
    words = ("push", "--porcelain", "--quiet", remote.url, f"{commit}:refs/heads/{branch}")
    try:
        _call(runner, repository, remote, *words)
    except errors.ProgramTimeout as error:
        raise Cut(f"{remote} did not answer within {TIMEOUT:g} s.", hint="Run this again.") from error


def _call(
    runner: programs.Programs,
    repository: Path,
    remote: Remote,
    *words: str,
    timeout: float | None = None,
) -> None:
    if remote.token:
        runner.mask.add(remote.token)
    done = git.call(
        runner,
        repository,
        *_settings(),
        *words,
        check=False,
        env=_access(remote),
        timeout=timeout or TIMEOUT,
    )
    if done.code:
        said = [*map(runner.mask, done.stdout.splitlines()), *done.tail]
        if missing := _NO_BRANCH.search("\n".join(said)):
            raise _NoBranch(missing[1])
        raise _explained(remote, said)


def _settings() -> Iterator[str]:
    bytes_a_second, seconds = SLOWEST
    for setting in (f"http.lowSpeedLimit={bytes_a_second}", f"http.lowSpeedTime={seconds}"):
        yield from ("-c", setting)


def _access(remote: Remote) -> dict[str, str]:
    """Environment variables that let Git in; never a secret in an argument list or a file."""
    options = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    options += ["-o", f"ConnectTimeout={CONNECT_TIMEOUT}", "-o", f"ServerAliveInterval={CONNECT_TIMEOUT}"]
    if remote.key:
        options += ["-i", str(remote.key), "-o", "IdentitiesOnly=yes"]
    if remote.known_hosts:
        options += ["-o", f"UserKnownHostsFile={remote.known_hosts}", "-o", "GlobalKnownHostsFile=/dev/null"]
    found = {"GIT_SSH_COMMAND": shlex.join(options)}
    if remote.token is None:
        return found
    helper = (
        """!f() { test "$1" = get && printf 'username=%s\\npassword=%s\\n' "$GIT_LOGIN" "$GIT_TOKEN"; }; f"""
    )
    return {
        **found,
        "GIT_CONFIG_COUNT": "3",
        # The empty ones switch off what else would answer, and what would keep our token; and no other
        # server is answered, wherever this one may send us.
        "GIT_CONFIG_KEY_0": "credential.helper",
        "GIT_CONFIG_VALUE_0": "",
        "GIT_CONFIG_KEY_1": f"credential.{_origin(remote.url)}.helper",
        "GIT_CONFIG_VALUE_1": "",
        "GIT_CONFIG_KEY_2": f"credential.{_origin(remote.url)}.helper",
        "GIT_CONFIG_VALUE_2": helper,
        "GIT_LOGIN": remote.user,
        "GIT_TOKEN": remote.token.reveal(),
    }


def _origin(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


_NO_BRANCH = re.compile(r"couldn't find remote ref refs/heads/(\S+)", re.IGNORECASE)
_REJECTED = re.compile(
    r"\[rejected\]|cannot lock ref|reference already exists|failed to update ref|incorrect old value",
    re.IGNORECASE,
)
_HOST_KEY = re.compile(r"host key verification failed|remote host identification has changed", re.IGNORECASE)
_NOT_WHO = re.compile(
    r"authentication failed|could not read (username|password)|permission denied \(|\b401\b|access denied",
    re.IGNORECASE,
)
_MAY_NOT = re.compile(
    r"\[remote rejected\]|\b403\b|not allowed|permission to .* denied|read.?only|deploy key|denied to",
    re.IGNORECASE,
)
_NOT_THERE = re.compile(
    r"could not resolve|failed to connect|couldn't connect|connection refused|connection timed out|timed out|"
    r"no route to host|does not appear to be a git repository|repository .*not found|\b404\b|no such file|"
    r"operation too slow|\b50[0-9]\b",
    re.IGNORECASE,
)
_BROKEN = re.compile(
    r"early eof|hung up|unexpected disconnect|rpc failed|connection reset|broken pipe|closed by remote|"
    r"transfer closed|empty reply|index-pack failed|eof",
    re.IGNORECASE,
)


def _explained(remote: Remote, lines: Sequence[str]) -> errors.PlatformError:
    """What Git printed, as the error that it means; in doubt the one that is safe to repeat."""
    said = "\n".join(lines)
    shown = _shown(lines)
    if _HOST_KEY.search(said):
        return errors.RefusedError(
            f"{remote}: its host key is not the pinned one: {shown}.",
            hint="Somebody else may be answering. Compare the key with whoever runs the server; only then "
            "change `known_hosts`.",
            untouched=True,
        )
    if _REJECTED.search(said):
        return LostRace(f"{remote}: the branch was moved meanwhile.", hint="Run this again.")
    if _NOT_WHO.search(said):
        return errors.RefusedError(
            f"{remote}: not authenticated: {shown}.",
            hint="The token or key is wrong or has expired: make a new one, and hand it over as dags.toml says.",
            untouched=True,
        )
    if _MAY_NOT.search(said):
        return errors.RefusedError(
            f"{remote} refused: {shown}.",
            hint="Ask for the right to push to that branch; a read-only deploy key is for tenants, not for syncs.",
            untouched=True,
        )
    if _BROKEN.search(said):
        return Cut(f"{remote}: the transfer broke off: {shown}.", hint="Run this again.")
    hint = "Start it, or fix `url` under [branch.remote] in dags.toml." if _NOT_THERE.search(said) else ""
    return NotReachable(f"{remote}: {shown}.", hint=hint or "Run this again.")


def _shown(lines: Sequence[str]) -> str:
    """The lines that say why: the server's own words and Git's errors, without its advice."""
    told = [
        line.strip()
        for line in lines
        if re.match(r"\s*(fatal|error|remote|!|ssh|@|host key)", line, re.IGNORECASE)
        and "failed to push some refs" not in line
    ]
    chosen = [re.sub(r"^(fatal|error|remote): *", "", line) for line in told if len(line) > len("remote:")]
    return "; ".join(chosen[-4:]).rstrip(".") or "; ".join(lines[-2:]).rstrip(".") or "no reason given"
