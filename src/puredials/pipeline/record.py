"""The record of finished stages, by which an interrupted run is taken up again."""

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from puredials.io.outputs import write_whole

__all__ = ["Record"]


class Record:
    """A JSON file of the stages that have finished: their words, size and time of what they read and wrote, and what
    they took.

    Once a stage has run afresh, all that follow it do too: the record forgets them before it begins.
    """

    def __init__(self, path: Path, version: str, *, resume: bool = True) -> None:
        self._path = path
        self._version = version
        self._stages: dict[str, Mapping[str, Any]] = {}
        self._written: dict[str, Any] = {}  # the state of files as the last stage that wrote them left it
        self._passed: list[str] = []
        self._afresh = False
        if resume:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                content = json.loads(path.read_text(encoding="utf-8"))
                if content["version"] == version:
                    self._stages, self._written = dict(content["stages"]), dict(content["written"])

    def is_done(self, stage: str, words: Sequence[str], inputs: Sequence[Path], outputs: Sequence[Path]) -> bool:
        """Whether the stage ran with the same words on the same files, and its outputs are still there."""
        if not self._afresh:
            known, same = self._stages.get(stage, {}), _read(words, inputs)
            ran_so = {name: known.get(name) for name in same} == same
            self._afresh = not (ran_so and all(path.exists() for path in outputs))
            if self._afresh:
                self.forget({*self._stages} - {*self._passed})
        if self._afresh and outputs:  # a stage that is killed after it has written has not been replaced by hand
            self._written = {name: state for name, state in self._written.items() if Path(name) not in outputs}
            self._save()
        self._passed.append(stage)
        return not self._afresh

    def finish(
        self, stage: str, words: Sequence[str], inputs: Sequence[Path], outputs: Sequence[Path] = (), *,
        seconds: float = 0.0, result: Any = None,
    ) -> None:  # fmt: skip
        """Note that the stage has run, how long it took, and what it found if no file holds that (as JSON)."""
        self._stages.pop(stage, None)  # so that the stages are in the order in which they ran
        written = [str(path) for path in outputs]
        note = {**_read(words, inputs), "outputs": written, "seconds": round(seconds, 2), "result": result}
        self._stages[stage] = note
        self._written |= _states(outputs)
        self._save()

    def is_overwritten(self, stage: str) -> bool:
        """Whether another stage, which this run has not come to, wrote files of this one after it."""
        names = list(self._stages)
        later = names[names.index(stage) + 1 :] if stage in names else []
        return any(name not in self._passed and self._outputs(name) & self._outputs(stage) for name in later)

    def is_replaced(self, files: Sequence[Path]) -> bool:
        """Whether files are not as the last stage that wrote them left them."""
        return any(self._written.get(name, state) != state for name, state in _states(files).items())

    def forget(self, stages: Collection[str]) -> None:
        """Have stages run again."""
        if stages:
            self._stages = {name: note for name, note in self._stages.items() if name not in stages}
            self._save()

    def _outputs(self, stage: str) -> set[str]:
        return {*self._stages[stage].get("outputs", ())}

    def _save(self) -> None:
        text = json.dumps({"version": self._version, "stages": self._stages, "written": self._written}, indent=1) + "\n"
        write_whole(self._path, lambda path: path.write_text(text, encoding="utf-8"))

    def seconds(self, stage: str) -> float:
        """What a finished stage took."""
        return float(self._stages[stage]["seconds"])

    def result(self, stage: str) -> Any:
        """What a finished stage found."""
        return self._stages[stage]["result"]


def _read(words: Sequence[str], inputs: Sequence[Path]) -> dict[str, Any]:
    """What a stage depends on, as JSON gives it back."""
    return {"words": list(words), "inputs": _states(inputs)}


def _states(paths: Sequence[Path]) -> dict[str, Any]:
    """Size and time of the files that exist."""
    files = {}
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.stat()
            files[str(path)] = [status.st_size, status.st_mtime_ns]
    return files
