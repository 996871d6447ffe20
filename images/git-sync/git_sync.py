"""A stand-in for git-sync (v4), which cannot be installed where no container image can be had.

It keeps git-sync's documented contract and nothing else of it: each commit of the branch is checked out into
`ROOT/.worktrees/HASH`, then the link `ROOT/LINK` is swapped to it in one step, so that the name at the end of
the link's target is the commit. Flags are called as git-sync's, which can take this program's place.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

TIMEOUT = 120
"""Seconds for one call of Git."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """A duration as Go has it, such as `1m30s`.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 10s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def git(*words: str | Path) -> str:
    """What Git prints."""
    done = subprocess.run(
        ["git", *map(str, words)], check=True, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT
    )
    return done.stdout.strip()


class Sync:
    """One repository, brought to one directory."""

    def __init__(self, repository: str, branch: str, root: Path, link: str, stale_after: float) -> None:
        self._repository = repository
        self._branch = branch
        self._root = root
        self._link = root / link
        self._stale_after = stale_after
        self._git = root / ".git"
        self._worktrees = root / ".worktrees"

    def once(self) -> str:
        """Bring the newest commit, if it is not there; returns it."""
        for left in self._git.rglob("*.lock"):  # Of a Git that was killed: nobody else works here.
            left.unlink(missing_ok=True)
        if not (self._git / "HEAD").exists():
            self._root.mkdir(parents=True, exist_ok=True)
            git("init", "--quiet", "--bare", self._git)
        git("-C", self._git, "fetch", "--quiet", "--no-tags", "--force", self._repository,
            f"{self._branch}:refs/heads/{self._branch}")  # fmt: skip
        commit = git("-C", self._git, "rev-parse", f"refs/heads/{self._branch}^{{commit}}")
        if self.linked() != commit:
            self._check_out(commit)
            self._swap(commit)
            log(f"updated to {commit}")
        self._clean(commit)
        return commit

    def linked(self) -> str:
        """The commit that the link names; "" while there is none."""
        try:
            return os.path.basename(os.readlink(self._link))  # noqa: PTH115, PTH119 - the documented contract.
        except OSError:
            return ""

    def _check_out(self, commit: str) -> None:
        """All of it or nothing: what a killed run left half done is made anew."""
        target, draft = self._worktrees / commit, self._worktrees / f".draft-{commit}"
        if target.exists():
            return
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        git("-C", self._git, f"--work-tree={draft}", "read-tree", f"--index-output={draft}.index", commit)
        environment = {**os.environ, "GIT_INDEX_FILE": f"{draft}.index"}
        words = [
            "git",
            f"--git-dir={self._git}",
            f"--work-tree={draft}",
            "checkout-index",
            "--all",
            "--force",
        ]
        subprocess.run(words, check=True, env=environment, timeout=TIMEOUT, cwd=draft)
        Path(f"{draft}.index").unlink()
        draft.rename(target)

    def _swap(self, commit: str) -> None:
        draft = self._link.with_name(f".{self._link.name}-draft")
        draft.unlink(missing_ok=True)
        draft.symlink_to(Path(".worktrees", commit))
        draft.rename(self._link)

    def _clean(self, commit: str) -> None:
        """Worktrees that nobody has been led to for a while; the age counts from when they were replaced."""
        now = time.time()
        for path in self._worktrees.iterdir():
            if path.name == commit:
                os.utime(path)
            elif now - path.stat().st_mtime > self._stale_after:
                shutil.rmtree(path, ignore_errors=True)


def log(text: str) -> None:
    """Say it, with the time."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
    sys.stderr.flush()


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Those flags of git-sync's that are needed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repo", required=True)
    parser.add_argument("--ref", required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--link", required=True)
    parser.add_argument("--period", type=seconds, default=10.0)
    parser.add_argument("--stale-worktree-timeout", type=seconds, default=0.0)
    parser.add_argument("--one-time", action="store_true")
    return parser.parse_args(words)


def main() -> int:
    """Bring commits until told to stop; a server that is away is asked again."""
    given = arguments()
    sync = Sync(given.repo, given.ref, given.root, given.link, given.stale_worktree_timeout)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stop.set())
    while True:
        try:
            sync.once()
        except (subprocess.SubprocessError, OSError) as error:
            log(f"error: {error}")
            if given.one_time:
                return 1
        if given.one_time or stop.wait(given.period):
            return 0


if __name__ == "__main__":
    sys.exit(main())
