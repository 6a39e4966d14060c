"""Combining, splitting, slicing and naming sets of experiments."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from puredials.cli import assign_experiment_identifiers, combine_experiments, slice_sequence, split_experiments
from puredials.errors import InputError, MismatchError, ParameterError
from puredials.io import read_experiments, read_reflections, write_experiments, write_reflections
from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Goniometer,
    ImageSet,
    Panel,
    Profile,
    ReflectionTable,
    Scan,
)
from puredials.sets import (
    CombineParams,
    SplitParams,
    SubsetParams,
    assign_identifiers,
    block_ranges,
    choose_subset,
    in_batches,
    select_experiments,
    slice_experiments,
    slice_reflections,
)
from puredials.sets import combine_experiments as combine
from puredials.sets import split_experiments as groups_of

N = 20


def sweep(name: str, *, wavelength: float = 1.0, distance: float = 100.0) -> Experiment:
    """A scan-varying crystal on images 5 to 24; every value at a scan point tells its number."""
    points = np.arange(N + 1)
    A = np.eye(3) / 50 * (1 + points[:, None, None] / 1000)
    panel = Panel((1, 0, 0), (0, -1, 0), (-10, 10, -distance), (200, 200), (0.1, 0.1))
    return Experiment(
        Beam(np.array([0, 0, 1.0]), wavelength),
        Detector((panel,)),
        Goniometer(np.array([1.0, 0, 0])),
        Scan((5, 4 + N), (10.0, 0.5), valid_image_ranges={name: [[5, 10], [12, 24]]}),
        Crystal(
            A[0],
            A_at_scan_points=A,
            B_covariance=np.eye(9),
            B_covariance_at_scan_points=np.eye(9) * points[:, None, None],
        ),
        Profile(0.1 + np.arange(N), 0.2),
        imageset=ImageSet(template=f"{name}.nxs", single_file_indices=tuple(range(4, 4 + N))),
        identifier=name,
    )


def spots(experiments: Experiments, seed: int = 0) -> ReflectionTable:
    """40 reflections of each experiment, and 10 of none."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.concatenate([np.repeat(np.arange(len(experiments)), 40), np.full(10, -1)]))
    z = rng.uniform(4, 4 + N, len(ids))
    columns = {
        "id": ids.astype(np.int32),
        "imageset_id": np.maximum(ids, 0).astype(np.int32),
        "flags": np.full(len(ids), 32, np.uint64),
        "xyzobs.px.value": np.stack([z, z, z], axis=1),
    }
    return ReflectionTable(columns, dict(enumerate(experiments.identifiers)))


@pytest.fixture
def two() -> Experiments:
    first, second = sweep("a"), sweep("b", wavelength=0.9)
    return Experiments((first, replace(second, detector=first.detector)))


def test_scan_varying_models_and_covariances_are_cut_at_the_boundaries_of_images(two):
    sliced, source = slice_experiments(two, [(7, 9), (7, 9)])
    part, whole = sliced[0], two[0]
    assert source == (0, 1)
    assert part.scan.image_range == (7, 9)
    assert part.scan.oscillation == (11.0, 0.5)
    np.testing.assert_array_equal(part.crystal.A_at_scan_points, whole.crystal.A_at_scan_points[2:6])
    np.testing.assert_array_equal(part.crystal.B_covariance_at_scan_points[:, 0, 0], [2, 3, 4, 5])
    np.testing.assert_array_equal(part.profile.sigma_b, [2.1, 3.1, 4.1])
    assert part.profile.sigma_m == 0.2
    assert part.imageset.single_file_indices == (6, 7, 8)
    assert part.scan.valid_image_ranges == {"a": [[7, 9]]}
    assert part.identifier == "a"


def test_models_shared_by_experiments_stay_shared_in_slices(two):
    both = two.with_items([two[0], replace(two[0], crystal=two[1].crystal, identifier="c")])
    sliced, _ = slice_experiments(both, [(7, 9), (7, 9)])
    assert sliced[0].scan is sliced[1].scan
    assert sliced[0].imageset is sliced[1].imageset
    assert sliced[0].detector is sliced[1].detector is two[0].detector
    assert sliced[0].crystal is not sliced[1].crystal


def test_slices_hold_the_spots_observed_on_their_images(two):
    table = spots(two)
    sliced, source = slice_experiments(two, [(7, 9), (20, 24)])
    part = slice_reflections(table, sliced, source)
    z, ids = table["xyzobs.px.value"][:, 2], table["id"]
    assert (part["id"] == 0).sum() == ((ids == 0) & (z >= 6) & (z < 9)).sum()
    assert (part["id"] == 1).sum() == ((ids == 1) & (z >= 19) & (z < 24)).sum()
    assert part.identifiers == {0: "a", 1: "b"}


def test_blocks_take_each_spot_once(two):
    ranges = [block_ranges(e.scan, 3.0) for e in two]
    assert ranges[0] == [(5, 10), (11, 16), (17, 24)]
    sliced, source = slice_experiments(two, ranges)
    assert source == (0, 0, 0, 1, 1, 1)
    table = spots(two)
    part = slice_reflections(table, sliced, source)
    assert part.n_rows == 80
    assert np.unique(part["imageset_id"]).tolist() == list(range(6))
    z = part["xyzobs.px.value"][:, 2]
    first = np.array([e.scan.array_range[0] for e in sliced])[part["id"]]
    last = np.array([e.scan.array_range[1] for e in sliced])[part["id"]]
    assert ((z >= first) & (z < last)).all()


def test_a_block_may_be_as_long_as_the_scan_or_one_image():
    scan = Scan((1, 10), (0.0, 0.5))
    assert block_ranges(scan, 100.0) == [(1, 10)]
    assert block_ranges(scan, 0.01) == [(n, n) for n in range(1, 11)]
    with pytest.raises(MismatchError, match="Stills"):
        block_ranges(Scan((1, 10), (0.0, 0.0)), 1.0)


def test_images_outside_of_a_scan_are_refused(two):
    with pytest.raises(ParameterError, match=r"image_range=1,9 is not within the images 5 to 24 of experiment 0"):
        slice_experiments(two, [(1, 9), (7, 9)])
    with pytest.raises(ParameterError, match="once for each of the 2 experiments"):
        slice_experiments(two, [(7, 9)])


def test_splitting_and_combining_undo_each_other(two):
    table = spots(two)
    parts = [select_experiments(two, table, group) for group in groups_of(two)]
    assert [e.identifiers for e, _ in parts] == [("a",), ("b",)]
    assert all(set(t["id"]) == {0} and t.identifiers == {0: e.identifiers[0]} for e, t in parts)
    assert sum(t.n_rows for _, t in parts) == 80


def test_groups_are_by_detector_by_wavelength_or_chosen(two):
    more = two.with_items([*two, sweep("c", wavelength=1.00005), sweep("d", wavelength=0.8)])
    assert groups_of(more, params=SplitParams(by_detector=True)) == [(0, 1), (2,), (3,)]
    assert groups_of(more, params=SplitParams(by_wavelength=True)) == [(3,), (1,), (0, 2)]
    assert groups_of(more, params=SplitParams(experiment_ids=(3, 0))) == [(3,), (0,)]
    for wrong in ({"experiment_ids": (4,)}, {"experiment_ids": (1, 1)}, {"by_detector": True, "by_wavelength": True}):
        with pytest.raises(ParameterError):
            groups_of(more, params=SplitParams(**wrong))


def test_reference_models_replace_all_others_if_they_are_alike(two):
    table = spots(two)
    same = {"reference_from_experiment": {"detector": 0, "goniometer": 1, "scan": 0, "crystal": 1}}
    combined, _ = combine(two, table, params=CombineParams(**same))
    assert combined[0].goniometer is combined[1].goniometer is two[1].goniometer
    assert combined[0].crystal is combined[1].crystal is two[1].crystal
    beam = {"beam": 1}
    with pytest.raises(MismatchError, match="The beam of experiment 0 differs"):
        combine(two, params=CombineParams(reference_from_experiment=beam))
    forced, _ = combine(two, params=CombineParams(reference_from_experiment={**beam, "compare_models": False}))
    assert forced[0].beam is forced[1].beam is two[1].beam
    with pytest.raises(ParameterError, match="beam=2 does not exist"):
        combine(two, params=CombineParams(reference_from_experiment={"beam": 2}))


def test_equal_image_sets_become_one_and_nameless_experiments_get_names(two):
    second = replace(two[0], imageset=replace(two[0].imageset), identifier="")
    combined, table = combine(two.with_items([two[0], second]), spots(two))
    assert combined[0].imageset is combined[1].imageset
    assert set(table["imageset_id"]) == {0}
    assert combined[1].identifier
    assert table.identifiers == dict(enumerate(combined.identifiers))


def test_identifiers_are_given_or_made_where_they_lack(two):
    named, table = assign_identifiers(two, spots(two), ["x", "y"])
    assert named.identifiers == ("x", "y")
    assert table.identifiers == {0: "x", 1: "y"}
    assert assign_identifiers(two)[0].identifiers == ("a", "b")
    twice = assign_identifiers(two.with_items([two[0], two[0]]))[0].identifiers
    assert twice[0] == "a"
    assert twice[1] not in ("", "a")
    for wrong in (["x"], ["x", "x"]):
        with pytest.raises(ParameterError, match="identifiers must"):
            assign_identifiers(two, None, wrong)


@pytest.fixture
def here(tmp_path, monkeypatch, two) -> Path:
    monkeypatch.chdir(tmp_path)
    for number, (experiments, table) in enumerate(select_experiments(two, spots(two), (n,)) for n in (0, 1)):
        write_experiments(experiments, f"{number}.expt")
        write_reflections(table, f"{number}.refl")
    return tmp_path


BOTH = ["0.expt", "0.refl", "1.expt", "1.refl"]


def test_programs_combine_split_and_slice(here, capsys):
    assert combine_experiments.main(BOTH) == 0
    assert read_experiments("combined.expt").identifiers == ("a", "b")
    assert np.bincount(read_reflections("combined.refl")["id"]).tolist() == [40, 40]
    assert "|          1 |                    40 |" in capsys.readouterr().out
    assert split_experiments.main(["combined.expt", "combined.refl", "by_wavelength=True"]) == 0
    assert read_experiments("split_0.expt").identifiers == ("b",)
    assert slice_sequence.main(["combined.expt", "combined.refl", "image_range=7,9"]) == 0
    sliced = read_reflections("combined_7_9.refl")
    assert slice_sequence.main(["combined.refl", "image_range=7,9"]) == 0
    assert read_reflections("combined_7_9.refl").n_rows == sliced.n_rows > 0
    assert slice_sequence.main(["combined.expt", "combined.refl", "block_size=3"]) == 0
    blocks = read_experiments("combined_sliced.expt")
    assert len(set(blocks.identifiers) - {""}) == 6
    assert read_reflections("combined_sliced.refl").identifiers == dict(enumerate(blocks.identifiers))
    assert slice_sequence.main(["combined.expt", "image_range=7,9", "image_range=8,24"]) == 0
    assert [e.scan.image_range for e in read_experiments("combined_sliced.expt")] == [(7, 9), (8, 24)]


def test_parameters_name_the_files(here, capsys):
    words = ["output.experiments_filename=x.expt", "output.reflections_filename=y.refl", "output.log=z.log"]
    for program, more in ((combine_experiments, []), (slice_sequence, ["image_range=7,9"])):
        assert program.main([*BOTH, *more, *words]) == 0
        for name in ("x.expt", "y.refl", "z.log"):
            Path(name).unlink()
    assert assign_experiment_identifiers.main([*BOTH, "output.experiments=x.expt", "output.reflections=y.refl"]) == 0
    assert split_experiments.main(["x.expt", "y.refl", "reflections_prefix=r", "by_wavelength=True"]) == 0
    assert read_reflections("r_0.refl").identifiers == {0: "b"}
    assert "Saving experiments with wavelength 0.9 to split_0.expt" in capsys.readouterr().out
    assert split_experiments.main(["x.expt", "by_detector=True", "experiment_ids=1", "experiments_prefix=d"]) == 0
    assert read_experiments("d_0.expt").identifiers == ("b",)


def test_names_of_split_files_follow_the_template(here):
    words = ["0.expt", "1.expt", "output.experiments_prefix=p"]
    assert split_experiments.main([*words, "output.template={prefix}-{index:03d}.{extension}"]) == 0
    assert Path("p-001.expt").exists()
    assert split_experiments.main([*words, "output.chunk_size=2"]) == 0
    assert len(read_experiments("p_0.expt")) == 2
    assert split_experiments.main([*words, "output.chunk_sizes=1,1"]) == 0
    assert len(read_experiments("p_1.expt")) == 1
    for wrong in ("output.chunk_sizes=1", "output.template=all.{extension}", "output.template={name}"):
        assert split_experiments.main([*words, wrong]) == 1


def test_files_with_the_same_identifiers_can_be_told_apart(here):
    Path("2.expt").write_bytes(Path("0.expt").read_bytes())
    Path("2.refl").write_bytes(Path("0.refl").read_bytes())
    words = ["0.expt", "0.refl", "2.expt", "2.refl"]
    assert combine_experiments.main(words) == 1
    assert assign_experiment_identifiers.main(words) == 0
    first, second = read_experiments("assigned.expt").identifiers
    assert first == "a" != second
    table = read_reflections("assigned.refl")
    assert table.identifiers == {0: first, 1: second}
    assert np.bincount(table["id"]).tolist() == [40, 40]
    assert assign_experiment_identifiers.main([*words, "identifiers=x,y"]) == 0
    assert read_experiments("assigned.expt").identifiers == ("x", "y")
    assert assign_experiment_identifiers.main([*words, "identifiers=x"]) == 1


def test_mistakes_are_one_sentence(here, capsys):
    for program, words in (
        (slice_sequence, ["0.expt"]),
        (slice_sequence, ["0.expt", "image_range=1,3"]),
        (slice_sequence, ["0.refl", "block_size=3"]),
        (combine_experiments, ["0.expt", "1.refl"]),
        (split_experiments, ["0.expt", "experiment_ids=1"]),
    ):
        assert program.main(words) == 1
        assert "Traceback" not in capsys.readouterr().err


def test_batches_are_few_and_as_equal_as_can_be():
    assert [len(batch) for batch in in_batches(5, 2)] == [2, 2, 1]
    assert [len(batch) for batch in in_batches(5500, 1000)] == [917] * 4 + [916] * 2
    assert np.concatenate(in_batches(7, 3)).tolist() == list(range(7))


def test_experiments_are_kept_for_their_reflections_or_at_random(two):
    ids = np.repeat([0, 1, 2, 3, -1], [30, 10, 40, 20, 50]).astype(np.int32)
    panel = np.where(ids == 1, 1, 0).astype(np.uint64)
    table = ReflectionTable({"id": ids, "panel": panel}, {})

    def kept(**params):
        return choose_subset(4, table, params=SubsetParams(**params))

    assert kept() == [0, 1, 2, 3]
    assert kept(min_reflections_per_experiment=20, max_reflections_per_experiment=30) == [0, 3]
    assert kept(n_subset=2, n_subset_method="n_refl") == [0, 2]
    assert kept(n_subset=1, n_subset_method="n_refl", n_refl_panel_list=(1,)) == [1]
    assert kept(n_subset=3) == kept(n_subset=3)
    assert len(set(kept(n_subset=3))) == 3
    assert kept(n_subset=9) == [0, 1, 2, 3]
    with pytest.raises(MismatchError, match="they have 10 to 40"):
        kept(min_reflections_per_experiment=41)
    with pytest.raises(InputError, match="only if these are given"):
        choose_subset(4, params=SubsetParams(n_subset=1, n_subset_method="n_refl"))


def test_the_average_detector_lies_between_those_it_is_of(two):
    far = two[1].detector.moved(np.eye(3), np.array([0.02, 0, -0.04]))
    both = two.with_items([two[0], replace(two[1], detector=far)])
    average = {"reference_from_experiment": {"average_detector": True, "compare_models": False}}
    combined, _ = combine(both, params=CombineParams(**average))
    assert combined[0].detector is combined[1].detector
    origin = two[0].detector[0].origin + np.array([0.01, 0, -0.02])
    np.testing.assert_allclose(combined[0].detector[0].origin, origin)
    np.testing.assert_allclose(combined[0].detector[0].fast, two[0].detector[0].fast)
    average["reference_from_experiment"]["detector"] = 0
    with pytest.raises(ParameterError, match="not both"):
        combine(both, params=CombineParams(**average))
    other = Detector((replace(far[0], image_size=(10, 10)),))
    with pytest.raises(MismatchError, match="no mean"):
        combine(
            two.with_items([two[0], replace(two[1], detector=other)]),
            params=CombineParams(reference_from_experiment={"average_detector": True}),
        )


def test_combined_files_may_be_parts(here, capsys):
    assert combine_experiments.main([*BOTH, "max_batch_size=1", "delete_shoeboxes=True"]) == 0
    assert read_experiments("combined_001.expt").identifiers == ("b",)
    assert read_reflections("combined_000.refl").identifiers == {0: "a"}
    assert combine_experiments.main([*BOTH, "n_subset=1"]) == 0
    assert len(read_experiments("combined.expt")) == 1
    assert "Keeping 1 of 2 experiments" in capsys.readouterr().out


def test_combined_files_may_be_of_clusters_of_unit_cells(here, two):
    def with_cell(name: str, scale: float) -> Experiment:
        return replace(two[0], crystal=Crystal(np.eye(3) / (50 * scale)), identifier=name)

    cells = {"a": 1.0, "b": 2.0, "c": 1.001, "d": 2.001, "e": 1.002, "f": 3.0}
    write_experiments(two.with_items(with_cell(*item) for item in cells.items()), "many.expt")

    def clusters(*words: str) -> list[tuple[str, ...]]:
        for path in Path().glob("combined*"):
            path.unlink()
        assert combine_experiments.main(["many.expt", "clustering.use=True", *words]) == 0
        return [read_experiments(path).identifiers for path in sorted(Path().glob("combined*.expt"))]

    assert clusters() == [("a", "c", "e"), ("b", "d")]
    assert clusters("max_clusters=1") == [("a", "c", "e")]
    assert clusters("exclude_single_crystal_clusters=False") == [("a", "c", "e"), ("b", "d"), ("f",)]
    assert clusters("threshold=1e6") == [tuple("abcdef")]
    assert clusters("max_batch_size=2") == [("a", "c"), ("e",), ("b", "d")]
    assert combine_experiments.main(["many.expt", "clustering.use=True", "threshold=0"]) == 1
