"""Experiments: one combination of beam, detector, goniometer, scan and crystal each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from puredials.model.beam import Beam
from puredials.model.crystal import Crystal
from puredials.model.detector import Detector
from puredials.model.goniometer import Goniometer
from puredials.model.images import ImageSet
from puredials.model.scan import Scan

__all__ = ["Experiment", "Experiments", "Profile"]


@dataclass(frozen=True, eq=False)
class Profile:
    """Widths of the Gaussian reflection profile (Kabsch 2010): degrees, scalars or one value an image."""

    sigma_b: float | NDArray[np.float64]
    sigma_m: float | NDArray[np.float64]
    n_sigma: float = 3.0
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, eq=False)
class Experiment:
    """Models that belong together. Models shared by several experiments are the SAME object (`is`).

    `scaling_model` is the mapping of an .expt file; the scaling package gives it meaning.
    `foreign_profile` keeps the profile models of other kinds, for writing.
    """

    beam: Beam
    detector: Detector
    goniometer: Goniometer | None = None
    scan: Scan | None = None
    crystal: Crystal | None = None
    profile: Profile | None = None
    scaling_model: Mapping[str, Any] | None = None
    imageset: ImageSet | None = None
    identifier: str = ""
    foreign_profile: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_still(self) -> bool:
        return self.goniometer is None or self.scan is None or self.scan.is_still

    @property
    def valid_images(self) -> NDArray[np.bool_]:
        """(n_images,) False for the images of the scan that are left out; one True without a scan."""
        if self.scan is None:
            return np.ones(1, dtype=bool)
        ranges = self.scan.valid_image_ranges.get(self.identifier)
        if ranges is None:
            return np.ones(len(self.scan), dtype=bool)
        valid = np.zeros(len(self.scan), dtype=bool)
        for first, last in ranges:
            valid[max(first - self.scan.image_range[0], 0) : max(last + 1 - self.scan.image_range[0], 0)] = True
        return valid


@dataclass(frozen=True, eq=False)
class Experiments(Sequence[Experiment]):
    """A list of experiments; `history` and `extra` are further keys of an .expt file."""

    items: tuple[Experiment, ...] = ()
    history: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))

    @overload
    def __getitem__(self, index: int) -> Experiment: ...
    @overload
    def __getitem__(self, index: slice) -> "Experiments": ...
    def __getitem__(self, index: int | slice) -> "Experiment | Experiments":
        return replace(self, items=self.items[index]) if isinstance(index, slice) else self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Experiment]:
        return iter(self.items)

    @property
    def identifiers(self) -> tuple[str, ...]:
        return tuple(e.identifier for e in self.items)

    def with_items(self, items: Iterable[Experiment]) -> "Experiments":
        """The same list with other experiments."""
        return replace(self, items=tuple(items))

    def imageset_ids(self) -> tuple[int, ...]:
        """For each experiment the number of its image set, counted in order of first appearance."""
        seen: dict[int, int] = {}
        return tuple(seen.setdefault(id(e.imageset), len(seen)) for e in self.items)
