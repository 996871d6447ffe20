"""What a DAG file does while it is imported: work that belongs into a task, and files that it reads.

Python's audit hooks tell of every socket, program and file. Whether the file's author did it is read from
the stack: a frame of the DAGs' folder is met before one of the import system, which runs other packages.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

IMPORTING = "<frozen importlib"
"""How the file names of the import system's frames begin."""

NETWORK = frozenset({
    "socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
    "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo",
})  # fmt: skip
PROCESS = frozenset({
    "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.kill",
    "os.killpg", "pty.spawn", "signal.pthread_kill",
})  # fmt: skip
LISTINGS = frozenset({"os.listdir", "os.scandir"})

MARK = "while the DAG file was imported"
"""How the message of stopped work ends, also when somebody else's exception quotes it."""


class Stopped(OSError):
    """Raised where a DAG file would have worked: a connection that is refused, a program that is not there."""


class Watch:
    """What was noticed; `begin` cannot be taken back, so it belongs into a process of its own."""

    def __init__(self, root: Path) -> None:
        """Make it; nothing is watched yet.

        Args:
            root: The DAGs' folder, without links.
        """
        self._root = f"{root}{os.sep}"
        self._folder = str(root)
        self.work: list[dict[str, Any]] = []
        self.needs: set[str] = set()
        """What was read or listed, relative to the root; "." is the root itself."""
        self.asked: set[str] = set()
        """What was only asked for: whether it is there."""
        self._on = False

    def begin(self) -> None:
        """Watch from now on."""
        self._on = True
        sys.addaudithook(self._notice)
        time.sleep = self._sleeping(time.sleep)  # type: ignore[assignment]
        os._exit = self._exiting(os._exit)  # type: ignore[assignment]
        for name in ("stat", "lstat"):
            real = getattr(os, name)
            looking = self._looking(real)
            setattr(os, name, looking)
            # What a function can do is asked by looking for it in these.
            for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
                if real in able:
                    able.add(looking)

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """While inside, what happens is ours."""
        before, self._on = self._on, False
        try:
            yield
        finally:
            self._on = before

    def author(self, frame: FrameType | None = None) -> tuple[str, int] | None:
        """File (below the root) and line of the DAG code that is at work; None when a package is."""
        frame = frame or sys._getframe(1)  # noqa: SLF001 - what it is for.
        while frame is not None:
            name = frame.f_code.co_filename
            if found := self.below_root(name, frame.f_lineno):
                return found
            if name.startswith(IMPORTING):
                return None
            frame = frame.f_back
        return None

    def below_root(self, name: str, line: int) -> tuple[str, int] | None:
        """A file of the DAGs' folder relative to it, and the line; None for any other."""
        return (name[len(self._root) :], line) if name.startswith(self._root) else None

    def found(self, kind: str, what: str) -> bool:
        """Note work of the DAG code that is on the stack; False when it is not its own."""
        with self.off():
            by = self.author()
            if by is not None:
                self.work.append({"kind": kind, "file": by[0], "line": by[1], "what": what})
            return by is not None

    def _notice(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open" or (event in LISTINGS and self.author() is not None):
            self._remember(self.needs, arguments[0])
        elif event in NETWORK:
            self._stop("network", event)
        elif event in PROCESS:
            self._stop("process", event)

    def _stop(self, kind: str, event: str) -> None:
        if self.found(kind, event):
            raise Stopped(f"{event} is for tasks, and was stopped {MARK}")

    def _remember(self, where: set[str], path: Any) -> None:
        """Remember a path below the root."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        with self.off(), contextlib.suppress(ValueError):
            # abspath, because whoever changes to its own folder may name files from there.
            name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
            if name == self._folder:
                where.add(".")
            elif name.startswith(self._root) and "__pycache__" not in name:
                where.add(name[len(self._root) :])

    def _looking(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def stat(path: Any, *arguments: Any, **named: Any) -> Any:
            if self._on and self.author() is not None:
                self._remember(self.asked, path)
            return real(path, *arguments, **named)

        return stat

    def _sleeping(self, real: Callable[[float], None]) -> Callable[[float], None]:
        def sleep(seconds: float) -> None:
            """Sleep, unless the DAG file would: it goes on at once."""
            if not self._on or not self.found("sleep", f"time.sleep({seconds!r})"):
                real(seconds)

        return sleep

    def _exiting(self, real: Callable[[int], NoReturn]) -> Callable[[int], NoReturn]:
        def leave(status: int) -> NoReturn:
            if self._on:
                self._stop("process", f"os._exit({status!r})")
            real(status)

        return leave
