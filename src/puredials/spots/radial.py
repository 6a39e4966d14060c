"""Thresholds in shells of scattering angle, for images whose background varies with it more than it is noisy
(such as electron diffraction); compare "peakfinder 8" of Barty et al. 2014, J. Appl. Cryst. 47, 1118."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puredials.model import Experiment
from puredials.spots.mask import resolution_map
from puredials.spots.params import RadialProfile
from puredials.spots.workspace import Workspace

__all__ = ["Shells", "make_shells", "strong_in_shells"]

# The interquartile range of a normal distribution in standard deviations.
_IQR_OF_NORMAL = 1.349
_BLUR = {"narrow": np.array([1.0, 2.0, 1.0]) / 4, "wide": np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16}


@dataclass(frozen=True, eq=False)
class Shells:
    """The pixels of all panels, sorted by shell.

    Attributes:
        shell: one (slow, fast) array a panel: the number of the shell of each pixel.
        order: indices of the pixels of all panels (flat, panels one after the other), sorted by shell.
        starts: (n_bins + 1,) the pixels of shell s are ``order[starts[s] : starts[s + 1]]``.
    """

    shell: tuple[NDArray[np.int32], ...]
    order: NDArray[np.int32]
    starts: NDArray[np.int64]


def make_shells(experiment: Experiment, n_bins: int) -> Shells:
    """Shells of equal width in 2 theta, from 0 to the largest that the detector records."""
    beam = experiment.beam
    two_theta = []
    for number in range(len(experiment.detector)):
        sin_theta = np.sqrt(resolution_map(experiment, number)) * beam.wavelength / 2
        two_theta.append(2 * np.arcsin(np.minimum(sin_theta, 1.0)))
    width = max(t.max() for t in two_theta) / n_bins
    shell = tuple(np.minimum(t / width, n_bins - 1).astype(np.int32) for t in two_theta)
    flat = np.concatenate([s.ravel() for s in shell])
    order = np.argsort(flat, kind="stable").astype(np.int32)
    return Shells(shell, order, np.searchsorted(flat[order], np.arange(n_bins + 1)))


def strong_in_shells(workspaces: Sequence[Workspace], shells: Shells, params: RadialProfile) -> list[NDArray[np.int32]]:
    """Flat indices of the strong pixels of each panel: photons > median + n_iqr IQR of the shell.

    Where counts are so low that the quartiles coincide, the IQR is that of Poisson noise about the mean of the lower
    three quarters.
    """
    photons = [_blurred(work.values, work.valid, params.blur) for work in workspaces]
    flat = np.concatenate([p.ravel() for p in photons])
    valid = np.concatenate([work.valid.ravel() for work in workspaces]).astype(np.bool_)
    limits = np.full(len(shells.starts) - 1, np.inf, dtype=np.float32)
    for s, (begin, end) in enumerate(zip(shells.starts[:-1], shells.starts[1:], strict=True)):
        pixels = shells.order[begin:end]
        here = flat[pixels[valid[pixels]]]
        if len(here) > 1:
            lower, median, upper = np.percentile(here, [25, 50, 75])
            background = float(here[here <= upper].mean())
            spread = max(upper - lower, _IQR_OF_NORMAL * np.sqrt(max(background, 0.0)))
            limits[s] = median + params.n_iqr * spread
    return [
        np.flatnonzero((p > limits[shell]) & work.valid.view(np.bool_)).astype(np.int32)
        for p, shell, work in zip(photons, shells.shell, workspaces, strict=True)
    ]


def _blurred(values: NDArray[np.float32], valid: NDArray[np.uint8], blur: str | None) -> NDArray[np.float32]:
    """The image convolved with a binomial kernel; invalid pixels have no weight."""
    if blur is None:
        return values
    from scipy.ndimage import correlate1d

    kernel = _BLUR[blur]

    def smooth(image: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = np.asarray(correlate1d(image, kernel, axis=0, mode="constant"), dtype=np.float32)
        return np.asarray(correlate1d(rows, kernel, axis=1, mode="constant"), dtype=np.float32)

    weight = smooth(valid.astype(np.float32))
    blurred: NDArray[np.float32] = np.zeros_like(values)
    np.divide(smooth(values), weight, out=blurred, where=weight > 0)
    return blurred
