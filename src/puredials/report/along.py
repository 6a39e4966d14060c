"""Quantities along the scan: means over groups of images, and the place where they change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from puredials.model import Experiments, ReflectionTable, Scan

__all__ = ["Along", "Step", "along", "curves", "find_step", "place_along", "totals"]

Values = Float64[np.ndarray, " n"]
# Groups of images that a sweep has in plots of means.
_GROUPS = 50


@dataclass(frozen=True, eq=False)
class Along:
    """A quantity of one experiment in groups of images.

    Attributes:
        experiment: its number.
        image: (k,) middle of each group, counted like `image_range`; width: images of a group.
        value: (k,) NaN where there is nothing; count: (k,) what it rests on; error: (k,) standard error, if known.
    """

    experiment: int
    image: Float64[np.ndarray, " k"]
    width: int
    value: Float64[np.ndarray, " k"]
    count: Float64[np.ndarray, " k"]
    error: Float64[np.ndarray, " k"]

    def inner(self, left_out: int) -> "Along":
        """Without the first and last `left_out` groups."""
        kept = slice(left_out, len(self.image) - left_out)
        return Along(
            self.experiment, self.image[kept], self.width, self.value[kept], self.count[kept], self.error[kept]
        )


def place_along(table: ReflectionTable) -> Values:
    """z of each reflection: observed where it was, else calculated."""
    if "xyzobs.px.value" not in table:
        return table["xyzcal.px"][:, 2]
    z = table["xyzobs.px.value"][:, 2]
    if "xyzcal.px" not in table:
        return z
    return np.where(np.isfinite(z) & (table["xyzobs.px.value"] != 0).any(axis=1), z, table["xyzcal.px"][:, 2])


def _groups(scan: Scan, z: Values, width: int) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, " k"]]:
    """The group of each position (-1 outside of the scan), and the middles of all groups as image numbers."""
    count = -(-len(scan) // width)
    offset = z - scan.array_range[0]
    inside = (offset >= 0) & (offset <= len(scan))
    group = np.minimum(np.nan_to_num(offset) // width, count - 1).astype(np.int64)
    first = scan.image_range[0] + width * np.arange(count)
    last = np.minimum(first + width - 1, scan.image_range[1])
    return np.where(inside, group, -1), (first + last) / 2


def along(
    experiments: Experiments,
    numbers: Int64[np.ndarray, " n"],
    z: Values,
    values: Values,
    *,
    rms: bool = False,
    groups: int = _GROUPS,
) -> list[Along]:
    """Means (or root mean squares) of `values` at positions `z` of experiments `numbers`."""
    result: list[Along] = []
    for k, experiment in enumerate(experiments):
        here = (numbers == k) & np.isfinite(values)
        if experiment.scan is None or len(experiment.scan) < 2 or not here.any():
            continue
        width = max(1, -(-len(experiment.scan) // groups))
        group, image = _groups(experiment.scan, z[here], width)
        own, group = values[here][group >= 0], group[group >= 0]
        n = len(image)
        count = np.bincount(group, minlength=n).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(group, own, n) / count
            square = np.bincount(group, own**2, n) / count
            spread = np.sqrt(np.maximum(square - mean**2, 0) / count)
        # The error of an r.m.s. of normal deviates is its 1 / sqrt(2 n).
        value, error = (np.sqrt(square), np.sqrt(square / (2 * np.maximum(count, 1)))) if rms else (mean, spread)
        result.append(Along(k, image, width, value, count, error))
    return result


def totals(
    experiments: Experiments, numbers: Int64[np.ndarray, " n"], z: Values, which: Bool[np.ndarray, " n"]
) -> list[Along]:
    """How many of the reflections `which` each image has."""
    result: list[Along] = []
    for k, experiment in enumerate(experiments):
        if experiment.scan is None or len(experiment.scan) < 2:
            continue
        group, image = _groups(experiment.scan, z[(numbers == k) & which], 1)
        count = np.bincount(group[group >= 0], minlength=len(image)).astype(np.float64)
        result.append(Along(k, image, 1, count, count, np.sqrt(np.maximum(count, 1))))
    return result


def curves(parts: Sequence[Along], name: str = "", **style: Any) -> list[dict[str, Any]]:
    """Traces of a plot, one an experiment; those of one experiment have one colour where there are several."""
    many = len({p.experiment for p in parts}) > 1
    names = [f"{name} data set {p.experiment}".strip() if many or not name else name for p in parts]
    groups = [{"legendgroup": f"data set {p.experiment}"} if many else {} for p in parts]
    return [
        {"type": "scatter", "mode": "lines", "x": p.image, "y": p.value, "name": label, **group, **style}
        for p, label, group in zip(parts, names, groups, strict=True)
    ]


@dataclass(frozen=True)
class Step:
    """The values are `before` up to `image` and `after` later."""

    experiment: int
    image: int
    before: float
    after: float

    @property
    def ratio(self) -> float:
        return self.after / self.before if self.before > 0 else np.inf


def find_step(part: Along, *, significance: float = 6.0) -> Step | None:
    """The split of the scan into two levels that explains most of the variance, if it stands out of the noise.

    Levels are medians. Their difference has to exceed `significance` standard errors, which are worked out from the
    differences of neighbours: slow changes do not count as noise.
    """
    good = np.isfinite(part.value)
    value, image = part.value[good], part.image[good]
    n, least = len(value), max(2, int(good.sum()) // 20)
    if n < 8:
        return None
    sums = np.concatenate([[0], np.cumsum(value)])
    split = np.arange(least, n - least + 1)
    gain = sums[split] ** 2 / split + (sums[-1] - sums[split]) ** 2 / (n - split)
    at = int(split[np.argmax(gain)])
    noise = float(np.median(np.abs(np.diff(value)))) / (0.6745 * np.sqrt(2))
    noise = max(noise, float(np.median(part.error[good])))
    before, after = float(np.median(value[:at])), float(np.median(value[at:]))
    if abs(after - before) <= significance * noise * np.sqrt(1 / at + 1 / (n - at)):
        return None
    last = int(np.ceil(image[at - 1] + (part.width - 1) / 2))
    return Step(part.experiment, last, before, after)
