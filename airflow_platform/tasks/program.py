"""Invoke's command line with the toolkit's exit codes.

Invoke parses and names; this subclass replaces what would undermine the documented behaviour: parse
errors exit 2 and name the nearest match, only the short flags -l, -h, -V and -R are left, `--debug`
leaves other libraries quiet, and an error is one paragraph, or the report with `--json`.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import invoke.config
import invoke.exceptions
import invoke.executor
import invoke.parser.argument
import invoke.program

from airflow_platform import errors
from airflow_platform.tasks import help_text, task_decorator

if TYPE_CHECKING:
    import invoke.collection

_DEFECT = (
    "This is a defect of the toolkit: please report it with the output of the same command and --traceback."
)


class PlatformProgram(invoke.program.Program):
    """The program behind `scripts/inv`."""

    def __init__(self, namespace: invoke.collection.Collection) -> None:
        super().__init__(
            namespace=namespace,
            name="airflow-platform",
            binary="inv",
            binary_names=["inv"],
        )

    def outcome(self, argv: Sequence[str]) -> int:
        """Run a command line, `argv[0]` being the program's name, and return its exit code."""
        try:
            code = self._carry_out(list(argv))
            _flush()
        except BrokenPipeError:
            # The reader of our answer has seen enough: `inv env-list | head -1`.
            _give_up_output()
            code = errors.ExitCode.DONE
        except OSError as error:
            _give_up_output()
            hint = "The answer is not complete: send it to another place and run this again."
            code = self._refuse(errors.StateError(f"Standard output: {error.strerror}.", hint=hint))
        return int(code)

    def _carry_out(self, argv: list[str]) -> int:
        try:
            self._parse_and_execute(argv)
        except invoke.exceptions.Exit as request:
            if not request.message:
                return request.code
            error: errors.PlatformError = errors.UsageError(request.message)
        except invoke.exceptions.ParseError as refusal:
            error = self._explained(refusal)
        except errors.PlatformError as failure:
            error = failure
        except KeyboardInterrupt:
            error = errors.Interrupted(signal.SIGINT, "SIGINT")
        except BrokenPipeError:
            raise
        except Exception as defect:  # The last line of defence: a person gets a sentence.
            error = _as_error(defect)
        else:
            return errors.ExitCode.DONE
        return self._refuse(error)

    def _parse_and_execute(self, argv: list[str]) -> None:
        self.create_config()
        self.parse_core(argv)
        self.parse_collection()
        if self._answered():
            return
        self.parse_tasks()
        self.parse_cleanup()
        self._check_tasks()
        self.config.load_overrides({"traceback": self.args.traceback.value})
        self.execute()

    def core_args(self) -> list[invoke.parser.argument.Argument]:
        """The flags of Invoke that mean something here, and `--traceback`."""
        return [
            invoke.parser.argument.Argument(
                names=names, kind=kind, default=default, optional=optional, help=text
            )
            for names, kind, default, optional, text in help_text.CORE_FLAGS
        ]

    def create_config(self) -> None:
        """Invoke's defaults only: its files (~/.invoke.yaml and others) are for its own runner."""
        self.config = invoke.config.Config(lazy=True)

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the flags before the first task; unlike Invoke's, this lets Python keep its bytecode."""
        self.normalize_argv(argv)
        self.parse_core_args()
        if self.args.debug.value:
            _log_own_lines()
        if self.args.version.value:
            self.print_version()
            raise invoke.exceptions.Exit
        if shell := self.args["print-completion-script"].value:
            _print_completion_script(shell, self.binary_names)
            raise invoke.exceptions.Exit

    def _answered(self) -> bool:
        """Answer `--list` and `--help` without tasks, which needs no parsing of tasks."""
        if self.core.unparsed or not (self.args.list.value or self.args.help.value is True):
            return False
        self.print_help() if self.args.help.value else self.list_tasks()
        return True

    def print_help(self) -> None:
        """What `inv --help`, and `inv` alone, prints."""
        help_text.print_overview(self.initial_context, self.collection)

    def print_version(self) -> None:
        """What `inv --version` prints."""
        print(f"{self.name} {_version()}")

    def list_tasks(self) -> None:
        """What `inv --list` prints."""
        help_text.print_tasks(self.collection)

    def print_task_help(self, name: str) -> None:
        """What `inv TASK --help` prints."""
        help_text.print_task(self.parser.contexts[name], self.collection[name])

    def parse_cleanup(self) -> None:
        """Answer what is not a task after all: help of a task, completions, nothing at all."""
        wanted = self.args.help.value
        if isinstance(wanted, str):
            if wanted not in self.parser.contexts:
                raise invoke.exceptions.ParseError(f"No idea what {wanted!r} is!")
            self.print_task_help(wanted)
        elif self.args.list.value:
            self.list_tasks()
        elif self.args.complete.value:
            self._complete()
        elif wanted or not self.tasks:
            self.print_help()
        else:
            return
        raise invoke.exceptions.Exit

    def _complete(self) -> None:
        import invoke.completion.complete

        invoke.completion.complete.complete(
            names=self.binary_names,
            core=self.core,
            initial_context=self.initial_context,
            collection=self.collection,
            parser=self._make_parser(),
        )

    def _check_tasks(self) -> None:
        """Refuse the whole command line before its first task runs."""
        for context in self.tasks:
            task = self.collection[context.name]
            if isinstance(task, task_decorator.Task):
                try:
                    task_decorator.check_given(task.name, task.required, context.as_kwargs)
                except errors.UsageError as error:
                    raise _with_environments(error) from None
            if self.args.dry.value:
                _make_dry(context)

    def _explained(self, error: invoke.exceptions.ParseError) -> errors.UsageError:
        """Invoke's message, which names the token and no more, as one that says what would fit."""
        task = error.context.name if error.context is not None else None
        if unknown := re.fullmatch(r"No idea what ['\"](.*)['\"] is!", str(error)):
            return self._unknown(unknown[1], task)
        if lacking := re.search(r"Flag <Argument: ([a-z-]+).*needed value", str(error)):
            message = f"{task or 'inv'}: --{lacking[1]} needs a value: --{lacking[1]}=..."
            return _with_environments(errors.UsageError(message))
        return errors.UsageError(str(error))

    def _unknown(self, token: str, task: str | None) -> errors.UsageError:
        if not token.startswith("-") and task is None:
            near = _nearest(token, self.collection.task_names)
            return errors.UsageError(f"There is no task {token}.{near}", hint="`inv --list` shows all tasks.")
        context = self._make_parser().contexts[task] if task else self.initial_context
        names = (*context.flag_names(), *self.initial_context.flag_names())
        near = _nearest(token, [flag for flag in names if flag.startswith("--")])
        kind = "flag" if token.startswith("-") else "argument"
        hint = f"`inv {task} --help` shows its flags."
        if task is None:
            hint = "The flags of a task come after its name; `inv --help` shows inv's own."
        return errors.UsageError(f"{task or 'inv'} takes no {kind} {token}.{near}", hint=hint)

    def _refuse(self, error: errors.PlatformError) -> int:
        """Tell what went wrong, on standard error or as the report, and return the exit code."""
        from airflow_platform.reporting import document, faults

        code = error.code if isinstance(error, errors.Interrupted) else int(error.exit_code)
        if "--traceback" in self.argv:
            traceback.print_exception(error)
        words = self.argv[1:]
        if "--json" in words:
            task = next((word for word in words if not word.startswith("-")), "inv")
            document.write(document.of_error(error, code=code, task=task, environment=_environment_in(words)))
        with contextlib.suppress(OSError):
            print(faults.describe(error), file=sys.stderr)
        return code


def _print_completion_script(shell: str, names: list[str]) -> None:
    import invoke.completion.complete

    if shell not in ("bash", "zsh", "fish"):
        raise errors.UsageError(f"There are no completions for {shell}.", hint="Name bash, zsh or fish.")
    invoke.completion.complete.print_completion_script(shell=shell, names=names)


def _version() -> str:
    from airflow_platform import version

    return version.VERSION


def _as_error(error: Exception) -> errors.PlatformError:
    """An exception that nobody expected, as an error for people that remembers it as its cause.

    One of the operating system about a file is the world's fault; any other is a defect of ours.
    """
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
        refused = errors.StateError.of(Path(os.fsdecode(error.filename)), error)
        refused.__cause__ = error
        return refused
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    defect = errors.PlatformError(f"{type(error).__name__} in {where}: {error}.", hint=_DEFECT)
    defect.__cause__ = error
    return defect


def _nearest(token: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(token.partition("=")[0], list(names), n=1, cutoff=0.7)
    return f" Did you mean {near[0]}?" if near else ""


def _with_environments(error: errors.UsageError) -> errors.UsageError:
    """The same error; when it is about `--env`, it says which environments there are."""
    if "--env" not in error.message:
        return error
    from airflow_platform.config import paths

    where = paths.project().environments
    names = sorted(path.stem for path in where.glob("*.toml"))
    known = f"Known environments: {', '.join(names)}." if names else f"There is none yet in {where}."
    return errors.UsageError(error.message, hint=known)


def _environment_in(words: Sequence[str]) -> str | None:
    """The value of `--env` in a command line that may not have been parsed."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name == "--env":
            return (value if equals else following) or None
    return None


def _make_dry(context: Any) -> None:
    """Invoke's `--dry` would echo shell commands and run the rest; here it means `--plan` or nothing."""
    if "plan" not in context.args:
        raise errors.UsageError(f"{context.name} has no --plan, so --dry means nothing to it.")
    context.args["plan"].value = True


def _log_own_lines() -> None:
    """Have the toolkit's own debug lines on standard error, and nobody else's: botocore's hold credentials."""
    logger = logging.getLogger("airflow_platform")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(logging.StreamHandler())


def _give_up_output() -> None:
    from airflow_platform.reporting import output

    output.discard(sys.stdout)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()
