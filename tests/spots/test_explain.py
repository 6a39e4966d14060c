"""The stages of the threshold agree with each other, with numpy, and with the spots that are found."""

import numpy as np
import pytest

from puredials.errors import ParameterError
from puredials.kernels.dispersion import window_moments
from puredials.model import Panel
from puredials.spots.explain import MODES, ThresholdStages
from puredials.spots.params import Dispersion, Threshold
from puredials.spots.threshold import strong_in_images


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(3)
    counts = rng.poisson(3.0, (60, 80)).astype(np.int32)
    counts[20:23, 30:33] += 60
    counts[40, 50] += 200
    counts[5, 5] = -1
    return counts


@pytest.fixture(scope="module")
def panel():
    return Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-4.0, 3, -10]), (80, 60), (0.1, 0.1))


@pytest.fixture(scope="module")
def usable():
    mask = np.ones((60, 80), np.bool_)
    mask[:, 60:63] = False
    return mask


@pytest.mark.parametrize("kernel", [(0, 0), (1, 2), (3, 3), (40, 40)])
def test_moments_of_windows_are_those_of_numpy(image, usable, kernel):
    values, valid = np.where(usable, image, 0).astype(np.float32), usable.astype(np.uint8)
    mean, variance = np.empty_like(values), np.empty_like(values)
    window_moments(values, valid, *kernel, mean, variance)
    kx, ky = kernel
    for j, i in ((0, 0), (21, 31), (40, 61), (59, 79), (30, 59)):
        window = np.s_[max(j - ky, 0) : j + ky + 1, max(i - kx, 0) : i + kx + 1]
        inside = image[window][usable[window]]
        assert mean[j, i] == pytest.approx(inside.mean() if len(inside) else 0)
        assert variance[j, i] == pytest.approx(inside.var(ddof=1) if len(inside) > 1 else 0, rel=1e-5)


@pytest.mark.parametrize("algorithm", ["dispersion", "dispersion_extended"])
def test_the_last_stage_is_what_spot_finding_takes(image, panel, usable, algorithm):
    threshold = Threshold(algorithm=algorithm)

    class Images:
        def __len__(self):
            return 1

        def read(self, index):
            return (image,)

        def static_mask(self):
            return (usable,)

    ((found,),) = strong_in_images(
        range(1),
        images=Images(),
        panels=[panel],
        usable=[usable],
        threshold=threshold,
        shells=None,
        max_fraction=1.0,
        first_number=1,
    )
    (strong,) = ThresholdStages([panel], [usable]).picture([image], "threshold", threshold)
    assert np.flatnonzero(strong).tolist() == found.index.tolist()
    assert strong[21, 31]


def test_strong_pixels_pass_each_stage_of_the_dispersion(image, panel, usable):
    stages = ThresholdStages([panel], [usable])
    threshold = Threshold(algorithm="dispersion", dispersion=Dispersion(global_threshold=4))
    b, s, g, strong = (stages.picture([image], mode, threshold)[0].astype(bool) for mode in MODES[3:])
    np.testing.assert_array_equal(strong, b & s & g)
    assert 0 < strong.sum() < s.sum()


def test_dispersion_is_variance_over_mean_and_near_one_for_background(image, panel, usable):
    stages = ThresholdStages([panel], [usable])
    mean, variance, dispersion = (stages.picture([image], mode, Threshold())[0] for mode in MODES[:3])
    np.testing.assert_allclose(dispersion, variance / mean, rtol=1e-5)
    assert np.median(dispersion) == pytest.approx(1, abs=0.1)


def test_the_radial_profile_has_no_local_stages(image, panel, usable):
    with pytest.raises(ParameterError, match="sigma_b"):
        ThresholdStages([panel], [usable]).picture([image], "sigma_b", Threshold(algorithm="radial_profile"))
