"""What a DAG file does while it is imported: work that belongs into a task, and files that it reads.

Python's audit hooks report every connection, program and file. Whether the file's author did it is read from
the stack: a frame of the DAGs' folder is met before one of the import system, which runs other packages. A thread
is the author's if its start was. Names of modules are noted whoever asks: the import system hides its callers.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

IMPORTING = "<frozen importlib"
"""How the file names of the import system's frames begin."""

NETWORK = frozenset({
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
    "socket.gethostbyaddr", "socket.getnameinfo",
})  # fmt: skip
"""Not `socket.__new__`: an event loop makes sockets that lead nowhere."""

PROCESS = frozenset({
    "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.kill",
    "os.killpg", "pty.spawn", "signal.pthread_kill",
})  # fmt: skip

MOST = 100
"""Pieces of work that are noted of one file: nobody fixes more at a time."""

LONGEST = 500
"""Characters of what a piece of work is."""

MARK = "while the DAG file was imported"
"""How the message of stopped work ends, also when somebody else's exception quotes it."""

GRACE = 1.0
"""Seconds that the author's threads have, after the import, for what they were started for."""


class StoppedError(OSError):
    """Raised where a DAG file would have worked: a connection that is refused, a program that is not there."""


class Audit:
    """What was noticed; `begin` cannot be taken back, so it belongs into a process of its own."""

    def __init__(self, root: Path) -> None:
        """Make it; nothing is noticed yet.

        Args:
            root: The DAGs' folder, without links.
        """
        self._root = f"{root}{os.sep}"
        self.work: list[dict[str, Any]] = []
        self.reads: set[str] = set()
        """What was read or listed, relative to the root; "." is the root itself."""
        self.asks: set[str] = set()
        """Where modules were looked for."""
        self._begun = False
        self._ours = threading.local()
        self._threads: weakref.WeakKeyDictionary[threading.Thread, tuple[str, int]] = (
            weakref.WeakKeyDictionary()
        )
        """Those that the author started, and where."""
        self._join = threading.Thread.join
        """Python's own: an author's class may have one that takes nothing."""

    def begin(self) -> None:
        """Notice from now on."""
        self._begun = True
        sys.addaudithook(self._notice)
        sys.meta_path.insert(0, self)
        threading.Thread.start = self._starting(threading.Thread.start)  # type: ignore[assignment,method-assign]
        time.sleep = self._sleeping(time.sleep)  # type: ignore[assignment]
        os._exit = self._exiting(os._exit)  # type: ignore[assignment]

    @property
    def _on(self) -> bool:
        return self._begun and not getattr(self._ours, "work", False)

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """While inside, what happens in this thread is ours."""
        before, self._ours.work = getattr(self._ours, "work", False), True
        try:
            yield
        finally:
            self._ours.work = before

    def let_threads_work(self) -> None:
        """Give the author's threads time for what they were started for: they are noticed, too."""
        until = time.monotonic() + GRACE
        for thread in list(self._threads):
            # One that has not started cannot be waited for.
            with contextlib.suppress(RuntimeError):
                self._join(thread, max(0.0, until - time.monotonic()))

    def author(self, *, by_thread: bool = True) -> tuple[str, int] | None:
        """File (below the root) and line of the DAG code that is at work; None when a package is.

        Args:
            by_thread: Whether a thread that DAG code has started is at work for it.
        """
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - what it is for.
        while frame is not None:
            name = frame.f_code.co_filename
            if found := self.below_root(name, frame.f_lineno):
                return found
            if name.startswith(IMPORTING):
                return None
            frame = frame.f_back
        return self._threads.get(threading.current_thread()) if by_thread else None

    def find_spec(self, name: str, path: Iterable[str] | None = None, target: object = None) -> None:
        """Find no module, but note where it is looked for: what is not there may come."""
        if not self._on or name.partition(".")[0] in sys.stdlib_module_names:
            return
        # An odd entry is for those finders that can read it.
        with self.off(), contextlib.suppress(TypeError):
            for folder in sys.path if path is None else path:
                start = f"{os.path.abspath(folder)}{os.sep}{name.rpartition('.')[2]}"  # noqa: PTH100 - for speed.
                for each in (start, f"{start}.py", f"{start}{os.sep}__init__.py"):
                    self._remember(self.asks, each)

    def below_root(self, name: str, line: int) -> tuple[str, int] | None:
        """A file of the DAGs' folder relative to it, and the line; None for any other."""
        return (name[len(self._root) :], line) if name.startswith(self._root) else None

    def found(self, kind: str, what: str, *, by_thread: bool = True) -> bool:
        """Note work of the DAG code that is on the stack; False when it is not its own."""
        with self.off():
            by = self.author(by_thread=by_thread)
            if by is None:
                return False
            done = {"kind": kind, "at": {"file": by[0], "line": by[1]}, "what": what[:LONGEST]}
            if done not in self.work and len(self.work) < MOST:
                self.work.append(done)
            return True

    def _notice(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open" or (event in ("os.listdir", "os.scandir") and self.author() is not None):
            self._remember(self.reads, arguments[0])
        elif event in NETWORK:
            self._stop("network", event)
        elif event in PROCESS:
            self._stop("process", event)

    def _stop(self, kind: str, event: str) -> None:
        if self.found(kind, event):
            raise StoppedError(f"{event} is for tasks, and was stopped {MARK}")

    def _remember(self, where: set[str], path: Any) -> None:
        """Remember a path below the root."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        with self.off(), contextlib.suppress(ValueError):
            # abspath, because whoever changes to its own folder may name files from there.
            name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
            if f"{name}{os.sep}" == self._root:
                where.add(".")
            elif name.startswith(self._root) and "__pycache__" not in name:
                where.add(name[len(self._root) :])

    def _starting(self, real: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
        def start(thread: threading.Thread) -> None:
            if self._on and (by := self.author()) is not None:
                self._threads[thread] = by  # Before it works.
            try:
                real(thread)
            except BaseException:
                self._threads.pop(thread, None)
                raise

        return start

    def _sleeping(self, real: Callable[[float], None]) -> Callable[[float], None]:
        def sleep(seconds: float) -> None:
            """Sleep, unless the DAG file would: it goes on at once. A package's thread in the background may."""
            if not self._on or not self.found("sleep", f"time.sleep({seconds!r})", by_thread=False):
                real(seconds)

        return sleep

    def _exiting(self, real: Callable[[int], NoReturn]) -> Callable[[int], NoReturn]:
        def leave(status: int) -> NoReturn:
            if self._on:
                self._stop("process", f"os._exit({status!r})")
            real(status)

        return leave
