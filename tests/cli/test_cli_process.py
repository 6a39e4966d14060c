"""puredials process: data on which its decisions go one way or the other, from files to merged intensities."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gemmi
import h5py
import numpy as np
import pytest

from puredials.cli.index import main as index
from puredials.cli.process import main
from puredials.execute import Threads
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.refl import read_reflections, write_reflections
from puredials.io.running import take_alone
from puredials.simulate import SimulationConfig, agreement_with_truth, read_config, simulate

pytestmark = pytest.mark.slow


def process(words: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    """What a run in the current folder says."""
    assert main(words) == code
    said = capsys.readouterr()
    return said.out + said.err


def chosen(said: str, question: str) -> str:
    """The choice about a question, as it was last told."""
    lines = [line.strip() for line in said.splitlines() if line.startswith(f"  {question}: ")]
    assert lines, f"nothing is said of {question} in:\n{said}"
    return lines[-1].removeprefix(f"{question}: ")


def agreement(truth: Path) -> float:
    mtz = gemmi.read_mtz_file("merged.mtz")
    intensity, sigma = np.array(mtz.column_with_label("IMEAN")), np.array(mtz.column_with_label("SIGIMEAN"))
    good = np.isfinite(intensity) & (sigma > 0)
    return agreement_with_truth(truth, np.asarray(mtz.make_miller_array())[good], intensity[good].astype(float)).cc_all


@pytest.mark.parametrize(
    ("word", "sorry"),
    [
        ("index.max_celll=100", "dials.index: max_celll is not a parameter"),
        ("scale.d_min=-1", "dials.scale: "),
        ("index.output.experiments=a.expt", "what follows reads the file"),
        ("merge.output.mtz=a.mtz", "what follows reads the file"),
        ("symmetry.output.json=None", "what follows reads the file"),
        ("export.mtz.hklout=a.mtz", "what follows reads the file"),
        ("import.image_range=1,2,3", "1,2,3 was given"),
        ("index.unit_cell=78,78,78,90,90", "dials.index: "),
    ],
)
def test_parameters_of_single_programs_are_checked_before_anything_runs(
    word, sorry, insulin_small, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    said = process([str(insulin_small.sweeps[0].path), word], capsys, code=1)
    assert sorry in said
    assert not Path("imported.expt").exists()


def test_parameters_of_single_programs_reach_them(in_folder, capsys):
    process([*in_folder, "merge.merging.n_bins=7", "d_min=3"], capsys)
    assert "n_bins = 7" in Path("dials.merge.log").read_text()


def invert_rotation_axis(name: str, item: object) -> None:
    if name.endswith("/omega") and isinstance(item, h5py.Dataset):
        item.attrs["vector"] = -np.asarray(item.attrs["vector"])


@pytest.fixture(scope="module")
def inverted(insulin_small, tmp_path_factory):
    """Images whose header has the rotation axis inverted, and the folder that they are processed in."""
    folder = tmp_path_factory.mktemp("inverted")
    shutil.copytree(insulin_small.folder, folder / "images")
    master = folder / "images" / "insulin_1.nxs"
    with h5py.File(master, "r+") as file:
        file.visititems(invert_rotation_axis)
    return folder, master


@pytest.fixture
def in_folder(inverted, monkeypatch):
    folder, master = inverted
    monkeypatch.chdir(folder)
    return [str(master)]


def test_an_inverted_axis_is_found_and_mended(in_folder, insulin_small, capsys):
    said = process(in_folder, capsys)
    assert chosen(said, "Geometry").startswith("doubted. Only ")
    assert chosen(said, "Remedy").startswith("geometry.goniometer.invert_rotation_axis=True")
    assert chosen(said, "Refinement").startswith("scan-varying")
    assert chosen(said, "Symmetry").startswith("symmetry")
    assert chosen(said, "Space group").startswith("I 2 3. Laue group I m -3: likelihood")
    assert chosen(said, "Scaling").startswith("scales along each sweep")
    assert chosen(said, "Bad images").startswith("none")
    assert chosen(said, "Merged data").startswith("sound")
    assert "Lattices: " not in said
    mtz = gemmi.read_mtz_file("merged.mtz")
    assert np.allclose(mtz.cell.parameters[:3], 77.9, atol=0.2)
    assert Path("scaled_unmerged.mtz").exists()
    assert agreement(insulin_small.truth) > 0.998
    page = Path("puredials.process.html").read_text(encoding="utf-8")
    for text in ("invert_rotation_axis", "Spots and lattice: Spots on each image", "Refinement: RMSD along the scan",
                 "Integration: I/σ", "Integration: Reference profiles", "Scaling and merging: Scale", "Rmeas, Rpim",
                 'href="dials.scale.html"', 'href="dials.symmetry.html"'):  # fmt: skip
        assert text in page


def test_finished_stages_are_not_repeated_but_told_again(in_folder, capsys):
    said = process([*in_folder, "d_min=3"], capsys)
    assert "dials.integrate: done before" in said
    assert "dials.scale: done before" in said
    assert chosen(said, "Remedy").startswith("geometry.goniometer.invert_rotation_axis=True")
    assert chosen(said, "Resolution").startswith("3.00. As asked for")
    assert gemmi.read_mtz_file("merged.mtz").resolution_high() > 2.99


def test_images_that_were_replaced_behind_their_master_are_processed_again(in_folder, inverted, capsys):
    process(in_folder, capsys)
    said = process(in_folder, capsys)
    assert "dials.import: done before" in said
    frames = next((inverted[0] / "images").glob("*_000001.h5"))
    os.utime(frames)
    said = process(in_folder, capsys)
    for name in ("import", "find_spots", "integrate"):
        assert f"dials.{name}: done before" not in said


def test_a_limit_that_is_taken_back_leaves_no_trace(in_folder, capsys):
    process(in_folder, capsys)
    all_data = gemmi.read_mtz_file("merged.mtz")
    process([*in_folder, "d_min=3"], capsys)
    assert gemmi.read_mtz_file("merged.mtz").resolution_high() > 2.99
    said = process(in_folder, capsys)
    assert "dials.integrate: done before" in said
    np.testing.assert_array_equal(np.array(gemmi.read_mtz_file("merged.mtz")), np.array(all_data))


def test_what_was_indexed_by_hand_is_gone_on_from(in_folder, tmp_path, monkeypatch, capsys):
    process(in_folder, capsys)
    folder = tmp_path / "by_hand"
    shutil.copytree(Path.cwd(), folder, ignore=shutil.ignore_patterns("images"))
    monkeypatch.chdir(folder)
    assert index(["modified.expt", "strong.refl", "space_group=I23"]) == 0
    by_hand = Path("indexed.refl").read_bytes()
    said = process(in_folder, capsys)
    assert "dials.find_spots: done before" in said
    assert "dials.refine: done before" not in said
    assert Path("indexed.refl").read_bytes() == by_hand
    crystal = read_experiments("refined.expt")[0].crystal
    assert crystal is not None
    assert np.allclose(crystal.unit_cell.parameters[:3], 77.9, atol=0.2)


def test_two_runs_in_one_folder_at_once_are_refused(in_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with Path("puredials.process.log").open("w") as log:
        assert take_alone(log)
        assert "Another puredials process is at work in" in process(in_folder, capsys, code=1)
    assert [path.name for path in tmp_path.iterdir()] == ["puredials.process.log"]


def test_a_run_that_was_stopped_is_taken_up_where_it_was(insulin_small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    master = str(insulin_small.sweeps[0].path)
    words = [sys.executable, "-c", "from puredials.cli.process import main; raise SystemExit(main())", master]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("dials.refine"):
                run.send_signal(signal.SIGTERM)
                break
        run.communicate(timeout=60)
    assert run.returncode in (130, 143)
    assert not Path("integrated.refl").exists()
    said = process([master], capsys)
    for name in ("import", "find_spots", "index"):
        assert f"dials.{name}: done before" in said
    assert "dials.refine indexed.expt" in said
    assert chosen(said, "Geometry").startswith("as recorded")
    assert agreement(insulin_small.truth) > 0.998


def test_images_that_spoil_the_agreement_are_left_out(inverted, tmp_path, monkeypatch, capsys):
    folder, _ = inverted
    table = read_reflections(folder / "integrated.refl")
    z = table["xyzcal.px"][:, 2]
    spoilt = np.where((z >= 40) & (z < 50), np.random.default_rng(1).lognormal(0, 1.5, table.n_rows), 1.0)
    columns = {f"intensity.{kind}.value": table[f"intensity.{kind}.value"] * spoilt for kind in ("sum", "prf")}
    shutil.copy(folder / "integrated.expt", tmp_path)
    write_reflections(table.with_columns(columns), tmp_path / "integrated.refl")
    monkeypatch.chdir(tmp_path)
    said = process(["integrated.expt", "integrated.refl"], capsys)
    assert chosen(said, "Bad images").startswith("0:41:50.")
    assert chosen(said, "Merged data").startswith("sound")
    # The files that decisions came from have been scaled anew since: they are remembered.
    again = process(["integrated.expt", "integrated.refl"], capsys)
    assert [line for line in again.splitlines() if line.startswith("  ")] == [
        line for line in said.splitlines() if line.startswith("  ")
    ]
    assert all(line.endswith("done before") for line in again.splitlines() if line.startswith("dials."))


def small(name: str, crystals: list[dict], sweeps: list[dict], **protein) -> SimulationConfig:
    config = read_config("insulin_small").model_dump()
    config |= {"name": name, "crystals": crystals, "sweeps": sweeps, "protein": config["protein"] | protein}
    return SimulationConfig.model_validate(config)


@pytest.fixture(scope="module")
def three_crystals(tmp_path_factory):
    """Three crystals in both settings of the lattice; the folder in which they were processed."""
    folder = tmp_path_factory.mktemp("three")
    crystals = [{"orientation_seed": 50 + k, "alternative_setting": k == 1, "cell_variation": 0.001} for k in range(3)]
    sweeps = [{"crystal": k, "n_images": 40, "width_deg": 0.4, "start_deg": 30 * k} for k in range(3)]
    with Threads(2) as executor:
        data = simulate(small("crystal", crystals, sweeps), folder / "images", executor=executor)
    return folder, [str(sweep.path) for sweep in data.sweeps], data.truth


def test_crystals_that_share_no_lattice_are_indexed_apart_and_brought_to_one_setting(
    three_crystals, monkeypatch, capsys
):
    folder, images, truth = three_crystals
    monkeypatch.chdir(folder)
    said = process(images, capsys)
    assert chosen(said, "Crystals").startswith("separate")
    assert chosen(said, "Unit cells").startswith("all. The cells of all 3 crystals")
    assert chosen(said, "Symmetry").startswith("cosym. 3 crystals")
    assert chosen(said, "Space group").startswith("I 2 3")
    assert chosen(said, "Bad sets").startswith("none")
    assert agreement(truth) > 0.998


def test_a_crystal_of_another_cell_is_not_merged_with_the_others(three_crystals, tmp_path, monkeypatch, capsys):
    folder, *_ = three_crystals
    experiments = read_experiments(folder / "integrated.expt")
    crystal = experiments[2].crystal
    assert crystal is not None
    stretched = replace(crystal, A=crystal.A / 1.08, A_at_scan_points=None)
    other = replace(experiments[2], crystal=stretched)
    write_experiments(experiments.with_items([experiments[0], experiments[1], other]), tmp_path / "integrated.expt")
    shutil.copy(folder / "integrated.refl", tmp_path)
    monkeypatch.chdir(tmp_path)
    said = process(["integrated.expt", "integrated.refl"], capsys)
    assert chosen(said, "Unit cells").startswith("2 of 3. The cells form clusters of 2, 1")
    assert len(read_experiments("scaled.expt")) == 2


def test_a_second_lattice_is_indexed_but_not_merged_where_it_overlaps(tmp_path, monkeypatch, capsys):
    with Threads(2) as executor:
        data = simulate(read_config("ice_twolattice_small"), tmp_path / "images", executor=executor)
    monkeypatch.chdir(tmp_path)
    said = process([str(data.sweeps[0].path)], capsys)
    assert chosen(said, "Lattices").startswith("2. ")
    assert chosen(said, "Merged lattices").startswith("0. On the same images lattice 1")
    assert chosen(said, "Friedel mates").startswith("together")
    assert len(read_experiments("indexed.expt")) == 2
    assert len(read_experiments("scaled.expt")) == 1
    assert agreement(data.truth) > 0.997


def test_a_rotation_that_headers_do_not_tell_is_found_and_data_of_partial_spots_are_doubted(
    shared, tmp_path, monkeypatch, capsys
):
    images = sorted(str(path) for path in (shared / "data" / "snase").glob("*.img.bz2"))[:16]
    monkeypatch.chdir(tmp_path)
    said = process(images, capsys)
    assert chosen(said, "Rotation").startswith("none recorded. The headers of 16 images")
    oscillation, axis, *_ = chosen(said, "Remedy").split()
    assert float(oscillation.removeprefix("geometry.scan.oscillation=0,")) == pytest.approx(1.0, abs=0.1)
    assert axis == "geometry.goniometer.axis=1,0,0."
    assert chosen(said, "Geometry").startswith("as recorded")
    assert chosen(said, "Merged data").startswith("doubtful")


def test_wedges_in_which_nothing_repeats_are_not_scaled(shared, tmp_path, monkeypatch, capsys):
    images = sorted(str(path) for path in (shared / "data" / "l_cysteine").glob("*.cbf.bz2"))
    monkeypatch.chdir(tmp_path)
    said = process(images, capsys, code=1)
    assert chosen(said, "Crystals").startswith("joint")
    assert chosen(said, "Refinement").startswith("static")
    assert chosen(said, "Profile model").startswith("fewer spots")
    assert chosen(said, "Scaling").startswith("stop")
    assert "Sorry: Stopped before scaling" in said
    assert Path("integrated.mtz").exists()
    assert "Stopped" in Path("puredials.process.html").read_text(encoding="utf-8")


def test_images_without_rotation_that_show_no_crystal_stop_with_what_to_type(shared, tmp_path, monkeypatch, capsys):
    images = sorted(str(path) for path in (shared / "data" / "thaumatin_6m").glob("*.cbf*"))
    monkeypatch.chdir(tmp_path)
    said = process(images, capsys, code=1)
    assert chosen(said, "Rotation").startswith("none recorded")
    assert "geometry.scan.oscillation=0,1" in said
