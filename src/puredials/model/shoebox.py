"""Shoeboxes: the pixels around each reflection, all in one flat buffer."""

from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MaskBits", "Shoeboxes"]


class MaskBits(IntFlag):
    """Bits of a shoebox mask."""

    VALID = 1
    BACKGROUND = 2
    FOREGROUND = 4
    STRONG = 8
    BACKGROUND_USED = 16
    OVERLAPPED = 32


@dataclass(frozen=True, eq=False)
class Shoeboxes:
    """The shoeboxes of n reflections.

    The pixels of reflection i are ``data[offsets[i]:offsets[i + 1]]``, in C order (z, y, x) within its bounding box.
    A reflection without pixels has ``offsets[i] == offsets[i + 1]``.

    Attributes:
        panel: (n,) uint32.
        bbox: (n, 6) int32: x0, x1, y0, y1, z0, z1, half-open.
        offsets: (n + 1,) int64.
        data: float32 counts; mask: uint8 `MaskBits`; background: float32 counts.
    """

    panel: NDArray[np.uint32]
    bbox: NDArray[np.int32]
    offsets: NDArray[np.int64]
    data: NDArray[np.float32]
    mask: NDArray[np.uint8]
    background: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.panel)

    def shape(self, i: int) -> tuple[int, int, int]:
        """(z, y, x) size of box i."""
        x0, x1, y0, y1, z0, z1 = (int(v) for v in self.bbox[i])
        return z1 - z0, y1 - y0, x1 - x0

    def box(self, i: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
        """Data, mask and background of box i, each (z, y, x)."""
        part = slice(self.offsets[i], self.offsets[i + 1])
        shape = self.shape(i)
        return self.data[part].reshape(shape), self.mask[part].reshape(shape), self.background[part].reshape(shape)

    def select(self, which: NDArray[Any]) -> "Shoeboxes":
        """The boxes of a boolean mask or of indices, in that order."""
        index = np.flatnonzero(which) if which.dtype == bool else np.asarray(which, dtype=np.int64)
        counts = np.diff(self.offsets)[index]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        shift: NDArray[np.int64] = np.repeat(self.offsets[:-1][index] - offsets[:-1], counts)
        pixels: NDArray[np.int64] = np.arange(len(shift), dtype=np.int64) + shift
        return Shoeboxes(
            self.panel[index],
            self.bbox[index],
            offsets,
            self.data[pixels],
            self.mask[pixels],
            self.background[pixels],
        )

    @staticmethod
    def concatenate(parts: "list[Shoeboxes]") -> "Shoeboxes":
        """All boxes of several sets, in order."""
        starts = np.cumsum([0] + [int(p.offsets[-1]) for p in parts])
        offsets = [p.offsets[:-1] + start for p, start in zip(parts, starts, strict=False)]
        return Shoeboxes(
            np.concatenate([p.panel for p in parts]),
            np.concatenate([p.bbox for p in parts]),
            np.concatenate([*offsets, starts[-1:]]).astype(np.int64),
            np.concatenate([p.data for p in parts]),
            np.concatenate([p.mask for p in parts]),
            np.concatenate([p.background for p in parts]),
        )
