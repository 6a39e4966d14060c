"""Reference profiles: their file, and the pictures of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from report_set import IMAGES, data

from puredials.cli import report as program
from puredials.errors import FileError
from puredials.integration.zones import Zones
from puredials.io import write_experiments, write_reflections
from puredials.io.profiles import (
    FILE_NAME,
    ReferenceProfiles,
    profiles_beside,
    read_reference_profiles,
    write_reference_profiles,
)
from puredials.model import Experiments, Flags, ReflectionTable
from puredials.report.contents import report
from puredials.report.references import reference_sections, zone_correlations

ACROSS, ALONG, SIZE = 3, 4, 11


def profiles(identifier: str = "one", along: int = ALONG) -> ReferenceProfiles:
    """Each has its peak at another knot along e1."""
    zones = ACROSS**2 * along
    values = np.zeros((zones, SIZE, SIZE, SIZE))
    values[:, 5, 5, 5] = 0.5
    values[np.arange(zones), 5, 5, np.arange(zones) % SIZE] = 0.7
    numbers = np.arange(zones, dtype=np.float64)
    return ReferenceProfiles(identifier, (1, IMAGES), ACROSS, along, 0.6, numbers, values)


def with_s1() -> tuple[Experiments, ReflectionTable]:
    experiments, table = data()
    (panel,) = experiments[0].detector.panels
    at = panel.origin + table["xyzcal.px"][:, :2] * 0.1 @ np.stack([panel.fast, panel.slow])
    flags = table["flags"] | np.uint64(Flags.INTEGRATED_PRF)
    return experiments, table.with_columns({"s1": at / np.linalg.norm(at, axis=1)[:, None], "flags": flags})


def test_a_file_gives_back_what_was_written_to_a_thousandth_of_the_peak(tmp_path: Path) -> None:
    own = profiles()
    write_reference_profiles([own, profiles("two", along=1)], tmp_path / FILE_NAME)
    first, second = profiles_beside([tmp_path / "a.refl", tmp_path / "b.refl"])
    assert (first.identifier, first.image_range, first.across, first.along) == ("one", (1, IMAGES), ACROSS, ALONG)
    assert second.identifier == "two"
    assert second.along == 1
    assert first.step == own.step
    np.testing.assert_array_equal(first.numbers, own.numbers)
    peaks = own.profiles.max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(first.profiles, own.profiles / peaks, atol=5.1e-4)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"__id__": "ExperimentList"}', '{"__id__": "reference_profiles", "sweeps": [{}]}']
)
def test_a_foreign_or_damaged_file_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(FileError, match="reference profiles"):
        read_reference_profiles(tmp_path / FILE_NAME)


def test_a_file_whose_profiles_are_not_those_of_its_zones_is_refused(tmp_path: Path) -> None:
    write_reference_profiles([profiles()], tmp_path / FILE_NAME)
    content = json.loads((tmp_path / FILE_NAME).read_text())
    content["sweeps"][0]["along"] += 1
    (tmp_path / FILE_NAME).write_text(json.dumps(content))
    with pytest.raises(FileError, match="damaged"):
        read_reference_profiles(tmp_path / FILE_NAME)


def test_a_zone_in_which_profiles_fit_badly_is_found_where_it_is() -> None:
    experiments, table = with_s1()
    grid = Zones.of(experiments[0], across=ACROSS, along=ALONG)
    zones, weights = grid.around(table["s1"], table["xyzobs.px.value"][:, 2])
    nearest = zones[np.arange(len(zones)), weights.argmax(axis=1)]
    # The zone along the scan whose middle is nearest is the one that holds the reflection.
    bad = 2 * ACROSS**2 + 5
    correlation = np.where(nearest == bad, 0.5, 0.96)
    table = table.with_columns({"profile.correlation": correlation})
    found = zone_correlations(0, experiments[0], table, profiles())
    assert found[bad] == 0.5
    assert np.all(np.delete(found, bad) == 0.96)


def test_each_profile_has_its_picture_its_number_of_reflections_and_its_correlation() -> None:
    experiments, table = with_s1()
    own = profiles()
    front, side = reference_sections(experiments, table, [own])
    assert front.figure is not None
    assert side.figure is not None
    heat, labels = front.figure["data"]
    assert len(labels["x"]) == len(own.numbers) == len(labels["hovertext"])
    for k in range(len(own.numbers)):
        left, top = round(labels["x"][k] - (SIZE - 1) / 2), round(labels["y"][k] - SIZE - 1.3)
        tile = np.asarray(heat["z"])[top : top + SIZE, left : left + SIZE]
        assert np.unravel_index(tile.argmax(), tile.shape) == (5, k % SIZE)
        assert f"learnt from {k} reflections" in labels["hovertext"][k]
        assert 0.8 < float(labels["text"][k]) < 0.97
    assert "images 151 to 200" in labels["hovertext"][-1]


def test_profiles_of_other_data_are_not_shown() -> None:
    experiments, table = with_s1()
    names = {s.name for s in report(experiments, table, profiles=[profiles("another")]).sections}
    assert not any(name.startswith("reference_profiles") for name in names)
    names = {s.name for s in report(experiments, table, profiles=[profiles()]).sections}
    assert {"reference_profiles_xy", "reference_profiles_xz"} <= names


def test_neighbouring_parts_of_a_long_scan_share_a_picture() -> None:
    experiments, table = with_s1()
    front, _ = reference_sections(experiments, table, [profiles(along=72)])
    assert front.figure is not None
    labels = front.figure["data"][1]
    assert len(labels["x"]) == 15 * ACROSS**2
    total = sum(float(text.split("learnt from ")[1].split()[0]) for text in labels["hovertext"])
    assert total == profiles(along=72).numbers.sum()


def test_the_program_finds_the_file_beside_the_reflections_or_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    experiments, table = with_s1()
    (tmp_path / "run").mkdir()
    write_experiments(experiments, Path("run/a.expt"))
    write_reflections(table, Path("run/a.refl"))

    def shown(*words: str) -> bool:
        assert program.main(["run/a.expt", "run/a.refl", "output.json=a.json", *words]) == 0
        return "reference_profiles_xy" in json.loads(Path("a.json").read_text())

    assert not shown()
    write_reference_profiles([profiles()], Path("mine.json"))
    assert shown("reference_profiles=mine.json")
    assert not shown()
    Path("mine.json").rename(Path("run") / FILE_NAME)
    assert shown()
    assert program.main(["run/a.expt", "run/a.refl", "reference_profiles=mine.json"]) == 1
    assert "mine.json cannot be read" in capsys.readouterr().err
