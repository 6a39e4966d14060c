"""Read-only arrays: models are frozen, and so are the numbers in them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["frozen", "frozen_or_none"]


def frozen(values: ArrayLike, shape: Sequence[int | None]) -> NDArray[np.float64]:
    """A read-only float64 copy of `values` with the given shape (None: any length)."""
    array = np.array(values, dtype=np.float64)
    fits = array.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, array.shape, strict=True))
    if not fits:
        raise ValueError(f"expected an array of shape {tuple(shape)}, got {array.shape}")
    array.flags.writeable = False
    return array


def frozen_or_none(values: ArrayLike | None, shape: Sequence[int | None]) -> NDArray[np.float64] | None:
    """As `frozen`, but None stays None."""
    return None if values is None else frozen(values, shape)
