"""Diffraction geometry as pure array functions.

This page defines every vector, frame, sign and unit of the code base, once.

Frames
    Laboratory: imgCIF convention, right-handed, origin at the sample; x along the (usual) rotation axis, z from the
    sample towards the source (the beam travels along -z), y upwards for a horizontal axis. Detectors, beams and
    goniometers are given in it. The datum is the state with all goniometer rotations and the scan angle at zero.
    Panel: x mm, y mm along `fast` and `slow` from the panel's origin. Pixel (0, 0) spans 0..1 px in x and y;
    its centre is (0.5, 0.5). Images: the image with array index i spans i..i+1 in z; see `Scan` for phi(z).

Vectors (row vectors in arrays of shape (n, 3))
    s0    incident wave vector, |s0| = 1/wavelength, along the travel of the beam       1/Angstrom
    s1    diffracted wave vector, |s1| = |s0| on the Ewald sphere                       1/Angstrom
    r     s1 - s0, the scattering vector; no factor 2 pi anywhere                       1/Angstrom
    rlp   the reciprocal lattice point at the datum; r = S R(e, phi) F rlp, rlp = A h   1/Angstrom
    e     scan axis at the datum; m2 = S e is the scan axis in the laboratory
    A     U B; its columns are a*, b*, c* at the datum; B in the PDB frame
    e1    s1 x s0 / |s1 x s0| ; e2 = s1 x e1 / |s1 x e1| ; e3 = (s1 + s0) / |s1 + s0|   (Kabsch 2010, Acta D66, 133)
    zeta  m2 . e1: how fast a reflection crosses the Ewald sphere; a rotation dphi moves it by zeta dphi along e3

Angles are in rad in arrays, in degrees in models and files.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int
from numpy.typing import NDArray

from puredials.model import Beam, Detector, Experiment, Goniometer, Panel

__all__ = [
    "attenuation_depth",
    "depth_variance",
    "detector_d_min",
    "entering",
    "intersect",
    "lorentz_polarization",
    "mm_to_px",
    "px_to_mm",
    "px_to_s1",
    "quantum_efficiency",
    "resolution",
    "rlp_to_r",
    "rotate",
    "s1_to_rlp",
    "zeta",
]

Vectors = Float64[np.ndarray, "n 3"]
Points = Float64[np.ndarray, "n 2"]
Values = Float64[np.ndarray, " n"]


def rotate(vectors: Vectors, axis: Float64[np.ndarray, "3"], angles: Values) -> Vectors:
    """Rotate each vector about the unit vector `axis` by its angle (rad), right-handed (Rodrigues)."""
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return vectors * c + np.cross(axis, vectors) * s + np.outer(vectors @ axis, axis) * (1 - c)


def rlp_to_r(rlp: Vectors, phi: Values, goniometer: Goniometer) -> Vectors:
    """r = S R(e, phi) F rlp."""
    turned = rotate(rlp @ goniometer.fixed_rotation.T, goniometer.axis, phi)
    return turned @ goniometer.setting_rotation.T


def s1_to_rlp(s1: Vectors, phi: Values, beam: Beam, goniometer: Goniometer | None) -> Vectors:
    """rlp = F^-1 R(e, -phi) S^-1 (s1 - s0); for stills without a goniometer r itself."""
    r = s1 - beam.s0
    if goniometer is None:
        return r
    turned = rotate(r @ goniometer.setting_rotation, goniometer.axis, -phi)
    return turned @ goniometer.fixed_rotation


def attenuation_depth(panel: Panel, cos_obliquity: Values) -> Values:
    """The shift along s1 (mm) by which photons convert behind the sensor's face, 0 without parallax.

    o = 1/mu - (t/cos + 1/mu) exp(-mu t/cos): the convention that the ``ParallaxCorrectedPxMmStrategy`` of .expt files
    stands for (an unnormalised mean depth); refinement absorbs most of its difference from the true mean depth.
    """
    if not panel.parallax or panel.mu <= 0:
        return np.zeros_like(cos_obliquity)
    path = panel.thickness / cos_obliquity
    return 1 / panel.mu - (path + 1 / panel.mu) * np.exp(-panel.mu * path)


def depth_variance(panel: Panel, cos_obliquity: Values) -> Values:
    """The variance (mm^2) along s1 of where photons convert in the sensor; 0 where its depth or mu is unknown.

    Of an exponential distribution that ends where the ray leaves the sensor, after L = t/cos:
    1/mu^2 - L^2 exp(mu L) / (exp(mu L) - 1)^2.
    """
    if panel.mu <= 0 or panel.thickness <= 0:
        return np.zeros_like(cos_obliquity)
    # Of a ray along the face no more than of one that nothing leaves; sinh(300) is not yet infinite.
    half = np.minimum(0.5 * panel.mu * panel.thickness / np.maximum(cos_obliquity, 1e-6), 300.0)
    return (1 - (half / np.sinh(half)) ** 2) / panel.mu**2


def _parallax(panel: Panel, mm: Points) -> Points:
    """Shift (mm) of the recorded position of rays that meet the sensor's face at `mm`."""
    if not panel.parallax or panel.mu <= 0:
        return np.zeros_like(mm)
    ray = panel.origin + mm[:, :1] * panel.fast + mm[:, 1:] * panel.slow
    ray /= np.linalg.norm(ray, axis=1)[:, None]
    depth = attenuation_depth(panel, np.abs(ray @ panel.normal))
    return depth[:, None] * np.stack([ray @ panel.fast, ray @ panel.slow], axis=1)


def px_to_mm(px: Points, panel: Panel) -> Points:
    """Where on the panel's face (mm) the ray entered that was recorded at `px`."""
    mm = px * np.array(panel.pixel_size)
    return mm - _parallax(panel, mm)


def mm_to_px(mm: Points, panel: Panel) -> Points:
    """Where (px) a ray is recorded that meets the panel's face at `mm`."""
    return (mm + _parallax(panel, mm)) / np.array(panel.pixel_size)


def px_to_s1(px: Points, panels: Int[np.ndarray, " n"], detector: Detector, beam: Beam) -> Vectors:
    """s1 of recorded positions `px` on the panels of the given numbers."""
    s1 = np.empty((len(px), 3))
    for number, panel in enumerate(detector.panels):
        here = panels == number
        if here.any():
            mm = px_to_mm(px[here], panel)
            s1[here] = panel.origin + mm[:, :1] * panel.fast + mm[:, 1:] * panel.slow
    return s1 / np.linalg.norm(s1, axis=1)[:, None] / beam.wavelength


def intersect(s1: Vectors, detector: Detector) -> tuple[Int[np.ndarray, " n"], Points, Bool[np.ndarray, " n"]]:
    """Panel number, position (mm) on its face, and whether any panel is hit, of rays along s1.

    Of several panels that a ray meets the nearest to the sample counts.
    """
    n = len(s1)
    best = np.full(n, np.inf)
    panels, mm, hit = np.zeros(n, dtype=np.int64), np.full((n, 2), np.nan), np.zeros(n, dtype=bool)
    for number, panel in enumerate(detector.panels):
        xy, t = ray_on_plane(s1, panel)
        size = panel.size_mm
        here = (t > 0) & (t < best)
        here &= (xy[:, 0] >= 0) & (xy[:, 0] <= size[0]) & (xy[:, 1] >= 0) & (xy[:, 1] <= size[1])
        panels[here], mm[here], best[here] = number, xy[here], t[here]
        hit |= here
    return panels, mm, hit


def ray_on_plane(s1: Vectors, panel: Panel) -> tuple[Points, Values]:
    """Position (mm) where rays meet the panel's plane, and t with position = t s1 (t <= 0: they miss)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = panel.distance / (s1 @ panel.normal)
        at = t[:, None] * s1 - panel.origin
    return np.stack([at @ panel.fast, at @ panel.slow], axis=1), t


def entering(s1: Vectors, s0: Float64[np.ndarray, "3"], axis: Float64[np.ndarray, "3"]) -> Bool[np.ndarray, " n"]:
    """True where a reflection enters the Ewald sphere as phi grows: s1 . (s0 x m2) < 0 (`axis` is m2)."""
    return s1 @ np.cross(s0, axis) < 0


def zeta(s1: Vectors, s0: Float64[np.ndarray, "3"], axis: Float64[np.ndarray, "3"]) -> Values:
    """zeta = m2 . e1 (Kabsch 2010, eq. 2 and following)."""
    e1 = np.cross(s1, s0)
    return e1 @ axis / np.linalg.norm(e1, axis=1)


def lorentz_polarization(s1: Vectors, beam: Beam, axis: Float64[np.ndarray, "3"]) -> Values:
    """L / P, by which a recorded intensity is multiplied to be corrected; for electrons L alone.

    1/L = |s1 . (m2 x s0)| / (|s1| |s0|); P = (1 - 2 p) (1 - (n . s1)^2) + p (1 + cos^2 2theta), with the polarization
    fraction p and normal n (Kabsch 1988, J. Appl. Cryst. 21, 916; Azaroff 1955). The factor returned is (1/L) / P.
    """
    s0 = beam.s0
    unit = s1 / np.linalg.norm(s1, axis=1)[:, None]
    inverse_lorentz = np.abs(unit @ np.cross(axis, s0)) * beam.wavelength
    if beam.is_electron:
        return inverse_lorentz
    p = beam.polarization_fraction
    cos_2theta = unit @ s0 * beam.wavelength
    polarization = (1 - 2 * p) * (1 - (unit @ beam.polarization_normal) ** 2) + p * (1 + cos_2theta**2)
    return inverse_lorentz / polarization


def quantum_efficiency(s1: Vectors, panels: Int[np.ndarray, " n"], detector: Detector) -> Values:
    """Share of the photons along s1 that convert in the sensor: 1 - exp(-mu t / cos); 1 where mu or t is unknown."""
    unit = s1 / np.linalg.norm(s1, axis=1)[:, None]
    share = np.ones(len(s1))
    for number, panel in enumerate(detector.panels):
        here = panels == number
        if panel.mu > 0 and panel.thickness > 0:
            cos = np.abs(unit[here] @ panel.normal)
            share[here] = 1 - np.exp(-panel.mu * panel.thickness / cos)
    return share


def resolution(s1: Vectors, s0: Float64[np.ndarray, "3"]) -> Values:
    """d (Angstrom) = 1 / |s1 - s0|."""
    return 1 / np.linalg.norm(s1 - s0, axis=1)


def detector_d_min(experiment: Experiment) -> float:
    """The smallest d (Angstrom) that any corner of any panel records."""
    smallest = np.inf
    for panel in experiment.detector.panels:
        w, h = panel.size_mm
        corners = np.array([[x, y] for x in (0.0, w) for y in (0.0, h)])
        s1: NDArray[np.float64] = panel.origin + corners[:, :1] * panel.fast + corners[:, 1:] * panel.slow
        s1 = s1 / np.linalg.norm(s1, axis=1)[:, None] / experiment.beam.wavelength
        smallest = min(smallest, float(resolution(s1, experiment.beam.s0).min()))
    return smallest
