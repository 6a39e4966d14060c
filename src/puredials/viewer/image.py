"""The data of the image viewer: pixels, geometry and reflections, as the page wants them."""

from collections.abc import Mapping, Sequence
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from puredials.errors import ParameterError
from puredials.geometry import detector_d_min, intersect, mm_to_px, ray_on_plane, rlp_to_r
from puredials.model import Experiment, Experiments, ImageSource, Panel, ReflectionTable
from puredials.model.shoebox import MaskBits, Shoeboxes
from puredials.prediction import setting_matrices
from puredials.spots.mask import powder_rings
from puredials.spots.params import IceRings
from puredials.viewer.server import Reply, Route, arrays_reply, json_reply

__all__ = ["STATIC", "ImageView"]

STATIC = ("image.html", "image.js", "common.js", "panels.js", "overlay.js", "viewer.css")

# Points of a ring.
_AROUND = 720
# Lines of a cell that are drawn: more would fill the picture.
_LINES = 30
_MAX_STACK = 100


class ImageView:
    """Images of the image sets of `experiments`, with reflections over them. `sources`: one an image set."""

    def __init__(
        self, experiments: Experiments, sources: Sequence[ImageSource], reflections: ReflectionTable | None = None
    ) -> None:
        self.experiments, self.sources, self.reflections = experiments, tuple(sources), reflections
        self.set_of = np.array(experiments.imageset_ids(), dtype=np.int64)
        self.first_of = [experiments[int(np.argmax(self.set_of == k))] for k in range(len(self.sources))]

    @property
    def routes(self) -> Mapping[str, Route]:
        return {
            "sets.json": self._sets,
            "image.bin": self._image,
            "mask.bin": self._mask,
            "overlay.json": self._overlay,
            "rings.json": self._rings,
        }

    def _choice(self, query: Mapping[str, str]) -> tuple[int, int]:
        """Numbers of the image set and of its image."""
        number, index = int(query.get("set", "0")), int(query.get("image", "0"))
        if not 0 <= number < len(self.sources) or not 0 <= index < len(self.sources[number]):
            raise ParameterError(f"There is no image {index} in set {number}.")
        return number, index

    def _sets(self, _: Mapping[str, str]) -> Reply:
        return json_reply([_describe(e, s) for e, s in zip(self.first_of, self.sources, strict=True)])

    def _image(self, query: Mapping[str, str]) -> Reply:
        number, index = self._choice(query)
        stack, source = int(query.get("stack", "1")), self.sources[number]
        if not 1 <= stack <= _MAX_STACK:
            raise ParameterError(f"stack={stack} is not within 1,{_MAX_STACK}.")
        images = range(index, min(index + stack, len(source)))
        if len(images) == 1:
            panels = source.read(index)
        else:
            panels = _stacked(source, images, self.first_of[number].detector.panels, query.get("how", "sum"))
        kind = np.float32 if any(p.dtype.kind == "f" for p in panels) else np.int32
        return arrays_reply({"values": np.concatenate([p.astype(kind, copy=False).ravel() for p in panels])})

    def _mask(self, query: Mapping[str, str]) -> Reply:
        number, _ = self._choice(query)
        usable = np.concatenate([m.ravel() for m in self.sources[number].static_mask()])
        return arrays_reply({"usable": usable.view(np.uint8)})

    def _overlay(self, query: Mapping[str, str]) -> Reply:
        number, index = self._choice(query)
        scan = self.first_of[number].scan
        z = index + (0 if scan is None else scan.array_range[0])
        numbers = np.flatnonzero(self.set_of == number)
        matrices = [_hkl_matrix(self.experiments[int(k)], z + 0.5) for k in numbers]
        found = {"hkl_matrices": [m.tolist() for m in matrices if m is not None], "reflections": {}}
        if self.reflections is not None:
            found["reflections"] = _reflections_on(self.reflections, numbers, z)
        return json_reply(found)

    def _rings(self, query: Mapping[str, str]) -> Reply:
        number, _ = self._choice(query)
        experiment = self.first_of[number]
        d_min = max(detector_d_min(experiment), 0.5)
        kind = query.get("kind", "resolution")
        if kind == "resolution":
            spacings = 1 / np.sqrt(np.linspace(0, 1 / d_min**2, 9)[1:])
        elif kind == "ice":
            spacings = 1 / np.sqrt(powder_rings(IceRings(), d_min))
        else:
            cell = tuple(float(v) for v in query["cell"].replace(",", " ").split())
            if len(cell) != 6 or not gemmi.UnitCell(*cell).is_crystal():
                raise ParameterError("A cell is six numbers: a, b, c, alpha, beta, gamma.")
            lines = powder_rings(IceRings(unit_cell=cell, space_group="1"), max(d_min, max(cell[:3]) / 8))
            spacings = 1 / np.sqrt(lines[:_LINES])
        return json_reply([{"d": float(d), "points": _ring(experiment, float(d))} for d in spacings])


def _stacked(source: ImageSource, images: range, panels: Sequence[Panel], how: str) -> tuple[NDArray[np.float32], ...]:
    """Sum, mean or largest value of images, pixel by pixel; below the valid range where any of them is invalid."""
    combine = {"sum": np.add, "mean": np.add, "max": np.maximum}.get(how)
    if combine is None:
        raise ParameterError(f"how={how} is none of sum, mean, max.")
    total = [np.zeros(p.image_size[::-1], dtype=np.float32) for p in panels]
    valid = [np.ones(p.image_size[::-1], dtype=np.bool_) for p in panels]
    for n in images:
        for panel, out, good, raw in zip(panels, total, valid, source.read(n), strict=True):
            low, high = panel.valid_range
            good &= (low <= raw) & (raw <= high)
            out[...] = raw if n == images[0] else combine(out, raw, dtype=np.float32, casting="unsafe")
    for panel, out, good in zip(panels, total, valid, strict=True):
        if how == "mean":
            out /= len(images)
        out[~good] = panel.valid_range[0] - 1
    return tuple(total)


def _describe(experiment: Experiment, source: ImageSource) -> dict[str, Any]:
    beam, scan = experiment.beam, experiment.scan
    images = experiment.imageset
    first = experiment.detector[0]
    panels = [_place(panel, first) for panel in experiment.detector.panels]
    return {
        "name": "" if images is None else (images.template or ", ".join(images.images[:1])),
        "images": len(source),
        "first": 1 if scan is None else scan.image_range[0],
        "oscillation": None if scan is None else scan.oscillation,
        "s0": beam.s0.tolist(),
        "wavelength": beam.wavelength,
        "axis": None if experiment.goniometer is None else experiment.goniometer.rotation_axis.tolist(),
        "beam_centre": _beam_centre(experiment),
        "panels": panels,
    }


def _place(panel: Panel, first: Panel) -> dict[str, Any]:
    """A panel's frame, and where it goes in the flat picture: the plane and the pixels of the first panel."""
    pixel = np.array(first.pixel_size)

    def flat(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([vector @ first.fast, vector @ first.slow]) / pixel

    low, high = panel.valid_range
    return {
        "size": panel.image_size,
        "pixel": panel.pixel_size,
        "fast": panel.fast.tolist(),
        "slow": panel.slow.tolist(),
        "origin": panel.origin.tolist(),
        "valid": [low, min(high, 3e38)],
        "corner": flat(panel.origin - first.origin).tolist(),
        "along": flat(panel.fast * panel.pixel_size[0]).tolist(),
        "down": flat(panel.slow * panel.pixel_size[1]).tolist(),
    }


def _beam_centre(experiment: Experiment) -> list[float] | None:
    """Position of the direct beam in the flat picture."""
    first = experiment.detector[0]
    mm, t = ray_on_plane(experiment.beam.s0[None], first)
    return mm_to_px(mm, first)[0].tolist() if t[0] > 0 else None


def _ring(experiment: Experiment, d: float) -> list[list[float | int] | None]:
    """Points (panel, x, y) of a powder line; None where it leaves the detector."""
    beam = experiment.beam
    sine = beam.wavelength / (2 * d)
    if sine >= 1:
        return []
    two_theta = 2 * np.arcsin(sine)
    forward = beam.s0 * beam.wavelength
    across = np.cross(forward, np.eye(3)[np.argmin(np.abs(forward))])
    across /= np.linalg.norm(across)
    around = np.linspace(0, 2 * np.pi, _AROUND + 1)[:, None]
    radial = np.cos(around) * across + np.sin(around) * np.cross(forward, across)
    s1 = (np.cos(two_theta) * forward + np.sin(two_theta) * radial) / beam.wavelength
    numbers, mm, hit = intersect(s1, experiment.detector)
    px = np.full((len(s1), 2), np.nan)
    for number, panel in enumerate(experiment.detector.panels):
        here = hit & (numbers == number)
        px[here] = mm_to_px(mm[here], panel)
    return [[int(n), float(x), float(y)] if on else None for n, (x, y), on in zip(numbers, px, hit, strict=True)]


def _hkl_matrix(experiment: Experiment, z: float) -> NDArray[np.float64] | None:
    """The matrix that turns s1 - s0 into h at position z (images)."""
    if experiment.crystal is None or experiment.goniometer is None or experiment.scan is None:
        return None
    at = np.array([z])
    turn = rlp_to_r(np.eye(3), np.repeat(experiment.scan.phi(at), 3), experiment.goniometer).T
    return np.linalg.inv(turn @ setting_matrices(experiment.crystal, experiment.scan, at)[0])


def _reflections_on(table: ReflectionTable, experiments: NDArray[np.int64], z: int) -> dict[str, Any]:
    """Reflections of some experiments that touch image z (array index), and those whose centre is there."""
    rows = np.ones(table.n_rows, dtype=np.bool_)
    if "id" in table:
        ids = np.asarray(table["id"])
        rows = np.isin(ids, experiments) | (ids < 0)
    touched = np.zeros_like(rows)
    boxes = np.asarray(table["bbox"]) if "bbox" in table else None
    if boxes is not None:
        touched |= (boxes[:, 4] <= z) & (z < boxes[:, 5])
    for name in ("xyzobs.px.value", "xyzcal.px"):
        if name in table:
            touched |= np.floor(np.asarray(table[name])[:, 2]) == z
    index = np.flatnonzero(rows & touched)
    found: dict[str, Any] = {"panel": np.asarray(table["panel"])[index].tolist()}
    if boxes is not None:
        found["box"] = boxes[index, :4].tolist()
    for name, key in (("xyzobs.px.value", "observed"), ("xyzcal.px", "predicted")):
        if name in table:
            xyz = np.asarray(table[name], dtype=np.float64)[index]
            here = np.floor(xyz[:, 2]) == z
            found[key] = [[x, y] if on else None for (x, y, _), on in zip(xyz.tolist(), here, strict=True)]
    if "shoebox" in table:
        found |= _strong_on(table["shoebox"], index, z)
    for name, key in (("miller_index", "hkl"), ("flags", "flags")):
        if name in table:
            found[key] = np.asarray(table[name])[index].tolist()
    return found


def _strong_on(shoeboxes: Shoeboxes, index: NDArray[np.int64], z: int) -> dict[str, Any]:
    """Strong pixels (x, y) of reflections on image z, and the largest of each reflection if it lies there."""
    strong: list[list[list[int]]] = []
    peak: list[list[list[int]]] = []
    for i in index:
        x0, _, y0, _, z0, z1 = (int(v) for v in shoeboxes.bbox[i])
        strong.append([])
        peak.append([])
        if not z0 <= z < z1 or shoeboxes.offsets[i] == shoeboxes.offsets[i + 1]:
            continue
        data, mask, _ = shoeboxes.box(int(i))
        is_strong = (mask & MaskBits.STRONG) > 0
        y, x = np.nonzero(is_strong[z - z0])
        strong[-1] = np.stack([x + x0, y + y0], axis=1).tolist()
        if is_strong.any():
            top = np.unravel_index(np.argmax(np.where(is_strong, data, -np.inf)), data.shape)
            if top[0] == z - z0:
                peak[-1] = [[int(top[2]) + x0, int(top[1]) + y0]]
    return {"strong": strong, "peak": peak}
