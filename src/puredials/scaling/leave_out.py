"""Which data sets or images do not agree with the rest: how CC1/2 changes when each is left out.

CC1/2 is worked out from variances (Assmann, Brehm & Diederichs 2016, J. Appl. Cryst. 49, 1021), without the noise that
random halves would bring, in shells of resolution. Leaving out a group changes only the sums of the unique reflections
that it measured, so that all groups together cost about as much as one pass over the data.

CC1/2 with and without a group are of the same unique reflections: those that are measured repeatedly without it too.
Otherwise two observations that contradict each other would speak against the good one as much as against the bad one,
since without either of them the contradiction is gone.

Correlations are compared after Fisher's transformation (1921, Metron 1, 3), the inverse hyperbolic tangent, which makes
their errors alike at all values: else the noise of weak shells drowns what the strong ones, of CC1/2 near 1, tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import ndtr, stdtrit

from puredials.errors import ParameterError, TooFewReflectionsError
from puredials.merging.equivalents import find_equivalents
from puredials.merging.observations import image_numbers, median_cell, scaled_observations, symmetry_of
from puredials.model import Experiments, ReflectionTable
from puredials.scaling.leave_out_params import DeltaCCHalfParams, GroupParams
from puredials.sets.choosing import without_images
from puredials.sets.splitting import select_experiments
from puredials.statistics import equal_volume_shells, shell_numbers, sigma_tau

__all__ = ["DeltaCCHalf", "ImageGroup", "delta_cc_half", "image_groups", "low_outliers", "without_groups"]

# More of all groups than this are not outliers but another population.
_MOST_OUTLIERS = 0.2


@dataclass(frozen=True)
class ImageGroup:
    """Images `first` to `last` of an experiment: all of them, or some in a row (those that are valid)."""

    experiment: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class DeltaCCHalf:
    """CC1/2 with and without each of g groups; means over shells, weighted by the numbers of unique reflections.

    Attributes:
        groups: of images; group, unique: (n,) of each observation, its group and its unique reflection.
        edges: of the shells (Angstrom).
        cc_half: of all data; including, excluding: (g,) of the reflections that are measured repeatedly without the
            group, with it and without it.
        delta: (g,) ΔCC1/2: change of Fisher's transform of CC1/2 by the group; negative if the data are better without.
        mean, std: of `delta`, of the groups that are not bad; cutoff: what bad ones are below.
        bad: (g,) whether CC1/2 rises so much without the group that it does not agree with the rest.
    """

    groups: tuple[ImageGroup, ...]
    group: Int64[np.ndarray, " n"]
    unique: Int64[np.ndarray, " n"]
    edges: Float64[np.ndarray, " e"]
    cc_half: float
    including: Float64[np.ndarray, " g"]
    excluding: Float64[np.ndarray, " g"]
    delta: Float64[np.ndarray, " g"]
    mean: float
    std: float
    cutoff: float
    bad: Bool[np.ndarray, " g"]


def delta_cc_half(
    experiments: Experiments, table: ReflectionTable, *, params: DeltaCCHalfParams | None = None
) -> DeltaCCHalf:
    """How much CC1/2 owes to each data set, or to each group of images, of scaled data.

    Raises:
        ParameterError: fewer than three groups, which cannot tell which of them is bad.
        TooFewReflectionsError: nothing was measured twice.
    """
    params = params or DeltaCCHalfParams()
    cell = median_cell(experiments)
    observations = scaled_observations(table, cell, d_min=params.dmin, d_max=params.dmax)
    equivalents = find_equivalents(observations.hkl, symmetry_of(experiments))
    groups, group = image_groups(experiments, observations.table, params)
    if len(groups) < 3:
        what = "data sets" if params.mode == "dataset" else f"groups of {params.group_size} images"
        other = "mode=image_group" if params.mode == "dataset" else "a smaller group_size"
        raise ParameterError(
            f"It takes three {what} to tell which of them does not agree with the others, and there "
            f"{'is' if len(groups) == 1 else 'are'} {len(groups)}: give more data, or {other}."
        )
    d = np.asarray(cell.calculate_d_array(equivalents.hkl), dtype=np.float64)
    edges = equal_volume_shells(float(d.max()), float(d.min()), params.nbins)
    whole, including, excluding = (
        _by_shell(sums)
        for sums in _leave_each_out(
            observations.value, equivalents.group, group, shell_numbers(d, edges), params.nbins, len(groups)
        )
    )
    (overall,) = _mean(*whole)
    if not np.isfinite(overall):
        raise TooFewReflectionsError("No reflections were measured repeatedly, so their agreement cannot be judged.")
    delta = _mean(including[0], _fisher(including[1]) - _fisher(excluding[1]))
    mean, std, cutoff = low_outliers(delta, params.stdcutoff)
    return DeltaCCHalf(
        groups, group, equivalents.group, edges, float(overall), _mean(*including), _mean(*excluding), delta,
        mean, std, cutoff, delta < cutoff,
    )  # fmt: skip


def image_groups(
    experiments: Experiments, table: ReflectionTable, params: GroupParams
) -> tuple[tuple[ImageGroup, ...], Int64[np.ndarray, " n"]]:
    """The groups that have reflections, and the group of each reflection.

    A last group of less than half the size joins the one before it.
    """
    images = image_numbers(experiments, table)
    group = np.full(table.n_rows, -1, dtype=np.int64)
    groups: list[ImageGroup] = []
    for number, experiment in enumerate(experiments):
        first = experiment.scan.image_range[0] if experiment.scan is not None else 1
        valid = np.flatnonzero(experiment.valid_images) + first
        size = len(valid) if params.mode == "dataset" else params.group_size
        starts = valid[::size]
        if len(starts) > 1 and 2 * (len(valid) % size or size) < size:
            starts = starts[:-1]
        ends = np.append(valid[np.searchsorted(valid, starts[1:]) - 1], valid[-1])
        own = table["id"] == number
        place = np.clip(np.searchsorted(starts, images[own], side="right") - 1, 0, None)
        there = np.unique(place)
        group[own] = len(groups) + np.searchsorted(there, place)
        groups += [ImageGroup(number, int(starts[k]), int(ends[k])) for k in there]
    return tuple(groups), group


def _leave_each_out(
    value: Float64[np.ndarray, " n"],
    unique: Int64[np.ndarray, " n"],
    group: Int64[np.ndarray, " n"],
    shell: Int64[np.ndarray, " m"],
    n_shells: int,
    n_groups: int,
) -> tuple[Float64[np.ndarray, "4 1 s"], Float64[np.ndarray, "4 g s"], Float64[np.ndarray, "4 g s"]]:
    """Sums in shells over unique reflections of 1, y, y^2 and the variance of half of their data, y being their mean.

    Of all of them; and with and without each group, of those that are measured repeatedly without it.
    """
    m = len(shell)
    n = np.bincount(unique, minlength=m)
    mean = np.bincount(unique, value, m) / np.maximum(n, 1)
    centred = value - mean[unique]
    squares = np.bincount(unique, centred**2, m)
    # Deviations are counted from the mean of the shell, so that no digits are lost.
    middle = np.bincount(shell, mean, n_shells) / np.maximum(np.bincount(shell, minlength=n_shells), 1)
    offset = mean - middle[shell]

    def terms(n: np.ndarray, squares: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        """What a unique reflection adds to the sums of its shell: 1, y, y^2, and the variance of half its data."""
        several = n > 1
        half = squares / np.maximum(n - 1, 1) / (np.maximum(n, 1) / 2)
        return [np.where(several, t, 0.0) for t in (np.ones(len(n)), y, y * y, half)]

    whole = terms(n, squares, offset)
    total = np.array([np.bincount(shell, t, n_shells) for t in whole])
    # Pairs of a unique reflection and a group that measured it.
    pairs, pair = np.unique(unique * n_groups + group, return_inverse=True)
    u, g = pairs // n_groups, pairs % n_groups
    left = n[u] - np.bincount(pair)
    shift = -np.bincount(pair, centred) / np.maximum(left, 1)  # of the mean, when the group is left out
    rest = np.maximum(squares[u] - np.bincount(pair, centred**2) - left * shift**2, 0)
    changed = terms(left, rest, offset[u] + shift)
    where = g * n_shells + shell[u]

    def each(values: list[np.ndarray]) -> np.ndarray:
        """(4, groups, shells) sums over the pairs."""
        flat = np.array([np.bincount(where, v, n_groups * n_shells) for v in values])
        return flat.reshape(4, n_groups, n_shells)

    before = [t[u] for t in whole]
    including = total[:, None] - each([np.where(left > 1, 0.0, t) for t in before])
    excluding = total[:, None] + each([new - old for new, old in zip(changed, before, strict=True)])
    return total[:, None], including, excluding


def _by_shell(sums: Float64[np.ndarray, "4 k s"]) -> tuple[Float64[np.ndarray, "k s"], Float64[np.ndarray, "k s"]]:
    """Numbers of unique reflections, and CC1/2."""
    n, y, yy, half = sums
    return n, sigma_tau(n, yy - y * y / np.maximum(n, 1), half)


def _fisher(cc: Float64[np.ndarray, "k s"]) -> Float64[np.ndarray, "k s"]:
    return np.arctanh(np.clip(cc, -1 + 1e-12, 1 - 1e-12))


def _mean(n: Float64[np.ndarray, "k s"], values: Float64[np.ndarray, "k s"]) -> Float64[np.ndarray, " k"]:
    """Means over the shells whose values are known, weighted by the numbers of reflections."""
    known = np.isfinite(values) & (n > 1)
    weight = np.where(known, n, 0)
    total = weight.sum(axis=1)
    return (np.where(known, values, 0) * weight).sum(axis=1) / np.where(total > 0, total, np.nan)


def low_outliers(values: Float64[np.ndarray, " g"], stdcutoff: float) -> tuple[float, float, float]:
    """Mean and standard deviation of the values that are no outliers, and the limit that outliers are below.

    The k lowest values are outliers if the highest of them lies outside what the others predict for one more value: by
    Student's t times their standard deviation, at the probability that `stdcutoff` has for a normal distribution. The
    largest such k counts, so that several outliers cannot hide each other (Rosner 1983, Technometrics 25, 165). Of many
    values the limit is `stdcutoff` standard deviations below the mean.
    """
    ordered = np.sort(values[np.isfinite(values)])
    for k in range(int(np.ceil(_MOST_OUTLIERS * len(ordered))), -1, -1):
        rest = ordered[k:]
        if len(rest) < 2:
            continue
        mean, std = float(rest.mean()), float(rest.std(ddof=1))
        t = float(stdtrit(len(rest) - 1, ndtr(-stdcutoff)))
        cutoff = mean + t * std * np.sqrt(1 + 1 / len(rest))
        if k == 0 or ordered[k - 1] < cutoff:
            return mean, std, float(cutoff)
    return float(np.mean(ordered)), float("nan"), -np.inf


def without_groups(
    experiments: Experiments, table: ReflectionTable, groups: Sequence[ImageGroup]
) -> tuple[Experiments, ReflectionTable]:
    """The data without some groups: whole data sets are gone, images are left out of their scans."""
    gone: list[int] = []
    ranges: list[tuple[int, int, int]] = []
    for number in sorted({g.experiment for g in groups}):
        scan = experiments[number].scan
        own = [g for g in groups if g.experiment == number]
        valid = experiments[number].valid_images
        if scan is not None:
            for g in own:
                valid[g.first - scan.image_range[0] : g.last + 1 - scan.image_range[0]] = False
        if scan is None or not valid.any():
            gone.append(number)
        else:
            ranges += [(number, g.first, g.last) for g in own]
    experiments = without_images(experiments, ranges)
    kept, rows = select_experiments(experiments, table, [n for n in range(len(experiments)) if n not in gone])
    assert rows is not None
    return kept, rows
