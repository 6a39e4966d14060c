"""Which reflections are recorded, where, on which image.

Diffraction condition: |s0 + r| = |s0|, i.e. r . s0 = -r^2 / 2, with r = S R(e, phi) F A h (see `geometry`). With one
setting matrix A the angles phi follow in closed form (Busing & Levy 1967, Acta Cryst. 22, 457; Kabsch 2010, Acta D66,
133); with a matrix that changes along the scan, by iterating that closed form at A(phi).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer

from puredials.geometry import detector_d_min, intersect, mm_to_px, px_to_mm, ray_on_plane, rotate
from puredials.kernels.sweep import sweep_crossings
from puredials.model import Beam, Crystal, Detector, Experiment, Goniometer, Scan

__all__ = [
    "Predicted",
    "diffracting_angles",
    "observed_mm",
    "predict_indexed",
    "predict_sweep",
    "setting_matrices",
    "still_rays",
    "sweep_positions",
    "sweep_reflections",
]

Vectors = Float64[np.ndarray, "n 3"]
Values = Float64[np.ndarray, " n"]
Flag = Bool[np.ndarray, " n"]
TWO_PI = 2 * np.pi
# Iterations of phi -> phi(A(phi)); each gains a factor |dA/dphi| / |A| ~ 1e-2 or better.
MAX_ITERATIONS = 20
ANGLE_TOLERANCE = 1e-9
# Of the angle between a point and the beam, below which the plane of the two is that of rounding errors.
LEAST_SINE = 1e-12


@dataclass(frozen=True, eq=False)
class Predicted:
    """Where reflections of given indices are recorded.

    Attributes:
        s1: (n, 3) diffracted wave vectors, laboratory frame, 1/Angstrom.
        panel: (n,) panel number.
        xyz_mm: (n, 3) mm, mm, rad. xyz_px: (n, 3) px, px, images.
        entering: (n,) True where the reflection enters the Ewald sphere.
        delpsi: (n,) rad, for stills: the rotation that brings the lattice point onto the sphere; else 0.
        valid: (n,) False where the reflection never diffracts or its ray misses the panel's plane; the other arrays
            hold NaN there. With panels given a ray may leave the panel's edges and still be valid.
    """

    s1: Vectors
    panel: Integer[np.ndarray, " n"]
    xyz_mm: Vectors
    xyz_px: Vectors
    entering: Flag
    delpsi: Values
    valid: Flag


def predict_indexed(
    experiment: Experiment,
    miller_index: Integer[np.ndarray, "n 3"],
    *,
    entering: Flag | None = None,
    z_guess: Values | None = None,
    panel: Integer[np.ndarray, " n"] | None = None,
    crystal_at_guess: bool = False,
) -> Predicted:
    """Predict reflections of known indices.

    Of a reflection's two crossings of the Ewald sphere the one with the given sense `entering` is taken, and of its
    turns the one nearest to `z_guess` (images). Without `entering` it is the crossing nearest to `z_guess`. The rays
    are intersected with the planes of `panel`, or with whatever panel they hit. A crystal that varies along the scan is
    taken as it is where it predicts the reflection, or with `crystal_at_guess` as it was at `z_guess`: for observed
    positions that is the crystal that made the spot.
    """
    if experiment.crystal is None:
        raise ValueError("an experiment without a crystal predicts nothing")
    n = len(miller_index)
    h = np.asarray(miller_index, dtype=np.float64)
    if experiment.is_still:
        z = np.full(n, _middle(experiment.scan)) if z_guess is None else np.asarray(z_guess, dtype=np.float64)
        s1, delpsi, valid = still_rays(h @ experiment.crystal.A.T, experiment.beam, experiment.goniometer)
        phi = np.zeros(n) if experiment.scan is None else experiment.scan.phi(z)
        enters = np.zeros(n, dtype=bool)
    else:
        assert experiment.scan is not None
        if z_guess is None:
            z_guess = np.full(n, _middle(experiment.scan))
        phi, s1, enters, valid = _rotation_rays(
            experiment, h, entering, z_guess, 1 if crystal_at_guess else MAX_ITERATIONS
        )
        z, delpsi = experiment.scan.z(phi), np.zeros(n)
    panel, xy_mm, xy_px, meets = _positions(s1, valid, panel, experiment.detector)
    valid = valid & meets
    return Predicted(
        s1=s1,
        panel=panel,
        xyz_mm=np.column_stack([xy_mm, phi]),
        xyz_px=np.column_stack([xy_px, z]),
        entering=enters,
        delpsi=delpsi,
        valid=valid,
    )


def predict_sweep(
    experiment: Experiment,
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    padding: float = 0.0,
    force_static: bool = False,
) -> tuple[Integer[np.ndarray, "n 3"], Predicted]:
    """Indices and positions of all reflections that a rotation scan records on the panels; see `sweep_reflections`."""
    h, z, enters = sweep_reflections(experiment, d_min=d_min, d_max=d_max, padding=padding, force_static=force_static)
    return h, sweep_positions(experiment, h, z, enters, force_static=force_static)


def sweep_reflections(
    experiment: Experiment,
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    padding: float = 0.0,
    force_static: bool = False,
) -> tuple[Integer[np.ndarray, "n 3"], Values, Flag]:
    """Index, z (images) and sense of all reflections that a rotation scan records on the panels, sorted by z.

    Reflections that the space group forbids are left out. Each sense and each turn of a crossing of the Ewald sphere
    is a reflection by itself.

    Args:
        d_min, d_max: Angstrom; by default down to what the farthest corner of the detector records.
        padding: degrees before and after the scan in which crossings are predicted, too.
        force_static: predict with the mean setting of a scan-varying crystal.
    """
    if experiment.crystal is None or experiment.scan is None or experiment.goniometer is None or experiment.is_still:
        raise ValueError("a sweep is predicted for an experiment with a crystal, a goniometer and a rotating scan")
    operations = experiment.crystal.operations
    sizes = np.array([p.image_size for p in experiment.detector.panels])
    parts = [(np.empty((0, 3), np.int32), np.empty(0), np.empty(0, bool))]
    for h, z, enters in _crossings(experiment, d_min or detector_d_min(experiment), d_max, padding, force_static):
        for low in range(0, len(h), 50_000):  # positions of many rays that miss would take much memory
            part = slice(low, low + 50_000)
            found = sweep_positions(experiment, h[part], z[part], enters[part], force_static=force_static)
            xy = found.xyz_px[:, :2]
            # Parallax may carry a ray over the edge.
            seen = found.valid & np.all((xy >= 0) & (xy < sizes[found.panel]), axis=1)
            seen &= ~operations.systematic_absences(h[part])
            parts.append((h[part][seen], z[part][seen], enters[part][seen]))
    h, z, enters = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(z, kind="stable")
    return h[order], z[order], enters[order]


def sweep_positions(
    experiment: Experiment,
    index: Integer[np.ndarray, "n 3"],
    z: Values,
    entering: Flag,
    *,
    force_static: bool = False,
) -> Predicted:
    """Where the rays of reflections that cross the Ewald sphere at z meet panels; `valid` where they meet one."""
    scan, goniometer, crystal = experiment.scan, experiment.goniometer, experiment.crystal
    assert crystal is not None
    assert scan is not None
    assert goniometer is not None
    h = index.astype(np.float64)
    if force_static or crystal.A_at_scan_points is None:
        r0 = h @ (goniometer.fixed_rotation @ crystal.A).T
    else:
        r0 = np.einsum("nij,nj->ni", setting_matrices(crystal, scan, z), h) @ goniometer.fixed_rotation.T
    phi = scan.phi(z)
    s1 = experiment.beam.s0 + rotate(r0, goniometer.axis, phi) @ goniometer.setting_rotation.T
    panel, xy_mm, xy_px, meets = _positions(s1, np.ones(len(h), dtype=bool), None, experiment.detector)
    return Predicted(
        s1=s1,
        panel=panel,
        xyz_mm=np.column_stack([xy_mm, phi]),
        xyz_px=np.column_stack([xy_px, z]),
        entering=entering,
        delpsi=np.zeros(len(h)),
        valid=meets,
    )


def _crossings(
    experiment: Experiment, d_min: float, d_max: float | None, padding: float, force_static: bool
) -> Iterator[tuple[Integer[np.ndarray, "n 3"], Values, Flag]]:
    """Indices, z (images) and senses of all crossings within the padded scan, for some planes of h at a time."""
    crystal, scan, goniometer = experiment.crystal, experiment.scan, experiment.goniometer
    assert crystal is not None
    assert scan is not None
    assert goniometer is not None
    points = crystal.A[None] if crystal.A_at_scan_points is None or force_static else crystal.A_at_scan_points
    points = np.ascontiguousarray(goniometer.fixed_rotation @ points)
    # |h| <= |a| / d_min, for the largest cell along the scan.
    lengths = np.linalg.norm(np.linalg.inv(points), axis=2).max(axis=0)
    limit = np.ceil(lengths / d_min).astype(np.int64)
    start, width = np.radians(scan.oscillation)
    pad = abs(padding / scan.oscillation[1])
    s0 = goniometer.setting_rotation.T @ experiment.beam.s0
    d_star = np.array([0.0 if d_max is None else 1 / d_max, 1 / d_min])
    rows = max(1, int(2e5 / (4 * limit[1] * limit[2] + 1)))
    capacity = 50_000
    for low in range(-int(limit[0]), int(limit[0]) + 1, rows):
        h_range = np.array([low, min(low + rows, int(limit[0]) + 1)])
        while True:
            index, z, enters = np.empty((capacity, 3), np.int32), np.empty(capacity), np.empty(capacity, np.bool_)
            n = sweep_crossings(h_range, limit[1:], points, goniometer.axis, s0, start, width,
                                -pad, len(scan) + pad, d_star, index, z, enters)  # fmt: skip
            if n <= capacity:
                break
            capacity = n
        yield index[:n], z[:n] + scan.array_range[0], enters[:n]


def diffracting_angles(r0: Vectors, beam: Beam, goniometer: Goniometer) -> tuple[Values, Values, Flag]:
    """Angles (rad) at which the points `r0` = F A h enter and leave the Ewald sphere, and whether they ever do.

    In the frame inside the setting rotation, with s0' = S^T s0, the condition is a cos phi + b sin phi = c, where
    a = r_perp . s0', b = (e x r0) . s0', c = -r0^2/2 - (r0 . e)(e . s0').
    """
    axis = goniometer.axis
    s0 = goniometer.setting_rotation.T @ beam.s0
    along = r0 @ axis
    a = r0 @ s0 - along * (axis @ s0)
    b = np.cross(axis, r0) @ s0
    c = -0.5 * np.einsum("ij,ij->i", r0, r0) - along * (axis @ s0)
    amplitude = np.hypot(a, b)
    # A point on the axis never moves; the limit is far above rounding, far below any angle that matters.
    valid = (np.abs(c) <= amplitude) & (amplitude > 1e-12 * np.linalg.norm(r0, axis=1) / beam.wavelength)
    half = np.where(valid, np.arccos(np.clip(c / np.where(valid, amplitude, 1.0), -1, 1)), np.nan)
    middle = np.arctan2(b, a)
    # r . s0 falls with phi where a point enters: the branch on which the derivative -sin(phi - middle) is negative.
    return middle + half, middle - half, valid


def setting_matrices(crystal: Crystal, scan: Scan | None, z: Values) -> Float64[np.ndarray, "n 3 3"]:
    """A at positions `z` (images): linear between the scan points, constant beyond the ends of the scan."""
    if crystal.A_at_scan_points is None or scan is None:
        return np.broadcast_to(crystal.A, (len(z), 3, 3))
    points = crystal.A_at_scan_points
    position = np.clip(np.nan_to_num(z - scan.array_range[0]), 0, len(points) - 1)
    lower = np.minimum(position.astype(np.int64), len(points) - 2)
    share = (position - lower)[:, None, None]
    return points[lower] * (1 - share) + points[lower + 1] * share


def still_rays(r: Vectors, beam: Beam, goniometer: Goniometer | None = None) -> tuple[Vectors, Values, Flag]:
    """s1 of the points `r` = A h turned onto the Ewald sphere by the smallest rotation, and that rotation (rad).

    The rotation is in the plane of r and s0 (Sauter et al. 2014, Acta D70, 3299). With theta the angle between r and
    -s0, and cos theta_E = |r| / (2 |s0|) for a point on the sphere, it is delpsi = theta - theta_E.
    """
    if goniometer is not None:
        r = r @ (goniometer.setting_rotation @ goniometer.fixed_rotation).T
    k = 1 / beam.wavelength
    length = np.linalg.norm(r, axis=1)
    forward = beam.s0 / k
    along = -(r @ forward)
    across = r + along[:, None] * forward
    across_length = np.linalg.norm(across, axis=1)
    valid = (length > 0) & (length < 2 * k) & (across_length > LEAST_SINE * length)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.where(valid, length / (2 * k), np.nan)
        sine = np.sqrt(1 - cosine**2)
        delpsi = np.where(valid, np.arctan2(across_length, along), np.nan) - np.arccos(cosine)
        onto = length[:, None] * (-cosine[:, None] * forward + sine[:, None] * across / across_length[:, None])
    return beam.s0 + onto, delpsi, valid


def observed_mm(
    experiment: Experiment,
    xyz_px: Vectors,
    variance_px: Vectors,
    panel: Integer[np.ndarray, " n"],
) -> tuple[Vectors, Vectors]:
    """Centroids and their variances in (mm, mm, rad) of centroids in (px, px, images), by the current models."""
    mm = np.full((len(xyz_px), 3), np.nan)
    variance = np.full((len(xyz_px), 3), np.nan)
    width = 0.0 if experiment.scan is None else np.radians(experiment.scan.oscillation[1])
    for number, model in enumerate(experiment.detector.panels):
        here = panel == number
        if here.any():
            mm[here, :2] = px_to_mm(xyz_px[here, :2], model)
            variance[here] = variance_px[here] * np.array([*model.pixel_size, width]) ** 2
    mm[:, 2] = 0.0 if experiment.scan is None else experiment.scan.phi(xyz_px[:, 2])
    return mm, variance


def _middle(scan: Scan | None) -> float:
    return 0.5 if scan is None else 0.5 * sum(scan.array_range)


def _rotation_rays(
    experiment: Experiment, h: Vectors, entering: Flag | None, z_guess: Values, iterations: int
) -> tuple[Values, Vectors, Flag, Flag]:
    """phi (rad), s1, entering and validity of the crossings nearest to `z_guess`."""
    crystal, scan, goniometer, beam = experiment.crystal, experiment.scan, experiment.goniometer, experiment.beam
    assert crystal is not None
    assert scan is not None
    assert goniometer is not None
    fixed = goniometer.fixed_rotation
    guess = scan.phi(z_guess)
    if crystal.A_at_scan_points is None:
        r0 = h @ (fixed @ crystal.A).T
        phi, enters, valid = _nearest(diffracting_angles(r0, beam, goniometer), entering, guess)
    else:
        r0 = np.empty_like(h)
        phi, enters, valid = guess.copy(), np.zeros(len(h), dtype=bool), np.ones(len(h), dtype=bool)
        moving = np.arange(len(h))
        for _ in range(iterations):
            z = scan.z(phi[moving])
            r0[moving] = np.einsum("nij,nj->ni", setting_matrices(crystal, scan, z), h[moving]) @ fixed.T
            sense = None if entering is None else entering[moving]
            angles = diffracting_angles(r0[moving], beam, goniometer)
            # Turns are counted from the guess, so that an angle cannot drift away turn by turn.
            found, enters[moving], valid[moving] = _nearest(angles, sense, guess[moving])
            change = np.abs(found - phi[moving])
            phi[moving] = found
            moving = moving[change > ANGLE_TOLERANCE]  # invalid ones compare as False and stop
            if len(moving) == 0:
                break
    s1 = beam.s0 + rotate(r0, goniometer.axis, phi) @ goniometer.setting_rotation.T
    return phi, s1, enters, valid


def _nearest(angles: tuple[Values, Values, Flag], entering: Flag | None, guess: Values) -> tuple[Values, Flag, Flag]:
    """Of the entering and leaving angles, and of their turns, those nearest to `guess`."""
    enter, leave, valid = angles
    enter = enter + TWO_PI * np.round((guess - enter) / TWO_PI)
    leave = leave + TWO_PI * np.round((guess - leave) / TWO_PI)
    chosen = np.abs(enter - guess) <= np.abs(leave - guess) if entering is None else np.asarray(entering, dtype=bool)
    return np.where(chosen, enter, leave), chosen, valid


def _positions(
    s1: Vectors, valid: Flag, panel: Integer[np.ndarray, " n"] | None, detector: Detector
) -> tuple[Integer[np.ndarray, " n"], Float64[np.ndarray, "n 2"], Float64[np.ndarray, "n 2"], Flag]:
    """Panel, position (mm and px) of rays, and whether they meet the panel's plane in front of the sample."""
    n = len(s1)
    mm, px = np.full((n, 2), np.nan), np.full((n, 2), np.nan)
    meets = np.zeros(n, dtype=bool)
    if panel is None:
        numbers, _, hits = intersect(s1, detector)
        numbers = np.where(hits, numbers, -1)
    else:
        numbers = np.asarray(panel, dtype=np.int64)
    for number, model in enumerate(detector.panels):
        here = np.flatnonzero((numbers == number) & valid)
        if len(here):
            xy, t = ray_on_plane(s1[here], model)
            front = t > 0
            here, xy = here[front], xy[front]
            mm[here], meets[here] = xy, True
            px[here] = mm_to_px(xy, model)
    return np.maximum(numbers, 0), mm, px, meets
