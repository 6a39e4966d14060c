"""The Laue group from intensities: scores of symmetry elements and of groups.

Evans (2011, Acta D67, 282; 2006, Acta D62, 72): a rotation of the lattice is a symmetry of the crystal if the
intensities that it relates agree; each group is judged by the elements it has and by those it lacks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from puredials.errors import TooFewReflectionsError
from puredials.symmetry.lattice import LatticeSetting, rotation_axis, rotation_order
from puredials.symmetry.observations import Observations, pack

__all__ = ["ElementScore", "GroupScore", "LaueAnalysis", "analyse_laue_group", "merge_friedel"]

# Different reflections without which no correlation is estimated.
FEWEST = 10


@dataclass(frozen=True, eq=False)
class ElementScore:
    """One rotation (with its inverse) of the lattice: how well the intensities obey it.

    Attributes:
        rotation: (3, 3) in the minimum cell; order and axis (direct lattice direction) of it.
        cc: correlation of the related intensities; n: number of pairs; z: cc / sigma(cc).
        likelihood: p(present | cc), of present against absent.
        log_present, log_absent: ln p(cc | present), ln p(cc | absent).
    """

    rotation: Int64[np.ndarray, "3 3"]
    order: int
    axis: tuple[int, int, int]
    cc: float
    n: int
    z: float
    likelihood: float
    log_present: float
    log_absent: float

    @property
    def stars(self) -> str:
        return (
            "***" if self.likelihood > 0.9 else "**" if self.likelihood > 0.7 else "*" if self.likelihood > 0.5 else ""
        )


@dataclass(frozen=True, eq=False)
class GroupScore:
    """One subgroup of the lattice group: `likelihood` is normalised over all; Zcc and CC with (+) and without (-)."""

    setting: LatticeSetting
    likelihood: float
    z_with: float
    z_without: float
    cc_with: float
    cc_without: float

    @property
    def net_z(self) -> float:
        return self.z_with - self.z_without

    @property
    def stars(self) -> str:
        return (
            "***" if self.likelihood > 0.8 else "**" if self.likelihood > 0.6 else "*" if self.likelihood > 0.4 else ""
        )


@dataclass(frozen=True, eq=False)
class LaueAnalysis:
    """All scores, best group first, and the numbers they rest on."""

    elements: tuple[ElementScore, ...]
    groups: tuple[GroupScore, ...]
    cc_unrelated: float
    n_unrelated: int
    e_cc_true: float
    cc_sigma_factor: float
    cc_true: float

    @property
    def confidence(self) -> float:
        """sqrt(p1 (p1 - p2)) of the best two groups."""
        first = self.groups[0].likelihood
        second = self.groups[1].likelihood if len(self.groups) > 1 else 0.0
        return float(np.sqrt(max(first * (first - second), 0.0)))


def analyse_laue_group(data: Observations, settings: Sequence[LatticeSetting], *, seed: int) -> LaueAnalysis:
    """Score every rotation of the lattice and every group.

    Args:
        data: normalised intensities, indices in the minimum cell.
        settings: all subgroups of the lattice's rotations, the whole group first (see `lattice_settings`).
        seed: of the random pairs.

    Raises:
        TooFewReflectionsError: no correlation can be estimated.
    """
    unique = merge_friedel(data)
    if len(unique.hkl) < FEWEST:
        raise TooFewReflectionsError(
            f"Only {len(unique.hkl)} different reflections are left for the analysis of symmetry: give a smaller "
            "d_min, or data of more images."
        )
    rng = np.random.default_rng(seed)
    cc_unrelated, n_unrelated, factor = _unrelated_pairs(unique, rng)
    identity_cc, identity_n = _identity_correlation(data, rng)
    signal, noise = float(np.var(unique.intensity)), float(np.mean(unique.sigma**2))
    e_cc = max(0.05, (signal - noise) / signal) if signal > 0 else 0.05
    cc_true = _expected_cc(e_cc, identity_cc, identity_n, factor)

    elements = []
    for rotation in _elements(settings[0].rotations):
        is_identity = (rotation == np.eye(3)).all()
        cc, n = (identity_cc, identity_n) if is_identity else _rotation_correlation(unique, rotation)
        elements.append(_score_element(rotation, cc, n, cc_true, factor))
    return LaueAnalysis(
        tuple(elements), tuple(_score_groups(settings, elements)), cc_unrelated, n_unrelated, e_cc, factor, cc_true
    )


def merge_friedel(data: Observations) -> Observations:
    """Weighted means over observations of the same Friedel pair, sorted by `pack`."""
    _, first, group = np.unique(pack(data.hkl), return_index=True, return_inverse=True)
    weight = 1 / np.maximum(data.sigma, 1e-6) ** 2
    total = np.bincount(group, weight)
    mean = np.bincount(group, weight * data.intensity) / total
    return Observations(data.hkl[first], mean, 1 / np.sqrt(total), data.d[first], data.cell)


def _correlation(a: Float64[np.ndarray, " n"], b: Float64[np.ndarray, " n"]) -> float:
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _unrelated_pairs(unique: Observations, rng: np.random.Generator) -> tuple[float, int, float]:
    """Correlation of pairs of similar resolution that no symmetry relates, their number, and sd(CC) sqrt(n).

    The normalised intensities of unrelated reflections do not correlate, so that the spread of CC over small random
    groups of n pairs shows what chance does to it.
    """
    order = np.argsort(unique.d, kind="stable")
    intensity = unique.intensity[order]
    n = min(len(intensity) // 2, 20_000)
    window = max(2, len(order) // 20)
    i = rng.integers(0, len(order) - 1, n)
    j = np.clip(i + rng.integers(1, window, n) * rng.choice([-1, 1], n), 0, len(order) - 1)
    a, b = intensity[i], intensity[j]
    sizes = np.unique(np.linspace(5, min(200, max(6, n)), 40).astype(int))
    spread = []
    for size in sizes:
        pick = rng.integers(0, n, (200, size))
        spread.append(np.std([_correlation(x, y) for x, y in zip(a[pick], b[pick], strict=True)]))
    inverse_root = 1 / np.sqrt(sizes)
    factor = float(inverse_root @ np.array(spread) / (inverse_root @ inverse_root))
    return _correlation(a, b), n, factor


def _identity_correlation(data: Observations, rng: np.random.Generator) -> tuple[float, int]:
    """Correlation of pairs of observations of one Friedel pair, and their number."""
    key = pack(data.hkl)
    order = np.lexsort((rng.random(len(key)), key))
    same = key[order][1:] == key[order][:-1]
    a, b = data.intensity[order][:-1][same], data.intensity[order][1:][same]
    keep = _without_outliers(a, b)
    # Both ways round: the order within a pair has no meaning.
    return _correlation(np.concatenate([a, b])[np.tile(keep, 2)], np.concatenate([b, a])[np.tile(keep, 2)]), int(
        keep.sum()
    )


def _rotation_correlation(unique: Observations, rotation: Int64[np.ndarray, "3 3"]) -> tuple[float, int]:
    """Correlation of I(h) and I(h R), and the number of pairs of different reflections."""
    key, image = pack(unique.hkl), pack(unique.hkl @ rotation)
    at = np.clip(np.searchsorted(key, image), 0, len(key) - 1)
    found = (key[at] == image) & (key != image)
    a, b = unique.intensity[found], unique.intensity[at[found]]
    keep = _without_outliers(a, b)
    a, b = a[keep], b[keep]
    return _correlation(np.concatenate([a, b]), np.concatenate([b, a])), len(a)


def _without_outliers(a: Float64[np.ndarray, " n"], b: Float64[np.ndarray, " n"]) -> np.ndarray:
    """False for pairs whose difference is more than 20 interquartile ranges off."""
    if len(a) < 4:
        return np.ones(len(a), dtype=bool)
    difference = a - b
    q1, q3 = np.percentile(difference, [25, 75])
    return np.abs(difference - np.median(difference)) <= 20 * max(q3 - q1, 1e-12)


def _expected_cc(e_cc: float, identity_cc: float, identity_n: int, factor: float) -> float:
    """CC to expect of a true symmetry: from the signal, and from repeated observations where there are enough."""
    sigma_1 = 0.1
    if identity_n < 20:
        return e_cc
    sigma_2 = factor / np.sqrt(identity_n)
    w1, w2 = 1 / max(0.05, sigma_1) ** 2, 1 / max(0.05, sigma_2) ** 2
    return float(np.clip((w1 * e_cc + w2 * identity_cc) / (w1 + w2), 0.05, 1.0))


def _elements(rotations: Int64[np.ndarray, "n 3 3"]) -> list[np.ndarray]:
    """One of each rotation and its inverse; the identity first, then by order and axis."""
    chosen: dict[bytes, np.ndarray] = {}
    for rotation in rotations:
        inverse = np.rint(np.linalg.inv(rotation)).astype(np.int64)
        if inverse.tobytes() not in chosen:
            chosen[rotation.tobytes()] = rotation
    return sorted(chosen.values(), key=lambda r: (rotation_order(r) != 1, -rotation_order(r), tuple(rotation_axis(r))))


def _cauchy(cc: float, centre: Float64[np.ndarray, " m"], width: float) -> Float64[np.ndarray, " m"]:
    """Density at `cc` of Cauchy distributions cut off at -1 and 1: tolerant of the odd disagreement."""
    density = width / np.pi / ((cc - centre) ** 2 + width**2)
    inside = (np.arctan((1 - centre) / width) - np.arctan((-1 - centre) / width)) / np.pi
    return density / inside


def _score_element(rotation: np.ndarray, cc: float, n: int, cc_true: float, factor: float) -> ElementScore:
    """p(CC; S) about the expected CC, p(CC; not S) over all m < 1 with weight sqrt(1 - m^2) (Evans 2011, section 4)."""
    sigma = max(0.1, factor / np.sqrt(max(n, 1)))
    grid = np.linspace(0, 1, 201)
    weight = np.sqrt(1 - grid**2)
    present = float(_cauchy(cc, np.array([cc_true]), sigma)[0])
    absent = float(weight @ _cauchy(cc, grid, sigma) / weight.sum())
    if n < 3:  # nothing is known of it
        present = absent = 1.0
    axis = rotation_axis(rotation).tolist()
    return ElementScore(
        rotation=rotation,
        order=rotation_order(rotation),
        axis=(axis[0], axis[1], axis[2]),
        cc=cc,
        n=n,
        z=cc / sigma,
        likelihood=present / (present + absent),
        log_present=float(np.log(present)),
        log_absent=float(np.log(absent)),
    )


def _score_groups(settings: Sequence[LatticeSetting], elements: Sequence[ElementScore]) -> list[GroupScore]:
    logs, scores = [], []
    for setting in settings:
        known = {r.tobytes() for r in setting.rotations}
        within = np.array([e.rotation.tobytes() in known for e in elements])
        logs.append(sum(e.log_present if w else e.log_absent for e, w in zip(elements, within, strict=True)))
        cc, z, n = (np.array([getattr(e, name) for e in elements]) for name in ("cc", "z", "n"))

        def mean(values: np.ndarray, which: np.ndarray, n: np.ndarray = n) -> float:
            return float(np.average(values[which], weights=n[which])) if n[which].sum() > 0 else 0.0

        rms = [np.sqrt(max(mean(np.sign(z) * z**2, which), 0.0)) for which in (within, ~within)]
        scores.append((setting, float(rms[0]), float(rms[1]), mean(cc, within), mean(cc, ~within)))
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    ranked = sorted(zip(weights, scores, strict=True), key=lambda pair: -pair[0])
    return [GroupScore(s[0], float(w), *s[1:]) for w, s in ranked]
