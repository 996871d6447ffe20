"""Git, as far as serving DAGs from a commit needs it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.programs import programs

TIMEOUT = 60.0
"""Seconds for one call; local calls take milliseconds, a fetch of a large repository some seconds."""


@dataclass(frozen=True)
class Commit:
    """A commit, and the tree of one folder in it."""

    sha: str
    """40 hexadecimal digits."""
    tree: str
    """The Git tree of the folder: equal wherever the folder's content is; "" when it has none."""


class NoCommit(errors.StepError):
    """There is no repository, or nothing committed, or no such revision."""


def resolve(runner: programs.Programs, checkout: Path, revision: str, folder: str) -> Commit:
    """The commit that a revision names.

    Raises:
        NoCommit: No repository, an unborn branch, an unknown revision; says which and the remedy.
    """
    names = (f"{revision}^{{commit}}", f"{revision}:{folder}")
    result = call(runner, checkout, "rev-parse", *names, check=False)
    lines = result.stdout.split()
    if result.code == 0 and len(lines) == 2:
        return Commit(lines[0], lines[1])
    return _explain(runner, checkout, revision, folder)


def _explain(runner: programs.Programs, checkout: Path, revision: str, folder: str) -> Commit:
    inside = call(runner, checkout, "rev-parse", "--is-inside-work-tree", check=False)
    if inside.code != 0 and any("dubious ownership" in line for line in inside.tail):
        raise NoCommit(
            f"{checkout} belongs to another user, so Git does not read it.",
            hint=f"Run: git config --global --add safe.directory {checkout}",
        )
    if inside.code != 0:
        raise NoCommit(
            f"{checkout} is not a Git repository.",
            hint="Clone the repository, or run `git init`, and commit the DAGs: tenants serve commits only.",
        )
    single = call(runner, checkout, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", check=False)
    if single.code == 0:
        raise NoCommit(
            f"Commit {single.stdout.strip()[:12]} has no folder {folder}/.",
            hint=f"Commit DAGs under {folder}/.",
        )
    if revision == "HEAD":
        raise NoCommit(
            "Nothing is committed yet (the branch is unborn).", hint="Commit, then run this again."
        )
    raise NoCommit(f"There is no revision {revision!r} in {checkout}.", hint="Fetch it, or name another.")


def uncommitted(runner: programs.Programs, checkout: Path, folder: str) -> tuple[str, ...]:
    """Files under the folder that differ from the commit or are not in it, by their names as they are."""
    words = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", folder)
    # Otherwise it locks the index to refresh it, and a kill at that moment leaves the lock in the user's checkout.
    result = call(runner, checkout, "--no-optional-locks", *words)
    return tuple(sorted(entry[3:] for entry in result.stdout.split("\0") if entry))


def branch(runner: programs.Programs, repository: Path, name: str) -> str:
    """The commit that a branch of a bare repository points to; "" when it or the branch is not there."""
    if not (repository / "HEAD").is_file():
        return ""
    result = call(
        runner, repository, "rev-parse", "--verify", "--quiet", f"refs/heads/{name}^{{commit}}", check=False
    )
    return result.stdout.strip() if result.code == 0 else ""


def tree(runner: programs.Programs, repository: Path, commit: str, folder: str) -> str:
    """The tree of a folder in a commit; "" when the commit or the folder is not there."""
    result = call(runner, repository, "rev-parse", "--verify", "--quiet", f"{commit}:{folder}", check=False)
    return result.stdout.strip() if result.code == 0 else ""


def contains(runner: programs.Programs, repository: Path, commit: str, other: str) -> bool:
    """Whether a commit is, or comes after, another one."""
    return call(runner, repository, "merge-base", "--is-ancestor", other, commit, check=False).code == 0


def between(
    runner: programs.Programs, repository: Path, old: str, new: str, *, limit: int = 100
) -> tuple[str, ...] | None:
    """The commits of a branch after one and before another; None where the first is not found before it."""
    words = ("rev-list", "--first-parent", f"--max-count={limit}", new)
    found = call(runner, repository, *words, check=False).stdout.split()
    if found == [new]:
        return ()  # The first of its branch.
    return tuple(found[1 : found.index(old)]) if old in found else None


def listed(runner: programs.Programs, repository: Path, tree: str) -> dict[str, str]:
    """The files of a tree and of all below it, with the digests of their contents and modes."""
    printed = call(runner, repository, "ls-tree", "-r", "-z", tree).stdout
    entries = (entry.partition("\t") for entry in printed.split("\0") if entry)
    return {path: what for what, _, path in entries}


def make_bare(runner: programs.Programs, repository: Path, name: str) -> None:
    """Make a bare repository whose HEAD is the branch `name`; safe to repeat, also after a kill.

    Nobody else may write to it meanwhile: the locks and drafts of a killed Git are removed.
    """
    for left in (*repository.rglob("*.lock"), *repository.glob("objects/pack/tmp_*")):
        with errors.state_errors(left):
            left.unlink(missing_ok=True)
    call(runner, Path("/"), "init", "--quiet", "--bare", f"--initial-branch={name}", str(repository))


def snapshot(runner: programs.Programs, folder: Path, repository: Path, name: str, served: str) -> str:
    """Commit a folder as it is now, to a bare repository: what a commit of everything would hold.

    Uncommitted and new files are in it, those that Git ignores are not. The folder's own repository, if
    there is one, is not touched.

    Args:
        runner: Starts Git.
        folder: What to commit.
        repository: A bare repository.
        name: The branch that points to the new commit.
        served: The folder's name in the commit.

    Raises:
        NoCommit: The folder is not there, or holds no file.
    """
    if not folder.is_dir():
        raise NoCommit(f"{folder} is not a directory.", hint="Name the folder with the DAGs.")
    found = call(runner, folder, "rev-parse", "--show-prefix", "--show-toplevel", check=False)
    prefix, _, top = found.stdout.rstrip("\n").partition("\n")
    if found.code != 0 or not top:  # Also inside a repository's own files, where nothing is committed from.
        prefix, top = f"{folder.resolve().name}/", str(folder.resolve().parent)
    inside = (f"--git-dir={repository}", f"--work-tree={top}", "-c", "core.bare=false")
    call(runner, Path(top), *inside, "add", "--all", "--", prefix or ".")
    tree = call(runner, Path(top), *inside, "write-tree", f"--prefix={prefix}", check=False)
    if tree.code != 0:
        raise NoCommit(
            f"{folder} holds no file that Git would commit.", hint="Name the folder with the DAGs."
        )
    named = f"040000 tree {tree.stdout.strip()}\t{served}\n"
    whole = call(runner, Path(top), *inside, "mktree", stdin=named).stdout.strip()
    author = ("-c", "user.name=airflow-platform", "-c", "user.email=airflow-platform@localhost")
    words = (*inside, *author, "-c", "commit.gpgsign=false", "commit-tree", whole, "-m", "As it is now")
    commit = call(runner, Path(top), *words).stdout.strip()
    call(runner, repository, "update-ref", f"refs/heads/{name}", commit)
    return commit


def fetch(runner: programs.Programs, repository: Path, checkout: Path, sha: str, name: str) -> None:
    """Bring a commit into a bare repository and point a branch to it; shallow checkouts work, too."""
    call(
        runner, repository, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow",
        "--force", str(checkout), f"{sha}:refs/heads/{name}",
    )  # fmt: skip


def call(
    runner: programs.Programs,
    directory: Path,
    *arguments: str,
    check: bool = True,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> programs.Completed:
    """Run Git in a directory.

    Args:
        runner: Starts it.
        directory: Where.
        arguments: A command of Git's and its words.
        check: Whether a code other than 0 is an error.
        stdin: Text that it reads.
        env: Further variables; others that begin with GIT_ are not passed on.
        timeout: Seconds.

    Raises:
        ProgramError: It failed, and `check` is set.
    """
    words = ["git", *_SETTINGS, "-C", str(directory), *arguments]
    environment = {**_environment(), **(env or {})}
    return runner.run(words, env=environment, timeout=timeout, check=check, stdin=stdin)


def _environment() -> Mapping[str, str]:
    """Ours, without the variables by which a Git hook or another tool would point us elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key in _PASSED}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


_SETTINGS = (
    "-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "color.ui=false", "-c", "core.hooksPath=/dev/null",
)  # fmt: skip
"""What a user's own configuration must not decide: what output looks like, and whose programs run besides."""

_PASSED = ("GIT_SSL_CAINFO", "GIT_SSH_COMMAND", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")
