"""The columns of an integrated reflection table."""

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped
from numpy.typing import NDArray
from scipy.special import erf

from puredials.geometry import lorentz_polarization, quantum_efficiency, zeta
from puredials.integration.frames import Frames
from puredials.integration.params import ProfileFitting
from puredials.integration.sweep import Sweep
from puredials.model import Flags, ReflectionTable
from puredials.prediction import observed_mm

__all__ = ["integrated_columns", "partiality"]

# A profile is fitted if more than this part of it was recorded: extrapolation from less is not worth its error.
LEAST_SHARE = 0.5
# Sums are completed by the fitted profile where invalid foreground pixels hold less than this part of it.
MOST_LOST = 0.1
# Relative error of the part of an intensity where nothing was recorded (overloads, dead pixels), as it is typical of
# simulated ones: on the flanks of a spot a width that is wrong by a few percent counts for this much.
EXTRAPOLATION = 0.15


def partiality(frames: Frames) -> Float64[np.ndarray, " n"]:
    """The part of each Gaussian rocking curve on the images of its box (Kabsch 2010, eq. 17)."""
    scale = np.abs(frames.drift) / np.sqrt(2)
    low = (frames.bbox[:, 4] - frames.centre[:, 2]) * scale
    high = (frames.bbox[:, 5] - frames.centre[:, 2]) * scale
    return 0.5 * (erf(high) - erf(low))


def integrated_columns(
    sweep: Sweep,
    rows: Int64[np.ndarray, " m"],
    measured: Shaped[np.ndarray, " m"],
    marks: Bool[np.ndarray, "m 2"],
    profile: ProfileFitting,
) -> ReflectionTable:
    """The table of the reflections `rows` of a sweep, integrated or not.

    marks: which of them are reference spots, and which reference profiles were learnt from.
    """
    experiment = sweep.experiment
    assert experiment.scan is not None
    assert experiment.goniometer is not None
    predicted = sweep.predicted(rows)
    frames = sweep.frames(rows, predicted=predicted)
    first = np.array([0, 0, sweep.start])
    pixels = measured["pixels"]
    foreground, valid = pixels[:, 2], pixels[:, 3]
    found = np.isfinite(measured["background"])
    prf_ok = found & measured["fitted"] & (measured["prf_variance"] > 0)
    prf_ok &= (valid >= profile.valid_foreground_threshold * foreground) & (measured["share"] > LEAST_SHARE)

    lost = np.where(valid < foreground, measured["lost"], 0.0)
    extrapolated = (EXTRAPOLATION * lost * measured["prf"]) ** 2
    sum_ok = found & (foreground > 0) & ((valid == foreground) | (prf_ok & (lost < MOST_LOST)))
    under = np.where(sum_ok, measured["under"], 0.0)
    value = np.where(sum_ok, measured["sum"] + lost * measured["prf"], 0.0)
    # The background, itself uncertain, is subtracted from each foreground pixel.
    under_variance = np.where(sum_ok, under + valid.astype(np.float64) ** 2 * measured["uncertainty"], 0.0)
    prf_variance = measured["prf_variance"] + measured["slope"] ** 2 * measured["uncertainty"]
    # The two parts of a completed sum are correlated: standard deviations add.
    deviation = np.sqrt(np.maximum(measured["sum"], 0) + under_variance)
    deviation += lost * np.sqrt(np.maximum(prf_variance, 0))
    # Noise alone can put the centroid of a weak reflection anywhere.
    box, centroid = frames.bbox, measured["centroid"]
    inside = np.all((centroid >= box[:, ::2]) & (centroid <= box[:, 1::2]), axis=1)[:, None]
    xyz_px = np.where(inside, centroid, frames.centre) + first
    variance_px = np.where(inside, measured["spread"], 1 / 12).astype(np.float64)
    xyz_mm, variance_mm = observed_mm(experiment, xyz_px, variance_px, predicted.panel)
    axis, s0 = experiment.goniometer.rotation_axis, experiment.beam.s0
    columns = {
        "id": np.zeros(len(rows), np.int32),
        "imageset_id": np.zeros(len(rows), np.int32),
        "panel": predicted.panel.astype(np.uint64),
        "flags": _flags(measured, marks, found, sum_ok, prf_ok),
        "miller_index": sweep.index[rows],
        "entering": predicted.entering,
        "d": experiment.beam.wavelength / np.sqrt(sweep.q(rows)),
        "bbox": box + np.repeat(first, 2).astype(np.int32),
        "s1": predicted.s1,
        "xyzcal.px": predicted.xyz_px,
        "xyzcal.mm": predicted.xyz_mm,
        "xyzobs.px.value": xyz_px,
        "xyzobs.px.variance": variance_px,
        "xyzobs.mm.value": xyz_mm,
        "xyzobs.mm.variance": variance_mm,
        "intensity.sum.value": value,
        "intensity.sum.variance": np.where(sum_ok, deviation**2 + extrapolated, -1.0),
        "intensity.prf.value": np.where(prf_ok, measured["prf"], 0.0),
        "intensity.prf.variance": np.where(prf_ok, prf_variance + extrapolated, -1.0),
        "background.mean": np.where(found, measured["background"], 0.0).astype(np.float64),
        "background.sum.value": under,
        "background.sum.variance": under_variance,
        "background.dispersion": np.where(found, measured["dispersion"], 0.0).astype(np.float64),
        "background.mse": np.where(found, measured["mse"], 0.0).astype(np.float64),
        "num_pixels.valid": pixels[:, 0].astype(np.int32),
        "num_pixels.background": pixels[:, 1].astype(np.int32),
        "num_pixels.background_used": measured["used"].astype(np.int32),
        "num_pixels.foreground": valid.astype(np.int32),
        "lp": lorentz_polarization(predicted.s1, experiment.beam, axis),
        "qe": quantum_efficiency(predicted.s1, predicted.panel, experiment.detector),
        "zeta": zeta(predicted.s1, s0, axis),
        "partiality": partiality(frames),
        "partial_id": rows.astype(np.uint64),
        "profile.correlation": np.where(prf_ok, measured["correlation"], 0.0).astype(np.float64),
        "profile.rmsd": np.where(prf_ok, measured["rmsd"], 0.0).astype(np.float64),
    }
    return ReflectionTable(columns, {0: experiment.identifier})


def _flags(measured, marks, found, sum_ok, prf_ok) -> NDArray[np.uint64]:
    pixels = measured["pixels"]
    flags = np.full(len(measured), int(Flags.PREDICTED), np.uint64)
    for condition, flag in (
        (marks[:, 0], Flags.REFERENCE_SPOT | Flags.OBSERVED | Flags.INDEXED | Flags.STRONG),
        (marks[:, 1], Flags.USED_IN_MODELLING),
        (sum_ok, Flags.INTEGRATED_SUM),
        (prf_ok, Flags.INTEGRATED_PRF),
        (~found, Flags.FAILED_DURING_BACKGROUND_MODELLING),
        (~sum_ok, Flags.FAILED_DURING_SUMMATION),
        (~prf_ok, Flags.FAILED_DURING_PROFILE_FITTING),
        (pixels[:, 5] > 0, Flags.OVERLOADED),
        (pixels[:, 4] > 0, Flags.OVERLAPPED_FG),
        (pixels[:, 3] < pixels[:, 2], Flags.FOREGROUND_INCLUDES_BAD_PIXELS),
        (pixels[:, 6] > 0, Flags.BACKGROUND_INCLUDES_BAD_PIXELS),
    ):
        flags[condition] |= np.uint64(flag)
    return flags
