"""A program: from the words of a command line to a run, and from errors to one sentence and an exit code.

A program's module is about 30 lines:

    class Options(Params):
        spotfinder: SpotParams = SpotParams()
        output: Output = Output()

    PROGRAM = Program("dials.find_spots", Options, "Find strong spots on images.", takes="imported.expt")

    def run(job: Job) -> None:
        from puredials.spots import find_spots
        ...

    def main(argv: list[str] | None = None) -> int:
        return PROGRAM.main(run, argv)

`--help` must answer at once, so such a module imports nothing heavy outside `run`.
"""

import contextlib
import os
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from puredials import __version__
from puredials.cli.arguments import Arguments, read_arguments
from puredials.cli.job import Job
from puredials.cli.kernel_cache import choose_kernel_cache
from puredials.cli.log import Log
from puredials.cli.params import apply, changed, listed_parameters, listing, match
from puredials.cli.phil import format_block
from puredials.errors import FileError, InputError, ParameterError, PuredialsError
from puredials.io.outputs import check_writable
from puredials.params import Params

__all__ = ["Job", "Program"]

_SWITCHES = """\
  -h, --help                 show this text
  -c, --show-config          list the parameters and their values
  -e N, --expert-level N     with -c: list those up to expert level N (0, 1, 2)
  -a N, --attributes-level N with -c: 1 adds what each means, 2 its type as well
  -v, -vv, --verbose         say more; -vv also shows where an error came from
  --version                  show the version"""


class _Terminated(BaseException):
    """SIGTERM arrived."""


@dataclass(frozen=True)
class Program:
    """A program of the command line.

    Attributes:
        name: as typed, "dials.find_spots".
        options: the model of its parameters. ``output.log``, if there is one, names the log; else the program does.
        summary: one sentence.
        takes: what the command line holds besides parameters, for the help.
        other_files: whether it takes files that are neither experiments nor reflections nor parameters.
        examples: of command lines.
        alone: whether it must be the only one of its kind in a folder.
        indexed: whether its reflections must have the indices of the crystals in its experiments.
    """

    name: str
    options: type[Params]
    summary: str
    takes: str = ""
    other_files: bool = False
    examples: tuple[str, ...] = ()
    alone: bool = False
    indexed: bool = False

    def main(self, run: Callable[[Job], None], argv: Sequence[str] | None = None) -> int:
        """Carry out a command line; the exit code. 1: an error; 130, 143: interrupted or terminated."""
        try:
            if argv is None and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # set by the package
                signal.signal(signal.SIGINT, signal.default_int_handler)
            words = sys.argv[1:] if argv is None else argv
            code = self._main(run, words)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader of our output has gone, as in `... | head`
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            code = 141
        except KeyboardInterrupt:  # before the run has begun
            code = 130
        if argv is None and code in (130, 143):
            # Threads within compiled kernels cannot be stopped, and a normal exit would wait for them.
            sys.stderr.flush()
            os._exit(code)
        return code

    def _main(self, run: Callable[[Job], None], words: Sequence[str]) -> int:
        arguments = Arguments(verbosity=sum(word == "-vv" for word in words))
        try:
            arguments = read_arguments(words)
            if arguments.help or (not words and self.takes):
                print(self.help())  # noqa: T201
                return 0 if arguments.help else 1
            if arguments.version:
                print(self.version)  # noqa: T201
                return 0
            params, notes = self.params(arguments)
            if arguments.show_config:
                print(listing(params, arguments.expert, arguments.attributes))  # noqa: T201
                return 0
            self._check_files(arguments)
        except PuredialsError as error:
            return _sorry(error, arguments.verbosity)
        return self._run(run, arguments, params, notes)

    def _run(self, run: Callable[[Job], None], arguments: Arguments, params: Params, notes: list[str]) -> int:
        log: Log | None = None
        job: Job | None = None
        try:
            with _sigterm_raises():
                log_name = _log_name(params, self.name)
                check_writable(filter(None, [*_output_names(params), log_name]))
                choose_kernel_cache()
                log = Log(log_name, arguments.verbosity, self.name, alone=self.alone)
                log.say(self._header(params, arguments, notes))
                job = Job(self.name, params, arguments, log, indexed=self.indexed)
                with log.warnings_noted():
                    run(job)
                job.finish()
            return 0
        except KeyboardInterrupt:
            return _stopped(log, "Interrupted", 130)
        except _Terminated:
            return _stopped(log, "Terminated", 143)
        except BrokenPipeError:
            raise
        except (PuredialsError, OSError, MemoryError) as error:
            return _sorry(error, arguments.verbosity, log)
        except Exception as error:  # a fault of ours: the log helps to report it
            if log is not None:
                log.note("".join(traceback.format_exception(error)))
            raise
        finally:
            if job is not None:
                job.clean_up()
            if log is not None:
                log.close()

    @property
    def version(self) -> str:
        return f"puredials {__version__} ({self.name})"

    def help(self) -> str:
        examples = "".join(f"\n  {line}" for line in self.examples)
        return "\n".join(
            [
                f"usage: {self.name} {self.takes or '[name=value ...]'}".rstrip(),
                "",
                *textwrap.wrap(self.summary, 80),
                "",
                "Files, parameters (name=value) and files of parameters (.phil) may come in any order. A name may be",
                "shortened to its last parts or to any piece of it that is not ambiguous.",
                "",
                "switches:",
                _SWITCHES,
                *(["", "examples:" + examples] if examples else []),
                "",
                f"{self.name} -c -e2 -a1 lists all parameters and what they mean.",
            ]
        )

    def params(self, arguments: Arguments) -> tuple[Params, list[str]]:
        """The options with the definitions of a command line; sentences on how names were understood."""
        parameters = listed_parameters(self.options)
        notes: list[str] = []
        chosen = []
        for assignment, from_file in arguments.definitions:
            try:
                parameter, note = match(assignment.path, parameters, substrings=not from_file)
            except ParameterError as error:
                raise ParameterError(f"{assignment.where}: {error}" if from_file else str(error)) from None
            notes += [note] if note else []
            chosen.append((parameter, assignment))
        return apply(self.options, chosen), notes

    def _check_files(self, arguments: Arguments) -> None:
        files = (*arguments.experiments, *arguments.reflections, *arguments.paths)
        if arguments.paths and not self.other_files:
            path = arguments.paths[0]
            takes = self.takes or "no files"
            what = "does not take the file" if path.exists() else "found no file and no parameter called"
            advice = f" If {path} is an image, dials.import reads it." if "imported" in takes and path.is_file() else ""
            raise InputError(f"{self.name} {what} {path}; it takes {takes}.{advice}")
        for path in (*arguments.experiments, *arguments.reflections):
            if path.is_dir():
                raise FileError(f"{path} is a folder, not a file.")
            if not path.exists():
                raise FileError(f"There is no file {path}.")
        if len(set(files)) < len(files):
            twice = next(path for path in files if files.count(path) > 1)
            raise InputError(f"{twice} was given twice.")

    def _header(self, params: Params, arguments: Arguments, notes: list[str]) -> str:
        files = [("input.experiments", [str(path)]) for path in arguments.experiments]
        files += [("input.reflections", [str(path)]) for path in arguments.reflections]
        blocks = [block for block in (changed(params), format_block(files)) if block]
        lines = [self.version, *notes]
        if blocks:
            lines += ["The following parameters have been modified:", "", *blocks, ""]
        return "\n".join(lines)


def _output_names(params: Params) -> list[str]:
    """The file names among the parameters ``output.*``."""
    output = getattr(params, "output", None)
    return [value for _, value in output or () if isinstance(value, str) and value]


def _log_name(params: Params, program: str) -> str | None:
    return getattr(getattr(params, "output", None), "log", f"{program}.log")


def _sorry(error: BaseException, verbosity: int, log: Log | None = None) -> int:
    """Tell the user about an error in one sentence; with -vv where it arose, too."""
    text = f"Sorry: {_reasons_of(error)}"
    if verbosity >= 2:
        text = "".join(traceback.format_exception(error)) + text
    if log is not None:
        with contextlib.suppress(PuredialsError):
            log.note(text)
    print(text, file=sys.stderr)  # noqa: T201
    return 1


def _reasons_of(error: BaseException) -> str:
    """One sentence for the user about an error that is no fault of the program."""
    if isinstance(error, PuredialsError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory; fewer processes (nproc) need less."
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}."
    return f"{type(error).__name__}: {error}"


def _stopped(log: Log | None, how: str, code: int) -> int:
    text = f"{how}: nothing was written, earlier files are as they were."
    if log is not None:
        with contextlib.suppress(PuredialsError):
            log.note(text)
    print(f"\n{text}", file=sys.stderr)  # noqa: T201
    return code


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Within it SIGTERM raises in the main thread, so that what is half done is undone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
