"""What the writers of image files share: the description of a sweep."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from puredials.simulate.detector import RecordedDetector

__all__ = ["RecordedAxis", "RecordedSweep", "Writer"]


@dataclass(frozen=True, eq=False)
class RecordedAxis:
    """A goniometer axis in the laboratory frame; `angles` (degrees) one value, or one an image for the scan axis."""

    name: str
    vector: NDArray[np.float64]
    angles: NDArray[np.float64] | float
    width: float

    @property
    def is_scanned(self) -> bool:
        return np.ndim(self.angles) > 0


@dataclass(frozen=True, eq=False)
class RecordedSweep:
    """What the files of a sweep tell. `axes` has the innermost axis first; `dtype` is that of the detector's counts."""

    prefix: str
    n_images: int
    detector: RecordedDetector
    mask: NDArray[np.uint32]
    axes: tuple[RecordedAxis, ...]
    wavelength: float
    polarization: float
    exposure_s: float
    dtype: str


@runtime_checkable
class Writer(Protocol):
    """Writes the images of a sweep, in order. `gap` and `overload` are the values of such pixels."""

    gap: int
    overload: int
    dtype: np.dtype

    def write(self, image: NDArray[np.integer]) -> None: ...
    def close(self) -> Path:
        """Finish; the file or template that stands for all."""
        ...
