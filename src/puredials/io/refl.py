"""Reflection tables in .refl files (msgpack).

A file is ["dials::af::reflection_table", version, {"identifiers": {id: text}, "nrows": n,
"data": {name: [type, [n, bytes]]}}], columns sorted by name, their bytes a little-endian dump. Versions 1 and 2 are
read, plain or gzip-compressed (they differ in the shoeboxes' masks); version 1 is written, which every release of
DIALS reads.
"""

import gzip
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgpack
import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError
from puredials.kernels import shoebox_blob
from puredials.model import SCHEMA, ReflectionTable, Shoeboxes

__all__ = ["MAGIC", "TYPES", "column_bytes", "column_type", "read_reflections", "write_reflections"]

MAGIC = "dials::af::reflection_table"
_SHOEBOX = "Shoebox<>"
# Memory images of strings: addresses of a process that is gone, without meaning to any reader.
_MEANINGLESS = ("std::string",)
TYPES: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "bool": ("?", ()),
    "int": ("<i4", ()),
    "std::size_t": ("<u8", ()),
    "double": ("<f8", ()),
    "vec2<double>": ("<f8", (2,)),
    "vec3<double>": ("<f8", (3,)),
    "mat3<double>": ("<f8", (3, 3)),
    "int6": ("<i4", (6,)),
    "cctbx::miller::index<>": ("<i4", (3,)),
}


def read_reflections(path: Path | str) -> ReflectionTable:
    """Read a .refl file. Columns of a type that is unknown here are kept as (n, bytes) uint8 arrays."""
    path = Path(path)
    content = _unpacked(path)
    if not (isinstance(content, list) and len(content) == 3 and content[0] == MAGIC):
        raise FileError(f"{path} is not a reflection table (.refl) file.")
    _, version, body = content
    if version not in (1, 2):
        raise FileError(f"{path} is a reflection table of version {version}; only versions 1 and 2 can be read.")
    try:
        n, stored = int(body["nrows"]), dict(body["data"])
        identifiers = {int(k): str(v) for k, v in body["identifiers"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(f"{path} is a damaged reflection table: its header cannot be understood.") from error
    columns: dict[str, Any] = {}
    types: dict[str, str] = {}
    for name in list(stored):
        kind, (rows, blob) = _column_header(stored.pop(name), name, path)  # popped, to free the bytes early
        if rows != n:
            raise FileError(f"{path} is damaged: column {name} has {rows} rows, the table {n}.")
        if kind in _MEANINGLESS:
            continue
        columns[name] = _shoeboxes(blob, n, path) if kind == _SHOEBOX else _array(kind, blob, n, name, path)
        if name not in SCHEMA or SCHEMA[name].type != kind:
            types[name] = kind
    return ReflectionTable(columns, identifiers, types)


def write_reflections(table: ReflectionTable, path: Path | str) -> None:
    """Write a .refl file of version 1, uncompressed."""
    packer = msgpack.Packer(use_bin_type=True, autoreset=True)
    try:
        with open(path, "wb") as file:
            _write(table, file, packer)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}.") from error


def _write(table: ReflectionTable, file: BinaryIO, packer: msgpack.Packer) -> None:
    # Column by column, so that no second copy of the whole table is in memory.
    file.write(packer.pack_array_header(3))
    file.write(packer.pack(MAGIC))
    file.write(packer.pack(1))
    file.write(packer.pack_map_header(3))
    file.write(packer.pack("identifiers"))
    file.write(packer.pack({int(k): table.identifiers[k] for k in sorted(table.identifiers)}))
    file.write(packer.pack("nrows"))
    file.write(packer.pack(table.n_rows))
    file.write(packer.pack("data"))
    file.write(packer.pack_map_header(len(table)))
    for name in sorted(table):
        values = table[name]
        kind = column_type(table, name)
        file.write(packer.pack(name))
        file.write(packer.pack_array_header(2))
        file.write(packer.pack(kind))
        file.write(packer.pack_array_header(2))
        file.write(packer.pack(table.n_rows))
        file.write(packer.pack(column_bytes(kind, values, name)))


def _unpacked(path: Path) -> Any:
    try:
        with open(path, "rb") as file:
            start = file.read(2)
            if not start:
                raise FileError(f"{path} is empty.")
            if start == b"\x80\x02":
                raise FileError(
                    f"{path} is a pickled table of a DIALS before version 2, which cannot be read safely; "
                    "convert it with the DIALS that wrote it, or find the spots again."
                )
            if start == b"\x1f\x8b":
                return msgpack.unpackb(gzip.decompress(start + file.read()), strict_map_key=False)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                return msgpack.unpackb(view, strict_map_key=False)
    except OSError as error:  # gzip's errors for damaged files are OSErrors too
        reason = error.strerror or "it is a damaged gzip file"
        raise FileError(f"{path} cannot be read: {reason}.") from error
    except (ValueError, EOFError, msgpack.UnpackException) as error:
        raise FileError(f"{path} is not a reflection table (.refl) file, or it is truncated.") from error


def _column_header(stored: Any, name: str, path: Path) -> tuple[str, tuple[int, bytes]]:
    match stored:
        case [str(kind), [int(rows), bytes(blob)]]:
            return kind, (rows, blob)
        case _:
            raise FileError(f"{path} is damaged: column {name} cannot be understood.")


def _array(kind: str, blob: bytes, n: int, name: str, path: Path) -> NDArray[Any]:
    if kind in TYPES:
        dtype, shape = TYPES[kind]
    else:  # something of a fixed size, one hopes
        dtype, shape = "u1", (len(blob) // max(n, 1),)
    expected = n * int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    if len(blob) != expected:
        raise FileError(f"{path}: column {name} of type {kind} holds {len(blob)} bytes, which do not fit {n} rows.")
    # A copy, since arrays on bytes are read-only, for which numba would compile every kernel once more.
    return np.frombuffer(blob, dtype=dtype).reshape(n, *shape).copy()


def _shoeboxes(blob: bytes, n: int, path: Path) -> Shoeboxes:
    raw = np.frombuffer(blob, dtype=np.uint8)
    panel, bbox = np.empty(n, np.uint32), np.empty((n, 6), np.int32)
    starts, codes, offsets = np.empty(n, np.int64), np.empty(n, np.uint8), np.empty(n + 1, np.int64)
    if not shoebox_blob.scan(raw, panel, bbox, starts, codes, offsets):
        raise FileError(f"{path} is damaged: its shoeboxes cannot be understood.")
    pixels = int(offsets[-1])
    data, background = np.empty(pixels, np.float32), np.empty(pixels, np.float32)
    mask = np.empty(pixels, np.uint8)
    if not shoebox_blob.unpack(raw, starts, codes, offsets, data.view(np.uint8), mask, background.view(np.uint8)):
        raise FileError(f"{path}: its shoebox masks use bits that are unknown.")
    return Shoeboxes(panel, bbox, offsets, data, mask, background)


def column_bytes(kind: str, values: Any, name: str) -> memoryview:
    """The bytes of a column of .refl type `kind`."""
    if kind == _SHOEBOX:
        return _shoebox_bytes(values)
    if kind in TYPES:
        dtype, shape = TYPES[kind]
        array = np.ascontiguousarray(values, dtype=dtype)
        if array.shape[1:] != shape:
            raise ValueError(f"column {name} has rows of shape {array.shape[1:]}, but type {kind} needs {shape}")
    else:
        array = np.ascontiguousarray(values, dtype=np.uint8)
    return array.reshape(-1).view(np.uint8).data


def _shoebox_bytes(boxes: Shoeboxes) -> memoryview:
    blob = np.empty(shoebox_blob.HEADER * len(boxes) + 12 * int(boxes.offsets[-1]), np.uint8)
    data, background = (np.ascontiguousarray(a, np.float32).view(np.uint8) for a in (boxes.data, boxes.background))
    panel, bbox = np.ascontiguousarray(boxes.panel, np.uint32), np.ascontiguousarray(boxes.bbox, np.int32)
    offsets, mask = np.ascontiguousarray(boxes.offsets, np.int64), np.ascontiguousarray(boxes.mask, np.uint8)
    shoebox_blob.pack(panel, bbox, offsets, data, mask, background, blob)
    return blob.data


def column_type(table: ReflectionTable, name: str) -> str:
    """The .refl type of a column: that of the file it came from, of the schema, or one that fits."""
    return table.types.get(name) or (SCHEMA[name].type if name in SCHEMA else _guess_type(name, table[name]))


def _guess_type(name: str, values: Any) -> str:
    """The type of a column that neither the schema nor the file it came from names."""
    if isinstance(values, Shoeboxes):
        return _SHOEBOX
    array = np.asarray(values)
    match array.dtype.kind, array.shape[1:]:
        case "b", ():
            return "bool"
        case "i", ():
            return "int"
        case "u", ():
            return "std::size_t"
        case "i", (3,):
            return "cctbx::miller::index<>"
        case "i", (6,):
            return "int6"
        case "f", shape:
            for kind in ("double", "vec2<double>", "vec3<double>", "mat3<double>"):
                if TYPES[kind][1] == shape:
                    return kind
    raise ValueError(
        f"column {name} of {array.dtype} with rows of shape {array.shape[1:]} has no place in a .refl file"
    )
