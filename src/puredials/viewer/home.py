"""The data of a run's home page: what happened in a folder, and what can be looked at there."""

import contextlib
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from puredials.errors import FileError
from puredials.io.running import Activity, activities
from puredials.viewer.logs import Block, Finding, blocks, concerns, findings, judge_shells, merging
from puredials.viewer.server import Action, Reply, Route, ViewerServer, json_reply

__all__ = ["HOME_STATIC", "Mountable", "Opener", "RunView"]

HOME_STATIC = ("home.html", "common.js", "home.js", "home_parts.js", "viewer.css", "home.css")
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
_MOST_FILES = 200  # the newest, that a page is told of; others are found by their names
_MOST_OPEN = 12  # viewers that are kept: each holds its reflections
_LONGEST_LOG = 400_000  # characters at the end of a log that are shown
_LARGEST_FILE = 1 << 30
# A page may run its own scripts, but nothing that it holds may ask this server, or any other, for anything.
_PAGE_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
# Numbers in the order in which they are shown.
_ORDER = (
    *("Space group", "Unit cell", "Resolution", "CC½", "Rmeas", "I/σ", "Completeness", "Multiplicity"),
    *("Indexed", "RMSD", "Integrated", "Spots", "Images", "Sweeps", "Stills"),
)
# Programs in the order in which data pass them; the one command tells of all of them.
_STAGES = (
    *("dials.import", "dials.find_spots", "dials.index", "dials.refine", "dials.integrate"),
    *("dials.symmetry", "dials.cosym", "dials.scale", "dials.merge", "puredials.process"),
)
_ENDS = {"failed": "failed", "interrupted": "been interrupted"}
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
class _Told:
    """What the text of a log tells: its last line, files written, numbers, what deserves a look, shells of merging."""

    last: str
    failed: bool
    written: tuple[str, ...]
    findings: tuple[Finding, ...]
    concerns: tuple[str, ...]
    shells: Block | None


@dataclass(frozen=True)
class _Log:
    program: str
    name: str
    time: float
    told: _Told


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
        self._n_opened = 0
        self._read: dict[str, tuple[tuple[int, int], _Told]] = {}
        self._lock = threading.Lock()
        self._server: ViewerServer | None = None

    def attach(self, server: ViewerServer) -> None:
        """Have viewers opened beneath the server of this page, so that one tunnel leads to all."""
        self._server = server

    @property
    def routes(self) -> dict[str, Route]:
        return {
            "state.json": self._state,
            "files.json": lambda query: json_reply(self._named(query.get("like", ""))),
            "log.json": lambda query: json_reply(
                {"blocks": [asdict(block) for block in blocks(_tail(self._file(query["name"], "log")))]}
            ),
            "page": lambda query: Reply(
                self._file(query["name"], "html").read_bytes(), "text/html; charset=utf-8", policy=_PAGE_POLICY
            ),
            "file": lambda query: Reply(self._file(query["name"]).read_bytes(), "application/octet-stream"),
        }

    @property
    def actions(self) -> dict[str, Action]:
        return {"open": self._open}

    def state(self) -> dict[str, Any]:
        """Programs that have run or run now, the earliest first; how things stand; files; pairs that viewers open."""
        files = self._files()
        logs = self._logs(files)
        running = {program.replace(" ", "."): note for program, note in activities(self.folder).items()}
        steps = [_step(log, running.get(log.program), files) for log in logs]
        pages = {name for step in steps for name in (step["log"], *step["pages"])}
        return {
            "folder": str(self.folder),
            "steps": steps,
            "overview": _overview(steps, logs),
            "files": [_listed(name, files[name]) for n, name in enumerate(files) if n < _MOST_FILES or name in pages],
            "n_files": len(files),
            "viewers": list(self._openers),
            "pairs": [{"experiments": e, "reflections": r} for e, r in _pairs(files)[:_MOST_FILES]],
        }

    def _state(self, query: Mapping[str, str]) -> Reply:
        """The state, and a mark of it; the mark alone where the page has this state already."""
        state = self.state()
        mark = hashlib.sha256(json.dumps(state).encode()).hexdigest()
        return json_reply({"mark": mark} if query.get("mark") == mark else {"mark": mark, **state})

    def _named(self, like: str) -> list[dict[str, Any]]:
        """Files whose names hold a text, whatever its capitals; not more than a page can show."""
        found = [_listed(name, status) for name, status in self._files().items() if like.lower() in name.lower()]
        return found[:_MOST_FILES]

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

    def _logs(self, files: Mapping[str, os.stat_result]) -> list[_Log]:
        logs = [
            _Log(name.removesuffix(".log"), name, status.st_mtime, self._told(name, status))
            for name, status in files.items()
            if _suffix(name) == "log" and name.startswith(("dials.", "puredials."))
        ]
        # The log of the one command ends after those of its stages, and tells of all.
        return sorted(logs, key=lambda log: (log.program != "puredials.process", log.time))

    def _told(self, name: str, status: os.stat_result) -> _Told:
        """What a log tells; it is read again when it has changed: the page asks every second."""
        version = (status.st_mtime_ns, status.st_size)
        if self._read.get(name, (None,))[0] != version:
            program = name.removesuffix(".log")
            try:
                text = _tail(self.folder / name)
            except OSError as error:
                return _tell(program, f"Sorry: {name} cannot be read: {error.strerror}.")
            self._read[name] = (version, _tell(program, text))
        return self._read[name][1]

    def _open(self, value: Any) -> Reply:
        """Open a viewer; the path of its page from ours. Files that have not changed since are not opened again, and
        of many viewers those used longest ago are closed."""
        opener = self._openers[value["viewer"]]
        experiments = self._file(value["experiments"], "expt")
        reflections = self._file(value["reflections"], "refl") if value["reflections"] else None
        paths = [path for path in (experiments, reflections) if path is not None]
        key = (value["viewer"], *((path.name, path.stat().st_mtime_ns) for path in paths))
        if self._server is None:
            raise FileError("No server shows this page.")
        with self._lock:
            name = self._opened.pop(key, None)
            if name is None:
                static, view = opener(experiments, reflections)
                self._n_opened += 1
                name = f"{value['viewer'].replace(' ', '-')}-{self._n_opened}"
                self._server.mount(name, static, view.routes, view.actions)
            self._opened[key] = name
            while len(self._opened) > _MOST_OPEN:
                self._server.unmount(self._opened.pop(next(iter(self._opened))))
        return json_reply({"path": f"{name}/"})


def _tell(program: str, text: str) -> _Told:
    last = text.rstrip().rsplit("\n", 1)[-1]
    return _Told(
        last,
        last.startswith("Sorry:") or "Traceback (most recent call last)" in text,
        tuple(dict.fromkeys(_SAVED.findall(text))),
        tuple(findings(program, text)),
        tuple(concerns(program, text)),
        merging(blocks(text))[0],
    )


def _step(log: _Log, activity: Activity | None, files: Mapping[str, os.stat_result]) -> dict[str, Any]:
    """What a log, and the note of a running program, tell of it."""
    told, sentence = log.told, ""
    if activity is not None:
        state = "running" if activity.alive else "killed"
        sentence = activity.text
    elif told.failed:
        state, sentence = "failed", told.last
    elif told.last.startswith(("Interrupted", "Terminated")):
        state, sentence = "interrupted", told.last
    else:
        state = "done"
    written = [name for name in told.written if name in files]
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
        "findings": [asdict(finding) for finding in told.findings],
        "concerns": list(told.concerns) if state == "done" else [],
    }


def _overview(steps: Sequence[dict[str, Any]], logs: Sequence[_Log]) -> dict[str, Any]:
    """How things stand: a sentence, the latest numbers, what deserves a look, and the merged data by shells.

    A later program's number takes the place of an earlier one's.
    """
    valid = _valid([(step, log) for step, log in zip(steps, logs, strict=True) if step["state"] == "done"])
    numbers = {finding["name"]: finding for step, _ in valid for finding in step["findings"]}
    looks = {text: step["program"] for step, _ in valid for text in step["concerns"]}
    shells = next((log.told.shells for _, log in reversed(valid) if log.told.shells is not None), None)
    latest = max(steps, key=lambda step: (step["state"] == "running", step["time"]), default=None)
    if latest is None:
        state, sentence = "none", "No program has run here yet."
    elif latest["state"] != "done":
        state = latest["state"]
        words = "is running" if state == "running" else "was killed" if state == "killed" else f"has {_ENDS[state]}"
        more = f"{latest['sentence']} {latest['done']} of {latest['total']}" if latest["total"] else latest["sentence"]
        sentence = f"{latest['program']} {words}" + (f": {more}" if more else ".")
    elif shells is not None:
        verdict = judge_shells(shells)
        state = "look" if looks or verdict.choice != "sound" else "done"
        sentence = f"Merged data are {verdict.choice}. {verdict.reason}"
    else:
        state, sentence = "look" if looks else "done", f"{latest['program']} is done."
    return {
        "state": state,
        "sentence": sentence,
        "numbers": [numbers[name] for name in _ORDER if name in numbers],
        "concerns": [{"program": program, "text": text} for text, program in looks.items() if text != sentence],
        "shells": None if shells is None else asdict(shells),
    }


def _valid(done: Sequence[tuple[dict[str, Any], _Log]]) -> list[tuple[dict[str, Any], _Log]]:
    """Steps in the order of their times, without those whose data an earlier stage has made anew since."""
    kept, lowest = [], len(_STAGES)
    for step, log in sorted(done, key=lambda pair: (pair[1].time, _rank(pair[1].program)), reverse=True):
        rank = _rank(log.program)
        if rank <= lowest:
            kept.append((step, log))
        if 0 <= rank < lowest:
            lowest = rank
    return kept[::-1]


def _rank(program: str) -> int:
    """The place of a program among the stages; -1 if it is none, whose data nothing makes anew."""
    return _STAGES.index(program) if program in _STAGES else -1


def _listed(name: str, status: os.stat_result) -> dict[str, Any]:
    return {"name": name, "kind": _KINDS[_suffix(name)], "size": status.st_size, "time": status.st_mtime}


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
