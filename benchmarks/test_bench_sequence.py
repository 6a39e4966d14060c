"""Speed of each step of the main sequence on the sweep of the demonstration, beside the bare reading of its images.

``pytest benchmarks --benchmark-enable --benchmark-only``
"""

import pytest

from puredials.indexing import index
from puredials.integration import integrate
from puredials.io.formats import open_images
from puredials.io.importing import import_files
from puredials.refinement import refine
from puredials.scaling import scale
from puredials.simulate import read_config, simulate
from puredials.spots import find_spots
from puredials.symmetry import determine_symmetry

ROUNDS = 3


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    simulate(read_config("insulin_demo"), folder)
    experiments = import_files([str(folder / "insulin_1.nxs")]).experiments
    return experiments, open_images(experiments[0])


@pytest.fixture(scope="module")
def steps(sweep):
    """The result of each step, each made once, from the one before."""
    experiments, images = sweep
    spots = find_spots(images, experiments[0])
    indexed = index(experiments, spots.table)
    refined = refine(indexed.experiments, indexed.table)
    integrated = integrate(images, refined.experiments[0], refined.table)
    symmetry = determine_symmetry(refined.experiments.with_items([integrated.experiment]), integrated.table)
    return {"spots": spots, "indexed": indexed, "refined": refined, "integrated": integrated, "symmetry": symmetry}


def test_reading_and_decompressing_the_images(benchmark, sweep):
    _, images = sweep
    benchmark.pedantic(lambda: [images.read(i) for i in range(len(images))], rounds=ROUNDS)


def test_find_spots(benchmark, sweep):
    experiments, images = sweep
    benchmark.pedantic(find_spots, (images, experiments[0]), rounds=ROUNDS, warmup_rounds=1)


def test_index(benchmark, sweep, steps):
    benchmark.pedantic(index, (sweep[0], steps["spots"].table), rounds=ROUNDS)


def test_refine(benchmark, steps):
    benchmark.pedantic(refine, (steps["indexed"].experiments, steps["indexed"].table), rounds=ROUNDS)


def test_integrate(benchmark, sweep, steps):
    refined = steps["refined"]
    benchmark.pedantic(integrate, (sweep[1], refined.experiments[0], refined.table), rounds=ROUNDS)


def test_determine_symmetry(benchmark, steps):
    integrated = steps["integrated"]
    experiments = steps["refined"].experiments.with_items([integrated.experiment])
    benchmark.pedantic(determine_symmetry, (experiments, integrated.table), rounds=ROUNDS)


def test_scale(benchmark, steps):
    benchmark.pedantic(scale, (steps["symmetry"].experiments, steps["symmetry"].table), rounds=ROUNDS)
