"""One small sweep for all tests of integration."""

from dataclasses import replace

import numpy as np
import pytest

from integration_synthetic import SIZE, ArrayImages, Truth, draw, small_experiment
from puredials.model import Detector


@pytest.fixture(scope="session")
def truth() -> Truth:
    return draw(small_experiment())


@pytest.fixture(scope="session")
def halves(truth: Truth) -> Truth:
    """The same images on a detector of two panels, split along x."""
    panel = truth.experiment.detector[0]
    cut = SIZE // 2
    left = replace(panel, image_size=(cut, SIZE))
    right = replace(panel, image_size=(SIZE - cut, SIZE), origin=panel.origin + cut * 0.1 * panel.fast)
    counts = truth.images.panels[0]
    images = ArrayImages(
        (np.ascontiguousarray(counts[:, :, :cut]), np.ascontiguousarray(counts[:, :, cut:])),
        (np.ones((SIZE, cut), bool), np.ones((SIZE, SIZE - cut), bool)),
    )
    whole = truth.spots["shoebox"]
    on_right = whole.bbox[:, 0] >= cut
    keep = on_right | (whole.bbox[:, 1] <= cut)
    spots = truth.spots.select(keep)
    boxes, shift = spots["shoebox"], on_right[keep]
    bbox = boxes.bbox.copy()
    bbox[shift, :2] -= cut
    boxes = replace(boxes, bbox=bbox, panel=shift.astype(np.uint32))
    experiment = replace(truth.experiment, detector=Detector((left, right)))
    return replace(truth, experiment=experiment, images=images, spots=spots.with_columns({"shoebox": boxes}))
