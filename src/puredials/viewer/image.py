"""The data of the image viewer: pixels, geometry and reflections, as the page wants them, and what it saves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from puredials.errors import ParameterError
from puredials.io.formats import write_mask
from puredials.model import Experiment, Experiments, ImageSource, Panel, ReflectionTable
from puredials.spots import generate_mask
from puredials.spots.explain import MODES, Mode
from puredials.spots.params import Masking, Threshold
from puredials.viewer.image_set import Choice, Kept, ShownImages
from puredials.viewer.layout import describe, hkl_matrix, ring_positions, ring_spacings
from puredials.viewer.pixels import coded
from puredials.viewer.reflections import reflections_on
from puredials.viewer.saving import parameter_text, save, untrusted_shapes
from puredials.viewer.server import Action, Reply, Route, arrays_reply, json_reply

__all__ = ["STATIC", "ImageView"]

STATIC = (
    "image.html",
    "common.js",
    "image.js",
    "geometry.js",
    "panels.js",
    "tiles.js",
    "marks.js",
    "overlay.js",
    "tools.js",
    "plot.js",
    "viewer.css",
    "image.css",
)
_NUMBERS = (("set", "0"), ("image", "0"), ("stack", "1"))
_MAX_STACK = 500
_MAX_KERNEL = 50
_MAX_BINS = 10_000
# So many pixels along each side are shown as one, the largest.
_REDUCTIONS = (1, 2, 4, 8, 16)

Query = Mapping[str, str]


class ImageView:
    """Images, with reflections over them.

    Args:
        experiments: of one or several sets of images.
        sources: one for each set of images, in order.
        reflections: whose ids count `experiments`.
        folder: where files are saved.
    """

    def __init__(
        self,
        experiments: Experiments,
        sources: Sequence[ImageSource],
        reflections: ReflectionTable | None = None,
        folder: Path = Path(),
    ) -> None:
        ids = np.array(experiments.imageset_ids(), dtype=np.int64)
        self.reflections, self.folder = reflections, folder
        if reflections is not None:
            reflections["panel"]  # said at once if it is missing
        kept = Kept()
        self.sets = [
            ShownImages(experiments, np.flatnonzero(ids == number), source, kept)
            for number, source in enumerate(sources)
        ]

    @classmethod
    def opened(
        cls,
        experiments: Experiments,
        open_images: Callable[[Experiment], ImageSource],
        reflections: ReflectionTable | None = None,
        folder: Path = Path(),
    ) -> "ImageView":
        """The view of experiments whose images are opened here; one of each set is read, to see that it can be."""
        first = {number: e for e, number in reversed([*zip(experiments, experiments.imageset_ids(), strict=True)])}
        sources = [open_images(first[number]) for number in sorted(first)]
        view = cls(experiments, sources, reflections, folder)
        first_set, *others = view.sets
        first_set.picture(Choice(range(1))).part(*first_set.areas[0], _REDUCTIONS[1])  # what the page asks first
        for other in others:
            other.source.read(0)
        return view

    @property
    def routes(self) -> dict[str, Route]:
        return {
            "sets.json": lambda _: json_reply([describe(s.first, s.source) for s in self.sets]),
            "image.bin": self._image,
            "overlay.bin": self._overlay,
            "rings.bin": self._rings,
            "radial.bin": self._radial,
        }

    @property
    def actions(self) -> dict[str, Action]:
        return {"find_spots": self._save_find_spots, "mask": self._save_mask}

    def _set(self, number: int) -> ShownImages:
        if not 0 <= number < len(self.sets):
            raise ParameterError(f"There is no set {number} of images.")
        return self.sets[number]

    def _choice(self, query: Query) -> tuple[ShownImages, Choice]:
        """The set of images, and what is shown of it."""
        number, index, stack = (int(query.get(name, default)) for name, default in _NUMBERS)
        chosen = self._set(number)
        if not 0 <= index < len(chosen.source):
            raise ParameterError(f"There is no image {index} in set {number}.")
        if not 1 <= stack <= _MAX_STACK:
            raise ParameterError(f"stack={stack} is not within 1,{_MAX_STACK}.")
        images, mode = range(index, min(index + stack, len(chosen.source))), query.get("mode", "image")
        if mode not in ("image", *MODES):
            raise ParameterError(f"mode={mode} is none of image, {', '.join(MODES)}.")
        # What makes no difference is left out, so that equal pictures are made once.
        how = query.get("how", "sum") if len(images) > 1 else "sum"
        if mode == "image":
            return chosen, Choice(images, how, corrected=query.get("kind") == "corrected")
        return chosen, Choice(images, how, cast(Mode, mode), threshold=_threshold(query.get("threshold", "{}")))

    def _image(self, query: Query) -> Reply:
        """Parts of a picture: areas of panels, or all of it."""
        chosen, choice = self._choice(query)
        size = int(query.get("reduce", "1"))
        if size not in _REDUCTIONS:
            raise ParameterError(f"reduce={size} is none of {', '.join(map(str, _REDUCTIONS))}.")
        areas = _areas(query["parts"], chosen.panels) if "parts" in query else chosen.areas
        picture = chosen.picture(choice)
        values, usable = zip(*(picture.part(panel, area, size) for panel, area in areas), strict=True)
        arrays = coded(values, usable)
        about = {"high": picture.high, "valid": picture.limits}
        return arrays_reply(arrays, about, compress="codes" in arrays and query.get("compress") != "0")

    def _overlay(self, query: Query) -> Reply:
        chosen, choice = self._choice(query)
        images, scan = choice.images, chosen.first.scan
        start = 0 if scan is None else scan.array_range[0]
        matrices = [hkl_matrix(e, start + images[0] + 0.5) for e in chosen.experiments]
        lattices = [(int(n), m.tolist()) for n, m in zip(chosen.numbers, matrices, strict=True) if m is not None]
        about: dict[str, Any] = {"lattices": [n for n, _ in lattices], "hkl_matrices": [m for _, m in lattices]}
        arrays: dict[str, NDArray[Any]] = {}
        if self.reflections is not None:
            only = {name: query.get(name) == "true" for name in ("indexed", "integrated")}
            z = range(start + images.start, start + images.stop)
            arrays = reflections_on(self.reflections, chosen.numbers, z, **only)
        if query.get("threshold"):
            picture = chosen.picture(replace(choice, mode="threshold", threshold=_threshold(query["threshold"])))
            arrays["threshold"] = np.concatenate([_positions(n, strong) for n, strong in enumerate(picture.values)])
        return arrays_reply(arrays, about, compress=query.get("compress") != "0")

    def _rings(self, query: Query) -> Reply:
        experiment = self._set(int(query.get("set", "0"))).first
        group = query.get("space_group", "1")
        spacings = ring_spacings(experiment, query.get("kind", "resolution"), query.get("cell", ""), group)
        rings = [ring_positions(experiment, float(d)) for d in spacings]
        if not rings:
            return arrays_reply({}, {"d": []})
        panels, places = (np.stack(part) for part in zip(*rings, strict=True))
        return arrays_reply({"panel": panels, "at": places}, {"d": spacings.tolist()})

    def _radial(self, query: Query) -> Reply:
        chosen, choice = self._choice(query)
        return arrays_reply(chosen.radial_average(choice))

    def _save_find_spots(self, value: Any) -> Reply:
        threshold = _threshold(value["threshold"])
        text = f"spotfinder {{\n  threshold {{\n{parameter_text(threshold, 2)}  }}\n}}\n"
        return json_reply(save(self.folder, value["name"], ".phil", lambda path: path.write_text(text)))

    def _save_mask(self, value: Any) -> Reply:
        chosen = self._set(int(value["set"]))
        params = Masking(untrusted=untrusted_shapes(value["shapes"], len(chosen.panels)))
        name = value["name"]
        if isinstance(name, str) and name.endswith(".phil"):
            text = "".join(f"untrusted {{\n{parameter_text(shape, 1)}}}\n" for shape in params.untrusted)
            return json_reply(save(self.folder, name, ".phil", lambda path: path.write_text(text)))
        masks = generate_mask(chosen.first, params=params)
        masks = tuple(mask & usable for mask, usable in zip(masks, chosen.usable, strict=True))
        return json_reply(save(self.folder, name, ".mask", lambda path: write_mask(path, masks)))


def _threshold(value: Any) -> Threshold:
    """Parameters of the threshold, from JSON text or its values."""
    try:
        threshold = Threshold.model_validate_json(value) if isinstance(value, str) else Threshold.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise ParameterError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    if not all(0 <= k <= _MAX_KERNEL for k in threshold.dispersion.kernel_size):
        raise ParameterError(f"kernel_size must be within 0,{_MAX_KERNEL}.")
    if threshold.radial_profile.n_bins > _MAX_BINS:
        raise ParameterError(f"n_bins must be at most {_MAX_BINS}.")
    return threshold


def _areas(text: str, panels: Sequence[Panel]) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Panels and areas of them, from ``panel:x0:y0:x1:y1,...``."""
    found: list[tuple[int, tuple[int, int, int, int]]] = []
    for part in text.split(","):
        panel, x0, y0, x1, y1 = (int(word) for word in part.split(":"))
        if not 0 <= panel < len(panels):
            raise ParameterError(f"There is no panel {panel}.")
        found.append((panel, (x0, y0, x1, y1)))
    whole = sum(width * height for width, height in (panel.image_size for panel in panels))
    if sum((x1 - x0) * (y1 - y0) for _, (x0, y0, x1, y1) in found) > whole:
        raise ParameterError("The parts overlap: they are more than the whole image.")
    return found


def _positions(panel: int, flags: NDArray[np.uint8]) -> NDArray[np.float32]:
    y, x = np.nonzero(flags)
    return np.column_stack([np.full(len(x), panel), x, y]).astype(np.float32)
