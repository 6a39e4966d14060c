"""What the header of one image says, in the terms of the data model."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from puredials.io.formats.materials import attenuation
from puredials.model import Beam, Detector, Goniometer, Panel
from puredials.model.goniometer import rotation_matrix

__all__ = ["Cache", "Frame", "Stack", "eiger_family", "epoch", "forwards", "gap_rectangles", "make_panel",
           "sensor", "transform"]  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True)
class Frame:
    """One image that is a file of its own.

    Frames of one sweep share the SAME model objects: readers cache them. `start` and `width` are degrees, `exposure`
    and `epoch` seconds.
    """

    format: str
    beam: Beam
    detector: Detector
    goniometer: Goniometer | None
    start: float = 0.0
    width: float = 0.0
    exposure: float = 0.0
    epoch: float = 0.0


@dataclass(frozen=True)
class Stack:
    """All images of one HDF5 file; `start` and `width` are degrees; without a goniometer the images are stills."""

    format: str
    beam: Beam
    detector: Detector
    goniometer: Goniometer | None
    n_images: int
    start: float = 0.0
    width: float = 0.0
    exposure: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    epochs: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


def forwards(goniometer: Goniometer, start: float, width: float) -> tuple[Goniometer, float, float]:
    """The same scan with a width that is not negative: a turn backwards is a turn forwards about the opposite axis."""
    if width >= 0:
        return goniometer, start, width
    axes, angles, scan = goniometer.axes.copy(), goniometer.angles.copy(), goniometer.scan_axis
    axes[scan] *= -1
    angles[scan] *= -1
    return replace(goniometer, axes=axes, angles=angles), -start, -width


class Cache:
    """Models that many headers of one import have in common, so that they become one object."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave when the key was first met."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def shared(self, goniometer: Goniometer) -> Goniometer:
        """The first goniometer that differed from this one in nothing but the angle of the scan axis."""
        g = goniometer
        still = np.delete(g.angles, g.scan_axis)
        return self.get((g.axes.tobytes(), still.tobytes(), g.names, g.scan_axis, g.multi_axis), lambda: g)


# Modules of hybrid pixel detectors and the gaps between them, (fast, slow) pixels.
_MODULES = {"PILATUS": ((487, 195), (7, 17)), "EIGER": ((1030, 514), (10, 37)), "EIGER2": ((1028, 512), (12, 38))}


def gap_rectangles(image_size: tuple[int, int], family: str) -> tuple[tuple[int, int, int, int], ...]:
    """The gaps between the modules of a whole PILATUS, EIGER or EIGER2, as rectangles (x0, y0, x1, y1); () if the size
    is not made of whole modules."""
    rectangles: list[tuple[int, int, int, int]] = []
    for axis in (0, 1):
        module, gap = (_MODULES[family][k][axis] for k in (0, 1))
        n, rest = divmod(image_size[axis] + gap, module + gap)
        if rest:
            return ()
        for k in range(1, n):
            a, b = k * (module + gap) - gap, k * (module + gap)
            rectangles.append((a, 0, b, image_size[1]) if axis == 0 else (0, a, image_size[0], b))
    return tuple(rectangles)


def eiger_family(image_size: tuple[int, int]) -> str:
    """EIGER2 (and EIGER X) or the EIGER of old, by the size of the modules that make up the image."""
    return "EIGER2" if (image_size[0] + 12) % 1040 == 0 else "EIGER"


def sensor(material: str, thickness: float, wavelength: float) -> dict[str, Any]:
    """The fields of a `Panel` that describe its sensor (mm), with parallax correction if all is known."""
    if not material or thickness <= 0:
        return {}
    mu = attenuation(material, wavelength)
    return {"material": material, "thickness": thickness, "mu": mu, "parallax": True}


def make_panel(
    *,
    distance: float,
    beam_centre: Sequence[float],
    pixel_size: tuple[float, float],
    image_size: tuple[int, int],
    maximum: float,
    minimum: float = 0,
    fast: Sequence[float] = (1, 0, 0),
    slow: Sequence[float] = (0, -1, 0),
    two_theta: tuple[Sequence[float], float] | None = None,
    **fields: Any,
) -> Panel:
    """A panel normal to the beam (travelling along -z) at a distance (mm), then swung by `two_theta` (axis, degrees).

    `beam_centre` is (fast, slow) in mm from the outer corner of the first pixel; `minimum` and `maximum` are the lowest
    and highest trusted counts.
    """
    f, s = np.array(fast, dtype=float), np.array(slow, dtype=float)
    origin = -distance * np.array([0, 0, 1.0]) - beam_centre[0] * f - beam_centre[1] * s
    panel = Panel(f, s, origin, image_size, pixel_size, trusted_range=(minimum - 0.5, maximum + 0.5), **fields)
    if two_theta is not None and two_theta[1]:
        turn = rotation_matrix(np.array(two_theta[0], dtype=float), float(np.radians(two_theta[1])))
        panel = panel.moved(turn, np.zeros(3))
    return panel


def transform(kind: str, vector: NDArray[np.float64], value: float, offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 4) motion of one axis: a rotation by `value` (degrees) or a translation (mm), placed at `offset` (mm)."""
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    if kind == "rotation":
        matrix[:3, :3] = rotation_matrix(vector, float(np.radians(value)))
    elif kind == "translation":
        matrix[:3, 3] += value * vector
    return matrix


_STAMPS = ("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y/%b/%d %H:%M:%S.%f", "%Y/%b/%d %H:%M:%S",
           "%a %b %d %H:%M:%S %Y", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S")  # fmt: skip


def epoch(text: str) -> float:
    """Seconds since 1970 of a date in a header, taken as UTC since few say their zone; 0 if it is not understood."""
    text = text.strip().rstrip("Z")
    for stamp in _STAMPS:
        try:
            return datetime.strptime(text[:26], stamp).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return 0.0
