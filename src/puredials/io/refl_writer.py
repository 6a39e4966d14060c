"""Writing a .refl file part by part, for tables that need not be in memory at once."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgpack

from puredials.errors import FileError
from puredials.io.refl import MAGIC, column_bytes, column_type
from puredials.model import ReflectionTable

__all__ = ["ReflectionWriter"]


class ReflectionWriter:
    """Parts of a table, kept in an anonymous temporary file until all are known.

    A .refl file holds column after column, so nothing final can be written before the last part; then the columns are
    copied one at a time. Parts have the same columns.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self._spool: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._pieces: dict[str, list[tuple[int, int]]] = {}
        self._types: dict[str, str] = {}
        self._identifiers: dict[int, str] = {}
        self.n_rows = 0

    def append(self, table: ReflectionTable) -> None:
        """Add the rows of a table."""
        if self._types and set(table) != set(self._types):
            raise ValueError("the parts of a table have different columns")
        for name, values in table.items():
            kind = column_type(table, name)
            if self._types.setdefault(name, kind) != kind:
                raise ValueError(f"column {name} has different types in different parts of a table")
            blob = column_bytes(kind, values, name)
            try:
                start = self._spool.seek(0, os.SEEK_END)
                self._spool.write(blob)
            except OSError as error:
                raise FileError(f"A temporary file cannot be written: {error.strerror}.") from error
            self._pieces.setdefault(name, []).append((start, len(blob)))
        self._identifiers.update(table.identifiers)
        self.n_rows += table.n_rows

    def write(self, path: Path | str) -> None:
        """Write the file of version 1, as `write_reflections` does."""
        packer = msgpack.Packer(use_bin_type=True, autoreset=True)
        try:
            with open(path, "wb") as file:
                file.write(packer.pack_array_header(3) + packer.pack(MAGIC) + packer.pack(1))
                file.write(packer.pack_map_header(3))
                file.write(packer.pack("identifiers"))
                file.write(packer.pack({int(k): self._identifiers[k] for k in sorted(self._identifiers)}))
                file.write(packer.pack("nrows") + packer.pack(self.n_rows))
                file.write(packer.pack("data") + packer.pack_map_header(len(self._types)))
                for name in sorted(self._types):
                    file.write(packer.pack(name) + packer.pack_array_header(2) + packer.pack(self._types[name]))
                    file.write(packer.pack_array_header(2) + packer.pack(self.n_rows))
                    file.write(_binary_header(sum(size for _, size in self._pieces[name])))
                    for blob in self._read(name):
                        file.write(blob)
        except OSError as error:
            raise FileError(f"{path} cannot be written: {error.strerror}.") from error

    def __enter__(self) -> "ReflectionWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the temporary file."""
        self._spool.close()

    def _read(self, name: str) -> Iterator[bytes]:
        for start, size in self._pieces.get(name, ()):
            self._spool.seek(start)
            yield self._spool.read(size)


def _binary_header(size: int) -> bytes:
    """The header of a msgpack binary of so many bytes."""
    if size < 1 << 8:
        return b"\xc4" + size.to_bytes(1, "big")
    if size < 1 << 16:
        return b"\xc5" + size.to_bytes(2, "big")
    if size < 1 << 32:
        return b"\xc6" + size.to_bytes(4, "big")
    raise FileError("A column of more than 4 GB does not fit into a .refl file: write fewer reflections to one file.")
