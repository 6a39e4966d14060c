"""Where compiled kernels are kept between runs."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import puredials

__all__ = ["choose_kernel_cache"]


def choose_kernel_cache() -> None:
    """Keep compiled kernels beside their source, or in a folder of the user if that cannot be written to.

    Has an effect only before numba is imported, and none if the user has set NUMBA_CACHE_DIR.
    """
    package = Path(puredials.__file__).parent / "kernels"
    if "NUMBA_CACHE_DIR" in os.environ or os.access(package, os.W_OK):
        return
    for folder in (_user_cache() / "puredials" / puredials.__version__, _private_temporary()):
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(folder, os.W_OK) and _is_ours(folder):
                os.environ["NUMBA_CACHE_DIR"] = str(folder)
                return


def _user_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _private_temporary() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"puredials-{user}-{puredials.__version__}"


def _is_ours(folder: Path) -> bool:
    """Compiled code is run as it is found: it must come from nobody else."""
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
