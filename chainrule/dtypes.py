"""Data types: which ones there are, and how they promote (NumPy's rules; Python scalars are weak)."""

from __future__ import annotations

from typing import Any

import numpy as np

BOOL = np.dtype(np.bool_)
INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)
UINT32 = np.dtype(np.uint32)
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)

SUPPORTED = frozenset(np.dtype(t) for t in (
    np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.float32, np.float64))


def is_float(dtype: np.dtype) -> bool:
    return dtype.kind == "f"


def promote(*operands: Any) -> np.dtype:
    """The common dtype of dtypes and Python scalars, the scalars giving way to the dtypes."""
    return np.result_type(*operands)


def floating(dtype: np.dtype) -> np.dtype:
    """The dtype in which a real function of ``dtype`` is computed: itself if floating, else NumPy's choice."""
    if dtype.kind == "f":
        return dtype
    return FLOAT32 if dtype.kind != "b" and dtype.itemsize <= 2 else FLOAT64
