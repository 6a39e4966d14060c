"""Decoding of bitshuffle + LZ4 chunks, the usual compression of Eiger detectors.

A chunk as HDF5's filter 32008 writes it: total size (8 bytes) and block size (4 bytes) of the decoded data, big-endian,
then for each block its compressed size (4 bytes, big-endian) and an LZ4 block of bit planes; elements beyond the last
multiple of eight follow as they are. (Masui et al. 2015, Astronomy and Computing 12, 181; LZ4 block format.)
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["SLACK", "decode_bitshuffle_lz4", "lz4_block", "untranspose_bits"]

# Copies go in whole words and may run over the end of the decoded block by this many bytes.
SLACK = 16


def _pointer(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.IntType(64).as_pointer())


def _load_word(typingctx, array, index):
    """The 8 bytes of a uint8 array from any index, as a little-endian uint64."""

    def codegen(context, builder, signature, args):
        word = builder.load(_pointer(context, builder, signature.args[0], *args))
        word.align = 1
        return word

    return types.uint64(array, types.int64), codegen


def _store_word(typingctx, array, index, word):
    """Write a uint64 to 8 bytes of a uint8 array from any index."""

    def codegen(context, builder, signature, args):
        store = builder.store(args[2], _pointer(context, builder, signature.args[0], args[0], args[1]))
        store.align = 1
        return context.get_dummy_value()

    return types.void(array, types.int64, types.uint64), codegen


_load: Any = intrinsic(_load_word)
_store: Any = intrinsic(_store_word)


@njit(cache=True, nogil=True, boundscheck=False)
def lz4_block(source, start, stop, target, size):
    """Decode the LZ4 block source[start:stop] (uint8) into target[:size] (uint8, with SLACK behind); True if it fits.

    In plain words: a sequence is a token, literals to copy, and a match (offset, length) to repeat from what has been
    written; 15 in a nibble of the token means that bytes follow which add to the length until one is not 255.
    """
    i, o = np.int64(start), np.int64(0)
    word_end = np.int64(source.size) - 16
    while i < stop:
        token = np.int64(source[i])
        i += 1
        n = token >> 4
        if n == 15:
            more = np.int64(255)
            while more == 255:
                if i >= stop:
                    return False
                more = np.int64(source[i])
                i += 1
                n += more
        if i + n > stop or o + n > size:
            return False
        if i + n <= word_end:
            _store(target, o, _load(source, i))
            for k in range(8, n, 8):
                _store(target, o + k, _load(source, i + k))
        else:
            for k in range(n):
                target[o + k] = source[i + k]
        i += n
        o += n
        if i == stop:  # the last sequence has no match
            return o == size
        if i + 2 > stop:
            return False
        offset = np.int64(source[i]) | (np.int64(source[i + 1]) << 8)
        i += 2
        n = (token & 15) + 4
        if n == 19:
            more = np.int64(255)
            while more == 255:
                if i >= stop:
                    return False
                more = np.int64(source[i])
                i += 1
                n += more
        if offset == 0 or offset > o or o + n > size:
            return False
        if offset >= 8:
            _store(target, o, _load(target, o - offset))
            _store(target, o + 8, _load(target, o + 8 - offset))
            for k in range(16, n, 8):
                _store(target, o + k, _load(target, o + k - offset))
        elif offset <= 2:  # runs of one or two bytes, mostly zeros, are the bulk of sparse bit planes
            pair = np.uint64(target[o - offset]) | (np.uint64(target[o - 1]) << np.uint64(8))
            word = pair * np.uint64(0x0001000100010001)
            for k in range(0, n, 8):
                _store(target, o + k, word)
        else:  # repeat the pattern until whole words can be copied
            period = offset * ((7 + offset) // offset)
            for k in range(min(n, period)):
                target[o + k] = target[o + k - offset]
            for k in range(period, n, 8):
                _store(target, o + k, _load(target, o + k - period))
        o += n
    return o == size


@njit(cache=True, nogil=True, boundscheck=False)
def untranspose_bits(planes, n, words, target):
    """From bit planes (uint8) to the first n elements, a multiple of 8, of `target` (unsigned integers).

    Plain numpy: bits = np.unpackbits(planes.reshape(itemsize, 8, n // 8), axis=2, bitorder="little");
    bytes of target = np.packbits(bits.transpose(2, 0, 1), axis=2, bitorder="little").

    Each 8 x 8 bit matrix is transposed in a 64-bit word (Warren, Hacker's Delight, 7-3); `words` (uint64, n // 8) holds
    one byte of all elements. Most bright bytes are zero everywhere and skipped.
    """
    rows = n // 8
    column = words.view(np.uint8)
    wide = planes.view(np.uint64)
    for byte in range(target.itemsize):
        some = np.uint64(0)
        for k in range(byte * rows, (byte + 1) * rows):
            some |= wide[k]
        if some == 0:
            if byte == 0:
                for k in range(n):
                    target[k] = 0
            continue
        p = planes[byte * n : (byte + 1) * n]
        for i in range(rows):
            x = np.uint64(p[i])
            x |= np.uint64(p[rows + i]) << np.uint64(8)
            x |= np.uint64(p[2 * rows + i]) << np.uint64(16)
            x |= np.uint64(p[3 * rows + i]) << np.uint64(24)
            x |= np.uint64(p[4 * rows + i]) << np.uint64(32)
            x |= np.uint64(p[5 * rows + i]) << np.uint64(40)
            x |= np.uint64(p[6 * rows + i]) << np.uint64(48)
            x |= np.uint64(p[7 * rows + i]) << np.uint64(56)
            t = (x ^ (x >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
            x ^= t ^ (t << np.uint64(7))
            t = (x ^ (x >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
            x ^= t ^ (t << np.uint64(14))
            t = (x ^ (x >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
            x ^= t ^ (t << np.uint64(28))
            words[i] = x
        if byte == 0:
            for k in range(n):
                target[k] = column[k]
        else:
            for k in range(n):
                target[k] |= np.uint32(column[k]) << np.uint32(8 * byte)


@njit(cache=True, nogil=True, boundscheck=False)
def decode_bitshuffle_lz4(chunk, block, words, target):
    """Decode a whole chunk (uint8) into `target` (unsigned integers, one dimension); True if it is intact.

    Scratch: `block` (uint8, the chunk's block size + SLACK) and `words` (uint64, block size / 8).
    """
    itemsize = target.itemsize
    block_size = 0
    for k in range(8, 12):
        block_size = (block_size << 8) | np.int64(chunk[k])
    i, o = 12, 0
    n = target.size
    while n - o >= 8:
        count = min(block_size // itemsize, (n - o) // 8 * 8)
        if i + 4 > chunk.size or count <= 0 or count * itemsize + SLACK > block.size:
            return False
        length = 0
        for k in range(i, i + 4):
            length = (length << 8) | np.int64(chunk[k])
        i += 4
        if i + length > chunk.size or not lz4_block(chunk, i, i + length, block, count * itemsize):
            return False
        untranspose_bits(block, count, words, target[o : o + count])
        i += length
        o += count
    if i + (n - o) * itemsize > chunk.size:
        return False
    for k in range(o, n):
        value = np.uint64(0)
        for byte in range(itemsize):
            value |= np.uint64(chunk[i]) << np.uint64(8 * byte)
            i += 1
        target[k] = value
    return True
