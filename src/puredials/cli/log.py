"""What a program tells its user: on the terminal, in its log file, and as progress bars."""

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from puredials.errors import FileError, InputError
from puredials.io.running import Running, take_alone

__all__ = ["Log"]


class Log:
    """Everything printed goes to standard output and to a log file; progress bars to a terminal only.

    While a `program` with a log file runs, a note beside that tells of its progress; see `Running`. With `alone` a
    program whose log another run is writing is refused.
    """

    def __init__(self, path: str | None, verbosity: int = 0, program: str = "", *, alone: bool = False) -> None:
        self._verbosity = verbosity
        self._file: TextIO | None = None
        self._listener: Any = None
        if path:
            try:
                # Lines are flushed one by one, so that the log of a run that was killed tells how far it came.
                self._file = Path(path).open("a" if alone else "w", buffering=1, encoding="utf-8")  # noqa: SIM115
                if alone:
                    self._file = _taken(self._file, program)
            except OSError as error:
                raise FileError(f"The log {path} cannot be written: {error.strerror}.") from None
        self._running = Running(program, Path(path).parent) if path and program else None

    def say(self, text: str = "", level: int = 0) -> None:
        """Print a text, with a line break at its end and no blanks at the ends of its lines.

        Texts above the verbosity (-v, -vv) are left out.
        """
        if level > self._verbosity:
            return
        text = "\n".join(line.rstrip() for line in text.split("\n"))
        self.note(text)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Write to the log file only."""
        if self._file is not None:
            try:
                self._file.write(text + "\n")
            except OSError as error:
                self._file = None
                raise FileError(f"The log cannot be written: {error.strerror}.") from None

    def close(self) -> None:
        if self._listener is not None:
            from numba.core import event

            event.unregister("numba:compile", self._listener)
            self._listener = None
        if self._running is not None:
            self._running.close()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    @contextlib.contextmanager
    def warnings_noted(self) -> Iterator[None]:
        """Warnings of libraries go to the log file, not to the terminal."""
        shown = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
            self.note(f"{category.__name__}: {message} ({Path(filename).name}:{lineno})")

        warnings.showwarning = note
        try:
            yield
        finally:
            warnings.showwarning = shown

    @contextlib.contextmanager
    def progress(self, text: str) -> Iterator[Callable[[int, int], None]]:
        """A callable (done, total) that notes the progress, and moves a bar on a terminal."""
        self.tell_of_compilation()

        def note(done: int, total: int) -> None:
            if self._running is not None:
                self._running.tell(text, done, total)

        note(0, 0)
        if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
            yield note
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, transient=True) as bar:
            task = bar.add_task(text, total=None)
            last = 0.0

            def move(done: int, total: int) -> None:
                nonlocal last
                note(done, total)
                now = time.monotonic()
                if now - last > 0.1 or done >= total:
                    last = now
                    bar.update(task, completed=done, total=total)

            yield move

    def tell_of_compilation(self) -> None:
        """Say so, once, when a kernel is being compiled: it happens on the first run only, and takes a while."""
        if self._listener is not None:
            return
        from numba.core import event

        log = self

        class Listener(event.Listener):
            said = False

            def on_start(self, event: Any) -> None:
                if not self.said:
                    self.said = True
                    log.say("Compiling numerical kernels; this takes a while, on the first run only.")

            def on_end(self, event: Any) -> None:
                pass

        self._listener = Listener()
        event.register("numba:compile", self._listener)


def _taken(file: TextIO, program: str) -> TextIO:
    """The log of a program that must be alone, emptied."""
    if not take_alone(file):
        file.close()
        raise InputError(
            f"Another {program} is at work in {Path(file.name).absolute().parent}: wait for it, or use another folder."
        )
    file.truncate(0)
    return file
