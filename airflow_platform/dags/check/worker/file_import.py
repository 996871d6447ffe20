"""Importing one DAG file as dag-processor does, and saying what was found. Runs in a child of the worker."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import logging
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from airflow.dag_processing import processor
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.dag_processing.importers import get_importer_registry, python_importer
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import (
    ConnectionResult,
    ErrorResponse,
    VariableKeysResult,
    VariableResult,
)
from airflow.utils.file import get_unique_dag_module_name

from airflow_platform.dags.check.worker import dag_facts
from airflow_platform.dags.check.worker.audit import MARK, Audit
from airflow_platform.dags.check.worker.messages import File, ImportRequest

BUNDLE = "dags"
"""The name of the bundle; tenants' is the same."""

LONGEST_MESSAGE = 500
"""Characters of an error that are reported; the rest is in Airflow's own log, should the file be served."""

_SCHEDULED = "/proc/thread-self/schedstat"
"""Linux's figures of a thread: nanoseconds on a processor and in line for one, and how often."""

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def files(root: str) -> list[str]:
    """The files that Airflow would import, relative to the root: .airflowignore and its safe mode decide.

    A file that Airflow passes over because it cannot read it is among them: its import says why.

    Raises:
        RuntimeError: Airflow would import none: links lead in circles, an .airflowignore means nothing to it, or
            cannot be read.
    """
    passed_over = _PassedOver()
    logger = logging.getLogger(python_importer.__name__)
    logger.addHandler(passed_over)
    logger.setLevel(logging.ERROR)
    try:
        found = get_importer_registry().list_dag_files(root, safe_mode=True)
    except ValueError as error:
        names = [str(path) for path in sorted(Path(root).rglob(".airflowignore")) if not _is_text(path)]
        raise RuntimeError(f"{', '.join(names) or 'An .airflowignore'} cannot be read: {error}.") from error
    except OSError as error:
        raise RuntimeError(f"{error.filename or root} cannot be read: {error.strerror or error}.") from error
    return sorted(str(Path(path).relative_to(root)) for path in {*found, *passed_over.files})


class _PassedOver(logging.Handler):
    """Collects the files that Airflow could not read, which Airflow reports in its log only."""

    def __init__(self) -> None:
        super().__init__()
        self.files: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Take the file's path."""
        if record.exc_info and isinstance(record.args, tuple) and record.args:
            self.files.add(str(record.args[0]))


def _is_text(path: Path) -> bool:
    try:
        path.read_text()
    except ValueError:
        return False
    return True


def warm(modules: Sequence[str]) -> None:
    """Import modules of Airflow that DAG files will import; what does not import is theirs to tell."""
    for name in modules:
        if name.startswith(("airflow.sdk", "airflow.providers.")):
            try:
                importlib.import_module(name)
            except Exception:  # noqa: BLE001, S112 - the DAG file that needs it says why.
                continue


def rehearse() -> None:
    """Do once what every import does, so that what Airflow loads late is loaded for all children."""
    with DAG(dag_id="rehearsal", schedule="@daily", start_date=dag_facts.FROM) as dag:

        @task(retries=1)  # type: ignore[untyped-decorator]
        def nothing() -> None:
            """Do nothing."""

        nothing()
    bag = BundleDagBag(
        dag_folder="/dev/null",
        bundle_path=Path("/dev"),
        bundle_name=BUNDLE,
        load_op_links=False,
        collect_dags=False,
    )
    sys.path.remove("/dev")
    dag.fileloc = "/dev/null"
    bag.bag_dag(dag)
    processor._serialize_dags(bag, structlog.get_logger())  # noqa: SLF001 - dag-processor's own way.
    dag_facts.of_dag(dag, dag_facts.Places(Audit(Path("/dev/null"))), "rehearsal")
    get_unique_dag_module_name("/dev/null")


def import_file(root: str, file: File, order: ImportRequest) -> dict[str, Any]:
    """Import a file below the root; all that a check may want to know of it.

    Whatever the file does happens in this process: nobody else may need it.
    """
    folder = Path(root)
    audit = Audit(folder)
    places = dag_facts.Places(audit)
    # Airflow asks its supervisor for variables and connections; in dag-processor, too, another stands in its place.
    task_runner.SUPERVISOR_COMMS = Lookups(audit, order.variables, order.connections)
    _let_crashes_be_seen()
    places.begin()
    before = _clocks()
    audit.begin()
    bag = BundleDagBag(
        dag_folder=str(folder / file.path), bundle_path=folder, bundle_name=BUNDLE, load_op_links=False
    )
    after = _clocks()
    audit.let_threads_work()
    with audit.off():
        _, unserialised = processor._serialize_dags(bag, structlog.get_logger())  # noqa: SLF001
        errors = {**bag.import_errors, **unserialised}
        return {
            "dags": [dag_facts.of_dag(dag, places, file.path) for dag in bag.dags.values()],
            "errors": [
                _error(text, file.path, folder, places)
                for text in errors.values()
                if not (audit.work and MARK in text)
            ],
            "broken": list(_broken(file.loads, folder, audit.reads)),
            "work": audit.work,
            "reads": sorted(audit.reads - {file.path}),
            "asks": sorted(audit.asks - audit.reads - {file.path}),
            "missing": sorted(set(_missing(file.modules))),
            "waited": round(max(0.0, after - before), 2),
        }


class Lookups:
    """The other end of Airflow's line to its supervisor: what the tenants' specs say, and a note that somebody asked."""

    def __init__(
        self, audit: Audit, variables: Mapping[str, str], connections: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._audit = audit
        self._variables = variables
        self._connections = connections

    def send(self, message: Any) -> Any:
        """Answer one request."""
        kind = type(message).__name__
        if "Variable" in kind:
            name = getattr(message, "key", "") or getattr(message, "prefix", "") or ""
            self._audit.found("variable", f"{_VERBS.get(kind, kind)} {name!r}")
        elif kind == "GetConnection":
            self._audit.found("connection", f"Connection {message.conn_id!r}")
        if kind == "GetVariable" and message.key in self._variables:
            return VariableResult(key=message.key, value=self._variables[message.key])
        if kind == "GetVariableKeys":
            keys = [key for key in self._variables if key.startswith(message.prefix or "")]
            return VariableKeysResult(keys=keys, total_entries=len(keys))
        if kind == "GetConnection" and message.conn_id in self._connections:
            # A connection of which nothing is known but its type has these; none has a password here.
            empty = dict.fromkeys(("host", "schema", "login", "password", "port", "extra"))
            return ConnectionResult(
                **{**empty, **self._connections[message.conn_id], "conn_id": message.conn_id}
            )
        if kind == "MaskSecret":
            return None
        missing = ErrorType.CONNECTION_NOT_FOUND if kind == "GetConnection" else ErrorType.VARIABLE_NOT_FOUND
        return ErrorResponse(error=missing, detail={"message": "not there while importing"})

    async def asend(self, message: Any) -> Any:
        """The same, for coroutines."""
        return self.send(message)


_VERBS = {"GetVariable": "Variable.get", "PutVariable": "Variable.set", "DeleteVariable": "Variable.delete"}


def _clocks() -> float:
    """Seconds that this thread has spent neither at work nor in line for a processor, since some moment.

    0 where the system does not count how long a thread was in line.
    """
    try:
        with open(_SCHEDULED, encoding="ascii") as file:  # noqa: PTH123 - pathlib takes longer.
            on_processor, in_line, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return 0.0
    if not on_processor:  # A kernel that does not count: whoever reads this was on a processor.
        return 0.0
    return time.monotonic() - time.process_time() - in_line / 10**9


def _let_crashes_be_seen() -> None:
    """Keep Python's fault handler: Airflow's own handler of SIGSEGV returns to the instruction that crashed."""
    real = signal.signal

    def install(number: int, handler: Any) -> Any:
        return None if number == signal.SIGSEGV else real(number, handler)

    signal.signal = install  # type: ignore[assignment]


def _error(text: str, path: str, root: Path, places: dag_facts.Places) -> dict[str, Any]:
    """File and line below the root nearest to where it was raised, and the message."""
    inside = [(name, int(line)) for name, line in _FRAME.findall(text) if name.startswith(f"{root}/")]
    if inside:
        file, line = inside[-1][0][len(str(root)) + 1 :], inside[-1][1]
    else:
        file, line = places.named_in(text, (path, 1))
    message = _message(text).replace(f"{root}/", "")[:LONGEST_MESSAGE]
    return {"at": {"file": file, "line": line}, "message": message}


def _message(text: str) -> str:
    """The exception at the end of a traceback, on one line."""
    lines = text.strip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    after = lines[frames[-1] + 1 :] if frames else lines
    # Source lines of the frame are indented, the exception is not; what follows it belongs to its message.
    while after and after[0].startswith(" "):
        after = after[1:]
    return " ".join(line.strip() for line in after) or "it has no message"


def _broken(paths: Sequence[str], root: Path, opened: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Files that are no Python for this version of it; of those that were opened the import has told."""
    known = {os.path.realpath(root / each) for each in opened}
    for path in paths:
        if os.path.realpath(root / path) in known:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # They are for whoever runs it.
                compile((root / path).read_bytes(), path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            text = error.msg if isinstance(error, SyntaxError) else str(error)
            line = max(1, (isinstance(error, SyntaxError) and error.lineno) or 1)
            message = f"{type(error).__name__}: {text}"[:LONGEST_MESSAGE]
            yield {"at": {"file": path, "line": line}, "message": message}
        except (OSError, RecursionError, MemoryError):
            continue  # A task may go deeper, and have more.


def _missing(modules: Sequence[str]) -> Iterator[str]:
    """The modules that can be imported from nowhere."""
    for entry in modules:
        module, _, name = entry.partition(":")
        if not name and not _is_there(module):
            yield module
        elif name and _is_namespace(module) and not _is_there(f"{module}.{name}"):
            yield f"{module}.{name}"


def _is_there(name: str) -> bool:
    return name in sys.modules or _lies_there(name) or _can_be_found(name)


def _is_namespace(name: str) -> bool:
    """Whether it is a package without code, which has no names but its modules'."""
    if name not in sys.modules and (_lies_there(name) or not _can_be_found(name)):
        return False
    found = sys.modules.get(name)
    # What a file put into sys.modules need not be a module.
    spec = importlib.util.find_spec(name) if found is None else getattr(found, "__spec__", None)
    return spec is not None and spec.origin is None and spec.submodule_search_locations is not None


def _lies_there(name: str) -> bool:
    """Whether there is a file for it: asked first, because it executes nothing."""
    path: Any = None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        dotted = ".".join(parts[:end])
        known = sys.modules.get(dotted)
        if known is not None:
            path = getattr(known, "__path__", [])
            continue
        spec = importlib.machinery.PathFinder.find_spec(dotted, path)
        if spec is None:
            return dotted == name and name in sys.builtin_module_names
        if spec.origin is None:
            return False  # Its places depend on packages above it, which must be imported to know them.
        path = spec.submodule_search_locations or []
    return True


def _can_be_found(name: str) -> bool:
    """Whether the import system finds it, which imports the packages above it: some make modules up."""
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None or name in sys.modules
    except BaseException:  # noqa: BLE001 - a package above it may do anything.
        return name in sys.modules
