"""The data of the image viewer: pixels, geometry and reflections, as the page wants them, and what it saves."""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from puredials.errors import ParameterError
from puredials.io.formats import write_mask
from puredials.model import Experiment, Experiments, ImageSource, ReflectionTable
from puredials.spots import generate_mask
from puredials.spots.explain import MODES, Mode, ThresholdStages
from puredials.spots.mask import resolution_map
from puredials.spots.params import Masking, Threshold
from puredials.spots.radial import Shells, make_shells
from puredials.viewer.layout import LARGEST, describe, hkl_matrix, ring_positions, ring_spacings
from puredials.viewer.pixels import coded, corrected, stacked, valid_pixels
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
    "marks.js",
    "overlay.js",
    "tools.js",
    "plot.js",
    "viewer.css",
    "image.css",
)
_MAX_STACK = 500
_MAX_KERNEL = 50
_RADIAL_BINS = 500

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
        self.sets = [
            _ImageSet(experiments, np.flatnonzero(ids == number), source) for number, source in enumerate(sources)
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
        for chosen in view.sets:
            chosen.source.read(0)
            _ = chosen.usable  # the page need not wait for it
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

    def _choice(self, query: Query) -> "tuple[_ImageSet, range]":
        """The set of images, and its images that are stacked."""
        number, index, stack = (int(query.get(name, default)) for name, default in _CHOICE)
        if not 0 <= number < len(self.sets) or not 0 <= index < len(self.sets[number].source):
            raise ParameterError(f"There is no image {index} in set {number}.")
        if not 1 <= stack <= _MAX_STACK:
            raise ParameterError(f"stack={stack} is not within 1,{_MAX_STACK}.")
        chosen = self.sets[number]
        return chosen, range(index, min(index + stack, len(chosen.source)))

    def _image(self, query: Query) -> Reply:
        chosen, images = self._choice(query)
        mode = query.get("mode", "image")
        if mode == "image":
            pixels = chosen.pixels(images, query.get("how", "sum"))
            limits = [p.valid_range for p in chosen.panels]
            if query.get("kind") == "corrected":
                pixels = corrected(pixels, chosen.panels)
                limits = [
                    ((low - p.pedestal) / p.gain, (high - p.pedestal) / p.gain)
                    for (low, high), p in zip(limits, chosen.panels, strict=True)
                ]
            if len(images) > 1:  # stacks of valid counts may well exceed the largest of an image
                limits = [(low, LARGEST) for low, _ in limits]
            valid = [[max(low, -LARGEST), min(high, LARGEST)] for low, high in limits]
        elif mode in MODES:
            pixels = chosen.stage(images[0], cast(Mode, mode), _threshold(query.get("threshold", "{}")))
            valid = [[-LARGEST, LARGEST]] * len(pixels)
        else:
            raise ParameterError(f"mode={mode} is none of image, {', '.join(MODES)}.")
        arrays, about = coded(pixels, chosen.usable)
        return arrays_reply(
            arrays, {**about, "valid": valid}, compress="codes" in arrays and query.get("compress") != "0"
        )

    def _overlay(self, query: Query) -> Reply:
        chosen, images = self._choice(query)
        scan = chosen.first.scan
        start = 0 if scan is None else scan.array_range[0]
        matrices = [hkl_matrix(e, start + images[0] + 0.5) for e in chosen.experiments]
        about: dict[str, Any] = {"hkl_matrices": [m.tolist() for m in matrices if m is not None]}
        arrays: dict[str, NDArray[Any]] = {}
        if self.reflections is not None:
            only = {name: query.get(name) == "true" for name in ("indexed", "integrated")}
            z = range(start + images.start, start + images.stop)
            arrays = reflections_on(self.reflections, chosen.numbers, z, **only)
        if query.get("threshold"):
            found = chosen.stage(images[0], "threshold", _threshold(query["threshold"]))
            arrays["threshold"] = np.concatenate([_positions(n, strong) for n, strong in enumerate(found)])
        return arrays_reply(arrays, about, compress=query.get("compress") != "0")

    def _rings(self, query: Query) -> Reply:
        experiment = self._choice(query)[0].first
        group = query.get("space_group", "1")
        spacings = ring_spacings(experiment, query.get("kind", "resolution"), query.get("cell", ""), group)
        rings = [ring_positions(experiment, float(d)) for d in spacings]
        if not rings:
            return arrays_reply({}, {"d": []})
        panels, places = (np.stack(part) for part in zip(*rings, strict=True))
        return arrays_reply({"panel": panels, "at": places}, {"d": spacings.tolist()})

    def _radial(self, query: Query) -> Reply:
        chosen, images = self._choice(query)
        pixels = chosen.pixels(images, query.get("how", "sum"))
        valid = valid_pixels(pixels, chosen.panels, chosen.usable, stacked=len(images) > 1)
        total, count = np.zeros(_RADIAL_BINS), np.zeros(_RADIAL_BINS)
        width, bins_of = chosen.radial_bins
        for bins, values, good in zip(bins_of, pixels, valid, strict=True):
            total += np.bincount(bins[good], values[good], _RADIAL_BINS)
            count += np.bincount(bins[good], minlength=_RADIAL_BINS)
        some = count > 0
        q = (np.arange(_RADIAL_BINS) + 0.5) * width
        return arrays_reply({"q": q[some], "mean": total[some] / count[some], "pixels": count[some]})

    def _save_find_spots(self, value: Any) -> Reply:
        threshold = _threshold(value["threshold"])
        text = f"spotfinder {{\n  threshold {{\n{parameter_text(threshold, 2)}  }}\n}}\n"
        return json_reply(save(self.folder, value["name"], ".phil", lambda path: path.write_text(text)))

    def _save_mask(self, value: Any) -> Reply:
        chosen, _ = self._choice({"set": str(int(value["set"]))})
        params = Masking(untrusted=untrusted_shapes(value["shapes"], len(chosen.panels)))
        name = value["name"]
        if isinstance(name, str) and name.endswith(".phil"):
            text = "".join(f"untrusted {{\n{parameter_text(shape, 1)}}}\n" for shape in params.untrusted)
            return json_reply(save(self.folder, name, ".phil", lambda path: path.write_text(text)))
        masks = generate_mask(chosen.first, params=params)
        masks = tuple(mask & usable for mask, usable in zip(masks, chosen.usable, strict=True))
        return json_reply(save(self.folder, name, ".mask", lambda path: write_mask(path, masks)))


_CHOICE = (("set", "0"), ("image", "0"), ("stack", "1"))


class _ImageSet:
    """Images of one source, with the experiments on them, and what is calculated of them once."""

    def __init__(self, experiments: Experiments, numbers: NDArray[np.int64], source: ImageSource) -> None:
        self.numbers, self.source = numbers, source
        self.experiments = [experiments[int(number)] for number in numbers]
        self.first: Experiment = self.experiments[0]
        self.panels = self.first.detector.panels
        self._stages_lock = threading.Lock()
        self._shells: dict[int, Shells] = {}

    @cached_property
    def usable(self) -> tuple[NDArray[np.bool_], ...]:
        return self.source.static_mask()

    @cached_property
    def _stages(self) -> ThresholdStages:
        return ThresholdStages(self.panels, self.usable)

    @cached_property
    def radial_bins(self) -> tuple[float, list[NDArray[np.uint16]]]:
        """Width of a bin in 1/d (1/Angstrom), and the bin of each pixel of each panel."""
        inverse_d = [np.sqrt(resolution_map(self.first, n)).astype(np.float32) for n in range(len(self.panels))]
        width = float(max(q.max() for q in inverse_d)) / _RADIAL_BINS
        return width, [np.minimum(q / width, _RADIAL_BINS - 1).astype(np.uint16) for q in inverse_d]

    def pixels(self, images: range, how: str) -> tuple[NDArray[Any], ...]:
        return self.source.read(images[0]) if len(images) == 1 else stacked(self.source, images, self.panels, how)

    def stage(self, index: int, mode: Mode, threshold: Threshold) -> list[NDArray[Any]]:
        """The picture of a stage of the threshold; see `ThresholdStages`."""
        raw = self.source.read(index)
        with self._stages_lock:
            return self._stages.picture(raw, mode, threshold, self._shells_for(threshold))

    def _shells_for(self, threshold: Threshold) -> Shells | None:
        if threshold.algorithm != "radial_profile":
            return None
        n_bins = threshold.radial_profile.n_bins
        if n_bins not in self._shells:
            self._shells = {n_bins: make_shells(self.first, n_bins)}
        return self._shells[n_bins]


def _threshold(value: Any) -> Threshold:
    """Parameters of the threshold, from JSON text or its values."""
    try:
        threshold = Threshold.model_validate_json(value) if isinstance(value, str) else Threshold.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise ParameterError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    if not all(0 <= k <= _MAX_KERNEL for k in threshold.dispersion.kernel_size):
        raise ParameterError(f"kernel_size must be within 0,{_MAX_KERNEL}.")
    return threshold


def _positions(panel: int, flags: NDArray[np.uint8]) -> NDArray[np.float32]:
    y, x = np.nonzero(flags)
    return np.column_stack([np.full(len(x), panel), x, y]).astype(np.float32)
