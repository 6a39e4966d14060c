"""Full imgCIF headers: axes, their settings and the array that they carry (International Tables G, chapter 5.6).

imgCIF's laboratory frame is ours. An axis names by ``depends_on`` the axis that carries it.
"""

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError
from puredials.io.formats.cbf import Header, binary_size
from puredials.io.formats.frames import Cache, Frame, epoch, forwards, gap_rectangles, sensor, transform
from puredials.model import Beam, Detector, Goniometer, Panel

__all__ = ["read_imgcif"]


@dataclass(frozen=True)
class _Axis:
    kind: str
    equipment: str
    parent: str
    vector: NDArray[np.float64]
    offset: NDArray[np.float64]


class _Block:
    """The tables of a header's CIF block."""

    def __init__(self, text: str, path: Path) -> None:
        self.path = path
        end = text.find("_array_data.data")
        try:
            self.block = gemmi.cif.read_string(text[:end] if end >= 0 else text)[0]
        except (ValueError, RuntimeError, IndexError) as error:
            raise FileError(f"The imgCIF header of {path} cannot be parsed: {error}.") from None

    def rows(self, category: str, *names: str) -> list[dict[str, str]]:
        """The rows of a table, "" where a value is unknown or absent."""
        table = self.block.find(f"_{category}.", [names[0], *(f"?{name}" for name in names[1:])])
        return [{name: self._value(row.str(k)) if row.has(k) else "" for k, name in enumerate(names)} for row in table]

    @staticmethod
    def _value(text: str) -> str:
        return "" if text in (".", "?") else text

    def single(self, category: str, name: str) -> str:
        """The value in the first row of a table; "" without."""
        rows = self.rows(category, name)
        return rows[0][name] if rows else ""

    def number(self, text: str, what: str) -> float:
        try:
            return float(text or 0.0)
        except ValueError:
            raise FileError(f'"{text}" in the imgCIF header of {self.path} is not a number ({what}).') from None

    def axes(self) -> dict[str, _Axis]:
        columns = [f"{kind}[{k}]" for kind in ("vector", "offset") for k in (1, 2, 3)]
        found: dict[str, _Axis] = {}
        for row in self.rows("axis", "id", "type", "equipment", "depends_on", *columns):
            values = np.array([self.number(row[name], name) for name in columns])
            norm = float(np.linalg.norm(values[:3]))
            found[row["id"]] = _Axis(
                row["type"], row["equipment"], row["depends_on"], values[:3] / (norm or 1.0), values[3:]
            )
        return found

    def settings(self) -> dict[str, tuple[float, float]]:
        """Angle (degrees) and displacement (mm) of each axis in this image."""
        found: dict[str, tuple[float, float]] = {}
        for row in self.rows("diffrn_scan_axis", "axis_id", "angle_start", "displacement_start"):
            found[row["axis_id"]] = tuple(self.number(row[k], k) for k in ("angle_start", "displacement_start"))  # type: ignore[assignment]
        for row in self.rows("diffrn_scan_frame_axis", "axis_id", "angle", "displacement"):
            found[row["axis_id"]] = tuple(self.number(row[k], k) for k in ("angle", "displacement"))  # type: ignore[assignment]
        return found

    def increments(self) -> dict[str, float]:
        """Degrees that each axis turns in an image."""
        rows = self.rows("diffrn_scan_axis", "axis_id", "angle_increment", "angle_range")
        return {r["axis_id"]: self.number(r["angle_increment"] or r["angle_range"], "angle_increment") for r in rows}


def read_imgcif(path: Path, text: str, cache: Cache) -> Frame:
    """The frame that a full imgCIF header describes."""
    block = _Block(text, path)
    axes, settings = block.axes(), block.settings()
    goniometer, start, width = _goniometer(block, axes, settings)
    wavelength = block.number(block.single("diffrn_radiation_wavelength", "wavelength"), "wavelength")
    if wavelength <= 0:
        raise FileError(f"The imgCIF header of {path} tells no wavelength.")
    source = next((axis.vector for axis in axes.values() if axis.equipment == "source"), np.array([0.0, 0.0, 1.0]))
    panel = _panel(block, text, axes, settings, wavelength)
    frame = (block.rows("diffrn_scan_frame", "frame_id", "integration_time", "exposure_time", "date") or [{}])[0]
    key = (panel.fast.tobytes(), panel.slow.tobytes(), panel.origin.tobytes(), panel.image_size, panel.identifier)
    return Frame(
        format="FormatCBFFullPilatus" if "PILATUS" in text.upper() else "FormatCBFFull",
        beam=cache.get(("imgcif beam", wavelength, source.tobytes()), lambda: Beam(source, wavelength)),
        detector=cache.get((*key, panel.trusted_range, wavelength, panel.thickness), lambda: Detector((panel,))),
        goniometer=None if goniometer is None else cache.shared(goniometer),
        start=start,
        width=width,
        exposure=block.number(frame.get("integration_time") or frame.get("exposure_time", ""), "exposure"),
        epoch=epoch(frame.get("date", "")),
    )


def _goniometer(
    block: _Block, axes: dict[str, _Axis], settings: dict[str, tuple[float, float]]
) -> tuple[Goniometer | None, float, float]:
    """The goniometer, start and width of its scan; of axes that all stand still the outermost is taken."""
    named = [row["axis_id"] for row in block.rows("diffrn_measurement_axis", "axis_id")]
    turning = {name for name in named if name in axes and axes[name].kind == "rotation"}
    if not turning:
        return None, 0.0, 0.0
    carriers = {axes[name].parent for name in turning}
    name = next(name for name in named if name in turning and name not in carriers)
    order: list[str] = []
    while name in axes:
        if name in turning:
            order.append(name)
        name = axes[name].parent
    increments = block.increments()
    scanning = [k for k, name in enumerate(order) if increments.get(name)]
    if len(scanning) > 1:
        raise FileError(f"Several axes turn during the scan in {block.path}; only one may.")
    scan = scanning[0] if scanning else len(order) - 1
    goniometer = Goniometer(
        np.array([axes[name].vector for name in order]),
        np.array([settings.get(name, (0.0, 0.0))[0] for name in order]),
        tuple(order),
        scan,
        multi_axis=len(order) > 1,
    )
    return forwards(goniometer, float(goniometer.angles[scan]), increments.get(order[scan], 0.0))


def _panel(
    block: _Block, text: str, axes: dict[str, _Axis], settings: dict[str, tuple[float, float]], wavelength: float
) -> Panel:
    header = Header(text, block.path)
    fast, slow = _pixel_axes(block, axes)
    carrier = {name: _motion(name, axes, settings, block.path) for name in (fast[0], slow[0])}
    leaf = fast[0] if axes[fast[0]].parent == slow[0] or slow[0] in _carriers(fast[0], axes) else slow[0]
    size = binary_size(text, block.path)
    overload = block.single("array_intensities", "overload") or str(header.number("Count_cutoff", 2.0**31 - 2))
    pixel = abs(fast[1]), abs(slow[1])
    return Panel(
        np.sign(fast[1]) * _direction(fast[0], axes, carrier),
        np.sign(slow[1]) * _direction(slow[0], axes, carrier),
        carrier[leaf][:3, 3],
        size,
        pixel,
        trusted_range=(-0.5, block.number(overload, "overload") + 0.5),
        identifier=header.detector,
        mask=gap_rectangles(size, "PILATUS") if "PILATUS" in header.detector.upper() else (),
        **sensor(*header.sensor, wavelength),
    )


def _pixel_axes(block: _Block, axes: dict[str, _Axis]) -> list[tuple[str, float]]:
    """Axis and signed step (mm) of the fast and the slow direction."""
    sets = {
        row["axis_set_id"]: (row["axis_id"], block.number(row["displacement_increment"], "displacement_increment"))
        for row in block.rows("array_structure_list_axis", "axis_set_id", "axis_id", "displacement_increment")
    }
    found: dict[int, tuple[str, float]] = {}
    for row in block.rows("array_structure_list", "axis_set_id", "precedence", "direction"):
        axis, step = sets.get(row["axis_set_id"], ("", 0.0))
        if axis in axes and step:
            found[int(row["precedence"])] = axis, -step if row["direction"] == "decreasing" else step
    if 1 not in found or 2 not in found:
        raise FileError(f"The imgCIF header of {block.path} does not tell along which axes the pixels lie.")
    return [found[1], found[2]]


def _carriers(name: str, axes: dict[str, _Axis]) -> set[str]:
    found: set[str] = set()
    while (name := axes[name].parent) in axes and name not in found:
        found.add(name)
    return found


def _motion(
    name: str, axes: dict[str, _Axis], settings: dict[str, tuple[float, float]], path: Path
) -> NDArray[np.float64]:
    """(4, 4) motion of all that the axis carries."""
    total, seen = np.eye(4), set()
    while name:
        if name not in axes or name in seen:
            raise FileError(f'The axis "{name}" in the imgCIF header of {path} is missing or depends on itself.')
        seen.add(name)
        axis = axes[name]
        angle, displacement = settings.get(name, (0.0, 0.0))
        value = angle if axis.kind == "rotation" else displacement
        total = transform(axis.kind, axis.vector, value, axis.offset) @ total
        name = axis.parent
    return total


def _direction(name: str, axes: dict[str, _Axis], carrier: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The laboratory direction of a translation axis, which its own motion does not turn."""
    return carrier[name][:3, :3] @ axes[name].vector
