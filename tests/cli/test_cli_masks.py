"""Masks from the program that makes them to those that use them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest

from parameter_flips import without_effect
from puredials.cli import apply_mask, find_spots, generate_mask, index, integrate, refine
from puredials.cli import import_ as importing
from puredials.io import read_experiments, read_reflections, write_experiments
from puredials.io.formats import open_images, read_mask, write_mask
from puredials.model import ReflectionTable
from puredials.simulate import SimulationConfig, simulate
from puredials.spots.mask import powder_rings, resolution_map
from puredials.spots.params import IceRings

CONFIG = {
    "name": "thing",
    "seed": 5,
    "protein": {"space_group": "P 1", "cell": [40, 50, 60, 80, 85, 95], "d_min": 2.5, "photons_at_4A": 30000},
    "detector": {"type": "pilatus_300k", "distance_mm": 100, "n_hot_unmasked": 0},
    "sweeps": [{"n_images": 4, "width_deg": 0.3}],
}
X0, X1, Y0, Y1 = 100, 260, 220, 300
RECTANGLE = f"untrusted.rectangle={X0},{X1},{Y0},{Y1}"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    simulate(SimulationConfig.model_validate(CONFIG), folder)
    return folder


@pytest.fixture
def imported(images, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert importing.main([str(images / "thing_1.nxs")]) == 0
    return tmp_path


def spots(expt: str, *words: str):
    assert find_spots.main([expt, "nproc=1", *words]) == 0
    return read_reflections("strong.refl")


def imported_with(images: Path, change: Callable[[np.ndarray], None], name: str) -> None:
    """Import copies of the images whose counts `change` has changed."""
    folder = Path(f"of_{name}")
    folder.mkdir()
    for path in images.iterdir():
        shutil.copy(path, folder)
    with h5py.File(folder / "thing_1_000001.h5", "r+") as file:
        counts = file["data"][()]
        change(counts)
        file["data"][:] = counts
    assert importing.main([str(folder / "thing_1.nxs"), f"output.experiments={name}"]) == 0


def failing_module(counts: np.ndarray) -> None:
    """A flickering part, ten times as bright as spots."""
    part = counts[:, Y0:Y1, X0:X1]
    part[:] = np.random.default_rng(0).poisson(30, part.shape) * np.random.default_rng(1).integers(0, 5, part.shape)


def apart(table: ReflectionTable, margin: int) -> np.ndarray:
    """Whether the box of a spot is farther than a margin from the rectangle."""
    x0, x1, y0, y1 = table["bbox"].T[:4]
    return (x0 >= X1 + margin) | (x1 <= X0 - margin) | (y0 >= Y1 + margin) | (y1 <= Y0 - margin)


def same(a, b) -> bool:
    names = ("panel", "bbox", "xyzobs.px.value", "intensity.sum.value", "n_signal")
    return all(np.array_equal(a[name], b[name]) for name in names)


def test_a_mask_named_by_the_experiments_hides_what_a_failing_module_counts(images, imported):
    clean = spots("imported.expt")
    imported_with(images, failing_module, "spoilt.expt")
    assert spots("spoilt.expt").n_rows != clean.n_rows
    assert generate_mask.main(["spoilt.expt", RECTANGLE, "output.experiments=masked.expt"]) == 0
    masked = spots("masked.expt")
    assert apart(masked, 0).all()
    assert apart(clean, 8).sum() > 50
    assert same(masked.select(apart(masked, 8)), clean.select(apart(clean, 8)))


def test_all_ways_to_a_mask_find_the_same_spots(images, imported):
    of_filter = spots("imported.expt", f"filter.{RECTANGLE}")
    assert generate_mask.main(["imported.expt", RECTANGLE, "output.mask=m.npy", "output.experiments=a.expt"]) == 0
    assert apply_mask.main(["imported.expt", "mask=m.npy", "output.experiments=b.expt"]) == 0
    assert importing.main([str(images / "thing_1.nxs"), "mask=m.npy", "output.experiments=c.expt"]) == 0
    for expt, words in (("a.expt", []), ("b.expt", []), ("c.expt", []), ("imported.expt", ["lookup.mask=m.npy"])):
        assert same(spots(expt, *words), of_filter), expt


@pytest.mark.slow
def test_a_mask_stays_with_the_experiments_from_import_to_integration(insulin_small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert importing.main([str(insulin_small.sweeps[0].path)]) == 0
    assert generate_mask.main(["imported.expt", "untrusted.rectangle=300,620,330,520", "experiments=masked.expt"]) == 0
    assert find_spots.main(["masked.expt"]) == 0
    assert index.main(["masked.expt", "strong.refl"]) == 0
    assert refine.main(["indexed.expt", "indexed.refl"]) == 0
    assert integrate.main(["refined.expt", "refined.refl"]) == 0
    x, y = read_reflections("integrated.refl")["xyzcal.px"][:, :2].T
    assert len(x) > 4000
    assert not ((x > 300) & (x < 620) & (y > 330) & (y < 520)).any()
    assert Path(read_experiments("integrated.expt")[0].imageset.mask).name == "pixels.mask"


def test_rings_of_ice_leave_no_spots_and_all_others(images, imported):
    """Bright grains of ice on the rings, in otherwise clean images."""
    experiment = read_experiments("imported.expt")[0]
    lines = powder_rings(IceRings(), 2.5)
    on_ring = np.abs(resolution_map(experiment, 0)[..., None] - lines).min(axis=-1) < 2e-5
    grains = np.random.default_rng(1).permutation(np.argwhere(on_ring))[:60]

    def grow_ice(counts: np.ndarray) -> None:
        for j, i in grains:
            counts[:, j - 1 : j + 2, i - 1 : i + 2] += 500

    imported_with(images, grow_ice, "icy.expt")
    mask = "ice_rings.filter=True", "ice_rings.width=0.006", "output.experiments=masked.expt"
    assert generate_mask.main(["icy.expt", *mask]) == 0
    assert generate_mask.main(["imported.expt", *mask, "output.mask=2.mask", "output.experiments=clean.expt"]) == 0
    assert spots("icy.expt").n_rows > spots("imported.expt").n_rows + 20
    assert same(spots("masked.expt"), spots("clean.expt"))


def test_what_was_masked_stays_masked(imported):
    assert generate_mask.main(["imported.expt", "border=3", "output.experiments=a.expt"]) == 0
    assert generate_mask.main(["a.expt", RECTANGLE, "output.mask=2.mask", "output.experiments=b.expt"]) == 0
    experiment = read_experiments("b.expt")[0]
    (mask,) = read_mask(Path("2.mask"), experiment.detector)
    assert not mask[:3].any()
    assert not mask[Y0:Y1, X0:X1].any()
    np.testing.assert_array_equal(open_images(experiment).static_mask()[0] | mask, mask)


def test_each_set_of_images_has_a_mask_of_its_own(imported, capsys):
    one = read_experiments("imported.expt")[0]
    two = read_experiments("imported.expt").with_items([one, replace(one, imageset=replace(one.imageset))])
    write_experiments(two, "two.expt")
    assert generate_mask.main(["two.expt", "border=3", "output.experiments=a.expt"]) == 0
    assert "Writing mask to pixels_2.mask" in capsys.readouterr().out
    assert [Path(e.imageset.mask).name for e in read_experiments("a.expt")] == ["pixels_1.mask", "pixels_2.mask"]
    assert apply_mask.main(["two.expt", "mask=pixels_1.mask", "mask=pixels_2.mask"]) == 0
    assert [Path(e.imageset.mask).name for e in read_experiments("masked.expt")] == ["pixels_1.mask", "pixels_2.mask"]


def test_masks_of_another_detector_or_number_are_refused(imported, capsys):
    write_mask(Path("small.npy"), [np.ones((3, 3), bool)])
    for words, reason in (
        ([], "mask=file"),
        (["mask=small.npy"], "shape"),
        (["mask=gone.npy"], "gone.npy"),
        (["mask=small.npy", "mask=small.npy"], "2 were given"),
    ):
        assert apply_mask.main(["imported.expt", *words]) == 1
        assert reason in capsys.readouterr().err
    assert find_spots.main(["imported.expt", "lookup.mask=gone.npy"]) == 1
    assert "gone.npy" in capsys.readouterr().err


def test_each_parameter_of_generate_mask_changes_the_mask(imported):
    from puredials.spots import generate_mask as step

    experiment = read_experiments("imported.expt")[0]
    rings = ["ice_rings.filter=True"]
    contexts = {
        "d_min": ([], "5"),
        "d_max": ([], "5"),
        "resolution_range": ([], "4,6"),
        "disable_parallax_correction": (["d_min=4"], None),
        "untrusted.circle": ([], "100,100,20"),
        "untrusted.rectangle": ([], "10,20,10,20"),
        "untrusted.polygon": ([], "0,0,50,0,0,50"),
        "untrusted.panel": ([], "0"),
        "ice_rings.unit_cell": (rings, "5,5,8,90,90,120"),
        "ice_rings.space_group": (rings, "1"),
        "ice_rings.width": (rings, "0.01"),
        "ice_rings.d_min": (rings, "3.8"),
    }

    def outcome(params):
        return [mask.tobytes() for mask in step(experiment, params=params)]

    assert without_effect(generate_mask.PROGRAM, outcome, contexts) == []


@pytest.mark.parametrize("name", ["m.tiff", "m.TIF", "m.cbf"])
def test_a_mask_is_not_written_under_the_name_of_an_image(imported, capsys, name):
    assert generate_mask.main(["imported.expt", RECTANGLE, f"output.mask={name}"]) == 1
    assert f"output.mask={name} names an image" in capsys.readouterr().err
    assert not Path(name).exists()
