"""Image files of all other kinds that fabio can read: their pixels, but not their geometry."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError
from puredials.io.formats.hdf5_images import settle

__all__ = ["read_other", "refuse_header"]


def _open(path: Path) -> Any:
    import fabio

    try:
        return fabio.open(str(path))
    except Exception:  # fabio's readers raise whatever a foreign or damaged file leads them to
        raise FileError(f"{path} is not an image file of a known kind, or it is damaged.") from None


def read_other(path: Path) -> NDArray[Any]:
    """The pixels (slow, fast), as uint16, int32 or float32."""
    with _open(path) as image:
        return settle(np.array(image.data))


def refuse_header(path: Path) -> FileError:
    """The sentence for a file whose header tells no geometry."""
    with _open(path) as image:
        kind = type(image).__name__
    return FileError(
        f"{path} is an image ({kind}) whose header does not tell wavelength and distance in a way that is known here; "
        "convert it to CBF or NXmx."
    )
