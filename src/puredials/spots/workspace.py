"""Arrays that thresholds need, allocated once a panel."""

import numpy as np

from puredials.model import Panel

__all__ = ["Workspace"]


class Workspace:
    """Arrays of one panel that are used again for every image."""

    def __init__(self, panel: Panel) -> None:
        width, height = panel.image_size
        shape = (height, width)
        self.values = np.empty(shape, dtype=np.float32)
        self.valid, self.flags, self.scratch, self.region = (np.empty(shape, dtype=np.uint8) for _ in range(4))
        self.index = np.empty(height * width, dtype=np.int32)
