"""Output files that appear whole, and together, or not at all."""

import contextlib
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from puredials.errors import FileError
from puredials.io.running import is_alive

__all__ = ["Outputs", "check_writable", "write_whole"]


class Outputs:
    """Files are written under temporary names beside their final ones; `commit` renames them, `discard` removes them.

    So a step that fails, is interrupted or fills the disk leaves the files of earlier runs as they were. A run that was
    killed leaves temporary files, which the next run that writes files of the same names removes.
    """

    def __init__(self) -> None:
        self._waiting: dict[Path, Path] = {}

    def write(self, name: str | os.PathLike[str], function: Callable[[Path], object]) -> None:
        """Call `function` with the temporary path (of the same suffix) that will become `name`."""
        final = Path(name)
        _remove_leftovers(final)
        temporary = final.with_name(f".tmp-{os.getpid()}@{socket.gethostname()}-{final.name}")
        self._waiting[final] = temporary
        try:
            function(temporary)
        except OSError as error:
            raise FileError(f"{final} cannot be written: {error.strerror or error}.") from error
        except FileError as error:
            raise FileError(str(error).replace(str(temporary), str(final))) from error

    def commit(self) -> None:
        for final, temporary in list(self._waiting.items()):
            try:
                temporary.replace(final)
            except OSError as error:
                raise FileError(f"{final} cannot be written: {error.strerror}.") from None
            del self._waiting[final]

    def discard(self) -> None:
        for temporary in self._waiting.values():
            with contextlib.suppress(OSError):
                temporary.unlink()
        self._waiting.clear()


def write_whole(name: str | os.PathLike[str], function: Callable[[Path], object]) -> None:
    """Have `function` write a file, which gets its name when it is whole.

    Raises:
        FileError: it cannot be written.
    """
    outputs = Outputs()
    try:
        outputs.write(name, function)
        outputs.commit()
    finally:
        outputs.discard()


def _remove_leftovers(final: Path) -> None:
    """Remove the temporary files of `final` whose process has gone."""
    pattern = re.compile(rf"\.tmp-(\d+)@(.+)-{re.escape(final.name)}")
    with contextlib.suppress(OSError):
        for entry in os.scandir(final.parent):
            made = pattern.fullmatch(entry.name)
            if made and not is_alive(made[2], int(made[1])):
                os.unlink(entry.path)


def check_writable(names: Iterable[str]) -> None:
    """Raise FileError unless files of these names can be made."""
    names = list(names)
    for folder, name in {Path(name).parent: name for name in names}.items():
        if not folder.is_dir():
            raise FileError(f"{name} cannot be written: there is no folder {folder}.")
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".tmp-") as probe:
                probe.write(b"\0" * 4096)
        except OSError as error:
            raise FileError(f"The folder {folder.absolute()} cannot be written to: {error.strerror}.") from None
    for name in names:
        if Path(name).is_dir():
            raise FileError(f"{name} cannot be written: it is a folder.")
