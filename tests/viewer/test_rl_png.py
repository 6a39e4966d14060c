"""Pictures of strong spots look down the vectors of a lattice that is not indexed yet."""

from dataclasses import replace

import numpy as np
import pytest
from lattice_set import lattice_data

from parameter_flips import options
from puredials.cli.rl_png import PROGRAM, _solutions, pictures
from puredials.model import Experiments
from puredials.viewer import LatticeView


@pytest.mark.slow
def test_where_there_is_no_crystal_pictures_look_down_vectors_of_the_lattice():
    experiments, table = lattice_data()
    own = table.select(table["id"] == 0).with_columns({"id": np.full(int((table["id"] == 0).sum()), -1, np.int32)})
    view = LatticeView(Experiments((replace(experiments[0], crystal=None),)), own)
    names = list(pictures(view, options(PROGRAM, ["size_inches=1,1", "n_solutions=2"])))
    assert names == ["rotation_axis", "beam_vector", "e3", "solution_1", "solution_2"]
    crystal = experiments[0].crystal
    assert crystal is not None
    for _, vector, _ in _solutions(view, 3):
        uvw = crystal.A.T @ vector  # whole numbers along a, b, c
        np.testing.assert_allclose(uvw, np.rint(uvw), atol=0.02)
    assert _solutions(view, 0) == []
