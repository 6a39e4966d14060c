"""dials.scale: files, tables, and an effect of every listed parameter."""

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest

from parameter_flips import another_text
from puredials.cli import merge, scale
from puredials.cli.params import apply, listed_parameters, match
from puredials.cli.phil import Assignment
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.refl import read_reflections, write_reflections
from puredials.scaling import scale as scale_data
from puredials.scaling import selection_report
from scaling_synthetic import on_lattice, sweeps

# What it takes for a parameter to matter: words given in both runs, and its other value where the usual one is no good.
CONTEXTS = {
    "model": ([], "KB"),
    "physical.scale_interval": ([], "40"),
    "physical.decay_interval": ([], "40"),
    "physical.decay_restraint": ([], "1000"),
    "physical.absorption_correction": ([], "false"),
    "physical.absorption_level": ([], "high"),
    "physical.lmax": ([], "2"),
    "physical.surface_weight": ([], "1e6"),
    "KB.decay_correction": (["model=KB"], None),
    "reflection_selection.min_partiality": ([], "0.6"),
    "reflection_selection.intensity_choice": ([], "sum"),
    "reflection_selection.combine.Imid": ([], "1"),
    "weighting.error_model.basic.b": ([], "0.1"),
    "weighting.error_model.basic.c": ([], "3"),
    "weighting.error_model.grouping": ([], "individual"),
    "cut_data.d_min": ([], "5"),
    "cut_data.d_max": ([], "10"),
    "cut_data.partiality_cutoff": ([], "0.6"),
    "cut_data.min_isigi": ([], "0"),
    "scaling_options.outlier_rejection": ([], "simple"),
    "scaling_options.outlier_zmax": ([], "3"),
    "scaling_options.emax": ([], "2"),
    "scaling_refinery.max_iterations": ([], "1"),
    "scaling_refinery.rmsd_tolerance": ([], "0.5"),
    "dataset_selection.use_datasets": ([], "0"),
    "dataset_selection.exclude_datasets": ([], "0"),
    "exclude_images": ([], "0:20:30"),
    "output.crystal_name": (["merged_mtz=merged.mtz"], None),
    "output.project_name": (["merged_mtz=merged.mtz"], None),
}
# The number of workers must change nothing, which is tested elsewhere.
NO_EFFECT = {"scaling_options.nproc"}


@pytest.fixture
def integrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two short sweeps in the working directory, with some partly recorded reflections and some outliers."""
    data = sweeps(n_sweeps=2, images=70, d_min=4.0, share=0.6)
    rng = np.random.default_rng(1)
    n = data.table.n_rows
    partiality = np.where(rng.random(n) < 0.1, rng.uniform(0.45, 0.94, n), 1.0)
    wild = np.where(rng.random(n) < 0.02, 3.0, 1.0)
    columns = {name: wild * data.table[name] for name in ("intensity.prf.value", "intensity.sum.value")}
    write_experiments(data.experiments, tmp_path / "in.expt")
    table = on_lattice(data.experiments, data.table).with_columns({**columns, "partiality": partiality})
    write_reflections(table, tmp_path / "in.refl")
    monkeypatch.chdir(tmp_path)
    return ["in.expt", "in.refl"]


def outcome(words: list[str]) -> dict[str, bytes]:
    """All files that a run leaves, but for the texts of logs and pages."""
    before = set(Path().iterdir())
    assert scale.main(words) == 0
    new = sorted(set(Path().iterdir()) - before)
    found = {p.name: p.read_bytes() for p in new if p.suffix not in (".log", ".html")}
    found["names"] = " ".join(p.name for p in new).encode()
    for path in new:
        path.unlink()
    return found


def test_every_parameter_of_scaling_changes_its_result(integrated: list[str]):
    experiments, table = read_experiments(integrated[0]), read_reflections(integrated[1])
    parameters = listed_parameters(scale.PROGRAM)

    def run(words: list[str]) -> tuple[bytes, ...]:
        given = []
        for word in words:
            path, text = word.split("=")
            given.append((match(path, parameters)[0], Assignment(path, text, "")))
        params = apply(scale.PROGRAM.options, given)
        assert isinstance(params, scale.Options)
        result = scale_data(experiments, table, params=params)
        names = ("flags", "intensity.scale.value", "intensity.scale.variance", "inverse_scale_factor")
        return tuple(result.table[name].tobytes() for name in names)

    runs: dict[str, tuple[bytes, ...]] = {}
    for parameter in parameters:
        if parameter.path.startswith(("input.", "output.", "filtering.")) or parameter.path in NO_EFFECT:
            continue  # filtering is tested by itself
        words, text = CONTEXTS.get(parameter.path, ([], None))
        key = " ".join(words)
        if key not in runs:
            runs[key] = run(words)
        assert run([*words, f"{parameter.path}={text or another_text(parameter)}"]) != runs[key], parameter.path


def test_every_parameter_of_the_output_changes_the_files(integrated: list[str]):
    runs: dict[str, dict[str, bytes]] = {}
    for parameter in listed_parameters(scale.PROGRAM):
        if not parameter.path.startswith("output."):
            continue
        words, text = CONTEXTS.get(parameter.path, ([], None))
        if parameter.path != "output.html":
            words = [*words, "output.html=None"]
        key = " ".join(words)
        if key not in runs:
            runs[key] = outcome([*integrated, *words])
        changed = outcome([*integrated, *words, f"{parameter.path}={text or another_text(parameter)}"])
        assert changed != runs[key], parameter.path


def test_files_and_tables_are_those_of_the_manual(integrated: list[str], capsys: pytest.CaptureFixture[str]):
    assert scale.main([*integrated, "unmerged_mtz=unmerged.mtz", "merged_mtz=merged.mtz"]) == 0
    text = capsys.readouterr().out
    for line in ("Space group being used during scaling is P 4", "Merging statistics by resolution bin", "cc1/2",
                 "Resolution limit suggested from CC½ fit", "Summary of merging statistics", "Rmeas(I+/-)",
                 "Saving the scaled experiments to scaled.expt", "Saving the scaled reflections to scaled.refl",
                 "Error model formula"):  # fmt: skip
        assert line in text
    assert Path("dials.scale.log").is_file()
    assert "<html" in Path("dials.scale.html").read_text()[:300]
    plots = json.loads(Path("dials.scale.json").read_text())
    assert {"scale", "decay", "absorption/0", "cc_one_half", "batch_rmerge", "normal_probability"} <= set(plots)
    merged, unmerged = (gemmi.read_mtz_file(f"{name}.mtz") for name in ("merged", "unmerged"))
    assert {"IMEAN", "SIGIMEAN", "I(+)", "I(-)"} <= set(merged.column_labels())
    assert len(unmerged.batches) == 140
    assert read_experiments("scaled.expt")[1].scaling_model is not None
    assert "inverse_scale_factor" in read_reflections("scaled.refl")


def test_the_next_program_takes_the_files(integrated: list[str]):
    assert scale.main(integrated) == 0
    assert merge.main(["scaled.expt", "scaled.refl"]) == 0


def test_quartz_from_real_electron_diffraction(shared: Path, tmp_path: Path, monkeypatch, capsys):
    stem = shared / "data/dials_files/quartz_integrated"
    monkeypatch.chdir(tmp_path)
    assert scale.main([f"{stem}.expt", f"{stem}.refl", "output.html=None"]) == 0
    assert "Summary of merging statistics" in capsys.readouterr().out


def test_scaling_and_merging_say_what_deserves_a_look_in_the_terminal_and_on_the_page(integrated, capsys) -> None:
    assert scale.main([*integrated, "output.merging.nbins=5"]) == 0
    assert merge.main(["scaled.expt", "scaled.refl", "merging.n_bins=5"]) == 0
    said = capsys.readouterr().out
    assert said.count("Correlation of half data sets: CC½ is still") == 2  # the reflections end at 4 Angstrom
    for page in ("dials.scale.html", "dials.merge.html"):
        text = Path(page).read_text()
        assert text.index("What deserves a look") < text.index("Multiplicities")
        assert "at the resolution limit of 4.00 Å: the crystal diffracts beyond it." in text


@pytest.mark.parametrize(("images", "told"), [(40, True), (70, False)])
def test_sweeps_too_narrow_for_an_absorption_correction_are_told(images, told):
    data = sweeps(n_sweeps=2, images=images, d_min=4.0, share=0.6)
    report = selection_report(scale_data(data.experiments, data.table))
    assert ("No absorption correction of datasets 0, 1: sweeps of 60 degrees or less" in report) == told
    assert ("| absorption" in report) != told
