"""Speed of spot finding: ``pytest benchmarks --benchmark-enable --benchmark-only``."""

import numpy as np
import pytest

from puredials.kernels.components import label
from puredials.kernels.dispersion import valid_pixels
from puredials.model import Panel
from puredials.spots.params import Threshold
from puredials.spots.threshold import strong_in_panel
from puredials.spots.workspace import Workspace

WIDTH, HEIGHT = 1028, 1062


@pytest.fixture(scope="module")
def image():
    """Poisson background of half a photon, and 100 spots of 300 photons."""
    rng = np.random.default_rng(1)
    mean = np.full((HEIGHT, WIDTH), 0.5)
    y, x = np.mgrid[-6:7, -6:7]
    spot = np.exp(-0.5 * (x**2 + y**2) / 1.2**2)
    spot *= 300 / spot.sum()
    for j, i in rng.integers(8, 1020, (100, 2)):
        mean[j - 6 : j + 7, i - 6 : i + 7] += spot
    return rng.poisson(mean).astype(np.uint16)


@pytest.fixture(scope="module")
def workspace(image):
    work = Workspace(Panel(np.eye(3)[0], -np.eye(3)[1], np.array([-40.0, 40, -100]), (WIDTH, HEIGHT), (0.075, 0.075)))
    valid_pixels(image, np.ones(image.shape, np.bool_), -0.5, 46000.0, 0.0, 1.0, work.values, work.valid)
    return work


@pytest.mark.parametrize("algorithm", ["dispersion", "dispersion_extended"])
def test_threshold_of_a_megapixel(benchmark, workspace, algorithm):
    threshold = Threshold.model_validate({"algorithm": algorithm})
    assert len(benchmark(strong_in_panel, workspace, threshold)) > 500


def test_counts_to_photons_of_a_megapixel(benchmark, image, workspace):
    usable = np.ones(image.shape, np.bool_)
    benchmark(valid_pixels, image, usable, -0.5, 46000.0, 0.0, 1.0, workspace.values, workspace.valid)


def test_components_of_a_million_strong_pixels(benchmark):
    rng = np.random.default_rng(2)
    frames = [np.flatnonzero(rng.random(WIDTH * HEIGHT) < 0.01).astype(np.int32) for _ in range(100)]
    starts, index = np.cumsum([0] + [len(f) for f in frames]).astype(np.int64), np.concatenate(frames)
    labels = np.empty(len(index), np.int32)
    assert benchmark(label, starts, index, WIDTH, True, labels) > 0
