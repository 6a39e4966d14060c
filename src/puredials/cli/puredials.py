"""puredials: which programs there are, `puredials process` and `puredials serve`."""

import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points

from puredials import __version__

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the version, or the list of programs."""
    words = list(sys.argv[1:] if argv is None else argv)
    match words:
        case [("process" | "serve") as name, *rest]:
            program = import_module(f"puredials.cli.{name}")
            # Without arguments of our own an interrupt must end the process, not wait for kernels.
            sys.argv[:] = [f"puredials {name}", *rest] if argv is None else sys.argv
            return program.main(None if argv is None else rest)
        case ["--version"]:
            print(f"puredials {__version__}")  # noqa: T201
        case [] | ["-h"] | ["--help"]:
            print(_overview())  # noqa: T201
        case _:
            print(f"Sorry: puredials does not know {words[0]}; puredials --help lists the programs.", file=sys.stderr)  # noqa: T201
            return 1
    return 0


def _overview() -> str:
    """The programs in the order of the pyproject's entry points, each with its summary."""
    lines = [f"puredials {__version__}: from diffraction images to merged intensities", "", "The programs:", ""]
    for entry in entry_points(group="console_scripts"):
        if entry.dist is not None and entry.dist.name == "puredials" and entry.name != "puredials":
            summary = import_module(entry.module).PROGRAM.summary
            lines += textwrap.wrap(summary, 96, initial_indent=f"  {entry.name:26}", subsequent_indent=" " * 28)
    lines += ["", "  puredials process         From images to merged intensities in one command."]
    lines += ["  puredials serve           A processing folder in the browser: progress, logs, reports, viewers."]
    return "\n".join([*lines, "", "<program> --help tells what one takes; <program> -c -e2 -a1 lists its parameters."])
