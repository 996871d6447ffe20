"""A terminal of its own for a program that must not have ours.

Whoever holds our terminal can type into it (TIOCSTI), and what is typed into root's shell runs as
root. So such a program gets a pseudo-terminal and a session of its own, and bytes are carried
between the two. Descriptors that are no terminal are passed as they are.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

_SLICE = 0.05
"""Seconds; how late the end of the program may be noticed."""

_LAST_READS = 64
"""Reads after the end: more than a terminal buffers, and an end of what a left-over child prints for ever."""

_PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
"""What would end us reaches the program instead; we end when it has ended."""

_ENDING = (signal.SIGTERM, signal.SIGHUP)
"""After these a program that goes on is killed: nobody is left who could."""

Start = Callable[[Sequence[int | None], Callable[[], None]], "subprocess.Popen[bytes]"]
"""Starts the program with these as descriptors 0, 1 and 2 (None: ours), in a session of its own;
the second argument is called in the child before it becomes the program."""


def lend(start: Start, *, grace: float, owner: int | None = None) -> int:
    """Run a program to its end on a terminal of its own and return its code, as `Popen` has it.

    Args:
        start: Starts it.
        grace: Seconds between a signal that ends us and SIGKILL for the program.
        owner: The user who may open the new terminal by its name.
    """
    ours = [number for number in (1, 2, 0) if os.isatty(number)]
    if not ours:
        return _Relay(start([None] * 3, lambda: None), -1, -1, -1, grace).until_end()
    keyboard = 0 if 0 in ours and _is_in_front(0) else -1
    with _pair(ours[0], owner) as (master, slave), _raw(keyboard):
        try:
            child = start([slave if number in ours else None for number in range(3)], lambda: _control(slave))
        finally:
            os.close(slave)
        return _Relay(child, master, keyboard, ours[0], grace).until_end()


class _Relay:
    """Carries bytes and signals between our terminal and the program's."""

    def __init__(
        self, child: subprocess.Popen[bytes], master: int, keyboard: int, screen: int, grace: float
    ) -> None:
        self._child = child
        self._master = master
        self._keyboard = keyboard
        self._screen = screen
        self._grace = grace
        self._typed = b""
        self._kill_at = float("inf")

    def until_end(self) -> int:
        with _handled(dict.fromkeys(_PASSED_ON, self._pass_on) | {signal.SIGWINCH: self._resize}):
            with selectors.DefaultSelector() as selector:
                while self._child.poll() is None:
                    self._watch(selector)
                    for key, _ in selector.select(_SLICE) if selector.get_map() else self._idle():
                        self._type() if key.fd == self._keyboard else self._show()
                    self._feed()
                    if time.monotonic() > self._kill_at:
                        self._signal(signal.SIGKILL)
            for _ in range(_LAST_READS):
                self._show()
        return self._child.returncode

    def _watch(self, selector: selectors.BaseSelector) -> None:
        """Look at what can be carried now: nothing is read from us that the program does not take."""
        wanted = {self._master, -1 if self._typed else self._keyboard} - {-1}
        watched = {key.fd for key in selector.get_map().values()}
        for number in wanted - watched:
            selector.register(number, selectors.EVENT_READ)
        for number in watched - wanted:
            selector.unregister(number)

    def _idle(self) -> Sequence[tuple[selectors.SelectorKey, int]]:
        time.sleep(_SLICE)
        return ()

    def _type(self) -> None:
        """Take what was typed; a terminal that has gone is a hangup for the program."""
        try:
            self._typed = os.read(self._keyboard, 1024)
        except OSError:
            self._typed = b""
        if not self._typed:
            self._keyboard = -1
            self._pass_on(signal.SIGHUP)

    def _feed(self) -> None:
        """Give the program what was typed, as far as it takes it now."""
        try:
            while self._typed and self._master >= 0:
                self._typed = self._typed[os.write(self._master, self._typed) :]
        except BlockingIOError:
            pass
        except OSError:
            self._typed = b""

    def _show(self) -> None:
        """Print what the program printed, if anything."""
        try:
            data = os.read(self._master, 65536) if self._master >= 0 else b""
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the program's terminal open any more.
            self._master = -1
            return
        try:
            while data:
                data = data[os.write(self._screen, data) :]
        except OSError:
            self._pass_on(signal.SIGHUP)

    def _pass_on(self, number: int, _: object = None) -> None:
        self._signal(number)
        if number in _ENDING:
            self._kill_at = min(self._kill_at, time.monotonic() + self._grace)

    def _resize(self, number: int, _: object = None) -> None:
        if self._master >= 0:
            _copy_size(self._screen, self._master)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)


@contextlib.contextmanager
def _pair(screen: int, owner: int | None) -> Iterator[tuple[int, int]]:
    """A new terminal with the size and the modes of ours; the slave is for the caller to close."""
    master, slave = os.openpty()
    try:
        os.set_blocking(master, False)
        termios.tcsetattr(slave, termios.TCSANOW, termios.tcgetattr(screen))
        _copy_size(screen, master)
        if owner is not None:
            os.fchown(slave, owner, -1)
        yield master, slave
    finally:
        os.close(master)


@contextlib.contextmanager
def _raw(keyboard: int) -> Iterator[None]:
    """Have each key as it is typed, Ctrl-C too: the program's terminal gives them their meaning."""
    if keyboard < 0:
        yield
        return
    before = termios.tcgetattr(keyboard)
    tty.setraw(keyboard, termios.TCSANOW)
    try:
        yield
    finally:
        # Flushed: the program may have had the terminal answer a question of its own, which our shell would read.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSAFLUSH, before)


@contextlib.contextmanager
def _handled(handlers: Mapping[signal.Signals, Callable[[int, object], None]]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        if before[number] is not signal.SIG_IGN:  # nohup and a shell's background jobs asked for that.
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


def _control(slave: int) -> None:
    """In the child: make the new terminal the one of its session, so that Ctrl-C and /dev/tty are its own."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def _copy_size(source: int, target: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(target, termios.TIOCSWINSZ, fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8)))


def _is_in_front(number: int) -> bool:
    """Whether we may read the terminal: a job in the background would be stopped for trying."""
    try:
        return os.tcgetpgrp(number) == os.getpgrp()
    except OSError:
        return True
