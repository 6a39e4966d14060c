"""dials.find_spots on a small simulated sweep: what each of its parameters does."""

import numpy as np
import pytest

from puredials.cli import find_spots
from puredials.cli import import_ as importing
from puredials.cli.params import listed_parameters
from puredials.io.refl import read_reflections
from puredials.simulate import SimulationConfig, simulate

# Spots of all sizes, ice, hot pixels, two orders of magnitude of background: something for each parameter to change.
CONFIG = {
    "name": "thing",
    "seed": 5,
    "protein": {"space_group": "P 1", "cell": [40, 50, 60, 80, 85, 95], "d_min": 2.5, "photons_at_4A": 30000},
    "detector": {"type": "pilatus_300k", "distance_mm": 100, "n_hot_unmasked": 40, "point_spread_px": 0.7},
    "sweeps": [{"n_images": 5, "width_deg": 0.3}],
    "background": {"mean": 3.0, "ice": 3.0},
}
# Another value for each parameter that changes what is found.
OTHER = {
    "maximum_trusted_value": "50",
    "spotfinder.force_2d": "true",
    "spotfinder.scan_range": "2,4",
    "spotfinder.region_of_interest": "100,300,100,500",
    "spotfinder.filter.min_spot_size": "8",
    "spotfinder.filter.max_spot_size": "12",
    "spotfinder.filter.max_separation": "0.5",
    "spotfinder.filter.border": "30",
    "spotfinder.filter.d_min": "4",
    "spotfinder.filter.d_max": "8",
    "spotfinder.filter.resolution_range": "4,6",
    "spotfinder.filter.untrusted.circle": "200,200,60",
    "spotfinder.filter.untrusted.rectangle": "100,300,100,300",
    "spotfinder.filter.untrusted.polygon": "100,100,300,100,200,400",
    "spotfinder.filter.ice_rings.filter": "true",
    "spotfinder.threshold.algorithm": "dispersion",
    "spotfinder.threshold.dispersion.gain": "3",
    "spotfinder.threshold.dispersion.kernel_size": "5,5",
    "spotfinder.threshold.dispersion.sigma_background": "20",
    "spotfinder.threshold.dispersion.sigma_strong": "8",
    "spotfinder.threshold.dispersion.global_threshold": "30",
}
# Parameters that mean something only beside others.
TOGETHER = {
    "spotfinder.filter.disable_parallax_correction": (["d_min=4"], "true"),
    "spotfinder.filter.untrusted.pixel": (["min_spot_size=1"], None),
    "spotfinder.filter.ice_rings.unit_cell": (["ice_rings.filter=true"], "5,5,8,90,90,120"),
    "spotfinder.filter.ice_rings.space_group": (["ice_rings.filter=true"], "1"),
    "spotfinder.filter.ice_rings.width": (["ice_rings.filter=true"], "0.01"),
    "spotfinder.filter.ice_rings.d_min": (["ice_rings.filter=true"], "3.8"),
    "spotfinder.threshold.dispersion.min_local": (["min_spot_size=1"], "0"),
    "spotfinder.threshold.radial_profile.n_iqr": (["algorithm=radial_profile"], "12"),
    "spotfinder.threshold.radial_profile.blur": (["algorithm=radial_profile"], "wide"),
    "spotfinder.threshold.radial_profile.n_bins": (["algorithm=radial_profile"], "7"),
}
# Those that tests below and of masks look at.
ELSEWHERE = {
    "per_image_statistics",
    "spotfinder.filter.max_strong_pixel_fraction",
    "spotfinder.filter.untrusted.panel",
    "spotfinder.lookup.mask",
    "spotfinder.mp.nproc",
    "output.reflections",
    "output.shoeboxes",
    "output.experiments",
    "output.log",
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("find_spots")
    made = simulate(SimulationConfig.model_validate(CONFIG), folder)
    expt, log = folder / "imported.expt", folder / "import.log"
    assert importing.main([str(made.sweeps[0].path), f"output.experiments={expt}", f"output.log={log}"]) == 0
    return expt


def found(imported, words, name="strong.refl"):
    assert find_spots.main([str(imported), *words]) == 0
    return read_reflections(name)


def figures(table):
    return table.n_rows, table["xyzobs.px.value"].sum(), table["intensity.sum.value"].sum()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_parameter_is_tried():
    listed = {parameter.path for parameter in listed_parameters(find_spots.Options)}
    tried = OTHER.keys() | TOGETHER.keys() | ELSEWHERE
    assert {path for path in listed if not path.startswith("input.")} == tried


def test_each_parameter_changes_what_is_found(imported, here):
    default = figures(found(imported, []))
    unchanged = [path for path, value in OTHER.items() if figures(found(imported, [f"{path}={value}"])) == default]
    assert unchanged == []


@pytest.mark.parametrize("path", TOGETHER)
def test_parameters_change_what_others_do(imported, here, path):
    others, value = TOGETHER[path]
    default = found(imported, others)
    if value is None:  # a strong pixel: row, column
        x, y = default["bbox"][0, [0, 2]]
        box, mask = default["bbox"][0], default["shoebox"].box(0)[1]
        _, j, i = np.argwhere(mask)[0]
        value = f"{y + j},{x + i}"
        assert box[0] == x
    assert figures(found(imported, [*others, f"{path}={value}"])) != figures(default)


def test_output_parameters(imported, here, capsys):
    words = ["output.reflections=a.refl", "output.experiments=b.expt", "output.log=c.log", "shoeboxes=false"]
    table = found(imported, [*words, "per_image_statistics=true"], "a.refl")
    assert "shoebox" not in table
    assert (here / "b.expt").exists()
    assert "strong pixels | " in (here / "c.log").read_text()
    assert "shoebox" in found(imported, [])
    assert "strong pixels | " not in (here / "dials.find_spots.log").read_text()


def test_an_untrusted_panel_leaves_nothing(imported, here, capsys):
    assert find_spots.main([str(imported), "untrusted.panel=0"]) == 1
    assert "no spots were found" in capsys.readouterr().err
    assert not (here / "strong.refl").exists()


def test_too_many_strong_pixels_are_an_error(imported, here, capsys):
    assert find_spots.main([str(imported), "max_strong_pixel_fraction=1e-4"]) == 1
    assert "max_strong_pixel_fraction" in capsys.readouterr().err


def test_the_files_do_not_depend_on_the_number_of_workers(imported, here):
    found(imported, ["nproc=1", "output.reflections=one.refl"], "one.refl")
    found(imported, ["nproc=3", "output.reflections=three.refl"], "three.refl")
    assert (here / "one.refl").read_bytes() == (here / "three.refl").read_bytes()
    assert "nproc = 3" in (here / "dials.find_spots.log").read_text()


def test_the_table_belongs_to_the_experiments(imported, here):
    table = found(imported, [])
    assert set(np.unique(table["id"])) == {0}
    assert list(table.identifiers) == [0]
    assert table.identifiers[0] in imported.read_text()
