"""The programs: words on a command line -> a step -> files and a log."""

import os
import signal
import sys

__all__: list[str] = []

# Looking for plug-ins of pydantic takes a tenth of the time in which --help should answer.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# Steps run in parallel over blocks. Threads of the linear algebra below them would only wait, busily, for one another:
# the vectors and matrices here are too small for more than one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Ctrl-C while a program's modules are read ends it without a traceback; `Program.main` takes over from there.
_is_program = os.path.basename(sys.argv[0] if sys.argv else "").startswith(("dials.", "puredials"))
if _is_program and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
