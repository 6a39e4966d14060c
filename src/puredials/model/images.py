"""What the steps know of images: an image source, and its description in .expt files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageSet", "ImageSource"]


@runtime_checkable
class ImageSource(Protocol):
    """Images of one sweep, in order. Steps take this and never a file name.

    A source can be pickled, holds no open file when it is, and may be read by several threads at once.
    """

    def __len__(self) -> int:
        """Number of images."""
        ...

    def read(self, index: int) -> tuple[NDArray[Any], ...]:
        """The raw image `index` (0 for the first image of the scan): one (slow, fast) array a panel, of a signed
        32-bit or unsigned 16-bit integer or 32-bit float type. Pixels outside the panel's `valid_range` are invalid;
        so are those of `static_mask`."""
        ...

    def static_mask(self) -> tuple[NDArray[np.bool_], ...]:
        """One (slow, fast) array a panel: True where a pixel may be used in all images."""
        ...


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Where the images of an experiment are.

    Attributes:
        template: file name, with #### for the image number where there is one file an image.
        images: file names, where they follow no template (stills); else empty.
        single_file_indices: of the images within one HDF5 file, 0-based; None if there is one file an image.
        mask, gain, pedestal, dx, dy: names of lookup files.
        params: dynamic_shadowing, multi_panel.
        kind: "ImageSequence", "ImageSet" or "ImageGrid".
        base: folder from which relative names start; empty for the working directory.
    """

    template: str = ""
    images: tuple[str, ...] = ()
    single_file_indices: tuple[int, ...] | None = None
    mask: str | None = None
    gain: str | None = None
    pedestal: str | None = None
    dx: str | None = None
    dy: str | None = None
    params: Mapping[str, Any] = field(default_factory=lambda: {"dynamic_shadowing": "Auto", "multi_panel": False})
    kind: str = "ImageSequence"
    base: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
