"""Bitshuffle + LZ4 and byte-offset decoding against the libraries that write them."""

import io

import fabio
import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puredials.kernels.bitshuffle import SLACK, decode_bitshuffle_lz4, lz4_block, untranspose_bits
from puredials.kernels.byte_offset import decode_byte_offset


def chunk_of(values: np.ndarray, block_size: int = 0) -> np.ndarray:
    """The values as one chunk compressed by hdf5plugin's filter."""
    with h5py.File(io.BytesIO(), "w") as file:
        filters = hdf5plugin.Bitshuffle(nelems=block_size, cname="lz4")
        data = file.create_dataset("x", data=values, chunks=values.shape, **filters)
        return np.frombuffer(data.id.read_direct_chunk((0,))[1], np.uint8)


def decoded(chunk: np.ndarray, n: int, dtype: str) -> tuple[bool, np.ndarray]:
    target = np.full(n, 77, dtype=dtype)
    size = int.from_bytes(chunk[8:12].tobytes(), "big")
    scratch = np.empty((size + 7) // 8 * 8 + SLACK, np.uint8), np.empty((size + 7) // 8, np.uint64)
    return bool(decode_bitshuffle_lz4(chunk, *scratch, target)), target


@settings(max_examples=25)
@given(
    st.sampled_from(["u1", "u2", "u4"]),
    st.integers(1, 9000),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.01, 0.5, 3.0, 1e5]),
    st.sampled_from([0, 8, 1024]),
)
def test_chunks_of_the_hdf5_filter_are_decoded(dtype, n, seed, level, block_size):
    rng = np.random.default_rng(seed)
    values = np.minimum(rng.poisson(level, n), np.iinfo(dtype).max).astype(dtype)
    values[rng.random(n) < 0.02] = np.iinfo(dtype).max
    values[n // 3 : n // 2] = 0
    intact, target = decoded(chunk_of(values, block_size), n, dtype)
    assert intact
    np.testing.assert_array_equal(target, values)


@settings(max_examples=15)
@given(st.integers(1, 60), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_repeated_patterns_of_any_period_are_decoded(period, repeats, seed):
    """Periods below a word of 8 bytes take other paths in the LZ4 decoder."""
    pattern = np.random.default_rng(seed).integers(0, 256, period).astype("u1")
    values = np.tile(pattern, repeats)
    intact, target = decoded(chunk_of(values), values.size, "u1")
    assert intact
    np.testing.assert_array_equal(target, values)


@settings(max_examples=50)
@given(st.data())
def test_damaged_chunks_are_refused_or_decoded_but_never_run_over(data):
    values = np.random.default_rng(1).poisson(0.3, 3000).astype("u2")
    chunk = chunk_of(values).copy()
    cut = data.draw(st.integers(16, chunk.size))
    chunk = chunk[:cut]
    for _ in range(data.draw(st.integers(0, 4))):
        chunk[data.draw(st.integers(12, cut - 1))] = data.draw(st.integers(0, 255))
    frame = np.full(values.size + 64, 99, "u2")
    block, words = np.empty(8192 + SLACK, np.uint8), np.empty(1024, np.uint64)
    decode_bitshuffle_lz4(chunk, block, words, frame[: values.size])
    assert (frame[values.size :] == 99).all()


def test_bit_planes_are_transposed_as_the_docstring_says():
    rng = np.random.default_rng(0)
    for dtype in ("u1", "u2", "u4"):
        n, itemsize = 2400, np.dtype(dtype).itemsize
        planes = rng.integers(0, 256, n * itemsize).astype("u1")
        bits = np.unpackbits(planes.reshape(itemsize, 8, n // 8), axis=2, bitorder="little")
        expected = np.packbits(bits.transpose(2, 0, 1), axis=2, bitorder="little")
        target = np.empty(n, dtype)
        untranspose_bits(planes, n, np.empty(n // 8, np.uint64), target)
        np.testing.assert_array_equal(target.view("u1"), expected.ravel())


def test_an_lz4_block_that_claims_too_much_is_refused():
    target = np.zeros(16 + SLACK, np.uint8)
    assert lz4_block(np.array([0x40, 1, 2, 3, 4], np.uint8), 0, 5, target, 4)
    assert target[:4].tolist() == [1, 2, 3, 4]
    assert not lz4_block(np.array([0x40, 1, 2, 3, 4], np.uint8), 0, 5, target, 3)
    assert not lz4_block(np.array([0x10, 1, 9, 0], np.uint8), 0, 4, target, 16)  # a match before the start


@settings(max_examples=25)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=300))
def test_byte_offsets_are_decoded_as_fabio_writes_them(values):
    values = np.array(values, dtype=np.int32)
    source = np.frombuffer(bytes(fabio.compression.compByteOffset(values.astype(np.int64))), np.uint8)
    target = np.empty_like(values)
    assert decode_byte_offset(source, target)
    np.testing.assert_array_equal(target, values)


@pytest.mark.parametrize("deltas", [[-128], [127, -128, -32768], [-32768, 32767, 0], [2**31 - 1, -(2**31 - 1)]])
def test_the_widest_value_of_each_byte_offset_width_is_an_escape(deltas):
    values = np.cumsum(deltas).astype(np.int32)
    source = np.frombuffer(bytes(fabio.compression.compByteOffset(values.astype(np.int64))), np.uint8)
    target = np.empty_like(values)
    assert decode_byte_offset(source, target)
    np.testing.assert_array_equal(target, values)


def test_byte_offsets_that_end_early_are_refused():
    assert not decode_byte_offset(np.array([1, 2, 0x80, 5], np.uint8), np.empty(4, np.int32))
    assert not decode_byte_offset(np.array([1, 2], np.uint8), np.empty(3, np.int32))
