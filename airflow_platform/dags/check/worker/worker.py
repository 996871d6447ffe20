"""The worker: gives up its rights, imports Airflow once, and forks a child for each DAG file.

A child imports one file and answers once, through a pipe. What it prints goes nowhere, for it may be a secret. A
second pipe takes what Python's fault handler prints of a crash, or of an import that must end: where it was.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import os
import re
import resource
import selectors
import shutil
import signal
import site
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_platform.dags.check.worker import messages

GRACE = 1.0
"""Seconds between SIGABRT, at which the fault handler prints the line, and SIGKILL."""

LOOK_EVERY = 0.02
"""Seconds between two looks at how much memory children use; a fast one takes 50 MB in that time."""

LARGEST_FILE = 64 * 1024**2
"""Bytes of one file that an import may write; nobody reads it."""

_FAILED = "Failed:\n"
"""Stands before the traceback of an exception that left a child's work."""

_LONGEST_REASON = 300
_LARGEST_TRACE = 64 * 1024
_FRAME = re.compile(r'File "([^"]+)", line (\d+),? in')
_OURS = tuple(f"{__package__}.{name}" for name in ("audit", "dag_facts", "file_import"))
"""The modules that import Airflow, and what they need, which comes first."""

_PARENT_DEATH_SIGNAL = 1
"""`PR_SET_PDEATHSIG`."""

Work = Callable[[], Mapping[str, Any]]


def main(arguments: list[str]) -> None:
    """Answer what is asked on standard input, until it ends.

    Args:
        arguments: One: a JSON object with `root` (the folder of DAGs), `scratch` (where directories of imports
            are made) and `user` (the id to become, or null).
    """
    told = json.loads(arguments[0])
    ours = [(spec, _code(spec)) for spec in map(importlib.util.find_spec, _OURS) if spec]
    # Before Airflow is imported: beside an installed toolkit are packages that Airflow has in other versions.
    here = str(Path(__file__).resolve().parents[4])
    sys.path[:] = [each for each in sys.path if each != here]
    if told["user"] is not None:
        os.setgroups([])
        os.setgid(told["user"])
        os.setuid(told["user"])
    site.main()  # It was left out: packages may have code in .pth files.
    os.umask(0o022)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    asked, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # What Airflow prints is no answer.
    worker = Worker(told["root"], Path(told["scratch"]), _load_airflow(ours), answers)
    for line in asked:
        worker.answer(messages.decode(line))
    os._exit(0)  # Without taking Airflow apart, which takes a tenth of a second.


def _code(spec: importlib.machinery.ModuleSpec) -> types.CodeType:
    assert isinstance(spec.loader, importlib.abc.InspectLoader)
    code = spec.loader.get_code(spec.name)
    assert code is not None
    return code


def _load_airflow(ours: Iterable[tuple[importlib.machinery.ModuleSpec, types.CodeType]]) -> Any:
    """Import Airflow, and make what is imported cheap to fork; nothing of ours can be imported afterwards.

    Args:
        ours: The modules of `_OURS`. They were read before the rights were given up: the toolkit may be in a folder
            that only root can read.
    """
    for spec, code in ours:
        file_import = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        exec(code, vars(file_import))  # noqa: S102 - our own module.
    file_import.rehearse()
    for name in [each for each in sys.modules if each.partition(".")[0] == "airflow_platform"]:
        del sys.modules[name]
    sys.dont_write_bytecode = True
    gc.collect()
    gc.freeze()
    return file_import


class Worker:
    """Answers one client."""

    def __init__(self, root: str, scratch: Path, airflow: Any, answers: int) -> None:
        """Make it.

        Args:
            root: The folder of DAGs.
            scratch: Where directories of imports are made.
            airflow: The module `file_import`.
            answers: The descriptor that takes answers.
        """
        self._root = root
        self._scratch = scratch
        self._airflow = airflow
        self._answers = answers

    def answer(self, asked: Mapping[str, Any]) -> None:
        """Answer one question."""
        if asked["ask"] == "files":
            # Airflow follows links and reads what it finds: as dangerous as an import.
            for _, found in self._children({"": self._list_files}, 1, asked["seconds"], asked["memory"]):
                self._tell({key: found[key] for key in ("files", "refused", "ended") if key in found})
            return
        order = messages.ImportRequest.from_json(asked)
        self._airflow.warm(order.warm)
        work = {file.path: self._importing(file, order) for file in order.files}
        for path, facts in self._children(work, order.jobs, order.seconds, order.memory):
            self._tell({"file": path, "facts": facts})
        self._tell({"done": len(order.files)})

    def _list_files(self) -> Mapping[str, Any]:
        try:
            return {"files": self._airflow.files(self._root)}
        except (RuntimeError, OSError) as refusal:
            return {"refused": str(refusal).replace(f"{self._root}/", "").replace(self._root, "it")}

    def _importing(self, file: messages.File, order: messages.ImportRequest) -> Work:
        return lambda: self._airflow.import_file(self._root, file, order)

    def _tell(self, message: Mapping[str, Any]) -> None:
        line = messages.encode(message)
        while line:
            line = line[os.write(self._answers, line) :]

    def _children(
        self, work: Mapping[str, Work], jobs: int, seconds: float, memory: int
    ) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """Do each piece of work in a child of its own; what each answers, as it comes."""
        waiting = list(work.items())[::-1]
        running: set[Child] = set()
        with selectors.DefaultSelector() as selector:
            while waiting or running:
                while waiting and len(running) < jobs:
                    path, do = waiting.pop()
                    self._tell({"begun": path})
                    child = start(path, do, Path(tempfile.mkdtemp(dir=self._scratch)), seconds, memory)
                    running.add(child)
                    selector.register(child.answer, selectors.EVENT_READ, child)
                ended = {key.data for key, _ in selector.select(LOOK_EVERY) if not key.data.read()}
                ended |= {child for child in running - ended if child.must_be_killed()}
                for child in ended:
                    running.remove(child)
                    selector.unregister(child.answer)
                    yield child.path, child.end(self._root)


@dataclass(eq=False)
class Child:
    """One import that is under way."""

    path: str
    pid: int
    directory: Path
    """What it may write to; deleted with its end."""
    answer: int
    trace: int
    deadline: float
    """By the monotonic clock."""
    most: int
    """Bytes that it may use, with Airflow."""
    received: bytearray = field(default_factory=bytearray)
    why: str = ""
    """Why it was told to end; "" while it was not."""

    def read(self) -> bool:
        """Take what there is of the answer; False when there will be no more."""
        chunk = os.read(self.answer, 1024**2)
        self.received += chunk
        whole = self.received.endswith(messages.END)
        return bool(chunk) and not whole and len(self.received) <= messages.LARGEST_ANSWER

    def must_be_killed(self) -> bool:
        """Tell it to end when it takes too much time or memory; True when it was told and does not."""
        now = time.monotonic()
        if self.why:
            return now > self.deadline
        if now > self.deadline:
            self.why = messages.LATE
        elif _resident(self.pid) > self.most:
            self.why = messages.MEMORY
        if self.why:
            self.deadline = now + GRACE
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGABRT)
        return False

    def end(self, root: str) -> dict[str, Any]:
        """End it and what it has started; what it found, or how it came to its end."""
        os.close(self.answer)
        for kill in (os.killpg, os.kill):  # The group is there only once the child has made it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)
        _, status, used = os.wait4(self.pid, 0)
        trace = _rest(self.trace)
        shutil.rmtree(self.directory, ignore_errors=True)
        facts = self._facts() or self._end_of(os.waitstatus_to_exitcode(status), trace, root)
        return {**facts, "cpu": used.ru_utime + used.ru_stime}

    def _facts(self) -> dict[str, Any] | None:
        if self.why or not self.received.endswith(messages.END):
            return None
        with contextlib.suppress(messages.MalformedError):
            return messages.decode(bytes(self.received))
        return None

    def _end_of(self, code: int, trace: str, root: str) -> dict[str, Any]:
        frames = _FRAME.findall(trace)
        if self.why:
            return {"ended": self.why, **_place(frames, root)}
        if trace.startswith(_FAILED):
            last = trace.strip().splitlines()[-1][:_LONGEST_REASON]
            at = _place(reversed(frames), root)
            whose = "the file crashed the importer" if at else "a defect of airflow-platform, not of the file"
            return {"ended": f"{whose}: {last}", **at}
        if len(self.received) > messages.LARGEST_ANSWER:
            how = f"it answered more than {messages.LARGEST_ANSWER // 1024**2} MiB"
        elif code in (0, -signal.SIGKILL):
            how = "it ended without an answer"
        else:
            how = (
                f"it exited with code {code}" if code > 0 else f"it was ended by {signal.Signals(-code).name}"
            )
        return {"ended": how, **_place(frames, root)}


def start(path: str, work: Work, directory: Path, seconds: float, memory: int) -> Child:
    """Fork a child that does `work` and answers with what it returns.

    Args:
        path: The file that it imports.
        work: What it does.
        directory: What it may write to.
        seconds: How long it may take.
        memory: MiB that it may use besides what the worker uses.
    """
    answer, answering = os.pipe()
    trace, tracing = os.pipe()
    worker, cores = os.getpid(), os.cpu_count() or 1
    pid = os.fork()
    if pid == 0:
        _be_child(work, worker, directory, (answering, tracing), math.ceil(seconds + 2 * GRACE) * cores)
    os.close(answering)
    os.close(tracing)
    most = _resident(worker) + memory * 1024**2
    return Child(path, pid, directory, answer, trace, time.monotonic() + seconds, most)


def _be_child(work: Work, worker: int, directory: Path, pipes: tuple[int, int], processor: int) -> None:
    """Limit this process, work, answer, end. Never returns."""
    leave = os._exit  # Before a DAG file could put something else in its place.
    answering, tracing = pipes
    try:
        _detach(worker, directory, pipes)
        for limit, most in (
            (resource.RLIMIT_FSIZE, LARGEST_FILE),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, processor),
        ):
            hard = resource.getrlimit(limit)[1]
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(limit, (least, least))
        faulthandler.enable(tracing, all_threads=False)
        message = messages.encode(work())
        while message:
            message = message[os.write(answering, message) :]
        leave(0)
    except BaseException:  # noqa: BLE001 - nothing may come back into the worker's loop.
        with contextlib.suppress(BaseException):
            text = traceback.format_exc().encode(errors="replace")[-_LARGEST_TRACE // 2 :]
            os.write(tracing, _FAILED.encode() + text)
    finally:
        leave(2)


def _detach(worker: int, directory: Path, kept: tuple[int, int]) -> None:
    """A session, signals, descriptors and a directory of its own; it ends with the worker."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))
        if os.getppid() != worker:
            raise ProcessLookupError(f"process {worker} has ended")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    first, last = sorted(kept)
    os.closerange(3, first)
    os.closerange(first + 1, last)
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))
    os.chdir(directory)
    os.umask(0o077)
    os.environ.update(HOME=str(directory), TMPDIR=str(directory))


def _resident(pid: int) -> int:
    """Bytes of memory that a process uses; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - pathlib takes longer.
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _rest(descriptor: int) -> str:
    """What is left in a pipe; whoever still has its other end is not waited for."""
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, _LARGEST_TRACE).decode(errors="replace")
    except BlockingIOError:
        return ""
    finally:
        os.close(descriptor)


def _place(frames: Iterable[tuple[str, str]], root: str) -> dict[str, Any]:
    """File and line of the first of these frames, the innermost first, that is one of the DAG files."""
    for name, number in frames:
        if name.startswith(f"{root}/"):
            return {"ended_at": {"file": name[len(root) + 1 :], "line": int(number)}}
    return {}
