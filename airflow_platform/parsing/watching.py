"""What a DAG file does while it is imported: work that belongs into a task, and files that it reads.

Python's audit hooks tell of every socket, program and file. Whether the file's author did it is read from
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
    "socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
    "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo",
})  # fmt: skip
PROCESS = frozenset({
    "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.kill",
    "os.killpg", "pty.spawn", "signal.pthread_kill",
})  # fmt: skip
LISTINGS = frozenset({"os.listdir", "os.scandir"})
SIZES = frozenset({"getsize", "getmtime", "getctime", "getatime", "samefile"})
"""Functions of `os.path` whose answer is about a file, and not about whether it is there."""

MOST = 100
"""Pieces of work that are noted of one file: nobody mends more at a time."""

MARK = "while the DAG file was imported"
"""How the message of stopped work ends, also when somebody else's exception quotes it."""

GRACE = 1.0
"""Seconds that the author's threads have, after the import, for what they were started for."""


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
        self._begun = False
        self._ours = threading.local()
        self._threads: weakref.WeakKeyDictionary[threading.Thread, tuple[str, int]] = (
            weakref.WeakKeyDictionary()
        )
        """Those that the author started, and where."""
        self._join = threading.Thread.join
        """Python's own: an author's class may have one that takes nothing."""

    def begin(self) -> None:
        """Watch from now on."""
        self._begun = True
        sys.addaudithook(self._notice)
        sys.meta_path.insert(0, self)
        threading.Thread.start = self._starting(threading.Thread.start)  # type: ignore[assignment,method-assign]
        time.sleep = self._sleeping(time.sleep)  # type: ignore[assignment]
        os._exit = self._exiting(os._exit)  # type: ignore[assignment]
        for name in ("stat", "lstat", "access"):
            real = getattr(os, name)
            looking = self._looking(real)
            setattr(os, name, looking)
            # What a function can do is asked by looking for it in these.
            abilities = (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks)
            for able in (*abilities, os.supports_effective_ids):
                if real in able:
                    able.add(looking)

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
        """Give the author's threads time for what they were started for: they are watched, too."""
        until = time.monotonic() + GRACE
        for thread in list(self._threads):
            # One that has not started cannot be waited for.
            with contextlib.suppress(RuntimeError):
                self._join(thread, max(0.0, until - time.monotonic()))

    def author(self, frame: FrameType | None = None, *, by_thread: bool = True) -> tuple[str, int] | None:
        """File (below the root) and line of the DAG code that is at work; None when a package is.

        Args:
            frame: Where to begin; by default at the caller.
            by_thread: Whether a thread that DAG code has started is at work for it.
        """
        frame = frame or sys._getframe(1)  # noqa: SLF001 - what it is for.
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
                place = os.path.abspath(folder)  # noqa: PTH100 - for speed: each module comes here.
                if f"{place}{os.sep}".startswith(self._root):
                    start = f"{place}{os.sep}{name.rpartition('.')[2]}"
                    for each in (start, f"{start}.py", f"{start}{os.sep}__init__.py"):
                        self._remember(self.asked, each)

    def below_root(self, name: str, line: int) -> tuple[str, int] | None:
        """A file of the DAGs' folder relative to it, and the line; None for any other."""
        return (name[len(self._root) :], line) if name.startswith(self._root) else None

    def found(self, kind: str, what: str, *, by_thread: bool = True) -> bool:
        """Note work of the DAG code that is on the stack; False when it is not its own."""
        with self.off():
            by = self.author(by_thread=by_thread)
            if by is None:
                return False
            done = {"kind": kind, "file": by[0], "line": by[1], "what": what}
            if done not in self.work and len(self.work) < MOST:
                self.work.append(done)
            return True

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
        says_more = real is not os.access

        def look(path: Any, *arguments: Any, **named: Any) -> Any:
            if self._on and self.author() is not None:
                caller = sys._getframe(1)  # noqa: SLF001 - the stack says what is asked.
                where = self.needs if says_more and self._is_about_content(caller) else self.asked
                self._remember(where, path)
            return real(path, *arguments, **named)

        return look

    def _is_about_content(self, frame: FrameType) -> bool:
        """Whether whoever looks at a file may want more than to know that it is there."""
        if frame.f_code.co_name in ("stat", "lstat") and frame.f_back is not None:  # pathlib's.
            frame = frame.f_back
        return frame.f_code.co_name in SIZES or self.below_root(frame.f_code.co_filename, 1) is not None

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
