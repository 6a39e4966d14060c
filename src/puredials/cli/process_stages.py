"""The programs as stages of puredials process: run one after the other, recorded, and their choices told."""

import contextlib
import io
import shutil
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from puredials import __version__
from puredials.cli.arguments import read_arguments
from puredials.cli.params import listed_parameters, match
from puredials.cli.process import Options
from puredials.cli.program import Job, Program
from puredials.errors import ParameterError, ProcessingError
from puredials.io.outputs import write_whole
from puredials.pipeline import Decision, Record

__all__ = ["Stages"]

# Files of a command that are told; of images there may be thousands.
_FILES_TOLD = 4
# What names files that other programs, or this one, read.
_READ_ON = ("output.experiments", "output.reflections", "output.json", "output.mtz", "mtz.hklout", "format")


class Stages:
    """Runs programs in the current folder, unless the record says that they are done.

    Attributes:
        decisions: what was chosen; times: the seconds that each program took, in this run or before.
    """

    def __init__(self, job: Job) -> None:
        params: Options = job.params
        self.job, self.params = job, params
        self.decisions: list[Decision] = []
        self.times: list[tuple[str, float]] = []
        self._record = Record(Path(params.output.record), __version__, resume=params.resume)

    def words_for(self, program: str) -> tuple[str, ...]:
        """What the user wants of a program."""
        return getattr(self.params.stage, program, ())

    def check_words(self) -> None:
        """Refuse wrong parameters of any program before the first one runs."""
        for program in type(self.params.stage).model_fields:
            known = _program(program)
            for word in self.words_for(program):
                arguments = read_arguments([word])
                if not arguments.definitions:
                    raise ParameterError(f"{word} is no parameter of {known.name}: write {program}.name=value.")
                try:
                    known.params(arguments)
                except ParameterError as error:
                    raise ParameterError(f"{known.name}: {error}") from None
                path = match(arguments.definitions[0][0].path, listed_parameters(known))[0].path
                if path in _READ_ON:
                    raise ParameterError(f"{known.name}: {path} stays as it is, since what follows reads the file.")

    def params_for(self, program: str) -> Any:
        """The parameters of a program as the user wants them."""
        return _program(program).params(read_arguments(list(self.words_for(program))))[0]

    def decide(self, decision: Decision) -> str:
        """Tell a decision, and keep it for the page; what was chosen."""
        self.decisions.append(decision)
        self.job.say(f"  {decision}")
        return decision.choice

    def run(
        self, program: str, words: Sequence[str], outputs: Sequence[str], *, stage: str = "",
        inputs: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        """Run a program; what it prints goes to its own log only.

        `inputs`: the files that a change of makes it run again, if these are not all among its words. `stage`: for
        programs that run twice.
        """
        name = f"dials.{program.rstrip('_')}"
        stage = stage or program
        words = [*words, *self.words_for(program)]
        read = [Path(word) for word in (words if inputs is None else inputs) if "=" not in word]
        written = [Path(output) for output in outputs]
        if self._record.is_done(stage, words, read, written):
            self.job.say(f"{name}: done before")
        else:
            self.job.say(f"{name} {_shortened(words)}")
            start = time.perf_counter()
            _call(program, name, words)
            self._record.finish(stage, words, read, written, seconds=time.perf_counter() - start)
        self.times.append((name, self._record.seconds(stage)))

    def settle(self, program: str, words: Sequence[str], outputs: Sequence[str], *, stage: str) -> None:
        """Run the last of several stages that write the same files again if an earlier run went on beyond it."""
        if self._record.is_overwritten(stage):
            self._record.forget({stage})
            self.run(program, words, outputs, stage=stage)

    def copy(self, source: str, target: str) -> None:
        """Copy a file, unless that was done before: what was made of the copy by hand is kept."""
        stage, written = f"copy to {target}", [Path(target)]
        if not self._record.is_done(stage, [source], [], written):
            # With its time, so that the next stage sees whether it has changed.
            write_whole(target, lambda path: shutil.copy2(source, path))
            self._record.finish(stage, [source], [], written)

    def copy_log(self, source: str, target: str) -> None:
        """Copy one of the logs of a program that runs more than once, unless that was done before."""
        stage = f"copy to {target}"
        # The user may have given it another name. That a log is gone is no reason to repeat what follows.
        if Path(source).exists() and not self._record.is_done(stage, [source], [], []):
            write_whole(target, lambda path: shutil.copy2(source, path))
            self._record.finish(stage, [source], [])

    def is_replaced(self, files: Sequence[str]) -> bool:
        """Whether files that stages of this or an earlier run wrote have been replaced since."""
        return self._record.is_replaced([Path(name) for name in files])

    def find(self, stage: str, inputs: Sequence[str], function: Callable[[], Any]) -> Any:
        """What `function` finds in files (JSON), or found in an earlier run."""
        read = [Path(name) for name in inputs]
        if not self._record.is_done(stage, [], read, []):
            start = time.perf_counter()
            found = function()
            self._record.finish(stage, [], read, seconds=time.perf_counter() - start, result=found)
        self.times.append((stage, self._record.seconds(stage)))
        return self._record.result(stage)


def _program(name: str) -> Program:
    return import_module(f"puredials.cli.{name}").PROGRAM


def _call(program: str, name: str, words: Sequence[str]) -> None:
    said, sorry = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(sorry):
        code = import_module(f"puredials.cli.{program}").main(list(words))
    if code in (130, 143):
        raise KeyboardInterrupt
    if code != 0:
        why = sorry.getvalue().strip().rpartition("Sorry: ")[2]
        raise ProcessingError(f"{name} could not go on: {why}")


def _shortened(words: Sequence[str]) -> str:
    """The words of a command, but only the first few of its files."""
    files, definitions = [w for w in words if "=" not in w], [w for w in words if "=" in w]
    return " ".join([*files[:_FILES_TOLD], *["..."] * (len(files) > _FILES_TOLD), *definitions])
