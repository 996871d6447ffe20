"""The one branch with the DAGs of all environments, and the ledger beside it; both only ever move forward.

A commit of the branch has one folder, the DAGs of some commit of the project, and says in its message
which commit that was. A commit without that was made by hand: it is `foreign`, and told, not overwritten.

The repository here is a copy of what the remote has, created again by `refresh`; nothing is lost with it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from airflow_platform.programs import programs
from airflow_platform.tools import files
from airflow_platform.tools.git import git, git_remote

SOURCE, VERSION, ROLLS_BACK = "Source-Commit", "Dags-Version", "Rolls-Back"
"""The trailers of a commit's message: the project's commit, the tree of its DAGs, and the tree that it replaces
because something was wrong with that one."""

LEDGER_FILE = "ledger.jsonl"
"""The one file of the ledger's branch: a line an entry, the newest last."""

LOOSE = 500
"""Objects that lie about in a repository, about, before they are packed: a hundred syncs."""

TRIES = 5
"""Attempts to move a branch that somebody else moves at the same time."""

_TRAILERS = (f"%(trailers:key={key},valueonly,separator=%x2C)" for key in (SOURCE, VERSION, ROLLS_BACK))
_FIELDS = ("%H", "%an <%ae>", "%cI", "%s", *_TRAILERS, "%P")


@dataclass(frozen=True)
class Synced:
    """One commit of the branch."""

    commit: str
    tree: str
    """The DAG version: the tree of the folder; "" when the commit has none."""
    source: str
    """The project's commit whose DAGs it has; "" when somebody made it by hand."""
    who: str
    when: str
    """ISO 8601, as its maker's clock had it."""
    subject: str
    parent: str = ""
    rolls_back: str = ""
    """The DAG version that this one was put in the place of, by a rollback; "" when it is none."""

    @property
    def foreign(self) -> bool:
        """Whether the toolkit did not make it, or its message does not say what it holds."""
        return not self.source


@dataclass(frozen=True)
class Wanted:
    """What the branch should hold next."""

    source: str
    """The project's commit."""
    tree: str
    """The tree of its folder of DAGs."""
    objects: Path | None
    """Where Git finds that tree's objects; None where the repository here has them itself."""
    message: str
    """The first lines of the commit's message; the trailers are added."""
    rollback: bool = False
    """Whether something is wrong with what the branch holds now."""


@dataclass(frozen=True)
class DagBranch:
    """The branch and its ledger."""

    repository: Path
    """Bare, and ours alone."""
    remote: git_remote.Remote
    name: str
    ledger: str
    folder: str
    """The folder of the DAGs."""
    who: str
    """Who syncs, as "name <address>"."""
    turn: Callable[[], AbstractContextManager[object]]
    """Lets one process or thread at a time work in the repository here."""
    own_remote: bool = False
    """Whether the remote is a directory that the toolkit makes, too."""

    def refresh(self, runner: programs.Programs, *, timeout: float | None = None) -> None:
        """Learn where the branches are now.

        Args:
            runner: Starts Git.
            timeout: Seconds for the remote's answer; by default `git_remote.TIMEOUT`.

        Raises:
            NotReachable, Cut, Rewritten, RefusedError: As `git_remote.fetch` says.
        """
        with self.turn():
            self._refresh(runner, timeout)

    def _refresh(self, runner: programs.Programs, timeout: float | None = None) -> None:
        for path in self._own():
            # Also where a Git that was killed has left its lock.
            if not (path / "HEAD").is_file() or next(path.rglob("*.lock"), None):
                files.make_directory(path, mode=0o755)
                git.make_bare(runner, path, self.name)
        names = (self.name, self.ledger)
        git_remote.fetch(runner, self.repository, self.remote, names, timeout=timeout)

    def head(self, runner: programs.Programs) -> Synced | None:
        """The newest commit of the branch, as of the last refresh; None before the first sync."""
        found = self.history(runner, limit=1)
        return found[0] if found else None

    def history(self, runner: programs.Programs, *, limit: int) -> tuple[Synced, ...]:
        """The newest commits, newest first."""
        if not git.branch(runner, self.repository, self.name):
            return ()
        return described(runner, self.repository, f"refs/heads/{self.name}", self.folder, limit=limit)

    def advance(self, runner: programs.Programs, wanted: Wanted, *, onto: Synced | None) -> Synced:
        """Put one more commit on the branch, on top of the newest that is known.

        Raises:
            LostRace: Somebody was faster: refresh, look, and try again.
            NotReachable, RefusedError: As `git_remote.push` says.
            Cut: The push broke off: refresh, and look whether it arrived.
        """
        env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(wanted.objects)} if wanted.objects else {}
        entry = f"040000 tree {wanted.tree}\t{self.folder}\n"
        message = f"{wanted.message}\n\n{SOURCE}: {wanted.source}\n{VERSION}: {wanted.tree}\n"
        if wanted.rollback and onto:
            message += f"{ROLLS_BACK}: {onto.tree}\n"
        with self.turn():
            root = git.call(runner, self.repository, "mktree", stdin=entry, env=env).stdout.strip()
            parent = onto.commit if onto else ""
            made = self._commit(runner, root, message, parent, env)
            # With what it has borrowed, so that the copy is whole without another's objects.
            pack = str(self.repository / "objects" / "pack" / "pack")
            revisions = f"{made}\n" + (f"^{parent}\n" if parent else "")
            git.call(
                runner, self.repository, "pack-objects", "--revs", "--quiet", pack, stdin=revisions, env=env
            )
            self._push(runner, made, self.name)
            (head,) = self.history(runner, limit=1)
        return head

    def _push(self, runner: programs.Programs, commit: str, name: str) -> None:
        """Put a commit on a branch there, and here.

        Here without asking there again: what has arrived has arrived, also when the server goes away right after.
        """
        git_remote.push(runner, self.repository, self.remote, commit, name)
        git.call(runner, self.repository, "update-ref", f"refs/heads/{name}", commit)

    def entries(self, runner: programs.Programs) -> tuple[Mapping[str, object], ...]:
        """What the ledger says, oldest first, as of the last refresh; lines that are no entry say nothing."""
        return tuple(found for found in map(_entry, self._lines(runner)) if found is not None)

    def spoiled(self, runner: programs.Programs) -> tuple[int, ...]:
        """The numbers of the ledger's lines that are no entry: somebody has written there by hand."""
        lines = enumerate(self._lines(runner), start=1)
        return tuple(number for number, line in lines if _entry(line) is None)

    def record(self, runner: programs.Programs, entry: Mapping[str, object]) -> None:
        """Append an entry to the ledger; an entry that is there already is not written twice.

        Raises:
            StepError: It could not be written, after several tries.
        """
        line = json.dumps(entry, sort_keys=True)
        for left in reversed(range(TRIES)):
            with _another_try(left), self.turn():
                self._refresh(runner)
                lines = self._lines(runner)
                if line not in lines:
                    made = self._appended(runner, [*lines, line], f"{entry['task']}: {entry['result']}")
                    self._push(runner, made, self.ledger)
                    self._tidy(runner)
                return

    def _tidy(self, runner: programs.Programs) -> None:
        """Pack what has come together: each entry is the whole ledger once more, until Git packs it."""
        words = ("-c", f"gc.auto={LOOSE}", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet")
        for path in self._own():
            git.call(runner, path, *words, check=False)

    def _own(self) -> tuple[Path, ...]:
        """The repositories in which nobody else writes."""
        return (self.repository, *([Path(self.remote.url)] if self.own_remote else []))

    def _appended(self, runner: programs.Programs, lines: list[str], subject: str) -> str:
        """A commit on top of the ledger."""
        text = "".join(f"{line}\n" for line in lines)
        blob = git.call(runner, self.repository, "hash-object", "-w", "--stdin", stdin=text).stdout.strip()
        listing = f"100644 blob {blob}\t{LEDGER_FILE}\n"
        root = git.call(runner, self.repository, "mktree", stdin=listing).stdout.strip()
        parent = git.branch(runner, self.repository, self.ledger)
        return self._commit(runner, root, f"{subject}\n\n{lines[-1]}\n", parent, {})

    def _commit(
        self, runner: programs.Programs, root: str, message: str, parent: str, env: Mapping[str, str]
    ) -> str:
        name, _, address = self.who.rstrip(">").partition(" <")
        people = {"AUTHOR": (name, address), "COMMITTER": ("airflow-platform", address)}
        identity = {
            f"GIT_{role}_{part}": text or "unknown"
            for role, person in people.items()
            for part, text in zip(("NAME", "EMAIL"), person, strict=True)
        }
        words = ("commit-tree", root, *(("-p", parent) if parent else ()), "-F", "-")
        unsigned = ("-c", "commit.gpgsign=false")
        return git.call(
            runner, self.repository, *unsigned, *words, stdin=message, env={**env, **identity}
        ).stdout.strip()

    def _lines(self, runner: programs.Programs) -> list[str]:
        if not git.branch(runner, self.repository, self.ledger):
            return []
        words = ("cat-file", "blob", f"refs/heads/{self.ledger}:{LEDGER_FILE}")
        return git.call(runner, self.repository, *words).stdout.splitlines()


def _entry(line: str) -> Mapping[str, object] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def described(
    runner: programs.Programs, repository: Path, revision: str, folder: str, *, limit: int = 1
) -> tuple[Synced, ...]:
    """A commit and those before it, newest first, of the branch or of the project itself."""
    # NUL is the one character that Git lets nobody put into a message or a name.
    words = (
        "log",
        "-z",
        "--first-parent",
        f"--max-count={limit}",
        f"--format={'%x00'.join(_FIELDS)}",
        revision,
    )
    fields = git.call(runner, repository, *words).stdout.split("\0")
    records = [fields[at : at + len(_FIELDS)] for at in range(0, len(fields) - 1, len(_FIELDS))]
    names = "".join(f"{record[0]}:{folder}\n" for record in records)
    trees = git.call(
        runner, repository, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=names
    ).stdout.splitlines()
    return tuple(_synced(record, tree) for record, tree in zip(records, trees, strict=True))


def _synced(record: list[str], listed: str) -> Synced:
    commit, who, when, subject, source, version, rolls_back, parents = record
    tree, _, kind = listed.partition(" ")
    tree = tree if kind == "tree" else ""
    return Synced(
        commit,
        tree,
        source if tree and version == tree else "",
        who,
        when,
        subject,
        parents.partition(" ")[0],
        rolls_back,
    )


@contextlib.contextmanager
def _another_try(left: int) -> Iterator[None]:
    """A race or a cut is for the next try, while there is one."""
    try:
        yield
    except (git_remote.LostRace, git_remote.Cut):
        if not left:
            raise
