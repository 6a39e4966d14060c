"""The data of a run's home page: what happened in a folder, and what can be looked at there."""

import contextlib
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from puredials.errors import FileError
from puredials.io.running import Activity, activities
from puredials.viewer.server import Action, Reply, Route, ViewerServer, json_reply

__all__ = ["HOME_STATIC", "Mountable", "Opener", "RunView"]

HOME_STATIC = ("home.html", "common.js", "home.js", "viewer.css", "home.css")
_KINDS = {
    "expt": "experiments",
    "refl": "reflections",
    "mtz": "intensities",
    "html": "page",
    "json": "data",
    "log": "log",
    "phil": "parameters",
    "png": "picture",
    "cif": "intensities",
    "mask": "mask",
}
_LONGEST_LOG = 400_000  # characters at the end of a log that are shown
_LARGEST_FILE = 1 << 30
# A page may run its own scripts, but nothing that it holds may ask this server, or any other, for anything.
_PAGE_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
_SAVED = re.compile(r"^(?:Saving|Writing) (?:.* to )?(\S+)$", re.MULTILINE)


class Mountable(Protocol):
    """A viewer's routes and actions."""

    @property
    def routes(self) -> Mapping[str, Route]: ...
    @property
    def actions(self) -> Mapping[str, Action]: ...


Opener = Callable[[Path, Path | None], tuple[tuple[str, ...], Mountable]]
"""From files of experiments and reflections to a viewer: the names of its static files, and itself."""


@dataclass(frozen=True)
class _Log:
    program: str
    name: str
    time: float
    text: str


class RunView:
    """One folder, watched; nothing of another folder is shown.

    Args:
        folder: where programs have run, or run now.
        openers: the viewers, by their names.
    """

    def __init__(self, folder: Path, openers: Mapping[str, Opener]) -> None:
        self.folder = folder.resolve()
        self._openers = openers
        self._opened: dict[tuple[Any, ...], str] = {}
        self._texts: dict[str, tuple[tuple[int, int], str]] = {}
        self._lock = threading.Lock()
        self._server: ViewerServer | None = None

    def attach(self, server: ViewerServer) -> None:
        """Have viewers opened beneath the server of this page, so that one tunnel leads to all."""
        self._server = server

    @property
    def routes(self) -> dict[str, Route]:
        return {
            "state.json": lambda _: json_reply(self.state()),
            "log.json": lambda query: json_reply({"text": _tail(self._file(query["name"], "log"))}),
            "page": lambda query: Reply(
                self._file(query["name"], "html").read_bytes(), "text/html; charset=utf-8", policy=_PAGE_POLICY
            ),
            "file": lambda query: Reply(self._file(query["name"]).read_bytes(), "application/octet-stream"),
        }

    @property
    def actions(self) -> dict[str, Action]:
        return {"open": self._open}

    def state(self) -> dict[str, Any]:
        """Programs that have run or run now, the earliest first; files; pairs of files that viewers can open."""
        files = self._files()
        return {
            "folder": str(self.folder),
            "steps": self._steps(files),
            "files": [
                {"name": name, "kind": _KINDS[_suffix(name)], "size": status.st_size, "time": status.st_mtime}
                for name, status in files.items()
            ],
            "viewers": list(self._openers),
            "pairs": [{"experiments": e, "reflections": r} for e, r in _pairs(files)],
        }

    def _files(self) -> dict[str, os.stat_result]:
        """Files of the kinds that programs leave, by name; the newest first."""
        found = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.name[0] != "." and _suffix(entry.name) in _KINDS and entry.is_file(follow_symlinks=False):
                        found[entry.name] = entry.stat()
        return dict(sorted(found.items(), key=lambda item: (-item[1].st_mtime, item[0])))

    def _file(self, name: str, suffix: str = "") -> Path:
        files = self._files()
        if name not in files or (suffix and _suffix(name) != suffix):
            raise FileError(f"There is no such {suffix or 'file'} in the folder.")
        if files[name].st_size > _LARGEST_FILE:
            raise FileError(f"{name} is too large to be sent to a browser; copy it with scp or rsync.")
        return self.folder / name

    def _steps(self, files: Mapping[str, os.stat_result]) -> list[dict[str, Any]]:
        running = activities(self.folder)
        logs = [
            _Log(name.removesuffix(".log"), name, status.st_mtime, self._text(name, status))
            for name, status in files.items()
            if _suffix(name) == "log" and name.startswith(("dials.", "puredials."))
        ]
        # The log of the one command ends after those of its stages, and tells of all.
        logs.sort(key=lambda log: (log.program != "puredials.process", log.time))
        activity = {program.replace(" ", "."): note for program, note in running.items()}
        return [_step(log, activity.get(log.program), files) for log in logs]

    def _text(self, name: str, status: os.stat_result) -> str:
        """The end of a log, read again when it has changed: the page asks every second."""
        version = (status.st_mtime_ns, status.st_size)
        if self._texts.get(name, (None,))[0] != version:
            self._texts[name] = (version, _tail(self.folder / name))
        return self._texts[name][1]

    def _open(self, value: Any) -> Reply:
        """Open a viewer; the path of its page from ours. Files that have not changed since are not opened again."""
        opener = self._openers[value["viewer"]]
        experiments = self._file(value["experiments"], "expt")
        reflections = self._file(value["reflections"], "refl") if value["reflections"] else None
        paths = [path for path in (experiments, reflections) if path is not None]
        key = (value["viewer"], *((path.name, path.stat().st_mtime_ns) for path in paths))
        if self._server is None:
            raise FileError("No server shows this page.")
        with self._lock:
            if key not in self._opened:
                static, view = opener(experiments, reflections)
                name = f"{value['viewer'].replace(' ', '-')}-{len(self._opened) + 1}"
                self._server.mount(name, static, view.routes, view.actions)
                self._opened[key] = name
        return json_reply({"path": f"{self._opened[key]}/"})


def _step(log: _Log, activity: Activity | None, files: Mapping[str, os.stat_result]) -> dict[str, Any]:
    """What a log, and the note of a running program, tell of it."""
    last = log.text.rstrip().rsplit("\n", 1)[-1]
    sentence = ""
    if activity is not None:
        state = "running" if activity.alive else "killed"
        sentence = activity.text
    elif last.startswith("Sorry:") or "Traceback (most recent call last)" in log.text:
        state, sentence = "failed", last
    elif last.startswith(("Interrupted", "Terminated")):
        state, sentence = "interrupted", last
    else:
        state = "done"
    written = [name for name in dict.fromkeys(_SAVED.findall(log.text)) if name in files]
    return {
        "program": log.program,
        "log": log.name,
        "time": log.time,
        "state": state,
        "sentence": sentence,
        "done": activity.done if activity else 0,
        "total": activity.total if activity else 0,
        "pages": [name for name in written if _suffix(name) == "html"],
        "written": written if state == "done" else [],
    }


def _pairs(files: Mapping[str, os.stat_result]) -> list[tuple[str, str | None]]:
    """Files of experiments, each with the reflections that go by its name; the newest first."""
    pairs: list[tuple[str, str | None]] = []
    for name in files:
        stem = name.removesuffix(".expt")
        if stem != name:
            refl = "strong.refl" if stem == "imported" else f"{stem}.refl"
            pairs.append((name, refl if refl in files else None))
    return pairs


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]


def _tail(path: Path) -> str:
    """The end of a text file."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _LONGEST_LOG))
        return file.read().decode("utf-8", "replace")
