"""Every listed parameter of dials.integrate changes something."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from parameter_flips import options, without_effect
from puredials.cli import integrate as program
from puredials.errors import PuredialsError
from puredials.integration import integrate
from puredials.integration import tables as text

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
# Workers must change nothing, which is tested elsewhere.
WORKERS = "integration.mp.nproc"


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
    assert without_effect(program.PROGRAM, lambda params: outcome(data, params), CONTEXTS, skip={WORKERS}) == []


def test_the_limits_of_prediction_are_kept(data):
    table = integrate(*data, params=options(program.PROGRAM, ["prediction.d_min=4", "prediction.d_max=8"])).table
    assert table["d"].min() >= 4
    assert table["d"].max() <= 8
