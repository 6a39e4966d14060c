"""The record of finished stages, by which an interrupted run is taken up again."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Record"]


class Record:
    """A JSON file of the stages that have finished: their words, and size and time of what they read.

    Once a stage has run afresh, all that follow it do too.
    """

    def __init__(self, path: Path, version: str, *, resume: bool = True) -> None:
        self._path = path
        self._version = version
        self._stages: dict[str, Mapping[str, Any]] = {}
        self._afresh = False
        if resume:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                content = json.loads(path.read_text(encoding="utf-8"))
                if content["version"] == version:
                    self._stages = dict(content["stages"])

    def is_done(self, stage: str, words: Sequence[str], inputs: Sequence[Path], outputs: Sequence[Path]) -> bool:
        """Whether the stage ran with the same words on the same files, and its outputs are still there."""
        if not self._afresh:
            same = self._stages.get(stage) == _entry(words, inputs)
            self._afresh = not (same and all(path.exists() for path in outputs))
        return not self._afresh

    def finish(self, stage: str, words: Sequence[str], inputs: Sequence[Path]) -> None:
        """Note that the stage has run."""
        self._stages[stage] = _entry(words, inputs)
        text = json.dumps({"version": self._version, "stages": self._stages}, indent=1) + "\n"
        temporary = self._path.with_name(f".{self._path.name}.new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self._path)


def _entry(words: Sequence[str], inputs: Sequence[Path]) -> dict[str, Any]:
    """As JSON gives it back."""
    files = {}
    for path in inputs:
        with contextlib.suppress(OSError):
            status = path.stat()
            files[str(path)] = [status.st_size, status.st_mtime_ns]
    return {"words": list(words), "inputs": files}
