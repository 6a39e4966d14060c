"""What a page saves is what other programs read, and goes nowhere else than into the folder of the viewer."""

import json
from typing import Any

import numpy as np
import pytest
from viewer_set import viewed

from puredials.cli.find_spots import Options
from puredials.cli.generate_mask import Options as MaskOptions
from puredials.cli.params import apply, listed_parameters, match
from puredials.cli.phil import parse
from puredials.errors import FileError, ParameterError
from puredials.io.formats import read_mask
from puredials.spots import generate_mask
from puredials.spots.params import Dispersion, RadialProfile, Threshold

SHAPES = [
    {"kind": "rectangle", "panel": 0, "points": [[30.2, 20.1], [9.8, 40.4]]},
    {"kind": "circle", "panel": 0, "points": [[60, 50], [63, 54]]},
    {"kind": "polygon", "panel": 0, "points": [[70, 5], [85, 5], [85, 15.5]]},
]


def read(options, path) -> Any:
    parameters = listed_parameters(options)
    return apply(options, [(match(a.path, parameters)[0], a) for a in parse(path.read_text())])


@pytest.mark.parametrize(
    "threshold",
    [
        Threshold(),
        Threshold(
            algorithm="dispersion",
            dispersion=Dispersion(
                gain=1.25, kernel_size=(4, 5), sigma_background=7.5, sigma_strong=2.0, min_local=3, global_threshold=1.5
            ),
        ),
        Threshold(algorithm="radial_profile", radial_profile=RadialProfile(n_iqr=5, blur="wide", n_bins=50)),
    ],
)
def test_find_spots_reads_the_saved_parameters(tmp_path, threshold):
    view, _ = viewed(folder=tmp_path)
    reply = view.actions["find_spots"]({"name": "find_spots.phil", "threshold": threshold.model_dump(mode="json")})
    assert reply.body
    assert read(Options, tmp_path / "find_spots.phil").spotfinder.threshold == threshold


def test_masks_are_read_as_masks_and_as_parameters_of_generate_mask(tmp_path):
    view, _ = viewed(folder=tmp_path)
    for name in ("pixels.mask", "mask.phil"):
        view.actions["mask"]({"set": 0, "name": name, "shapes": SHAPES})
    experiment = view.sets[0].first
    (mask,) = read_mask(tmp_path / "pixels.mask", experiment.detector)
    assert not mask[20:40, 10:30].any()
    assert mask[19, 10:30].all()
    assert not mask[50, 56:65].any()
    assert mask[50, 54]
    assert not mask[8, 80]
    assert not mask[:, 0].any()  # masked before
    assert "." not in (tmp_path / "mask.phil").read_text()  # DIALS takes whole numbers only
    params = read(MaskOptions, tmp_path / "mask.phil")
    (again,) = generate_mask(experiment, params=params)
    np.testing.assert_array_equal(mask[:, 1:], again[:, 1:])


@pytest.mark.parametrize(
    "name",
    [
        "../x.phil",
        "/etc/x.phil",
        "a/b.phil",
        ".hidden.phil",
        "x.py",
        "x.phil\0",
        "x\n.phil",
        "",
        None,
        7,
        "x" * 200 + ".phil",
    ],
)
def test_names_of_other_places_and_kinds_are_refused(tmp_path, name):
    view, _ = viewed(folder=tmp_path)
    with pytest.raises(ParameterError):
        view.actions["find_spots"]({"name": name, "threshold": {}})
    assert not list(tmp_path.iterdir())


def test_links_are_not_followed(tmp_path):
    (tmp_path / "aim").write_text("kept")
    (tmp_path / "x.phil").symlink_to(tmp_path / "aim")
    view, _ = viewed(folder=tmp_path)
    with pytest.raises(FileError):
        view.actions["find_spots"]({"name": "x.phil", "threshold": {}})
    assert (tmp_path / "aim").read_text() == "kept"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    view, _ = viewed(folder=tmp_path / "gone")
    with pytest.raises(FileError, match="gone"):
        view.actions["find_spots"]({"name": "x.phil", "threshold": {}})


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        [{"kind": "circle", "panel": 1, "points": [[1, 2], [3, 4]]}],
        [{"kind": "polygon", "panel": 0, "points": [[1, 2], [3, 4]]}],
        [{"kind": "star", "panel": 0, "points": [[1, 2], [3, 4]]}],
        [{"kind": "circle", "panel": 0, "points": [[1, 2], [float("inf"), 4]]}],
        [{"kind": "circle", "panel": 0, "points": [[1, 2], [1e300, 4]]}],
    ],
)
def test_shapes_that_are_none_are_refused(tmp_path, shapes):
    view, _ = viewed(folder=tmp_path)
    with pytest.raises(ParameterError):
        view.actions["mask"]({"set": 0, "name": "pixels.mask", "shapes": json.loads(json.dumps(shapes))})
    assert not list(tmp_path.iterdir())
