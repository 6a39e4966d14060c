"""Tables read and written in parts."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from puredials.errors import FileError
from puredials.io.refl import read_reflections, write_reflections
from puredials.io.refl_part import read_columns
from puredials.io.refl_writer import ReflectionWriter
from puredials.model import ReflectionTable, Shoeboxes


def _table(n: int = 9000) -> ReflectionTable:
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 4, (n, 3))
    bbox = np.zeros((n, 6), np.int32)
    bbox[:, 1::2] = sizes
    offsets = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))]).astype(np.int64)
    pixels = int(offsets[-1])
    boxes = Shoeboxes(
        rng.integers(0, 3, n).astype(np.uint32), bbox, offsets, rng.random(pixels).astype(np.float32),
        rng.integers(0, 64, pixels).astype(np.uint8), np.zeros(pixels, np.float32),
    )  # fmt: skip
    columns = {
        "id": np.zeros(n, np.int32),
        "flags": rng.integers(0, 99, n).astype(np.uint64),
        "entering": rng.random(n) < 0.5,
        "s1": rng.random((n, 3)),
        "miller_index": rng.integers(-9, 9, (n, 3)).astype(np.int32),
        "shoebox": boxes,
    }
    return ReflectionTable(columns, {0: "an-identifier"})


def test_a_file_written_in_parts_is_that_written_at_once(tmp_path: Path):
    table = _table()
    write_reflections(table, tmp_path / "once.refl")
    with ReflectionWriter(tmp_path) as writer:
        for low in range(0, table.n_rows, 2500):
            writer.append(table.select(np.arange(low, min(low + 2500, table.n_rows))))
        writer.write(tmp_path / "parts.refl")
    assert (tmp_path / "parts.refl").read_bytes() == (tmp_path / "once.refl").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["once.refl", "parts.refl"]


def test_parts_must_have_the_same_columns(tmp_path: Path):
    with ReflectionWriter(tmp_path) as writer:
        writer.append(_table(5))
        with pytest.raises(ValueError, match="different columns"):
            writer.append(_table(5).without(["s1"]))


def test_some_columns_and_some_boxes_are_read(tmp_path: Path):
    table = _table()
    write_reflections(table, tmp_path / "all.refl")
    found = read_columns(tmp_path / "all.refl", ("flags", "s1", "shoebox", "lp"), boxes=1000)
    assert sorted(found) == ["flags", "s1", "shoebox"]
    assert found.identifiers == table.identifiers
    for name in ("flags", "s1"):
        np.testing.assert_array_equal(found[name], table[name])
    boxes = found["shoebox"]
    np.testing.assert_array_equal(boxes.bbox, table["shoebox"].bbox)
    np.testing.assert_array_equal(boxes.panel, table["shoebox"].panel)
    with_pixels = np.flatnonzero(np.diff(boxes.offsets))
    assert len(with_pixels) == 1000
    for k in with_pixels[::50]:
        for a, b in zip(boxes.box(k), table["shoebox"].box(k), strict=True):
            np.testing.assert_array_equal(a, b)


def test_compressed_files_are_read_as_well(tmp_path: Path):
    table = _table(50)
    write_reflections(table, tmp_path / "plain.refl")
    (tmp_path / "small.refl").write_bytes(gzip.compress((tmp_path / "plain.refl").read_bytes()))
    found = read_columns(tmp_path / "small.refl", ("flags",), boxes=10)
    np.testing.assert_array_equal(found["flags"], table["flags"])


@pytest.mark.parametrize("size", [0, 20, 3000, -100])
def test_truncated_files_get_the_sentence_of_the_careful_reader(tmp_path: Path, size: int):
    write_reflections(_table(100), tmp_path / "whole.refl")
    content = (tmp_path / "whole.refl").read_bytes()[:size]
    (tmp_path / "cut.refl").write_bytes(content)
    with pytest.raises(FileError) as careful:
        read_reflections(tmp_path / "cut.refl")
    with pytest.raises(FileError) as lean:
        read_columns(tmp_path / "cut.refl", ("flags", "shoebox"), boxes=10)
    assert str(lean.value) == str(careful.value)
