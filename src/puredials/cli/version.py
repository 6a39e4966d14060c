"""dials.version: the version of puredials and where it is."""

import platform
from pathlib import Path

import puredials
from puredials.cli.program import Job, Program
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "main", "run"]


class Output(Params):
    """Names of output files."""

    log: str | None = param(None, "The log file")


class Options(Params):
    """Parameters of dials.version."""

    output: Output = Output()


PROGRAM = Program("dials.version", Options, "Show the version of puredials, of Python, and where they are.")


def run(job: Job) -> None:
    """Print the versions."""
    job.say(f"Python {platform.python_version()}\nInstalled in: {Path(puredials.__file__).parent}")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
