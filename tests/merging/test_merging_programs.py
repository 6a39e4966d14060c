"""dials.merge, dials.export and dials.estimate_resolution: files, and an effect of every listed parameter."""

import json
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest

from parameter_flips import another_text
from puredials.cli import estimate_resolution, export, merge
from puredials.cli.params import listed_parameters
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.refl import read_reflections, write_reflections
from puredials.model import Flags, ReflectionTable
from puredials.sets import select_experiments

# What it takes for a parameter to matter: words given in both runs, and its other value where the usual one is no good.
MERGE = {
    "french_wilson.min_reflections": ([], "2000"),
    "french_wilson.fallback_to_flat_prior": (["french_wilson.min_reflections=2000"], "false"),
    "d_min": ([], "0.8"),
    "d_max": ([], "3.0"),
    "partiality_threshold": ([], "0.95"),
    "best_unit_cell": ([], "4.9,4.9,5.4,90,90,120"),
    "wavelength_tolerance": ([], "1e-5"),
    "r_free_flags.max_free": (["r_free_flags.fraction=0.5"], "20"),
    "r_free_flags.lattice_symmetry_max_delta": ([], "0"),
    "r_free_flags.reference": (["r_free_flags.seed=3"], "reference.mtz"),
}
EXPORT = {
    "format": ([], "shelx"),
    "intensity": ([], "sum"),
    "mtz.partiality_threshold": ([], "0.95"),
    "mtz.min_isigi": ([], "1"),
    "mtz.d_min": ([], "0.8"),
    "mtz.best_unit_cell": ([], "4.9,4.9,5.4,90,90,120"),
    "mtz.wavelength_tolerance": ([], "1e-5"),
    "mmcif.hklout": (["format=mmcif"], "another"),
    **{f"shelx.{name}": (["format=shelx"], None) for name in ("hklout", "ins", "scale")},
    **{f"json.{name}": (["format=json"], None) for name in ("filename", "compact", "n_digits")},
}
RESOLUTION = {
    "resolution.cc_half": ([], "0.9"),
    "resolution.cc_half_significance_level": ([], "0.001"),
    "resolution.cc_half_fit": (["cc_half=0.9"], "polynomial"),
    "resolution.cc_ref": (["reference=reference.mtz"], "0.99"),
    "resolution.rmerge": ([], "0.5"),
    "resolution.completeness": ([], "0.5"),
    "resolution.reference": ([], "reference.mtz"),
    "resolution.emax": ([], "1.5"),
    "resolution.nbins": ([], "12"),
    "resolution.anomalous": (["reflections_per_bin=5"], "true"),
}


@pytest.fixture
def scaled(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Scaled electron-diffraction data of quartz in the working directory, some reflections recorded in two parts; the
    second half of the sweep is an experiment of its own, of almost the same wavelength."""
    (first,) = experiments = read_experiments(shared / "data/dials_files/quartz_scaled.expt")
    beam = replace(first.beam, wavelength=first.beam.wavelength + 5e-5)
    second = replace(first, beam=beam, identifier="second")
    write_experiments(experiments.with_items([first, second]), tmp_path / "in.expt")
    table = read_reflections(shared / "data/dials_files/quartz_scaled.refl")
    parts = table.select(np.flatnonzero(table.has(Flags.SCALED) & (table["partiality"] > 0.9))[:9])
    parts = parts.with_columns({"intensity.scale.value": 2 * parts["intensity.scale.value"]})
    table = ReflectionTable.concatenate([table, parts])
    z = table["xyzobs.px.value"][:, 2]
    table = table.with_columns({"id": (z > np.median(z)).astype(np.int32)})
    write_reflections(table.with_identifiers({0: first.identifier, 1: "second"}), tmp_path / "in.refl")
    monkeypatch.chdir(tmp_path)
    return ["in.expt", "in.refl"]


def outcome(main, words: list[str]) -> dict[str, bytes]:
    """All files that a run leaves, without the log's header, and without pages, whose plots are in the json too."""
    before = set(Path().iterdir())
    assert main(words) == 0
    new = sorted(set(Path().iterdir()) - before)
    found = {p.name: p.read_bytes() for p in new if p.suffix != ".log" and b"<html" not in p.read_bytes()[:500].lower()}
    found["names"] = " ".join(p.name for p in new).encode()
    for path in new:
        path.unlink()
    return found


@pytest.mark.parametrize(
    ("program", "contexts"),
    [(merge, MERGE), (export, EXPORT), (estimate_resolution, RESOLUTION)],
    ids=["merge", "export", "estimate_resolution"],
)
def test_every_listed_parameter_changes_what_the_program_does(program, contexts, scaled: list[str]) -> None:
    assert merge.main([*scaled, "output.mtz=reference.mtz", "output.html=None", "output.json=None"]) == 0
    runs: dict[str, dict[str, bytes]] = {}
    for parameter in listed_parameters(program.PROGRAM):
        if parameter.path.startswith("input."):
            continue
        words, text = contexts.get(parameter.path, ([], None))
        if "output.html" not in parameter.path and program is not export:
            words = [*words, "output.html=None"]
        key = " ".join(words)
        if key not in runs:
            runs[key] = outcome(program.main, [*scaled, *words])
        changed = outcome(program.main, [*scaled, *words, f"{parameter.path}={text or another_text(parameter)}"])
        assert changed != runs[key], parameter.path


def test_merging_leaves_the_files_of_the_manual(scaled: list[str]) -> None:
    assert merge.main(scaled) == 0
    mtz = gemmi.read_mtz_file("merged.mtz")
    assert mtz.spacegroup.hm == "P 31 2 1"
    assert Path("dials.merge.log").is_file()
    assert Path("dials.merge.html").read_text().startswith("<!")
    assert "cc_one_half" in json.loads(Path("dials.merge.json").read_text())


def test_the_limit_is_printed_as_scripts_expect_it(scaled: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert estimate_resolution.main([*scaled, "misigma=1"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Resolution ")]
    assert [line.split(":")[0] for line in lines] == ["Resolution cc_half", "Resolution Mn(I/sig)"]
    assert 0.5 < float(lines[0].split(":")[1].split()[0]) < 0.7


def test_exports_of_all_formats_hold_the_same_intensities(scaled: list[str]) -> None:
    for kind in ("mtz", "mmcif", "shelx"):
        assert export.main([*scaled, f"format={kind}", "shelx.scale=false"]) == 0
    mtz = gemmi.read_mtz_file("scaled_unmerged.mtz")
    expected = np.array(mtz.column_with_label("I").array)
    cif = gemmi.cif.read("scaled_unmerged.cif").sole_block().find_values("_diffrn_refln.intensity_net")
    np.testing.assert_allclose([float(v) for v in cif], expected, rtol=1e-5, atol=1e-5)
    lines = Path("dials.hkl").read_text().splitlines()
    assert lines[-1].split()[:3] == ["0", "0", "0"]
    np.testing.assert_allclose([float(line[12:20]) for line in lines[:-1]], expected, atol=0.006)
    assert "SYMM" in Path("dials.ins").read_text()


def test_data_of_two_wavelengths_are_two_data_sets_of_one_file(scaled: list[str]) -> None:
    words = [*scaled, "wavelength_tolerance=1e-5"]
    assert merge.main([*words, "dataset_names=PEAK,REMOTE"]) == 0
    mtz = gemmi.read_mtz_file("merged.mtz")
    assert [d.dataset_name for d in mtz.datasets] == ["PEAK", "REMOTE"]
    assert mtz.datasets[1].wavelength - mtz.datasets[0].wavelength == pytest.approx(5e-5, rel=1e-2)
    assert {"IMEAN_WAVE1", "IMEAN_WAVE2", "I_WAVE2(+)", "FreeR_flag"} <= set(mtz.column_labels())
    assert np.isfinite(mtz.column_with_label("FreeR_flag").array).all()
    assert {"WAVE1", "WAVE2"} == set(json.loads(Path("dials.merge.json").read_text()))
    experiments, table = read_experiments(scaled[0]), read_reflections(scaled[1])
    for number in (0, 1):
        part, rows = select_experiments(experiments, table, [number])
        write_experiments(part, "part.expt")
        write_reflections(rows, "part.refl")
        cell = ",".join(f"{v:.6f}" for v in mtz.cell.parameters)
        assert merge.main(["part.expt", "part.refl", "output.mtz=part.mtz", f"best_unit_cell={cell}"]) == 0
        alone = gemmi.read_mtz_file("part.mtz")
        whole = np.array(mtz.column_with_label(f"IMEAN_WAVE{number + 1}").array)
        np.testing.assert_allclose(whole[np.isfinite(whole)], alone.column_with_label("IMEAN").array, rtol=1e-6)

    assert export.main(words) == 0
    unmerged = gemmi.read_mtz_file("scaled_unmerged.mtz")
    (first, last) = read_experiments(scaled[0])[0].scan.image_range
    assert len(unmerged.batches) == 2 * (last + 1 - first)
    assert [b.dataset_id for b in unmerged.batches] == [1] * (last + 1 - first) + [2] * (last + 1 - first)
    assert len({b.number for b in unmerged.batches}) == len(unmerged.batches)


def test_what_holds_one_wavelength_refuses_two(scaled: list[str], capsys) -> None:
    for kind in ("shelx", "mmcif"):
        assert export.main([*scaled, f"format={kind}", "wavelength_tolerance=1e-5"]) == 1
        assert "several wavelengths" in capsys.readouterr().err
    assert merge.main([*scaled, "wavelength_tolerance=1e-5", "crystal_names=a,b,c"]) == 1
    assert "2 wavelengths" in capsys.readouterr().err


def test_unscaled_data_give_a_sentence_and_exit_code_1(shared: Path, scaled: list[str], capsys) -> None:
    stem = shared / "data/dials_files/quartz_integrated"
    assert merge.main([f"{stem}.expt", f"{stem}.refl"]) == 1
    assert "run dials.scale first" in "".join(capsys.readouterr())
    assert not Path("merged.mtz").exists()
