"""What programs are doing now, for those who watch the folder that they work in."""

import contextlib
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["Activity", "Running", "activities", "is_alive", "take_alone"]

_PATTERN = ".{}.running"
_OFTEN = 0.5  # seconds between two notes of progress


@dataclass(frozen=True)
class Activity:
    """A note that a program left.

    Attributes:
        program: its name.
        started: when (seconds since 1970).
        text, done, total: its progress; an empty text where it has told of none.
        alive: False where the program has ended without taking its note away: it was killed.
    """

    program: str
    started: float
    text: str
    done: int
    total: int
    alive: bool


class Running:
    """A hidden file beside a program's log, from its start to its end. A folder that cannot be written to has none."""

    def __init__(self, program: str, folder: Path = Path()) -> None:
        self._path = folder.absolute() / _PATTERN.format(program.replace(" ", "."))
        self._note = {"program": program, "pid": os.getpid(), "host": socket.gethostname(), "started": time.time()}
        self._told = -_OFTEN
        self._write("", 0, 0)

    def tell(self, text: str, done: int, total: int) -> None:
        """Note the progress; calls that follow fast upon another are passed over."""
        now = time.monotonic()
        if now - self._told >= _OFTEN:
            self._told = now
            self._write(text, done, total)

    def close(self) -> None:
        """Take the note away."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self, text: str, done: int, total: int) -> None:
        new = self._path.with_name(f"{self._path.name}.new")
        with contextlib.suppress(OSError):
            new.write_text(json.dumps({**self._note, "text": text, "done": done, "total": total}), encoding="utf-8")
            new.replace(self._path)


def activities(folder: Path) -> dict[str, Activity]:
    """The notes in a folder, by the name of the program."""
    found = {}
    for path in folder.glob(_PATTERN.format("*")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(path.read_text(encoding="utf-8"))
            found[str(note["program"])] = Activity(
                str(note["program"]),
                float(note["started"]),
                str(note["text"]),
                int(note["done"]),
                int(note["total"]),
                is_alive(note["host"], int(note["pid"])),
            )
    return found


def take_alone(file: IO[str]) -> bool:
    """Lock an open file until it is closed or its process ends, however it ends; False: another process has it.

    Where files cannot be locked it is believed to be free.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def is_alive(host: str, pid: int) -> bool:
    """Whether the process is there; where that cannot be asked it is believed to be."""
    if host != socket.gethostname() or os.name != "posix" or pid < 1:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True
