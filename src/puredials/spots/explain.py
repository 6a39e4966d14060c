"""How strong pixels are told from background, stage by stage: pictures that help to choose thresholds."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from puredials.errors import ParameterError
from puredials.kernels.dispersion import valid_pixels, window_moments
from puredials.model import Panel
from puredials.spots.params import Threshold
from puredials.spots.radial import Shells, strong_in_shells
from puredials.spots.threshold import above_mean, find_background, flag_dispersed, strong_in_panel, wider_window
from puredials.spots.workspace import Workspace

__all__ = ["MODES", "Mode", "ThresholdStages"]

Mode = Literal["mean", "variance", "dispersion", "sigma_b", "sigma_s", "global", "threshold"]
MODES: tuple[Mode, ...] = get_args(Mode)


class ThresholdStages:
    """The stages of the threshold on one image at a time; its arrays are used again for every image.

    Args:
        panels: of the detector.
        usable: one (slow, fast) array a panel: True where a pixel may be strong.
    """

    def __init__(self, panels: Sequence[Panel], usable: Sequence[NDArray[np.bool_]]) -> None:
        self.panels, self.usable = tuple(panels), tuple(usable)
        self._workspaces = [Workspace(panel) for panel in panels]

    def picture(
        self,
        raw: Sequence[NDArray[Any]],
        mode: Mode,
        threshold: Threshold,
        shells: Shells | None = None,
        panels: Sequence[Panel] | None = None,
    ) -> list[NDArray[Any]]:
        """One (slow, fast) array a panel, float32, or uint8 (0 or 1) for the last four modes:

        mean, variance, dispersion: of the valid pixels of the window around each pixel; dispersion is variance / mean
        sigma_b: the window is more dispersed than background
        sigma_s: the pixel rises above the mean of its surroundings
        global: the pixel exceeds `global_threshold`
        threshold: the pixel is strong

        `shells` are for the radial profile alone, which has no other stages than mean to dispersion and the last.
        `panels` replace the detector's where `raw` counts otherwise than an image does: as sums of several.
        """
        for panel, work, usable, counts in zip(panels or self.panels, self._workspaces, self.usable, raw, strict=True):
            valid_pixels(counts, usable, *panel.valid_range, panel.pedestal, panel.gain, work.values, work.valid)
        if threshold.algorithm == "radial_profile" and mode not in MODES[:3]:
            if mode != "threshold" or shells is None:
                raise ParameterError(f"The radial profile has no stage {mode}.")
            indices = strong_in_shells(self._workspaces, shells, threshold.radial_profile)
            return [_at(index, work) for index, work in zip(indices, self._workspaces, strict=True)]
        return [_stage(work, mode, threshold) for work in self._workspaces]


def _stage(work: Workspace, mode: Mode, threshold: Threshold) -> NDArray[Any]:
    params = threshold.dispersion
    match mode:
        case "mean" | "variance" | "dispersion":
            return _moments(work, mode, params.kernel_size)
        case "sigma_b":
            flag_dispersed(work, params)
            return work.flags & work.valid
        case "sigma_s":
            if threshold.algorithm == "dispersion":
                background, window, strict = work.valid, params.kernel_size, True
            else:
                background, window, strict = find_background(work, params), wider_window(params), False
            return _at(above_mean(work, params, work.valid, background, window, strict=strict), work)
        case "global":
            return ((work.values > params.global_threshold) & work.valid.view(np.bool_)).view(np.uint8)
        case "threshold":
            return _at(strong_in_panel(work, threshold), work)


def _moments(work: Workspace, mode: Mode, kernel_size: tuple[int, int]) -> NDArray[np.float32]:
    mean, variance = np.empty_like(work.values), np.empty_like(work.values)
    window_moments(work.values, work.valid, *kernel_size, mean, variance)
    if mode == "mean":
        return mean
    if mode == "variance":
        return variance
    return np.divide(variance, mean, out=np.zeros_like(mean), where=mean > 0)


def _at(index: NDArray[np.int32], work: Workspace) -> NDArray[np.uint8]:
    """An image of 0, but 1 at the flat indices."""
    image = np.zeros(work.values.shape, dtype=np.uint8)
    image.ravel()[index] = 1
    return image
