"""The widths of the Gaussian profile model, from the pixels of strong spots."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.optimize import minimize_scalar
from scipy.special import erf

from puredials.errors import MismatchError, TooFewReflectionsError
from puredials.geometry import px_to_s1, zeta
from puredials.integration.params import GaussianRS
from puredials.model import Experiment, MaskBits, Profile, ReflectionTable

__all__ = ["SpotWidths", "profile_model"]

# More spots make the widths no more certain, but cost memory.
ENOUGH = 10_000


@dataclass(frozen=True, eq=False)
class SpotWidths:
    """The profile model and the number of spots it rests on."""

    profile: Profile
    number: int


def profile_model(experiment: Experiment, reference: ReflectionTable, params: GaussianRS) -> SpotWidths:
    """sigma_b and sigma_m (degrees) of reference reflections with shoeboxes.

    sigma_b^2 is the mean over spots of the variance of the directions of their pixels about the spot's (Kabsch 2010,
    Acta D66, 133, with the definition of an estimated standard deviation); sigma_m comes from how the counts of a spot
    are spread over images.
    """
    given = params.parameters
    n_sigma = given.n_sigma
    if given.sigma_b is not None and given.sigma_m is not None:
        return SpotWidths(Profile(given.sigma_b, given.sigma_m, n_sigma), 0)
    goniometer, scan = experiment.goniometer, experiment.scan
    assert goniometer is not None
    assert scan is not None
    if "shoebox" not in reference:
        if experiment.profile is not None:
            old = experiment.profile
            return SpotWidths(Profile(old.sigma_b, old.sigma_m, n_sigma), 0)
        raise MismatchError(
            "The reflections have no shoeboxes, from which the profile model is found: give refined.refl made from "
            "the spots of dials.find_spots, or set sigma_b and sigma_m."
        )
    z = np.abs(zeta(reference["s1"], experiment.beam.s0, goniometer.rotation_axis))
    use = np.flatnonzero(z >= params.filter.min_zeta)
    degrees = abs(scan.oscillation[1]) * len(scan)
    enough = params.min_spots
    if len(use) < enough.overall and len(use) < enough.per_degree * degrees:
        raise TooFewReflectionsError(
            f"Only {len(use)} reference reflections were found, fewer than the {enough.overall} from which a profile "
            "model is made: lower profile.gaussian_rs.min_spots.overall, or set sigma_b and sigma_m."
        )
    number = len(use)
    use = use[np.diff(reference["shoebox"].offsets)[use] > 0]
    use = use[:: max(1, -(-len(use) // ENOUGH))]
    spots = reference.select(use)
    sigma_b = given.sigma_b or float(np.degrees(_divergence(experiment, spots, params.centroid_definition == "s1")))
    sigma_m = given.sigma_m or float(np.degrees(_mosaicity(experiment, spots, z[use], params.sigma_m_algorithm)))
    return SpotWidths(Profile(sigma_b, sigma_m, n_sigma), number)


def _divergence(experiment: Experiment, spots: ReflectionTable, about_prediction: bool) -> float:
    """sigma_b (rad): the root of the mean over spots of sum(c angle^2) / (sum c - 1)."""
    boxes = spots["shoebox"]
    counts, x, y, _, owner = _foreground(boxes)
    unit = px_to_s1(np.column_stack([x, y]), boxes.panel[owner].astype(np.int64), experiment.detector, experiment.beam)
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    n = len(spots["flags"])
    total = np.bincount(owner, counts, n)
    mean = np.column_stack([np.bincount(owner, counts * unit[:, k], n) for k in range(3)])
    centre = spots["s1"].copy() if about_prediction else mean
    centre /= np.maximum(np.linalg.norm(centre, axis=1), 1e-30)[:, None]
    # 2 (1 - cos) instead of the arc cosine: as exact, and stable for small angles
    square = np.sum((unit - centre[owner]) ** 2, axis=1)
    sums = np.bincount(owner, counts * square, n)
    good = total > 1
    return float(np.sqrt(np.mean(sums[good] / (total[good] - 1))))


def _mosaicity(experiment: Experiment, spots: ReflectionTable, z: Float64[np.ndarray, " n"], algorithm: str) -> float:
    """sigma_m (rad).

    extended: the sigma that makes the counts n_jf of spots j on images f most likely, multinomial with the shares
    erf((tau + dphi / 2) |zeta| / (sqrt2 sigma)) - erf((tau - dphi / 2) ...) of a Gaussian rocking curve on the images
    of the spot (tau: angle from the predicted position). basic: the r.m.s. spread of the counts in zeta phi about
    that position, less that of a uniform distribution within an image.
    """
    scan = experiment.scan
    assert scan is not None
    boxes = spots["shoebox"]
    counts, _, _, frame, owner = _foreground(boxes)
    z0 = boxes.bbox[:, 4].astype(np.int64)
    depth = boxes.bbox[:, 5].astype(np.int64) - z0
    first = np.concatenate([[0], np.cumsum(depth)])
    per_image = np.bincount(first[owner] + frame - z0[owner], counts, first[-1])
    spot = np.repeat(np.arange(len(depth)), depth)
    width = np.radians(abs(scan.oscillation[1]))
    centre = spots["xyzcal.px"][:, 2]
    low = ((np.arange(first[-1]) - first[spot] + z0[spot]) - centre[spot]) * width * z[spot]
    step = width * z[spot]
    if algorithm == "basic":
        square = np.bincount(spot, per_image * (low + step / 2) ** 2) / np.maximum(np.bincount(spot, per_image), 1)
        several = depth > 1
        variance = float(np.mean(square[several] - (width * z[several]) ** 2 / 12)) if several.any() else 0.0
        return np.sqrt(max(variance, (0.01 * width) ** 2))

    def cost(log_sigma: float) -> float:
        scale = 1 / (np.sqrt(2) * np.exp(log_sigma))
        share = np.maximum(erf((low + step) * scale) - erf(low * scale), 1e-30)
        whole = np.bincount(spot, share)
        return -float(np.sum(per_image * (np.log(share) - np.log(whole[spot]))))

    found = minimize_scalar(cost, bounds=(np.log(np.radians(1e-3)), np.log(np.radians(3.0))), method="bounded")
    return float(np.exp(found.x))


def _foreground(boxes):
    """Counts, x, y (pixel centres), image and spot of all valid foreground pixels."""
    wanted = MaskBits.VALID | MaskBits.FOREGROUND
    pixel = np.flatnonzero((boxes.mask & wanted) == wanted)
    owner = np.searchsorted(boxes.offsets, pixel, side="right") - 1
    box = boxes.bbox[owner].astype(np.int64)
    local = pixel - boxes.offsets[owner]
    nx, ny = box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]
    x, y = local % nx + box[:, 0] + 0.5, local // nx % ny + box[:, 2] + 0.5
    return boxes.data[pixel].astype(np.float64), x, y, local // (nx * ny) + box[:, 4], owner
