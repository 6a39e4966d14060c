"""Statistics of integrated reflections, added up part by part."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from puredials.model import Experiment, Flags, ReflectionTable

__all__ = ["SHELLS", "STATISTICS", "Summary", "ranks"]

SHELLS = 20
STATISTICS = (
    "predicted", "full", "part", "overloaded", "overlapped", "bad background", "bad foreground", "failed background",
    "failed summation", "failed fitting", "integrated", "sum", "prf", "background", "I/sigma sum", "I/sigma prf",
    "correlation", "shift",
)  # fmt: skip


@dataclass
class Summary:
    """Sums of STATISTICS by image and by shell of resolution (of equal volume, from low to high resolution).

    The last five are sums over integrated reflections: of all (background), of summed (I/sigma sum, and shift, the
    squared distance in px from the prediction) or of fitted ones (I/sigma prf, correlation).
    """

    first_image: int
    edges: Float64[np.ndarray, " shells1"]
    by_image: Float64[np.ndarray, "images k"]
    by_shell: Float64[np.ndarray, "shells k"]
    pairs: list[NDArray[np.float32]] = field(default_factory=list)

    @staticmethod
    def empty(experiment: Experiment, d_min: float, d_max: float) -> "Summary":
        assert experiment.scan is not None
        k = len(STATISTICS)
        # Limits a little apart even for a single reflection.
        edges = np.linspace(d_max**-3 * (1 - 1e-9), d_min**-3 * (1 + 1e-9), SHELLS + 1)
        return Summary(
            experiment.scan.image_range[0], edges, np.zeros((len(experiment.scan), k)), np.zeros((SHELLS, k))
        )

    def add(self, table: ReflectionTable) -> None:
        """Add reflections, integrated or not."""
        summed, fitted = table.has(Flags.INTEGRATED_SUM), table.has(Flags.INTEGRATED_PRF)
        either = summed | fitted
        full = table["partiality"] > 0.99
        shift = np.sum((table["xyzobs.px.value"] - table["xyzcal.px"])[:, :2] ** 2, axis=1)
        columns = {
            "predicted": np.ones(len(either)),
            "full": full & either,
            "part": ~full & either,
            "overloaded": table.has(Flags.OVERLOADED),
            "overlapped": table.has(Flags.OVERLAPPED_FG),
            "bad background": table.has(Flags.BACKGROUND_INCLUDES_BAD_PIXELS),
            "bad foreground": table.has(Flags.FOREGROUND_INCLUDES_BAD_PIXELS),
            "failed background": table.has(Flags.FAILED_DURING_BACKGROUND_MODELLING),
            "failed summation": ~summed,
            "failed fitting": ~fitted,
            "integrated": either,
            "sum": summed,
            "prf": fitted,
            "background": np.where(either, table["background.mean"], 0),
            "I/sigma sum": _significance(table, "sum"),
            "I/sigma prf": _significance(table, "prf"),
            "correlation": np.where(fitted, table["profile.correlation"], 0),
            "shift": np.where(summed, shift, 0),
        }
        values = np.column_stack([columns[name] for name in STATISTICS]).astype(np.float64)
        image = np.clip(np.floor(table["xyzcal.px"][:, 2]).astype(np.int64) + 1 - self.first_image, 0, None)
        np.add.at(self.by_image, np.minimum(image, len(self.by_image) - 1), values)
        shell = np.clip(np.searchsorted(self.edges, table["d"] ** -3, "right") - 1, 0, SHELLS - 1)
        np.add.at(self.by_shell, shell, values)
        both = summed & fitted
        pairs = [shell[both], table["intensity.sum.value"][both], table["intensity.prf.value"][both]]
        self.pairs.append(np.column_stack(pairs).astype(np.float32))

    def correlations(self, shell: int | None = None) -> tuple[float, float]:
        """Pearson's and Spearman's correlation of summed and fitted intensities, in a shell or overall."""
        pairs = np.concatenate(self.pairs) if self.pairs else np.empty((0, 3), np.float32)
        if shell is not None:
            pairs = pairs[pairs[:, 0] == shell]
        a, b = pairs[:, 1].astype(np.float64), pairs[:, 2].astype(np.float64)
        if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
            return np.nan, np.nan
        return float(np.corrcoef(a, b)[0, 1]), float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def _significance(table: ReflectionTable, kind: str) -> NDArray[np.float64]:
    """I / sigma, 0 where there is none."""
    variance = table[f"intensity.{kind}.variance"]
    return table[f"intensity.{kind}.value"] / np.sqrt(np.where(variance > 0, variance, np.inf))


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean rank of each value among all. `scipy.stats` takes longer to import than a wedge to integrate."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - 0.5 * (counts - 1))[which]
