"""Which sets the intensities tie to each other, and to which of their settings."""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.sparse.csgraph import connected_components

from puredials.symmetry.cosym_target import Correlations

__all__ = ["Agreement", "Settings", "correlated_group", "set_agreements", "tied_sets"]

# A correlation over n unrelated pairs has the standard deviation 1 / sqrt(n): this many of them are no accident.
_SIGNIFICANT = 3.0
# A rotation that keeps this share of the correlation is a symmetry but for details: it need not be told from one.
_PSEUDO_SYMMETRY = 0.7
# Sets of one structure do not correlate by less than this share of what is to be expected.
_SHARE_OF_EXPECTED = 0.25


@dataclass(frozen=True)
class Agreement:
    """How well some sets correlate with others over `n` pairs.

    Attributes:
        cc: in their settings; cc_next: in the best of the settings that the symmetry of the crystal tells apart (NaN if
            there are none).
        expected: the correlation of two measurements of one structure, by the errors of both.
    """

    cc: float
    cc_next: float
    expected: float
    n: float

    @property
    def error(self) -> float:
        """Standard deviation of the correlation of unrelated intensities."""
        return float(1 / np.sqrt(max(self.n, 1)))

    @property
    def is_determined(self) -> bool:
        """Whether the setting is better than the next by more than accident, if there is a choice."""
        return self.n > 0 and not self.cc - self.cc_next < _SIGNIFICANT * np.sqrt(2) * self.error


@dataclass(frozen=True, eq=False)
class Settings:
    """The chosen copy of each set, and how all would correlate if some were turned.

    Attributes:
        correlations, copies: of the sets.
        signal: (n_sets,) the share of the variance of each set's intensities that is no error.
        turned: (n_ops, n_ops) the copy that copy c becomes when a set is turned by rotation s, [s, c].
        cosets: rotations of the lattice by coset of the crystal's group, that group first; (k, order of the group).
    """

    correlations: Correlations
    copies: Int64[np.ndarray, " n"]
    signal: Float64[np.ndarray, " n"]
    turned: Int64[np.ndarray, "g g"]
    cosets: Int64[np.ndarray, "k m"]

    @staticmethod
    def of(
        correlations: Correlations,
        copies: Int64[np.ndarray, " n"],
        signal: Float64[np.ndarray, " n"],
        rotations: Int64[np.ndarray, "g 3 3"],
        group: Int64[np.ndarray, "m 3 3"],
    ) -> "Settings":
        """`group`: the rotations of the crystal; a set that is turned by one of them agrees as before."""
        number = {g.tobytes(): k for k, g in enumerate(rotations)}
        inverses = [np.rint(np.linalg.inv(s)).astype(np.int64) for s in rotations]
        # A set is brought to the common axes by inv(R) of its copy R, and on by S: the copy is then inv(S) R.
        turned = np.array([[number[(i @ g).tobytes()] for g in rotations] for i in inverses])
        cosets: list[list[int]] = []
        for s in [np.eye(3, dtype=np.int64), *rotations]:
            if not any(number[s.tobytes()] in coset for coset in cosets):
                cosets.append([number[(s @ g).tobytes()] for g in group])
        return Settings(correlations, copies, signal, turned, np.array(cosets))

    def coset_scores(
        self, some: Int64[np.ndarray, " a"], others: Int64[np.ndarray, " b"]
    ) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
        """Mean correlation of some sets with others, and its number of pairs, with the first turned by each coset.

        The pairs by which two sets are related through different symmetries of the crystal are of the same structure
        factors: their number is the mean, not the sum.
        """
        total, n = np.zeros(self.cosets.shape), np.zeros(self.cosets.shape)
        for k in some:
            r = self.correlations.r[k][:, others, self.copies[others]]
            pairs = self.correlations.n[k][:, others, self.copies[others]]
            copies = self.turned[self.cosets, self.copies[k]]
            total += (r * pairs).sum(axis=1)[copies]
            n += pairs.sum(axis=1)[copies]
        return total.sum(axis=1) / np.maximum(n.sum(axis=1), 1e-9), n.mean(axis=1)

    def agreement(self, some: Int64[np.ndarray, " a"], others: Int64[np.ndarray, " b"]) -> Agreement:
        """Of some sets, turned together, with others."""
        cc, n = self.coset_scores(some, others)
        known = n[1:] > 0
        # A setting in which nothing is in common is no evidence against the chosen one, nor for it.
        nothing = 0.0 if len(cc) > 1 else float("nan")
        cc_next = float(cc[1:][known].max()) if known.any() else nothing
        pairs = self.correlations.n[some].sum(axis=(1, 3))[:, others]
        both = np.sqrt(np.outer(self.signal[some], self.signal[others]))
        expected = float((pairs * both).sum() / max(pairs.sum(), 1e-9))
        return Agreement(float(cc[0]), cc_next, expected, float(n[0]))


def correlated_group(
    correlations: Correlations,
    copies: Int64[np.ndarray, " n"],
    rotations: Int64[np.ndarray, "g 3 3"],
    candidates: list[np.ndarray],
) -> Int64[np.ndarray, "m 3 3"]:
    """The largest group whose rotations hardly matter to the correlations of most pairs of sets.

    It is judged pair by pair, so that a few sets that do not belong to the others do not spoil it, as they would spoil
    intensities that are merged with theirs.
    """
    settings = Settings.of(correlations, copies, np.ones(len(copies)), rotations, np.eye(3, dtype=np.int64)[None])
    scores = []
    for i in range(len(copies)):
        for j in range(i):
            cc, n = settings.coset_scores(np.array([i]), np.array([j]))
            if n[0] > 0 and cc[0] * np.sqrt(n[0]) > _SIGNIFICANT:
                scores.append(np.where(n > 0, cc, np.nan) / cc[0])
    if not scores:
        return np.eye(3, dtype=np.int64)[None]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        share = np.nan_to_num(np.nanmedian(scores, axis=0))
    alike = {
        rotations[coset[0]].tobytes() for coset, s in zip(settings.cosets, share, strict=True) if s > _PSEUDO_SYMMETRY
    }
    return max((c for c in candidates if all(r.tobytes() in alike for r in c)), key=len)


def set_agreements(settings: Settings) -> list[Agreement]:
    """Of each set with all others."""
    everyone = np.arange(len(settings.copies))
    return [settings.agreement(everyone[k : k + 1], np.delete(everyone, k)) for k in everyone]


def tied_sets(settings: Settings) -> tuple[Bool[np.ndarray, " n"], dict[int, str]]:
    """Sets whose settings relative to each other are determined, and the reason why each of the others is not.

    Sets form groups within which pairs determine the settings; the largest group takes in the others, the largest
    first, as far as all pairs between them determine how they are turned, and correlate as one structure does.
    """
    n = len(settings.copies)
    single = np.arange(n)[:, None]
    pairs = [[settings.agreement(single[i], single[j]) for j in range(i)] for i in range(n)]
    # Of correlations that are less than expected, as where errors are underestimated, what is usual is expected.
    shares = [a.cc / a.expected for row in pairs for a in row if a.cc > _SIGNIFICANT * a.error]
    usual = min(1.0, max(0.0, float(np.median(shares)))) if shares else 0.0

    def tied(agreement: Agreement) -> bool:
        return agreement.is_determined and agreement.cc >= _SHARE_OF_EXPECTED * usual * agreement.expected

    ties = np.zeros((n, n), dtype=bool)
    for i, j in zip(*np.tril_indices(n, -1), strict=True):
        ties[i, j] = tied(pairs[i][j])
    _, label = connected_components(ties, directed=False)
    groups = sorted((np.flatnonzero(label == k) for k in np.unique(label)), key=lambda g: (-len(g), int(g[0])))
    core, rest = groups[0], groups[1:]
    while joined := [g for g in rest if tied(settings.agreement(g, core))]:
        core = np.concatenate([core, joined[0]])
        rest = [g for g in rest if g is not joined[0]]
    reasons = {int(k): _reason(settings.agreement(group, core), usual, len(group)) for group in rest for k in group}
    keep = np.ones(n, dtype=bool)
    keep[list(reasons)] = False
    return keep, reasons


def _reason(agreement: Agreement, usual: float, size: int) -> str:
    whose = "its" if size == 1 else f"with {size - 1} more sets like it, its"
    if agreement.n == 0:
        return f"{whose} reflections are too few in common with the other sets"
    if agreement.is_determined or agreement.cc + _SIGNIFICANT * agreement.error < (
        _SHARE_OF_EXPECTED * usual * agreement.expected
    ):
        return (
            f"{whose} intensities are of another structure than those of the other sets: CC {agreement.cc:.2f} over "
            f"{agreement.n:.0f} pairs, {usual * agreement.expected:.2f} is usual for its errors"
        )
    return (
        f"{whose} setting is not determined by the reflections in common with the other sets: "
        f"CC {agreement.cc:.2f} and {agreement.cc_next:.2f} in the best two, over {agreement.n:.0f} pairs"
    )
