"""The columns of an integrated reflection table."""

import numpy as np
from scipy.special import erf

from puredials.geometry import lorentz_polarization, quantum_efficiency, resolution, zeta
from puredials.integration.frames import Frames
from puredials.integration.params import IntegrateParams
from puredials.model import Experiment, Flags, ReflectionTable
from puredials.prediction import Predicted, observed_mm

__all__ = ["integrated_columns", "partiality"]

# A profile is fitted if more than this part of it was recorded: extrapolation from less is not worth its error.
LEAST_SHARE = 0.5


def partiality(frames: Frames):
    """The part of each Gaussian rocking curve on the images of its box (Kabsch 2010, eq. 17)."""
    scale = np.abs(frames.drift) / np.sqrt(2)
    low = (frames.bbox[:, 4] - frames.centre[:, 2]) * scale
    high = (frames.bbox[:, 5] - frames.centre[:, 2]) * scale
    return 0.5 * (erf(high) - erf(low))


def integrated_columns(
    experiment: Experiment,
    index,
    predicted: Predicted,
    frames: Frames,
    measured,
    matched,
    used,
    params: IntegrateParams,
) -> tuple[ReflectionTable, dict[str, int]]:
    """The table of reflections that were integrated, and numbers of reflections for the report."""
    assert experiment.scan is not None
    assert experiment.goniometer is not None
    n = len(index)
    pixels = measured["pixels"]
    foreground, valid = pixels[:, 2], pixels[:, 3]
    recorded = partiality(frames)
    found = np.isfinite(measured["background"])
    sum_ok = found & (valid == foreground) & (foreground > 0)
    threshold = params.integration.profile.valid_foreground_threshold
    prf_ok = found & measured["fitted"] & (measured["prf_variance"] > 0)
    prf_ok &= (valid >= threshold * foreground) & (measured["share"] > LEAST_SHARE)

    flags = np.full(n, int(Flags.PREDICTED), np.uint64)
    for condition, flag in (
        (_marks(n, matched), Flags.REFERENCE_SPOT | Flags.OBSERVED | Flags.INDEXED | Flags.STRONG),
        (used, Flags.USED_IN_MODELLING),
        (sum_ok, Flags.INTEGRATED_SUM),
        (prf_ok, Flags.INTEGRATED_PRF),
        (~found, Flags.FAILED_DURING_BACKGROUND_MODELLING),
        (~sum_ok, Flags.FAILED_DURING_SUMMATION),
        (~prf_ok, Flags.FAILED_DURING_PROFILE_FITTING),
        (pixels[:, 5] > 0, Flags.OVERLOADED),
        (pixels[:, 4] > 0, Flags.OVERLAPPED_FG),
        (valid < foreground, Flags.FOREGROUND_INCLUDES_BAD_PIXELS),
        (pixels[:, 6] > 0, Flags.BACKGROUND_INCLUDES_BAD_PIXELS),
    ):
        flags[condition] |= np.uint64(flag)

    under = np.where(sum_ok, measured["under"], 0.0)
    # Poisson: the counts themselves, and the background's mean of n pixels, subtracted from each foreground pixel.
    share = foreground / np.maximum(measured["used"], 1)
    value = np.where(sum_ok, measured["sum"], 0.0)
    xyz_px = np.where(np.isfinite(measured["centroid"]), measured["centroid"], frames.centre)
    xyz_px = xyz_px + np.array([0, 0, experiment.scan.array_range[0]])
    variance_px = np.where(np.isfinite(measured["spread"]), measured["spread"], 1 / 12).astype(np.float64)
    mm, variance_mm = observed_mm(experiment, xyz_px, variance_px, predicted.panel)
    bbox = frames.bbox.copy()
    bbox[:, 4:] += experiment.scan.array_range[0]
    axis, s0 = experiment.goniometer.rotation_axis, experiment.beam.s0
    columns = {
        "id": np.zeros(n, np.int32),
        "imageset_id": np.zeros(n, np.int32),
        "panel": predicted.panel.astype(np.uint64),
        "flags": flags,
        "miller_index": index.astype(np.int32),
        "entering": predicted.entering,
        "d": resolution(predicted.s1, s0),
        "bbox": bbox,
        "s1": predicted.s1,
        "xyzcal.px": predicted.xyz_px,
        "xyzcal.mm": predicted.xyz_mm,
        "xyzobs.px.value": xyz_px,
        "xyzobs.px.variance": variance_px,
        "xyzobs.mm.value": mm,
        "xyzobs.mm.variance": variance_mm,
        "intensity.sum.value": value,
        "intensity.sum.variance": np.where(sum_ok, np.maximum(value, 0) + under * (1 + share), -1.0),
        "intensity.prf.value": np.where(prf_ok, measured["prf"], 0.0),
        "intensity.prf.variance": np.where(prf_ok, measured["prf_variance"], -1.0),
        "background.mean": np.where(found, measured["background"], 0.0).astype(np.float64),
        "background.sum.value": under,
        "background.sum.variance": under * (1 + share),
        "background.dispersion": np.where(found, measured["dispersion"], 0.0).astype(np.float64),
        "background.mse": np.where(found, measured["mse"], 0.0).astype(np.float64),
        "num_pixels.valid": pixels[:, 0].astype(np.int32),
        "num_pixels.background": pixels[:, 1].astype(np.int32),
        "num_pixels.background_used": measured["used"].astype(np.int32),
        "num_pixels.foreground": valid.astype(np.int32),
        "lp": lorentz_polarization(predicted.s1, experiment.beam, axis),
        "qe": quantum_efficiency(predicted.s1, predicted.panel, experiment.detector),
        "zeta": zeta(predicted.s1, s0, axis),
        "partiality": recorded,
        "partial_id": np.arange(n, dtype=np.uint64),
        "profile.correlation": np.where(prf_ok, measured["correlation"], 0.0).astype(np.float64),
        "profile.rmsd": np.where(prf_ok, measured["rmsd"], 0.0).astype(np.float64),
    }
    counts = {
        "predicted": n,
        "failed background": int((~found).sum()),
        "failed summation": int((~sum_ok).sum()),
        "failed fitting": int((~prf_ok).sum()),
    }
    table = ReflectionTable(columns, {0: experiment.identifier})
    return table.select(sum_ok | prf_ok), counts


def _marks(n: int, rows):
    marks = np.zeros(n, dtype=bool)
    marks[rows] = True
    return marks
