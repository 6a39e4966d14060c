"""The programs: words on a command line -> a step -> files and a log."""

import os

__all__: list[str] = []

# Looking for plug-ins of pydantic takes a tenth of the time in which --help should answer.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
