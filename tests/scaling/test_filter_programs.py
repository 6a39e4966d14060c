"""dials.compute_delta_cchalf, and filtering in dials.scale: files, and an effect of every listed parameter."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_leave_out import filtered, scaled_sweeps, spoiled

from parameter_flips import another_text, without_effect
from puredials.cli import compute_delta_cchalf, scale
from puredials.cli.params import listed_parameters
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.refl import read_reflections, write_reflections
from puredials.scaling import delta_cc_half, scale_and_filter
from puredials.scaling.leave_out_tables import delta_cc_half_summary, filter_summary
from scaling_synthetic import on_lattice, sweeps


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six scaled data sets, the fourth of which is spoiled."""
    data = scaled_sweeps(6, images=30)
    write_experiments(data.experiments, tmp_path / "scaled.expt")
    write_reflections(
        spoiled(on_lattice(data.experiments, data.table), data.table["id"] == 3, "intensity.scale"),
        tmp_path / "scaled.refl",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_bad_data_set_is_gone_from_the_files(folder, capsys):
    assert compute_delta_cchalf.main(["scaled.expt", "scaled.refl"]) == 0
    said = capsys.readouterr().out
    assert "Removing dataset 3 (sweep-3)" in said
    experiments, table = read_experiments("filtered.expt"), read_reflections("filtered.refl")
    assert experiments.identifiers == ("sweep-0", "sweep-1", "sweep-2", "sweep-4", "sweep-5")
    assert sorted(table.identifiers.values()) == sorted(experiments.identifiers)
    assert Path("delta_cchalf.dat").read_text().startswith("3 -")
    content = json.loads(Path("compute_delta_cchalf.json").read_text())
    assert [g["bad"] for g in content["groups"]] == [False, False, False, True, False, False]
    assert "histogram" in str(content["figures"].keys())
    assert "ΔCC½" in Path("compute_delta_cchalf.html").read_text(encoding="utf-8")


def test_images_are_gone_from_the_reflections_and_left_out_of_the_scan(folder, capsys):
    data = scaled_sweeps(1, images=200)
    z = data.table["xyzobs.px.value"][:, 2]
    write_experiments(data.experiments, "one.expt")
    write_reflections(
        spoiled(on_lattice(data.experiments, data.table), (z >= 50) & (z < 60), "intensity.scale"), "one.refl"
    )
    assert compute_delta_cchalf.main(["one.expt", "one.refl", "mode=image_group"]) == 0
    assert "Removing image range (51, 60) from dataset 0 (sweep-0)" in capsys.readouterr().out
    scan = read_experiments("filtered.expt")[0].scan
    assert scan is not None
    assert scan.valid_image_ranges == {"sweep-0": [[1, 50], [61, 200]]}
    left = read_reflections("filtered.refl")["xyzobs.px.value"][:, 2]
    np.testing.assert_array_equal(np.sort(left), np.sort(z[(z < 50) | (z >= 60)]))


def test_every_parameter_of_the_analysis_changes_its_result(folder):
    experiments, table = read_experiments("scaled.expt"), read_reflections("scaled.refl")
    contexts = {
        "group_size": (["mode=image_group"], "7"),
        "stdcutoff": ([], "20"),
        "dmin": ([], "4"),
        "dmax": ([], "9"),
    }

    def outcome(params) -> str:
        return str(delta_cc_half_summary(delta_cc_half(experiments, table, params=params)))

    assert without_effect(compute_delta_cchalf.PROGRAM, outcome, contexts) == []


def test_every_parameter_of_the_output_changes_the_files(folder):
    def files(words: list[str]) -> set[tuple[str, bytes]]:
        before = set(Path().iterdir())
        assert compute_delta_cchalf.main(["scaled.expt", "scaled.refl", *words]) == 0
        new = sorted(set(Path().iterdir()) - before)
        found = {(p.name, b"" if p.suffix in (".log", ".html") else p.read_bytes()) for p in new}
        for path in new:
            path.unlink()
        return found

    usual = files(["output.html=None"])
    for parameter in listed_parameters(compute_delta_cchalf.PROGRAM):
        if parameter.path.startswith("output."):
            words = [] if parameter.path == "output.html" else ["output.html=None"]
            assert files([*words, f"{parameter.path}={another_text(parameter)}"]) != usual, parameter.path


def test_scale_filters_and_tells_of_each_cycle(folder, capsys):
    data = sweeps(n_sweeps=8, images=30, d_min=4.0, share=0.4)
    write_experiments(data.experiments, "in.expt")
    write_reflections(
        spoiled(on_lattice(data.experiments, data.table), data.table["id"] == 2, "intensity.prf intensity.sum"),
        "in.refl",
    )
    words = ["in.expt", "in.refl", "filtering.method=deltacchalf", "outlier_rejection=None", "max_percent_removed=20"]
    assert scale.main(words) == 0
    said = capsys.readouterr().out
    assert "Removing dataset 2 (sweep-2)" in said
    assert "Cycle 2 of filtering, n_reflections removed this cycle: 0" in said
    assert "Merging statistics by data set" in said
    content = json.loads(Path("scale_and_filter_results.json").read_text())
    assert content["termination_reason"] == "no_more_removed"
    assert content["cycles"][0]["image_ranges_removed"] == [[[1, 30], "sweep-2"]]
    assert "sweep-2" not in read_experiments("scaled.expt").identifiers
    by_set = json.loads(Path("dials.scale.json").read_text())["datasets"]
    assert [s["identifier"] for s in by_set] == [f"sweep-{k}" for k in range(8) if k != 2]


def test_every_parameter_of_filtering_changes_its_result():
    data = sweeps(n_sweeps=6, images=20, d_min=6.0, share=0.5)
    table = spoiled(on_lattice(data.experiments, data.table), data.table["id"] == 2, "intensity.prf intensity.sum")
    table = table.select((table["id"] == 2) | (np.abs(table["miller_index"][:, 2]) != 7))
    usual = ["filtering.method=deltacchalf", "outlier_rejection=None", "max_percent_removed=20",
             "max_cycles=2", "scaling_options.nproc=1", "stdcutoff=3"]  # fmt: skip
    contexts = {
        "filtering.deltacchalf.group_size": ([*usual, "mode=image_group"], "4"),
        "filtering.deltacchalf.stdcutoff": (usual, "20"),
        "filtering.deltacchalf.min_completeness": (usual, "100"),
        "filtering.deltacchalf.max_cycles": (usual, "1"),
        "filtering.deltacchalf.max_percent_removed": (usual, "1"),
    }
    others = {p.path for p in listed_parameters(scale.PROGRAM) if not p.path.startswith("filtering.deltacchalf.")}

    def outcome(params) -> str:
        return str(filter_summary(scale_and_filter(data.experiments, table, params=params)))

    assert without_effect(scale.PROGRAM, outcome, contexts, usual=usual, skip=others) == []
    assert not filtered(data.experiments, table, max_percent_removed=0.0).cycles[-1].removed
