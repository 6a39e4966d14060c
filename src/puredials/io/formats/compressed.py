"""Image files as bytes, whether or not they are compressed by bzip2 or gzip."""

import bz2
import gzip
import zlib
from contextlib import ExitStack
from pathlib import Path

from puredials.errors import FileError

__all__ = ["check_complete", "read_bytes", "read_head"]

_BZIP2, _GZIP = b"BZh", b"\x1f\x8b"


def read_head(path: Path, size: int) -> bytes:
    """The first `size` bytes of the (decompressed) file, or fewer if it is shorter."""
    return _read(path, size)


def read_bytes(path: Path) -> bytes:
    """The whole (decompressed) file."""
    return _read(path, -1)


def check_complete(path: Path, size: int) -> None:
    """Refuse a file that is not compressed and has fewer than `size` bytes; what a compressed one holds shows later."""
    with path.open("rb") as stream:
        start = stream.read(3)
    if path.stat().st_size < size and not start.startswith((_BZIP2, _GZIP)):
        raise FileError(f"The image file {path} is truncated: it ends before its last pixel; copy it again.")


def _read(path: Path, size: int) -> bytes:
    try:
        with ExitStack() as stack:
            stream = stack.enter_context(path.open("rb"))
            start = stream.peek(3)[:3]
            if start.startswith(_BZIP2):
                return stack.enter_context(bz2.BZ2File(stream)).read(size)
            if start.startswith(_GZIP):
                return stack.enter_context(gzip.GzipFile(fileobj=stream)).read(size)
            return stream.read(size)
    except FileNotFoundError:
        raise FileError(f"The image file {path} does not exist.") from None
    except (EOFError, zlib.error) as error:
        raise FileError(f"The image file {path} is truncated or damaged ({error}); copy it again.") from None
    except OSError as error:
        raise FileError(f"The image file {path} cannot be read: {error.strerror or error}.") from None
