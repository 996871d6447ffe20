"""Importing one DAG file as dag-processor does, and telling what was found. Runs in a child of the worker."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog
from airflow.dag_processing import processor
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.dag_processing.importers import get_importer_registry, python_importer
from airflow.sdk import DAG, task
from airflow.utils.file import get_unique_dag_module_name

from airflow_platform.parsing import facts, lookups, waiting
from airflow_platform.parsing.protocol import File, Order
from airflow_platform.parsing.watching import MARK, Watch

BUNDLE = "dags"
"""The name of the bundle; tenants' is the same."""

LONGEST_MESSAGE = 500
"""Characters of an error that are told; the rest is in Airflow's own log, should it come so far."""

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
    """Hears of the files that Airflow could not look into, of which it tells its log and nobody else."""

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
    with DAG(dag_id="rehearsal", schedule="@daily", start_date=facts.FROM) as dag:

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
    facts.of_dag(dag, facts.Places(Watch(Path("/dev/null"))), "rehearsal")
    get_unique_dag_module_name("/dev/null")


def import_file(file: File, order: Order) -> dict[str, Any]:
    """Import a file and tell all that a check may want to know of it.

    Whatever the file does happens in this process: it is to be one that nobody else needs.
    """
    root = Path(order.root)
    watch = Watch(root)
    places = facts.Places(watch)
    lookups.install(lookups.Answers(watch, order.variables, order.connections))
    _let_crashes_be_seen()
    places.begin()
    stopwatch = waiting.Stopwatch()
    watch.begin()
    bag = BundleDagBag(
        dag_folder=str(root / file.path), bundle_path=root, bundle_name=BUNDLE, load_op_links=False
    )
    waited = stopwatch.waited()
    watch.let_threads_work()
    with watch.off():
        _, unserialised = processor._serialize_dags(bag, structlog.get_logger())  # noqa: SLF001
        errors = {**bag.import_errors, **unserialised}
        return {
            "dags": [facts.of_dag(dag, places, file.path) for dag in bag.dags.values()],
            "errors": [
                _error(text, file.path, root, places)
                for text in errors.values()
                if not (watch.work and MARK in text)
            ],
            "broken": list(_broken(file.loads, root, watch.needs)),
            "work": watch.work,
            "needs": sorted(watch.needs - {file.path}),
            "asked": sorted(watch.asked - watch.needs - {file.path}),
            "missing": sorted(set(_missing(file.modules))),
            "waited": waited,
        }


def _let_crashes_be_seen() -> None:
    """Keep Python's fault handler: Airflow's own handler of SIGSEGV returns to the instruction that crashed."""
    real = signal.signal

    def install(number: int, handler: Any) -> Any:
        return None if number == signal.SIGSEGV else real(number, handler)

    signal.signal = install  # type: ignore[assignment]


def _error(text: str, path: str, root: Path, places: facts.Places) -> dict[str, Any]:
    """File and line below the root nearest to where it was raised, and the message."""
    inside = [(name, int(line)) for name, line in _FRAME.findall(text) if name.startswith(f"{root}/")]
    if inside:
        file, line = inside[-1][0][len(str(root)) + 1 :], inside[-1][1]
    else:
        file, line = places.named_in(text, (path, 1))
    return {"file": file, "line": line, "message": _message(text).replace(f"{root}/", "")[:LONGEST_MESSAGE]}


def _message(text: str) -> str:
    """The exception at the end of a traceback, on one line."""
    lines = text.strip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    after = lines[frames[-1] + 1 :] if frames else lines
    # Source lines of the frame are indented, the exception is not; what follows it belongs to its message.
    while after and after[0].startswith(" "):
        after = after[1:]
    return " ".join(line.strip() for line in after) or "it ended without a word"


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
        except SyntaxError as error:
            told = f"{type(error).__name__}: {error.msg}"
            yield {"file": path, "line": max(1, error.lineno or 1), "message": told[:LONGEST_MESSAGE]}
        except ValueError as error:
            yield {"file": path, "line": 1, "message": f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]}
        except (OSError, RecursionError, MemoryError):
            continue  # A task may go deeper, and have more.


def _missing(modules: Sequence[str]) -> Iterator[str]:
    """The modules that can be imported from nowhere."""
    for name in modules:
        if name not in sys.modules and not _lies_there(name) and not _can_be_found(name):
            yield name


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
        path = spec.submodule_search_locations or []
    return True


def _can_be_found(name: str) -> bool:
    """Whether the import system finds it, which imports the packages above it: some make modules up."""
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None or name in sys.modules
    except BaseException:  # noqa: BLE001 - a package above it may do anything.
        return name in sys.modules
