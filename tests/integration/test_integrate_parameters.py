"""Every listed parameter of dials.integrate changes something."""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import image_files
from integration_synthetic import ArrayImages
from parameter_flips import options, without_effect
from puredials.cli import integrate as program
from puredials.errors import PuredialsError
from puredials.integration import integrate
from puredials.integration import tables as text
from puredials.io import read_experiments, read_reflections, write_experiments, write_reflections
from puredials.io.formats import write_mask
from puredials.io.profiles import read_reference_profiles
from puredials.model import Experiments, ImageSet

step = importlib.import_module("puredials.integration.integrating")
# Words given to both runs, and another value where the usual one is no good.
CONTEXTS = {
    "integration.profile.valid_foreground_threshold": ([], "1"),
    "integration.background.algorithm": ([], "null"),
    "integration.background.glm.robust.tuning_constant": ([], "0.5"),
    "integration.background.glm.min_pixels": ([], "300"),
    **{
        f"integration.background.simple.{name}": (["background.algorithm=simple", *words], value)
        for name, words, value in (
            ("outlier.algorithm", [], None),
            ("outlier.nsigma.lower", ["outlier.algorithm=nsigma"], "1"),
            ("outlier.nsigma.upper", ["outlier.algorithm=nsigma"], "1"),
            ("model.algorithm", [], None),
            ("min_pixels", [], "300"),
        )
    },
    "integration.filter.min_zeta": ([], "0.5"),
    "profile.gaussian_rs.min_spots.overall": (["min_spots.per_degree=5000"], "5000"),
    "profile.gaussian_rs.min_spots.per_degree": (["min_spots.overall=5000"], "5000"),
    "profile.gaussian_rs.parameters.sigma_b": ([], "0.1"),
    "profile.gaussian_rs.parameters.sigma_m": ([], "0.2"),
    "profile.gaussian_rs.filter.min_zeta": ([], "0.6"),
    "profile.gaussian_rs.fitting.scan_step": ([], "20"),
    "prediction.d_min": ([], "4"),
    "prediction.d_max": ([], "8"),
    "prediction.padding": ([], "0"),
}
# Workers must change nothing, which is tested elsewhere; the mask is a file; images are left out of experiments.
ELSEWHERE = {"integration.mp.nproc", "integration.lookup.mask", "exclude_images"}


@pytest.fixture(scope="module")
def data(truth):
    """The sweep by a crystal that changes along it, with dead pixels and some bright ones in the background."""
    rng = np.random.default_rng(5)
    crystal = truth.experiment.crystal
    points = crystal.A * np.linspace(1, 1.0005, len(truth.images) + 1)[:, None, None]
    experiment = replace(truth.experiment, crystal=replace(crystal, A_at_scan_points=points))
    counts, mask = truth.images.panels[0].copy(), truth.images.masks[0].copy()
    counts[rng.random(counts.shape) < 2e-3] += 12
    mask[rng.random(mask.shape) < 0.02] = False
    return replace(truth.images, panels=(counts,), masks=(mask,)), experiment, truth.spots


def outcome(data, params) -> object:
    try:
        result = integrate(*data, params=params)
    except PuredialsError as error:
        return str(error)
    names = ("intensity.prf.value", "intensity.sum.value", "background.mean", "bbox", "flags")
    return (
        text.profile_model_text(result),
        text.reference_table(result),
        text.overall_table(result),
        [result.table[name].tobytes() for name in names],
    )


@pytest.mark.slow
def test_every_parameter_of_integration_changes_its_result(data, monkeypatch):
    monkeypatch.setattr(step, "REFERENCES_A_ZONE", 50)  # so that this short scan has several zones
    assert without_effect(program.PROGRAM, lambda params: outcome(data, params), CONTEXTS, skip=ELSEWHERE) == []


def test_the_limits_of_prediction_are_kept(data):
    table = integrate(*data, params=options(program.PROGRAM, ["prediction.d_min=4", "prediction.d_max=8"])).table
    assert table["d"].min() >= 4
    assert table["d"].max() <= 8


def test_images_that_are_left_out_are_kept_out_by_what_follows(truth, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = str(image_files.nxmx(tmp_path / "a.nxs", truth.images.panels[0]))
    imageset = ImageSet(name, single_file_indices=tuple(range(len(truth.images))))
    experiment = replace(truth.experiment, imageset=imageset)
    write_experiments(Experiments((experiment,)), "a.expt")
    write_reflections(truth.spots, "a.refl")
    first, last = experiment.scan.image_range
    assert program.main(["a.expt", "a.refl", "nproc=1", f"exclude_images=0:{first + 3}:{first + 4}"]) == 0
    boxes = read_reflections("integrated.refl")["bbox"][:, 4:] - experiment.scan.array_range[0]
    assert len(boxes) > 0
    assert not ((boxes[:, 0] < 5) & (boxes[:, 1] > 3)).any()
    scan = read_experiments("integrated.expt")[0].scan
    assert scan is not None
    assert scan.valid_image_ranges == {experiment.identifier: [[first, first + 2], [first + 5, last]]}


def test_masks_come_from_the_experiments_or_a_parameter_and_profiles_are_kept(truth, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = str(image_files.nxmx(tmp_path / "a.nxs", truth.images.panels[0]))
    imageset = ImageSet(name, single_file_indices=tuple(range(len(truth.images))))
    experiment = replace(truth.experiment, imageset=imageset)
    mask = np.ones(truth.images.masks[0].shape, bool)
    mask[90:150, 60:130] = False
    write_mask(Path("pixels.mask"), [mask])
    masked = replace(experiment, imageset=replace(imageset, mask="pixels.mask"))
    write_experiments(Experiments((experiment,)), "a.expt")
    write_experiments(Experiments((masked,)), "masked.expt")
    write_reflections(truth.spots, "a.refl")

    def intensities(*words):
        assert program.main([*words, "a.refl", "nproc=1"]) == 0
        return read_reflections("integrated.refl")["intensity.sum.value"]

    expected = integrate(ArrayImages(truth.images.panels, (mask,)), experiment, truth.spots).table
    for words in (["masked.expt"], ["a.expt", "lookup.mask=pixels.mask"]):
        np.testing.assert_allclose(intensities(*words), expected["intensity.sum.value"], rtol=1e-10)
    assert len(intensities("a.expt")) > len(expected["intensity.sum.value"])

    learnt = integrate(ArrayImages(truth.images.panels, truth.images.masks), experiment, truth.spots).learnt
    assert learnt is not None
    (stored,) = read_reference_profiles(Path("reference_profiles.json"))
    assert stored.identifier == experiment.identifier
    np.testing.assert_allclose(stored.numbers, learnt.numbers, atol=0.01)
    of_peak = learnt.references.profiles / learnt.references.profiles.max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(stored.profiles, of_peak, atol=1e-3)
    # Without profiles the file says so: those of an earlier run are not of these reflections.
    intensities("a.expt", "profile.fitting=False")
    assert read_reference_profiles(Path("reference_profiles.json")) == []
