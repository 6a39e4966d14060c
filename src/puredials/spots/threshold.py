"""Strong pixels of images: counts -> photons and validity -> threshold -> sparse lists of pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32
from numpy.typing import NDArray

from puredials.errors import ProcessingError
from puredials.kernels.dispersion import dispersed, erode, strong_pixels, valid_pixels
from puredials.model import ImageSource, Panel
from puredials.spots.params import Dispersion, Threshold
from puredials.spots.radial import Shells, strong_in_shells
from puredials.spots.workspace import Workspace

__all__ = [
    "StrongPixels",
    "above_mean",
    "find_background",
    "flag_dispersed",
    "strong_in_images",
    "strong_in_panel",
    "wider_window",
]

# The background of a spot is the mean over a window this much larger (px, each way) than the one of the dispersion.
_WIDER = 2


@dataclass(frozen=True, eq=False)
class StrongPixels:
    """Strong pixels of one panel in one image: flat indices (ascending) and photons."""

    index: Int32[np.ndarray, " n"]
    values: Float32[np.ndarray, " n"]


def strong_in_images(
    block: range,
    *,
    images: ImageSource,
    panels: Sequence[Panel],
    usable: Sequence[NDArray[np.bool_]],
    threshold: Threshold,
    shells: Shells | None,
    max_fraction: float,
    first_number: int,
) -> list[tuple[StrongPixels, ...]]:
    """For each image of the block the strong pixels of each panel. `shells` are for the radial profile alone.

    `first_number` is the number of image 0, for messages.
    """
    workspaces = [Workspace(panel) for panel in panels]
    found = []
    for number in block:
        for panel, work, mask, raw in zip(panels, workspaces, usable, images.read(number), strict=True):
            low, high = panel.valid_range
            valid_pixels(raw, mask, low, high, panel.pedestal, panel.gain, work.values, work.valid)
        if shells is not None:
            indices = strong_in_shells(workspaces, shells, threshold.radial_profile)
        else:
            indices = [strong_in_panel(work, threshold) for work in workspaces]
        _check_fraction(first_number + number, indices, workspaces, max_fraction)
        found.append(
            tuple(
                StrongPixels(index, work.values.ravel()[index]) for index, work in zip(indices, workspaces, strict=True)
            )
        )
    return found


def strong_in_panel(work: Workspace, threshold: Threshold) -> Int32[np.ndarray, " n"]:
    """Flat indices of the strong pixels among `work.values`, by the index of dispersion."""
    if threshold.algorithm == "dispersion":
        return _by_dispersion(work, threshold.dispersion)
    return _by_extended_dispersion(work, threshold.dispersion)


def _by_dispersion(work: Workspace, params: Dispersion) -> NDArray[np.int32]:
    """Winter et al. (2013), J. Appl. Cryst. 46, 1260: pixels of over-dispersed windows that rise above their mean."""
    flag_dispersed(work, params)
    candidates = work.flags & work.valid
    return above_mean(work, params, candidates, work.valid, params.kernel_size, strict=True)


def _by_extended_dispersion(work: Workspace, params: Dispersion) -> NDArray[np.int32]:
    """As dispersion, but the mean is taken over background alone, in a wider window.

    A spot makes all windows over-dispersed that reach it, so the flagged region is the spot widened by the window;
    eroding it by one pixel less gives the region that may hold signal, and the rest is background.
    """
    background = find_background(work, params)
    candidates = np.bitwise_and(work.region, work.valid, out=work.flags)
    return above_mean(work, params, candidates, background, wider_window(params), strict=False)


def find_background(work: Workspace, params: Dispersion) -> NDArray[np.uint8]:
    """The valid pixels far from all that is dispersed, in `work.scratch`; the rest of the image is `work.region`."""
    flag_dispersed(work, params)
    erode(work.flags, max(min(params.kernel_size) - 1, 0), work.scratch, work.region)
    return np.greater(work.valid, work.region, out=work.scratch.view(np.bool_)).view(np.uint8)


def wider_window(params: Dispersion) -> tuple[int, int]:
    """Half sizes of the window over which the extended algorithm takes the mean of the background."""
    kx, ky = params.kernel_size
    return kx + _WIDER, ky + _WIDER


def flag_dispersed(work: Workspace, params: Dispersion) -> None:
    """Set `work.flags` where the window is more dispersed than background, or the pixel is not valid."""
    kx, ky = params.kernel_size
    window = (2 * kx + 1) * (2 * ky + 1)
    min_local = window if params.min_local == 0 else min(params.min_local, window)
    dispersed(work.values, work.valid, kx, ky, params.sigma_background, min_local, params.gain or 1.0, work.flags)


def above_mean(
    work: Workspace,
    params: Dispersion,
    candidates: NDArray[np.uint8],
    background: NDArray[np.uint8],
    kernel: tuple[int, int],
    *,
    strict: bool,
) -> NDArray[np.int32]:
    """Flat indices of the candidates that rise above the mean of the background in the window around them."""
    n = strong_pixels(
        work.values,
        candidates,
        background,
        *kernel,
        params.sigma_strong,
        params.global_threshold,
        params.gain or 1.0,
        strict,
        work.index,
    )
    return work.index[:n].copy()


def _check_fraction(
    number: int, indices: Sequence[NDArray[np.int32]], workspaces: Sequence[Workspace], limit: float
) -> None:
    share = sum(len(index) for index in indices) / sum(work.values.size for work in workspaces)
    if share > limit:
        raise ProcessingError(
            f"{100 * share:.1f} % of the pixels of image {number} are strong, more than the limit of "
            f"{100 * limit:g} %; check the gain and the mask, or raise max_strong_pixel_fraction."
        )
