"""Experiment lists keep their meaning through reading and writing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.spatial.transform import Rotation

from puredials.errors import FileError
from puredials.io.expt import read_experiments, write_experiments
from puredials.io.expt_models import READERS, WRITERS
from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Goniometer,
    Group,
    ImageSet,
    Panel,
    Profile,
    Scan,
)

# What readers assume where a key is absent.
DEFAULTS: dict[str, Any] = {
    "batch_offset": 0, "valid_image_ranges": {}, "flux": 0.0, "transmission": 1.0, "gain": 1.0, "pedestal": 0.0,
    "thickness": 0.0, "material": "", "mu": 0.0, "identifier": "", "raw_image_offset": [0, 0], "probe": "x-ray",
    "sample_to_source_distance": 0.0, "params": {}, "crystal": [], "profile": [], "scaling_model": [], "goniometer": [],
    "scan": [], "setting_rotation": [1.0, 0, 0, 0, 1, 0, 0, 0, 1], "mask": None, "dx": None, "dy": None,
    "px_mm_strategy": {"type": "SimplePxMmStrategy"},
}  # fmt: skip


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Where the meaning of two parsed .expt files differs."""
    if isinstance(a, dict):
        found = [d for k in a.keys() & b.keys() for d in differences(a[k], b[k], f"{path}/{k}")]
        found += [f"{path}/{k} lost" for k in a.keys() - b.keys()]
        added = b.keys() - a.keys() - {"properties", "__id__"}
        empty = {"gain", "pedestal"} if "template" in b else set()
        return found + [f"{path}/{k} added" for k in added - empty if DEFAULTS.get(k, "?") != b[k]]
    if isinstance(a, list):
        if path.endswith("/axes") and np.ndim(a) == 2:
            a = (np.array(a) / np.linalg.norm(a, axis=1)[:, None]).tolist()
        if len(a) != len(b):
            return [f"{path}: {len(a)} or {len(b)} items"]
        return [d for x, y in zip(a, b, strict=True) for d in differences(x, y, path)]
    if isinstance(a, float):
        return [] if abs(a - b) <= 1e-12 * max(1, abs(a)) else [f"{path}: {a} or {b}"]
    return [] if (a or None) == (b or None) or "ImageSweep" in path + str(a) else [f"{path}: {a} or {b}"]


def test_every_stored_file_keeps_its_meaning(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "data").glob("*/*.expt"))
    assert len(files) > 25
    for file in files:
        experiments = read_experiments(file)
        here = [replace(e, imageset=e.imageset and replace(e.imageset, base=str(tmp_path))) for e in experiments]
        shared_sets = {id(e.imageset): h.imageset for e, h in zip(experiments, here, strict=True)}
        here = [replace(h, imageset=shared_sets[id(e.imageset)]) for e, h in zip(experiments, here, strict=True)]
        write_experiments(experiments.with_items(here), tmp_path / "copy.expt")
        before, after = (json.loads(p.read_text()) for p in (file, tmp_path / "copy.expt"))
        assert differences(before, after) == [], file.name


def tiny(**changes: Any) -> Experiment:
    panel = Panel([1, 0, 0], [0, -1, 0], [-10, 10, -100], (100, 200), (0.1, 0.1), mask=((0, 0, 5, 6),))
    models: dict[str, Any] = {
        "beam": Beam([0, 0, 1], 0.9763),
        "detector": Detector((panel,)),
        "goniometer": Goniometer([[1, 0, 0]]),
        "scan": Scan((1, 3), (0.1, 0.2)),
        "imageset": ImageSet(template="img_####.cbf"),
        "identifier": "one",
    }
    return Experiment(**{**models, **changes})


def through_a_file(experiments: list[Experiment], tmp_path: Path) -> Experiments:
    write_experiments(Experiments(tuple(experiments)), tmp_path / "t.expt")
    return read_experiments(tmp_path / "t.expt")


def test_shared_models_stay_shared(tmp_path: Path) -> None:
    one = tiny(crystal=Crystal(np.eye(3) / 50))
    other = replace(one, crystal=Crystal(np.eye(3) / 60), identifier="two")
    a, b = through_a_file([one, other], tmp_path)
    assert a.beam is b.beam
    assert a.detector is b.detector
    assert a.imageset is b.imageset
    assert a.crystal is not b.crystal


def test_unknown_keys_are_kept_everywhere(tmp_path: Path) -> None:
    write_experiments(Experiments((tiny(crystal=Crystal(np.eye(3) / 50)),)), tmp_path / "t.expt")
    content = json.loads((tmp_path / "t.expt").read_text())
    marked = {**content, "new": 1, "history": ["dials.import"]}
    for kind in ("experiment", "beam", "detector", "goniometer", "scan", "crystal", "imageset"):
        marked[kind][0]["new"] = {"kind": kind}
    marked["detector"][0]["panels"][0]["new"] = [2]
    marked["scan"][0]["properties"]["shutter"] = [1, 1, 1]
    (tmp_path / "t.expt").write_text(json.dumps(marked))
    write_experiments(read_experiments(tmp_path / "t.expt"), tmp_path / "u.expt")
    assert json.loads((tmp_path / "u.expt").read_text()) == marked


def test_scans_are_written_for_old_and_new_readers(tmp_path: Path) -> None:
    write_experiments(Experiments((tiny(),)), tmp_path / "t.expt")
    stored = json.loads((tmp_path / "t.expt").read_text())["scan"][0]
    assert stored["oscillation"] == [0.1, 0.2]
    np.testing.assert_allclose(stored["properties"]["oscillation"], [0.1, 0.3, 0.5])
    new = {k: v for k, v in stored.items() if k not in ("oscillation", "exposure_time", "epochs")}
    old = {k: v for k, v in stored.items() if k != "properties"}
    for part in (new, old, stored):
        scan = READERS["scan"](part)
        np.testing.assert_allclose(scan.oscillation, (0.1, 0.2), rtol=1e-15)
        assert len(scan.epochs) == 3


def test_properties_win_where_they_disagree_with_the_old_keys() -> None:
    stored = {"image_range": [1, 2], "oscillation": [0, 1], "properties": {"oscillation": [5.0, 5.5]}}
    assert READERS["scan"](stored).oscillation == (5.0, 0.5)


def test_a_scan_of_one_image_keeps_its_width() -> None:
    written = WRITERS["scan"](Scan((7, 7), (30.0, 0.5)))
    assert READERS["scan"]({k: v for k, v in written.items() if k != "oscillation"}).oscillation == (30.0, 0.5)


@given(st.lists(st.floats(-3, 3), min_size=12, max_size=12))
@settings(max_examples=30)
def test_panels_in_a_hierarchy_keep_their_place_in_the_laboratory(numbers: list[float]) -> None:
    frames = Rotation.from_rotvec(np.reshape(numbers, (4, 3))).as_matrix()
    panels = tuple(Panel(f[:, 0], f[:, 1], 30 * f[2], (10, 10), (0.1, 0.1)) for f in frames[:2])
    inner = Group((1,), frames[2][:, 0], frames[2][:, 1], frames[2][:, 2] * 7, "inner")
    outer = Group((0, inner), frames[3][:, 0], frames[3][:, 1], frames[3][:, 2] * 100, "outer")
    written = WRITERS["detector"](Detector(panels, outer))
    again = READERS["detector"](json.loads(json.dumps(written)))
    for before, after in zip(panels, again.panels, strict=True):
        np.testing.assert_allclose(after.d_matrix, before.d_matrix, atol=1e-11)
    assert again.hierarchy.children[1].name == "inner"
    np.testing.assert_allclose(again.hierarchy.children[1].origin, inner.origin, atol=1e-11)
    # The stored frame of a panel is local: laboratory = outer frame . inner frame . panel.
    local = written["panels"][1]["origin"]
    inside = inner.frame[0] @ local + inner.origin
    np.testing.assert_allclose(inside, panels[1].origin, atol=1e-11)


def test_a_refined_hierarchy_moves_the_panels_below_it(shared: Path) -> None:
    experiment = read_experiments(shared / "data/dials_files/quartz_scaled.expt")[0]
    np.testing.assert_allclose(experiment.detector[0].origin, [-13.050675924679426, 13.15605573740905, -280.0])


def test_models_of_all_kinds_survive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(3, 3)) / 50
    crystal = Crystal(
        A, "P 31 2\"", A + rng.normal(size=(4, 3, 3)) * 1e-5, rng.normal(size=(9, 9)), rng.normal(size=(4, 9, 9)),
        (10, 20, 30, 90, 90, 90), (0.1, 0.2, 0.3, 0, 0, 0), 2.5,
    )  # fmt: skip
    fixed = Rotation.from_rotvec([0.1, 0.2, 0.3]).as_matrix()
    single = Goniometer(
        [[0, 1, 0]], fixed=fixed, setting=fixed.T, setting_rotation_at_scan_points=np.stack([fixed] * 4)
    )
    multi = Goniometer([[1, 0, 0], [0, 1, 0]], [10, 0], names=("phi", "omega"), scan_axis=1, multi_axis=True)
    one = tiny(
        crystal=crystal,
        goniometer=single,
        profile=Profile(np.array([0.1, 0.2, 0.3]), 0.4),
        beam=Beam([0, 0, 1], 1.0, s0_at_scan_points=rng.normal(size=(4, 3)), probe="electron"),
        scaling_model={"__id__": "KB", "scale": {"parameters": [1.0]}},
    )
    two = replace(tiny(), goniometer=multi, foreign_profile={"__id__": "ellipsoid", "a": 1}, scan=None)
    a, b = through_a_file([one, two], tmp_path)
    for name in ("A", "A_at_scan_points", "B_covariance", "B_covariance_at_scan_points"):
        np.testing.assert_allclose(getattr(a.crystal, name), getattr(crystal, name), rtol=1e-12, atol=1e-16)
    assert a.crystal.hall == crystal.hall
    assert a.crystal.recalculated_unit_cell == crystal.recalculated_unit_cell
    assert a.crystal.recalculated_cell_volume_sd == 2.5
    np.testing.assert_allclose(a.goniometer.setting_rotation, fixed.T)
    np.testing.assert_allclose(a.goniometer.setting_rotation_at_scan_points[3], fixed)
    np.testing.assert_allclose(a.profile.sigma_b, [0.1, 0.2, 0.3])
    assert a.profile.sigma_m == 0.4
    assert a.scaling_model == one.scaling_model
    assert a.beam.is_electron
    assert b.goniometer.multi_axis
    np.testing.assert_allclose(b.goniometer.fixed_rotation, multi.fixed_rotation)
    assert b.foreign_profile == {"__id__": "ellipsoid", "a": 1}
    assert b.profile is None
    assert b.scan is None


def test_relative_image_names_keep_their_meaning_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_experiments(Experiments((tiny(),)), tmp_path / "a/t.expt")
    content = json.loads((tmp_path / "a/t.expt").read_text())
    content["imageset"][0]["template"] = "images/x_###.cbf"
    (tmp_path / "a/t.expt").write_text(json.dumps(content))
    experiments = read_experiments(tmp_path / "a/t.expt")
    for folder, expected in (("a", "images/x_###.cbf"), ("b", str(tmp_path / "a/images/x_###.cbf"))):
        write_experiments(experiments, tmp_path / folder / "u.expt")
        stored = json.loads((tmp_path / folder / "u.expt").read_text())
        assert stored["imageset"][0]["template"] == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ('{"__id__": "ExperimentList", "experi', "truncated"),
        ("[1, 2]", "not an experiment list"),
        ('{"__id__": "ExperimentList"}', "no list of experiments"),
        ('{"__id__": "ExperimentList", "experiment": [{"beam": 0}]}', "beam 0, which is not in the file"),
        ('{"__id__": "ExperimentList", "experiment": [{}]}', "has no beam"),
        ('{"__id__": "ExperimentList", "experiment": [], "beam": [{"direction": [0, 0, 1]}]}', "lacks 'wavelength'"),
        ('{"__id__": "ExperimentList", "experiment": [], "crystal": [3]}', "cannot be understood"),
    ],
)
def test_bad_files_give_a_sentence(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.expt").write_text(content)
    with pytest.raises(FileError, match=message):
        read_experiments(tmp_path / "x.expt")


def test_binary_and_missing_files_give_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.expt").write_bytes(b"\x93\xbbdials::af")
    with pytest.raises(FileError, match="not an experiment list"):
        read_experiments(tmp_path / "x.expt")
    with pytest.raises(FileError, match="cannot be read"):
        read_experiments(tmp_path / "none.expt")
    with pytest.raises(FileError, match="cannot be written"):
        write_experiments(Experiments((tiny(),)), tmp_path / "none" / "x.expt")
