"""The images of one source, as the image viewer shows them; what was made last is kept."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from puredials.model import Experiment, Experiments, ImageSource, Panel
from puredials.spots.explain import Mode, ThresholdStages
from puredials.spots.mask import resolution_map
from puredials.spots.params import Threshold
from puredials.spots.radial import Shells, make_shells
from puredials.viewer.pixels import LARGEST, Picture, corrected, stacked, stacked_panels, valid_pixels

__all__ = ["Choice", "Kept", "ShownImages", "ShownMode"]

# The page asks for parts of a picture one after the other, and for parts of the next picture meanwhile.
_KEPT = 3
_RADIAL_BINS = 500

ShownMode = Literal["image"] | Mode


@dataclass(frozen=True)
class Choice:
    """What is shown: a stage of the threshold, or the image, of one image or of a stack.

    Attributes:
        images: their indices; several are combined as `how` says: sum, mean or max.
        corrected: photons instead of counts.
        threshold: whose stage is shown.
    """

    images: range
    how: str = "sum"
    mode: ShownMode = "image"
    corrected: bool = False
    threshold: Threshold | None = None


class ShownImages:
    """Images of one source, with the experiments on them, and what is calculated of them once."""

    def __init__(self, experiments: Experiments, numbers: NDArray[np.int64], source: ImageSource, kept: "Kept") -> None:
        self.numbers, self.source, self._kept = numbers, source, kept
        self.experiments = [experiments[int(number)] for number in numbers]
        self.first: Experiment = self.experiments[0]
        self.panels = self.first.detector.panels
        self._stages_lock = threading.Lock()
        self._shells: dict[int, Shells] = {}

    @cached_property
    def usable(self) -> tuple[NDArray[np.bool_], ...]:
        return self.source.static_mask()

    @property
    def areas(self) -> list[tuple[int, tuple[int, int, int, int]]]:
        """Each panel, whole."""
        return [(n, (0, 0, *panel.image_size)) for n, panel in enumerate(self.panels)]

    @cached_property
    def _stages(self) -> ThresholdStages:
        return ThresholdStages(self.panels, self.usable)

    @cached_property
    def _radial_bins(self) -> tuple[float, list[NDArray[np.uint16]]]:
        """Width of a bin in 1/d (1/Angstrom), and the bin of each pixel of each panel."""
        inverse_d = [np.sqrt(resolution_map(self.first, n)).astype(np.float32) for n in range(len(self.panels))]
        width = float(max(q.max() for q in inverse_d)) / _RADIAL_BINS
        return width, [np.minimum(q / width, _RADIAL_BINS - 1).astype(np.uint16) for q in inverse_d]

    def picture(self, choice: Choice) -> Picture:
        """The picture of a choice; the last ones are kept."""
        return self._kept.picture((self, choice), lambda: self._made(choice))

    def _made(self, choice: Choice) -> Picture:
        panels = stacked_panels(self.panels, len(choice.images), choice.how)
        if choice.mode != "image":
            values = self._stage(choice, panels)
            return Picture(values, self.usable, ((-LARGEST, LARGEST),) * len(values))
        values = self._pixels(choice)
        limits = [p.valid_range for p in panels]
        if choice.corrected:
            values = corrected(values, panels)
            limits = [
                ((low - p.pedestal) / p.gain, (high - p.pedestal) / p.gain)
                for (low, high), p in zip(limits, panels, strict=True)
            ]
        return Picture(values, self.usable, tuple((max(low, -LARGEST), min(high, LARGEST)) for low, high in limits))

    def _pixels(self, choice: Choice) -> tuple[NDArray[Any], ...]:
        if len(choice.images) == 1:
            return self.source.read(choice.images[0])
        return stacked(self.source, choice.images, self.panels, choice.how)

    def _stage(self, choice: Choice, panels: Sequence[Panel]) -> tuple[NDArray[Any], ...]:
        """The picture of a stage of the threshold; see `ThresholdStages`."""
        assert choice.mode != "image"
        threshold = choice.threshold or Threshold()
        raw = self._pixels(choice)
        with self._stages_lock:
            return tuple(self._stages.picture(raw, choice.mode, threshold, self._shells_for(threshold), panels))

    def _shells_for(self, threshold: Threshold) -> Shells | None:
        if threshold.algorithm != "radial_profile":
            return None
        n_bins = threshold.radial_profile.n_bins
        if n_bins not in self._shells:
            self._shells = {n_bins: make_shells(self.first, n_bins)}
        return self._shells[n_bins]

    def radial_average(self, choice: Choice) -> dict[str, NDArray[Any]]:
        """1/d (1/Angstrom) of the bins, mean of their valid pixels, and how many these are."""
        picture = self.picture(choice)
        total, count = np.zeros(_RADIAL_BINS), np.zeros(_RADIAL_BINS)
        width, bins_of = self._radial_bins
        for bins, values, good in zip(bins_of, picture.values, valid_pixels(picture), strict=True):
            total += np.bincount(bins[good], values[good], _RADIAL_BINS)
            count += np.bincount(bins[good], minlength=_RADIAL_BINS)
        some = count > 0
        q = (np.arange(_RADIAL_BINS) + 0.5) * width
        return {"q": q[some], "mean": total[some] / count[some], "pixels": count[some]}


class Kept:
    """The pictures that were asked for last, of whichever set; each is made once, whoever asks for it meanwhile."""

    def __init__(self) -> None:
        self._pictures: dict[tuple[ShownImages, Choice], _Once] = {}
        self._lock = threading.Lock()

    def picture(self, key: tuple[ShownImages, Choice], make: Callable[[], Picture]) -> Picture:
        with self._lock:
            once = self._pictures.pop(key, None) or _Once()
            self._pictures[key] = once
            while len(self._pictures) > _KEPT:
                del self._pictures[next(iter(self._pictures))]
        return once.get(make)


class _Once:
    """A picture that is made when it is first asked for; a failure is tried again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._picture: Picture | None = None

    def get(self, make: Callable[[], Picture]) -> Picture:
        with self._lock:
            if self._picture is None:
                self._picture = make()
            return self._picture
