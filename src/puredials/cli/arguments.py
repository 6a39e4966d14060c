"""The words of a command line, sorted into switches, definitions and files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from puredials.cli.phil import Assignment, parse
from puredials.errors import FileError, InputError

__all__ = ["Arguments", "read_arguments"]

_DEFINITION = re.compile(r"([A-Za-z_][\w.]*)\s*=(.*)", re.DOTALL)
_LONG = {"--show-config": "c", "--help": "h", "--verbose": "v", "--version": "V"}
_LONG_NUMBER = {"--expert-level": "e", "--attributes-level": "a"}


@dataclass
class Arguments:
    """What was asked for. `definitions` keep their order; with each goes whether it comes from a file."""

    help: bool = False
    version: bool = False
    show_config: bool = False
    expert: int = 0
    attributes: int = 0
    verbosity: int = 0
    definitions: tuple[tuple[Assignment, bool], ...] = ()
    experiments: tuple[Path, ...] = ()
    reflections: tuple[Path, ...] = ()
    paths: tuple[Path, ...] = ()


def read_arguments(words: Sequence[str]) -> Arguments:
    """Sort the words, reading parameter files on the way."""
    arguments = Arguments()
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith("-") and len(word) > 1:
            _switch(word, waiting, arguments)
        elif (found := _DEFINITION.fullmatch(word)) and not Path(word).exists():
            name, text = found.groups()
            if not _input_file(name, text, arguments):
                arguments.definitions += ((Assignment(name, text, word), False),)
        elif Path(word).suffix in (".phil", ".eff"):
            for assignment in parse(_text(Path(word)), word):
                if not _input_file(assignment.path, assignment.text, arguments):
                    arguments.definitions += ((assignment, True),)
        else:
            _file(Path(word), arguments)
    return arguments


def _switch(word: str, waiting: list[str], arguments: Arguments) -> None:
    name, equals, number = word.partition("=")
    if word in _LONG:
        letters = _LONG[word]
    elif name in _LONG_NUMBER:
        letters = _LONG_NUMBER[name] + (number if equals else "")
    elif word.startswith("--"):
        raise InputError(f"There is no switch {word}; --help lists them.")
    else:
        letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        match letter:
            case "h":
                arguments.help = True
            case "c":
                arguments.show_config = True
            case "v":
                arguments.verbosity += 1
            case "V" if word == "--version":
                arguments.version = True
            case "e" | "a":
                digits = letters or (waiting.pop(0) if waiting else "")
                letters = ""
                if not digits.isdigit():
                    raise InputError(f"-{letter} needs a level, as in -{letter}2; {digits or 'nothing'} was given.")
                setattr(arguments, "expert" if letter == "e" else "attributes", int(digits))
            case _:
                raise InputError(f"There is no switch {word}; --help lists them.")


def _input_file(name: str, text: str, arguments: Arguments) -> bool:
    """Files may be given as parameters too, as the logs and parameter files of DIALS do."""
    if name not in ("input.experiments", "input.reflections"):
        return False
    if text.strip().lower() not in ("none", ""):
        _file(Path(text.strip().strip("\"'")), arguments)
    return True


def _file(path: Path, arguments: Arguments) -> None:
    match _kind(path):
        case "experiments":
            arguments.experiments += (path,)
        case "reflections":
            arguments.reflections += (path,)
        case _:
            arguments.paths += (path,)


def _kind(path: Path) -> str:
    """By the end of the name; the .json and .pickle files of older programs by how they begin."""
    if path.suffix == ".expt":
        return "experiments"
    if path.suffix == ".refl":
        return "reflections"
    if path.suffix in (".json", ".pickle") and path.is_file():
        with path.open("rb") as file:
            start = file.read(4096)
        if b'"ExperimentList"' in start:
            return "experiments"
        if path.suffix == ".pickle":
            return "reflections"
    return "other"


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise FileError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read as a parameter file: {error}.") from None
