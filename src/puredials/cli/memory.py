"""Memory that is freed goes back to the system."""

import ctypes
import sys

__all__ = ["give_back_freed_memory"]

_M_MMAP_THRESHOLD = -3
_LARGE = 1_000_000


def give_back_freed_memory() -> None:
    """Have arrays of more than a megabyte allocated apart, so that their memory is given back when they are freed.

    The allocator of the GNU C library raises that limit to 32 MB as a program runs; arrays below it then live in heaps
    that blocks of images, coming and going in several threads, leave full of holes. Elsewhere nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
