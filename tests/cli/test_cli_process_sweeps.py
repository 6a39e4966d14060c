"""puredials process from images of two sweeps: what it says of goniometer angles, lattices and sweeps without one."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from puredials.cli.process import main
from puredials.execute import Threads
from puredials.io.expt import read_experiments
from puredials.io.refl import read_reflections, write_reflections
from puredials.simulate import SimulationConfig, read_config, simulate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def processed(tmp_path_factory):
    """The folder in which two sweeps of a crystal at two angles chi were processed, the images, and what was said."""
    folder = tmp_path_factory.mktemp("sweeps")
    sweeps = [{"n_images": 40, "width_deg": 0.4, "fixed_angles_deg": {"chi": chi}} for chi in (0.0, 30.0)]
    config = SimulationConfig.model_validate(read_config("insulin_small").model_dump() | {"sweeps": sweeps})
    with Threads(2) as executor:
        data = simulate(config, folder / "images", executor=executor)
    images = [str(sweep.path) for sweep in data.sweeps]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(images) == 0
    return folder, images, (folder / "puredials.process.log").read_text(encoding="utf-8")


@pytest.fixture
def again(processed, tmp_path, monkeypatch, capsys):
    """Process in a copy of the folder, of other spots; what is said."""
    folder, images, _ = processed
    shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("images"))
    monkeypatch.chdir(tmp_path / "run")

    def run(spots, code=0):
        write_reflections(spots, Path("strong.refl"))
        assert main(images) == code
        said = capsys.readouterr()
        return said.out + said.err

    return run


def chosen(said: str, question: str) -> str:
    """The choice about a question, as it was last told."""
    lines = [line.strip() for line in said.splitlines() if line.startswith(f"  {question}: ")]
    assert lines, f"nothing is said of {question} in:\n{said}"
    return lines[-1].removeprefix(f"{question}: ")


def scattered(table, rows: np.ndarray):
    """The table with the spots of these rows where no lattice has them."""
    rng, places = np.random.default_rng(1), table["xyzobs.px.value"].copy()
    for axis in range(3):
        lowest, highest = places[:, axis].min(), places[:, axis].max()
        places[rows, axis] = rng.uniform(lowest, highest, rows.sum())
    return table.with_columns({"xyzobs.px.value": places})


def test_sweeps_of_one_crystal_are_indexed_together_by_their_goniometer_angles(processed):
    folder, _, said = processed
    assert chosen(said, "Rotation").startswith("as recorded. 80 images in 2 sweeps of 16.0°")
    assert chosen(said, "Crystals").startswith("joint. ")
    assert "turned" not in said
    assert chosen(said, "Sweeps").startswith("all. ")
    assert chosen(said, "Profile model").startswith("default. ")
    assert "Lattices: " not in said
    assert chosen(said, "Symmetry").startswith("symmetry. ")
    assert (folder / "dials.index.log").read_bytes() == (folder / "dials.index.joint.log").read_bytes()


def test_of_wrong_goniometer_angles_it_is_said_by_how_much_the_crystals_are_turned(
    processed, tmp_path, monkeypatch, capsys
):
    folder, images, _ = processed
    shutil.copytree(folder / "images", tmp_path / "images")
    masters = [str(tmp_path / "images" / Path(name).name) for name in images]
    with h5py.File(masters[1], "r+") as file:
        file["entry/sample/transformations/chi"][...] = 20.0
    monkeypatch.chdir(tmp_path)
    assert main(masters) == 0
    told = chosen(capsys.readouterr().out, "Crystals")
    assert told.startswith("separate. ")
    assert float(told.partition("turned by ")[2].partition("°")[0]) == pytest.approx(10, abs=0.3)
    assert "the angles are off by as much" in told
    assert "the crystals are turned by" in Path("puredials.process.html").read_text(encoding="utf-8")
    assert Path("dials.index.log").read_bytes() == Path("dials.index.separate.log").read_bytes()
    assert "joint=false" not in Path("dials.index.joint.log").read_text(encoding="utf-8")


def test_a_sweep_without_a_lattice_is_left_out_by_name(processed, again):
    folder, *_ = processed
    table = read_reflections(folder / "strong.refl")
    own = table["id"] == 1
    said = again(scattered(table, own))
    told = chosen(said, "Sweeps")
    assert chosen(said, "Crystals").startswith("separate. Not every sweep shows a lattice")
    assert told.startswith(f"1 of 2. Left out, as no lattice was found: insulin_2.nxs ({own.sum()} spots)")
    assert len(read_experiments(Path("scaled.expt"))) == 1


def test_spots_that_no_further_lattice_explains_are_left_without(processed, again):
    folder, *_ = processed
    table = read_reflections(folder / "strong.refl")
    said = again(scattered(table, np.arange(table.n_rows) % 4 == 0))
    assert chosen(said, "Lattices").startswith("1. ")
    assert chosen(said, "Merged data").startswith("sound")
    assert len(read_experiments(Path("indexed.expt"))) == 2


def test_a_lattice_that_explains_almost_no_spots_is_not_gone_on_with(processed, again):
    folder, *_ = processed
    table = read_reflections(folder / "strong.refl")
    said = again(scattered(table, np.arange(table.n_rows) % 20 != 0), code=1)
    assert chosen(said, "Geometry").startswith("doubted. ")
    assert chosen(said, "Lattice").startswith("stop. Only ")
    assert "Sorry: Stopped after indexing" in said
    named = said.partition("and see ")[2].partition(".log")[0] + ".log"
    assert Path(named).is_file()
    page = Path("puredials.process.html").read_text(encoding="utf-8")
    assert "Stopped on the way" in page
    assert "Refinement: RMSD" not in page
