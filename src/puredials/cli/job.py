"""One run of a program: its parameters, inputs and outputs."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from puredials.cli.arguments import Arguments
from puredials.cli.log import Log
from puredials.errors import FileError, InputError
from puredials.io.outputs import Outputs

if TYPE_CHECKING:
    from puredials.execute import Executor
    from puredials.model import Experiment, Experiments, ImageSource, ReflectionTable

__all__ = ["Job"]


class Job:
    """What a program's `run` gets.

    Attributes:
        params: the program's options, with the user's values.
        paths: files that are neither experiments nor reflections nor parameters.
        experiment_paths, reflection_paths: the files of those.
        log: see `say` and `progress`.
        read_table: reads a file of reflections, for programs that do not need all of it.
    """

    read_table: "Callable[[Path], ReflectionTable] | None" = None

    def __init__(self, name: str, params: Any, arguments: Arguments, log: Log, *, indexed: bool = False) -> None:
        self.name = name
        self._indexed = indexed
        self.params = params
        self.experiment_paths = arguments.experiments
        self.reflection_paths = arguments.reflections
        self.paths = arguments.paths
        self.log = log
        self._outputs = Outputs()
        self._executors: list[Executor] = []
        self._folders: dict[int, Path] = {}

    # What comes in

    @cached_property
    def experiment_files(self) -> "tuple[Experiments, ...]":
        """The experiments of each file."""
        from puredials.io.expt import read_experiments

        files = tuple(_read(read_experiments, path) for path in self.experiment_paths)
        for path, experiments in zip(self.experiment_paths, files, strict=True):
            self._folders.update((id(e.imageset), path.absolute().parent) for e in experiments)
        return files

    @cached_property
    def experiments(self) -> "Experiments":
        """The experiments of all files."""
        from puredials.cli.inputs import join_experiments

        if not self.experiment_paths:
            raise InputError(f"{self.name} needs a file of experiments (.expt); --help shows what it takes.")
        return join_experiments(self.experiment_paths, self.experiment_files)

    @cached_property
    def reflection_files(self) -> "tuple[ReflectionTable, ...]":
        """The reflections of each file, as they are there."""
        from puredials.io.refl import read_reflections

        return tuple(_read(self.read_table or read_reflections, path) for path in self.reflection_paths)

    @cached_property
    def reflections(self) -> "ReflectionTable":
        """The reflections of all files; their ids count the experiments in `experiments`."""
        from puredials.cli.inputs import check_indices, join_reflections

        if not self.reflection_paths:
            raise InputError(f"{self.name} needs a file of reflections (.refl); --help shows what it takes.")
        experiments = self.experiments
        counts = [len(part) for part in self.experiment_files]
        joined = join_reflections(
            self.reflection_files, experiments, self.reflection_paths, counts, self.experiment_paths
        )
        if self._indexed:
            check_indices(experiments, joined, self.reflection_paths, self.experiment_paths)
        return joined

    def forget_reflections(self) -> None:
        """Free the memory of reflections that the program has taken what it needs from."""
        self.__dict__.pop("reflections", None)
        self.__dict__.pop("reflection_files", None)

    def images(self, experiment: "Experiment", mask: str | None = None) -> "ImageSource":
        """The images of an experiment; names in its file that are relative start from the folder of that file.

        `mask`: a file of untrusted pixels, from the working directory, instead of that of the experiment.
        """
        from puredials.io.formats.source import open_images

        folder = self._folders.get(id(experiment.imageset), Path.cwd())
        if mask is not None and experiment.imageset is not None:
            imageset = replace(experiment.imageset, mask=str(Path(mask).absolute()))
            experiment = replace(experiment, imageset=imageset)
        return open_images(experiment, base=folder)

    # What goes on

    def say(self, text: str = "", level: int = 0) -> None:
        """Print to the terminal and the log; level 1 with -v only, level 2 with -vv."""
        self.log.say(text, level)

    def progress(self, text: str) -> contextlib.AbstractContextManager[Callable[[int, int], None]]:
        """``with job.progress("Finding strong spots") as progress:`` gives a callable (done, total)."""
        return self.log.progress(text)

    def executor(self, nproc: int | None = None) -> "Executor":
        """Threads for `nproc` blocks at a time; None: as many as there are processors for this process."""
        from puredials.execute import SERIAL, Threads, available_processors

        self.log.tell_of_compilation()
        workers = available_processors() if nproc is None else nproc
        if workers <= 1:
            return SERIAL
        executor = Threads(workers)
        self._executors.append(executor)
        return executor

    # What comes out

    def write(
        self, name: str | os.PathLike[str] | None, function: Callable[[Path], object], what: str | None = ""
    ) -> None:
        """Have `function` write a file, which gets its `name` when the whole run has succeeded.

        `what` makes the message "Saving {what} to {name}" (None: no message). Nothing is done if `name` is None.
        """
        if not name:
            return
        if what is not None:
            self.say(f"Saving {what} to {name}" if what else f"Saving {name}")
        self._outputs.write(name, function)

    def write_experiments(self, experiments: "Experiments", name: str | None, what: str = "experiments") -> None:
        from puredials.io.expt import write_experiments

        self.write(name, lambda path: write_experiments(experiments, path), what)

    def write_reflections(self, table: "ReflectionTable", name: str | None, what: str = "reflections") -> None:
        from puredials.io.refl import write_reflections

        self.write(name, lambda path: write_reflections(table, path), what)

    def finish(self) -> None:
        """Give the output files their names."""
        self._outputs.commit()

    def clean_up(self) -> None:
        """Remove the output files that have not got their names, and stop all workers."""
        self._outputs.discard()
        for executor in self._executors:
            executor.close()


def _read(function: Callable[[Path], Any], path: Path) -> Any:
    try:
        return function(path)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
