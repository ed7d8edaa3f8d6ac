"""CRC-32C and CRC-64/NVME without a compiled extension, fast enough for uploads.

A CRC is linear over GF(2), so a block is cut into lanes that numpy advances side by side, two bytes per step, and the
lanes' states are folded in pairs: `crc(a + b) = advance(crc(a), len(b)) xor crc(b)`. The same identity joins the CRCs of
the parts of a multipart upload.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

#: Bytes that one lane takes; shorter lanes fold more often, longer ones leave more for the slow tail.
LANE_BYTES = 256
#: Lanes advanced side by side at most: bounds the memory of one call to a few MiB.
MAX_LANES = 4096

#: name: (reflected polynomial, width in bits). All start from and end with all bits inverted.
POLYNOMIALS = {
    "CRC32": (0xEDB88320, 32),
    "CRC32C": (0x82F63B78, 32),
    "CRC64NVME": (0x9A6C9329AC4BC9B5, 64),
}


def _apply(columns: Words, values: Words) -> Words:
    """Multiply each value by the bit matrix whose i-th column is `columns[i]`."""
    result = np.zeros_like(values)
    one = np.uint64(1)
    for i, column in enumerate(columns):
        result ^= np.where((values >> np.uint64(i)) & one, column, np.uint64(0))
    return result


@cache
def _byte_table(polynomial: int) -> Words:
    table = np.arange(256, dtype=np.uint64)
    for _ in range(8):
        table = (table >> np.uint64(1)) ^ np.where(table & np.uint64(1), np.uint64(polynomial), np.uint64(0))
    return table


@cache
def _pair_table(polynomial: int) -> Words:
    """What two zero bytes make of each 16-bit state."""
    table = _byte_table(polynomial)
    states = np.arange(65536, dtype=np.uint64)
    for _ in range(2):
        states = (states >> np.uint64(8)) ^ table[(states & np.uint64(0xFF)).astype(np.intp)]
    return states


@cache
def _advance_columns(name: str, power: int) -> Words:
    """The bit matrix that feeds 2**power zero bytes."""
    if power:
        half = _advance_columns(name, power - 1)
        return _apply(half, half)
    polynomial, width = POLYNOMIALS[name]
    states = np.uint64(1) << np.arange(width, dtype=np.uint64)
    return (states >> np.uint64(8)) ^ _byte_table(polynomial)[(states & np.uint64(0xFF)).astype(np.intp)]


@cache
def _advance_tables(name: str, power: int) -> list[Words]:
    """The same matrix as one table for each byte of the state: fewer steps when there are many states."""
    columns = _advance_columns(name, power)
    octets = np.arange(256, dtype=np.uint64)
    return [_apply(columns, octets << np.uint64(8 * i)) for i in range(len(columns) // 8)]


def _advance_all(name: str, states: Words, power: int) -> Words:
    result = np.zeros_like(states)
    for i, table in enumerate(_advance_tables(name, power)):
        result ^= table[((states >> np.uint64(8 * i)) & np.uint64(0xFF)).astype(np.intp)]
    return result


def combine(name: str, first: int, second: int, second_bytes: int) -> int:
    """The CRC of two runs of bytes end to end, from the CRC of each and the length of the second."""
    state = np.array([first], dtype=np.uint64)
    for power in range(second_bytes.bit_length()):
        if second_bytes >> power & 1:
            state = _apply(_advance_columns(name, power), state)
    return int(state[0]) ^ second


class Crc:
    """A running CRC with the face of hashlib's objects."""

    def __init__(self, name: str) -> None:
        self._name = name
        polynomial, self._width = POLYNOMIALS[name]
        self._bytes: list[int] = _byte_table(polynomial).tolist()
        self._pairs = _pair_table(polynomial)
        self._state = (1 << self._width) - 1

    def update(self, data: bytes | memoryview) -> None:
        """Take in further bytes."""
        view = memoryview(data)
        block = LANE_BYTES * MAX_LANES
        whole = len(view) - len(view) % LANE_BYTES
        for start in range(0, whole, block):
            self._lanes(np.frombuffer(view[start : min(start + block, whole)], dtype="<u2"))
        self._tail(view[whole:])

    def _lanes(self, words: NDArray[Any]) -> None:
        lanes = words.reshape(-1, LANE_BYTES // 2)
        folds = (len(lanes) - 1).bit_length()
        # Zero states stay zero, so a row of empty lanes in front fills up to a power of two at no cost in meaning.
        states = np.zeros(1 << folds, dtype=np.uint64)
        steps = np.ascontiguousarray(lanes.T)
        live = states[len(states) - len(lanes) :]
        live[0] = self._state
        for step in steps:
            index = live.astype(np.uint16) ^ step
            live[:] = (live >> np.uint64(16)) ^ self._pairs[index]
        first_power = LANE_BYTES.bit_length() - 1
        for fold in range(folds):
            states = _advance_all(self._name, states[0::2], first_power + fold) ^ states[1::2]
        self._state = int(states[0])

    def _tail(self, rest: memoryview) -> None:
        state, table = self._state, self._bytes
        for byte in rest:
            state = (state >> 8) ^ table[(state ^ byte) & 0xFF]
        self._state = state

    def digest(self) -> bytes:
        """The CRC so far, most significant byte first, as S3 writes it."""
        return (self._state ^ ((1 << self._width) - 1)).to_bytes(self._width // 8, "big")
