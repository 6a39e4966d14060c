"""The detector: flat panels in the laboratory frame, in an optional hierarchy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.model.arrays import frozen

__all__ = ["Detector", "Group", "Panel"]

_UNIT = np.eye(3)


@dataclass(frozen=True, eq=False)
class Panel:
    """A flat panel.

    Attributes:
        fast, slow: (3,) unit vectors of the pixel rows and columns, laboratory frame.
        origin: (3,) mm, the outer corner of pixel (0, 0), laboratory frame.
        image_size: (fast, slow) in pixels.
        pixel_size: (fast, slow) in mm.
        trusted_range: (lowest, highest). Files of different ages include or exclude the ends; see `valid_range`.
        thickness: of the sensor, mm; material: its chemical symbol or formula; mu: its attenuation, 1/mm.
        parallax: True if positions are corrected for the depth at which photons convert.
        gain: counts per photon; pedestal: counts without photons.
        mask: rectangles (x0, y0, x1, y1), half-open, of untrusted pixels.
        extra: keys of an .expt file that have no meaning here; kept for writing.
    """

    fast: NDArray[np.float64]
    slow: NDArray[np.float64]
    origin: NDArray[np.float64]
    image_size: tuple[int, int]
    pixel_size: tuple[float, float]
    trusted_range: tuple[float, float] = (-0.5, 65535.5)
    thickness: float = 0.0
    material: str = ""
    mu: float = 0.0
    parallax: bool = False
    gain: float = 1.0
    pedestal: float = 0.0
    name: str = "Panel"
    type: str = "SENSOR_PAD"
    identifier: str = ""
    mask: tuple[tuple[int, int, int, int], ...] = ()
    raw_image_offset: tuple[int, int] = (0, 0)
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        for name in ("fast", "slow"):
            vector = np.asarray(getattr(self, name), dtype=np.float64)
            object.__setattr__(self, name, frozen(vector / np.linalg.norm(vector), (3,)))
        object.__setattr__(self, "origin", frozen(self.origin, (3,)))

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector fast x slow."""
        return np.cross(self.fast, self.slow)

    @property
    def distance(self) -> float:
        """Signed distance (mm) from the sample to the panel's plane, along `normal`."""
        return float(self.origin @ self.normal)

    @property
    def d_matrix(self) -> NDArray[np.float64]:
        """(3, 3) with columns fast, slow, origin: laboratory position = d @ (x mm, y mm, 1)."""
        return np.column_stack([self.fast, self.slow, self.origin])

    @property
    def valid_range(self) -> tuple[float, float]:
        """The closed interval of trusted pixel values.

        Half-integer limits mean the same to every version of DIALS; a lower limit of -1 marks files whose ends are
        both excluded, so that 0 is valid and the upper limit is not.
        """
        low, high = self.trusted_range
        return (-0.5, high - 0.5) if low == -1 else (low, high)

    @property
    def size_mm(self) -> tuple[float, float]:
        """(fast, slow) extent in mm."""
        return self.image_size[0] * self.pixel_size[0], self.image_size[1] * self.pixel_size[1]

    def moved(self, rotation: NDArray[np.float64], translation: NDArray[np.float64]) -> "Panel":
        """The panel after the rigid motion r -> rotation @ r + translation (mm) of the laboratory frame."""
        return replace(
            self, fast=rotation @ self.fast, slow=rotation @ self.slow, origin=rotation @ self.origin + translation
        )


@dataclass(frozen=True, eq=False)
class Group:
    """A node of the hierarchy: a frame (laboratory coordinates) that carries panels and other groups.

    `children` holds panel numbers and groups, in order.
    """

    children: tuple["int | Group", ...]
    fast: NDArray[np.float64] = field(default_factory=lambda: _UNIT[0])
    slow: NDArray[np.float64] = field(default_factory=lambda: _UNIT[1])
    origin: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    name: str = ""
    type: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        for name in ("fast", "slow", "origin"):
            object.__setattr__(self, name, frozen(getattr(self, name), (3,)))

    @property
    def frame(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rotation (columns: the group's axes) and origin (mm) in the laboratory frame."""
        return np.column_stack([self.fast, self.slow, np.cross(self.fast, self.slow)]), self.origin

    def moved(self, rotation: NDArray[np.float64], translation: NDArray[np.float64]) -> "Group":
        """The group and all below it after a rigid motion of the laboratory frame."""
        return replace(
            self,
            children=tuple(c if isinstance(c, int) else c.moved(rotation, translation) for c in self.children),
            fast=rotation @ self.fast,
            slow=rotation @ self.slow,
            origin=rotation @ self.origin + translation,
        )


@dataclass(frozen=True, eq=False)
class Detector:
    """Panels (laboratory frame) and the hierarchy that groups them; None means one flat group."""

    panels: tuple[Panel, ...]
    hierarchy: Group | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        object.__setattr__(self, "panels", tuple(self.panels))

    def __len__(self) -> int:
        return len(self.panels)

    def __getitem__(self, number: int) -> Panel:
        return self.panels[number]

    def moved(self, rotation: NDArray[np.float64], translation: NDArray[np.float64]) -> "Detector":
        """The whole detector after the rigid motion r -> rotation @ r + translation (mm)."""
        return replace(
            self,
            panels=tuple(panel.moved(rotation, translation) for panel in self.panels),
            hierarchy=self.hierarchy and self.hierarchy.moved(rotation, translation),
        )

    def with_panels(self, panels: Sequence[Panel]) -> "Detector":
        """The same hierarchy with other panels."""
        return replace(self, panels=tuple(panels))
