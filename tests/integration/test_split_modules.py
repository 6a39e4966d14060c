"""From images to scaled intensities: a detector recorded as one panel and as its modules."""

import numpy as np
import pytest

from puredials.indexing import index
from puredials.integration import IntegrateParams, integrate
from puredials.io.formats import open_images
from puredials.io.importing import import_files
from puredials.model import Flags, ReflectionTable
from puredials.refinement import refine
from puredials.scaling import scale
from puredials.simulate import SimulationConfig, read_config, simulate
from puredials.spots import find_spots
from puredials.symmetry import determine_symmetry


def scaled_intensities(folder, *, split: bool, shared: bool) -> tuple[ReflectionTable, int]:
    config = read_config("insulin_small").model_dump()
    config["detector"] |= {"type": "eiger2_1m", "split_modules": split}
    simulate(SimulationConfig.model_validate(config), folder)
    experiments = import_files([str(folder / "insulin_1.nxs")]).experiments
    images = open_images(experiments[0])
    indexed = index(experiments, find_spots(images, experiments[0]).table)
    refined = refine(indexed.experiments, indexed.table)
    params = IntegrateParams.model_validate({"integration": {"background": {"shared": shared}}})
    integrated = integrate(images, refined.experiments[0], refined.table, params=params)
    symmetry = determine_symmetry(refined.experiments.with_items([integrated.experiment]), integrated.table)
    return scale(symmetry.experiments, symmetry.table).table, len(experiments[0].detector)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
def test_a_detector_split_into_its_modules_gives_the_same_intensities_from_import_to_scale(tmp_path, shared):
    (one, n_one), (split, n_split) = (
        scaled_intensities(tmp_path / str(k), split=bool(k), shared=shared) for k in (0, 1)
    )
    assert n_one == 1
    assert n_split > 1

    def rows(table: ReflectionTable) -> dict[tuple, int]:
        pairs = zip(table["miller_index"].tolist(), table["entering"].tolist(), strict=True)
        return {(*hkl, entering): k for k, (hkl, entering) in enumerate(pairs)}

    first, second = rows(one), rows(split)
    common = [key for key in first if key in second]
    assert len(common) > 0.995 * len(first)
    i, j = (np.array([of[key] for key in common]) for of in (first, second))
    for flag in (Flags.INTEGRATED_SUM, Flags.INTEGRATED_PRF, Flags.SCALED, Flags.OUTLIER_IN_SCALING):
        np.testing.assert_array_equal(one.has(flag)[i], split.has(flag)[j])
    used = one.has(Flags.SCALED)[i]
    a, b = (t["intensity.scale.value"][k] / t["inverse_scale_factor"][k] for t, k in ((one, i), (split, j)))
    sigma = np.sqrt(one["intensity.scale.variance"][i]) / one["inverse_scale_factor"][i]
    off = np.abs(b - a)[used] / np.maximum(np.abs(a), sigma)[used]
    # Boxes over a gap lose the pixels beyond it if that is another panel, and neighbours feel their backgrounds.
    assert np.quantile(off, 0.999) < (0.03 if shared else 1e-3)
