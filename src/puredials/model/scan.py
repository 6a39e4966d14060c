"""The scan: which images, at which rotation angles."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.model.arrays import frozen

__all__ = ["Scan"]


@dataclass(frozen=True, eq=False)
class Scan:
    """A rotation scan in equal steps.

    z, the third component of ``xyz*.px``, is an array index in images: the first image spans
    ``array_range[0] .. array_range[0] + 1``, and ``array_range[0] = image_range[0] - 1``.

    Attributes:
        image_range: (first, last), both included, counted from 1.
        oscillation: (start, width) in degrees, of the first image in `image_range`.
        exposure_times, epochs: (n_images,) seconds.
        valid_image_ranges: experiment identifier -> image ranges.
        extra: keys of an .expt file that have no meaning here; kept for writing.
    """

    image_range: tuple[int, int]
    oscillation: tuple[float, float]
    exposure_times: NDArray[np.float64] | None = None
    epochs: NDArray[np.float64] | None = None
    batch_offset: int = 0
    valid_image_ranges: Mapping[str, Any] = field(default_factory=dict[str, Any])
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        first, last = (int(n) for n in self.image_range)
        if last < first:
            raise ValueError(f"image range {first},{last} is empty")
        object.__setattr__(self, "image_range", (first, last))
        start, width = (float(a) for a in self.oscillation)
        object.__setattr__(self, "oscillation", (start, width))
        for name in ("exposure_times", "epochs"):
            values = getattr(self, name)
            values = np.zeros(len(self)) if values is None else values
            object.__setattr__(self, name, frozen(values, (len(self),)))

    def __len__(self) -> int:
        return self.image_range[1] - self.image_range[0] + 1

    @property
    def array_range(self) -> tuple[int, int]:
        """(first, last + 1) in array indices: the range of z."""
        return self.image_range[0] - 1, self.image_range[1]

    @property
    def oscillation_range(self) -> tuple[float, float]:
        """(start of the first image, end of the last), degrees."""
        start, width = self.oscillation
        return start, start + len(self) * width

    @property
    def is_still(self) -> bool:
        """True if the images are not rotated."""
        return self.oscillation[1] == 0

    def phi(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rotation angles (rad) at positions z (images)."""
        start, width = self.oscillation
        return np.radians(start + (np.asarray(z) - self.array_range[0]) * width)

    def z(self, phi: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions z (images) of rotation angles phi (rad)."""
        start, width = self.oscillation
        return (np.degrees(phi) - start) / width + self.array_range[0]

    def sliced(self, first: int, last: int) -> "Scan":
        """The scan of the images first..last (numbers as in `image_range`, both included)."""
        if not self.image_range[0] <= first <= last <= self.image_range[1]:
            raise ValueError(f"image range {first},{last} is not within {self.image_range[0]},{self.image_range[1]}")
        part = slice(first - self.image_range[0], last - self.image_range[0] + 1)
        start, width = self.oscillation
        assert self.exposure_times is not None
        assert self.epochs is not None
        return replace(
            self,
            image_range=(first, last),
            oscillation=(start + part.start * width, width),
            exposure_times=self.exposure_times[part],
            epochs=self.epochs[part],
        )
