"""Small data sets, and channels made of them, for the built-in algorithms."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np


def two_classes(rows: int = 400, seed: int = 0) -> tuple[Any, Any]:
    """Five features and a class of 0 or 1 that they tell fairly well."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 5))
    labels = features[:, 0] + 0.5 * features[:, 1] ** 2 + rng.normal(scale=0.5, size=rows) > 0.3
    return features, labels.astype(float)


def three_classes(rows: int = 400, seed: int = 0) -> tuple[Any, Any]:
    """Five features and a class from 0 to 2."""
    features, _ = two_classes(rows, seed)
    return features, np.digitize(features[:, 0] + 0.3 * features[:, 2], [-0.5, 0.5]).astype(float)


def numbers(rows: int = 400, seed: int = 0) -> tuple[Any, Any]:
    """Five features and a positive number."""
    features, _ = two_classes(rows, seed)
    return features, np.abs(features[:, 0] * 2 + features[:, 1]) + 0.1


def write_csv(path: Path, features: Any, labels: Any, weights: Any = None) -> Path:
    """Label, weight if there are weights, features; no header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    leading = [labels] if weights is None else [labels, weights]
    np.savetxt(path, np.column_stack([*leading, features]), delimiter=",", fmt="%.6g")
    return path


def write_libsvm(path: Path, features: Any, labels: Any, weights: Any = None) -> Path:
    """Zeros are left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    heads = [f"{a:g}" for a in labels] if weights is None else [f"{a:g}:{w:g}" for a, w in zip(labels, weights, strict=True)]
    rows = [" ".join(f"{i}:{v:.6g}" for i, v in enumerate(row) if v) for row in features]
    path.write_text("".join(f"{head} {row}\n" for head, row in zip(heads, rows, strict=True)))
    return path


def recordio(features: Any, labels: Any) -> bytes:
    """Dense float32 records, as `sagemaker.amazon.common.write_numpy_to_dense_tensor` writes them."""
    return b"".join(
        _frame(_map(1, np.asarray(row, "<f4").tobytes()) + _map(2, np.asarray([label], "<f4").tobytes()))
        for row, label in zip(features, labels, strict=True)
    )


def _frame(record: bytes) -> bytes:
    return struct.pack("<II", 0xCED7230A, len(record)) + record + b"\0" * (-len(record) % 4)


def _map(field: int, values: bytes) -> bytes:
    return _bytes(field, _bytes(1, b"values") + _bytes(2, _bytes(2, _bytes(1, values))))


def _bytes(field: int, data: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])
