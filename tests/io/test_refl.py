"""Reflection tables survive reading and writing."""

import gzip
from pathlib import Path

import hypothesis.strategies as st
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from puredials.errors import FileError
from puredials.io.refl import read_reflections, write_reflections
from puredials.kernels import shoebox_blob
from puredials.model import ReflectionTable, Shoeboxes


def small_table() -> ReflectionTable:
    boxes = Shoeboxes(
        np.array([0, 1, 2], np.uint32),
        np.array([[0, 2, 0, 3, 0, 1], [5, 6, -1, 1, 2, 4], [0, 1, 0, 1, 0, 1]], np.int32),
        np.array([0, 6, 10, 10]),
        np.arange(10, dtype=np.float32),
        np.array([1, 5, 0, 63, 2, 4, 8, 16, 32, 255], np.uint8),
        np.linspace(0, 1, 10, dtype=np.float32),
    )
    columns = {
        "id": np.zeros(3, np.int32),
        "panel": np.array([0, 1, 2], np.uint64),
        "miller_index": np.array([[1, 2, 3], [-4, 0, 2], [0, 0, -1]], np.int32),
        "entering": np.array([True, False, True]),
        "s1": np.random.default_rng(1).normal(size=(3, 3)),
        "bbox": boxes.bbox,
        "shoebox": boxes,
        "my.weight": np.array([0.5, np.nan, -0.0]),
    }
    return ReflectionTable(columns, {0: "abc"})


def same(a: ReflectionTable, b: ReflectionTable) -> bool:
    def equal(x: object, y: object) -> bool:
        if isinstance(x, Shoeboxes) and isinstance(y, Shoeboxes):
            names = ("panel", "bbox", "offsets", "data", "mask", "background")
            return all(np.array_equal(getattr(x, n), getattr(y, n)) for n in names)
        return np.array_equal(np.asarray(x), np.asarray(y), equal_nan=np.asarray(x).dtype.kind == "f")

    return set(a) == set(b) and a.identifiers == b.identifiers and all(equal(a[name], b[name]) for name in a)


def test_every_stored_file_survives_byte_for_byte(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "data/dials_files").glob("*.refl"))
    assert len(files) >= 15
    for file in files:
        write_reflections(read_reflections(file), tmp_path / "copy.refl")
        assert (tmp_path / "copy.refl").read_bytes() == file.read_bytes(), file.name


def test_a_table_survives_writing_and_reading(tmp_path: Path) -> None:
    write_reflections(small_table(), tmp_path / "t.refl")
    again = read_reflections(tmp_path / "t.refl")
    assert same(small_table(), again)
    assert again["my.weight"].flags.writeable


def test_an_empty_table_survives(tmp_path: Path) -> None:
    write_reflections(small_table().select(np.zeros(3, bool)), tmp_path / "t.refl")
    again = read_reflections(tmp_path / "t.refl")
    assert again.n_rows == 0
    assert again["s1"].shape == (0, 3)


def test_gzip_and_version_2_with_byte_masks_are_read(tmp_path: Path) -> None:
    table = small_table()
    write_reflections(table, tmp_path / "v1.refl")
    content = msgpack.unpackb((tmp_path / "v1.refl").read_bytes(), strict_map_key=False)
    boxes, blob = table["shoebox"], b""
    for i in range(3):
        blob += boxes.panel[i].tobytes() + boxes.bbox[i].tobytes()
        blob += b"\2" + b"".join(part.tobytes() for part in boxes.box(i)) if i < 2 else b"\0"
    content[1] = 2
    content[2]["data"]["shoebox"][1][1] = blob
    (tmp_path / "v2.refl").write_bytes(gzip.compress(msgpack.packb(content, use_bin_type=True)))
    assert same(table, read_reflections(tmp_path / "v2.refl"))


def test_columns_of_an_unknown_type_pass_through(tmp_path: Path) -> None:
    blob = bytes(range(30))
    columns = {"id": ["int", [3, bytes(12)]], "odd": ["tensor<float>", [3, blob]]}
    file = ["dials::af::reflection_table", 1, {"identifiers": {}, "nrows": 3, "data": columns}]
    (tmp_path / "a.refl").write_bytes(msgpack.packb(file, use_bin_type=True))
    table = read_reflections(tmp_path / "a.refl")
    assert table["odd"].shape == (3, 10)
    write_reflections(table.select(np.array([2, 0])), tmp_path / "b.refl")
    again = read_reflections(tmp_path / "b.refl")
    assert again.types["odd"] == "tensor<float>"
    assert again["odd"].tobytes() == blob[20:] + blob[:10]


def test_old_pickled_tables_are_refused(shared: Path) -> None:
    with pytest.raises(FileError, match="pickled"):
        read_reflections(shared / "data/old/pickled_table.refl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello world, not a table", "not a reflection table"),
        (b'{"__id__": "ExperimentList"}', "not a reflection table"),
        (b"\x1f\x8b broken gzip", "gzip|truncated"),
        (msgpack.packb(["dials::af::reflection_table", 3, {}]), "version 3"),
        (msgpack.packb(["dials::af::reflection_table", 1, {}]), "damaged"),
        (msgpack.packb(["dials::af::reflection_table", 1, [1]]), "damaged"),
    ],
)
def test_foreign_and_damaged_files_give_a_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.refl").write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_reflections(tmp_path / "x.refl")


def test_files_truncated_anywhere_give_a_sentence(tmp_path: Path) -> None:
    write_reflections(small_table(), tmp_path / "t.refl")
    whole = (tmp_path / "t.refl").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut.refl").write_bytes(whole[:length])
        with pytest.raises(FileError):
            read_reflections(tmp_path / "cut.refl")


def test_missing_files_and_folders_give_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        read_reflections(tmp_path / "none.refl")
    with pytest.raises(FileError, match="cannot be written"):
        write_reflections(small_table(), tmp_path / "no_folder" / "t.refl")


def test_a_shape_that_does_not_fit_the_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="s1"):
        write_reflections(ReflectionTable({"s1": np.zeros((2, 2))}), tmp_path / "t.refl")
    with pytest.raises(ValueError, match="no place"):
        write_reflections(ReflectionTable({"odd": np.zeros((2, 4))}), tmp_path / "t.refl")


@given(
    sizes=st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=6),
    mask=hnp.arrays(np.uint8, 200),
    data=hnp.arrays(np.float32, 200, elements=st.floats(width=32)),
)
def test_shoebox_blobs_agree_with_struct_dumps_and_unpack_again(sizes, mask, data) -> None:
    volumes = [a * b * c for a, b, c in sizes]
    n, offsets = len(sizes), np.concatenate([[0], np.cumsum(volumes)]).astype(np.int64)
    bbox = np.array([[1, 1 + a, 2, 2 + b, -3, -3 + c] for a, b, c in sizes], np.int32).reshape(-1, 6)
    panel, total = np.arange(n, dtype=np.uint32), int(offsets[-1])
    data, mask, background = data[:total], mask[:total], -data[:total]
    blob = np.empty(29 * n + 12 * total, np.uint8)
    shoebox_blob.pack(panel, bbox, offsets, data.view(np.uint8), mask, background.view(np.uint8), blob)
    expected = b""
    for i in range(n):
        part = slice(offsets[i], offsets[i + 1])
        pixels = data[part].tobytes() + mask[part].astype("<i4").tobytes() + background[part].tobytes()
        expected += panel[i].tobytes() + bbox[i].tobytes() + (b"\1" if volumes[i] else b"\0") + pixels
    assert blob.tobytes() == expected
    panel2, bbox2, offsets2 = np.empty_like(panel), np.empty_like(bbox), np.empty_like(offsets)
    starts, codes = np.empty(n, np.int64), np.empty(n, np.uint8)
    assert shoebox_blob.scan(blob, panel2, bbox2, starts, codes, offsets2)
    data2, mask2, background2 = np.empty(total, np.float32), np.empty(total, np.uint8), np.empty(total, np.float32)
    views = data2.view(np.uint8), mask2, background2.view(np.uint8)
    assert shoebox_blob.unpack(blob, starts, codes, offsets2, *views)
    for a, b in ((panel, panel2), (bbox, bbox2), (offsets, offsets2), (mask, mask2)):
        np.testing.assert_array_equal(a, b)
    assert data.tobytes() == data2.tobytes()
    assert background.tobytes() == background2.tobytes()
