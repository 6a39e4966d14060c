"""Small images with Gaussian spots on a Poisson background, for the tests of spot finding."""

from dataclasses import dataclass

import numpy as np

from puredials.model import Beam, Detector, Experiment, Goniometer, Panel, Scan


@dataclass(frozen=True, eq=False)
class Stack:
    """An image source of arrays in memory: `images` (n, slow, fast) a panel."""

    images: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]

    @staticmethod
    def of(*images, masks=None):
        whole = tuple(np.ones(i.shape[1:], dtype=np.bool_) for i in images)
        return Stack(images, masks or whole)

    def __len__(self):
        return len(self.images[0])

    def read(self, index):
        return tuple(images[index] for images in self.images)

    def static_mask(self):
        return self.masks


def panel(width, height, *, x=0.0, **more):
    """A panel of 0.1 mm pixels at 100 mm, centred on the beam but for a shift by x mm."""
    origin = np.array([x - 0.05 * width, 0.05 * height, -100.0])
    return Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), origin, (width, height), (0.1, 0.1), **more)


def experiment(*panels, n_images=1, first=1, width=0.2):
    return Experiment(
        Beam(np.array([0, 0, 1.0]), 1.0),
        Detector(panels),
        Goniometer(np.array([1.0, 0, 0])),
        Scan((first, first + n_images - 1), (0.0, width)),
        identifier="one",
    )


def spots(shape, centres, photons, *, sigma=(0.8, 1.0, 1.0), background=1.0, seed=0):
    """(n, slow, fast) int32 counts: Gaussian spots at centres (x, y, z) of `photons` each, on a flat background."""
    axes = [np.arange(n) + 0.5 for n in shape]
    mean = np.full(shape, background)
    for x, y, z in centres:
        profile = [np.exp(-0.5 * ((a - c) / s) ** 2) for a, c, s in zip(axes, (z, y, x), sigma, strict=True)]
        product = np.einsum("i,j,k->ijk", *[p / p.sum() for p in profile])
        mean += photons * product
    return np.random.default_rng(seed).poisson(mean).astype(np.int32)
