"""Data types: which ones there are, and how they promote (NumPy's rules; Python scalars are weak).

*Half* types (float16 and bfloat16) are stored in 16 bits and computed in float32: every operation rounds its result
once, and a sum along axes, which is one operation, rounds once at its end. bfloat16 is the dtype of the package
``ml_dtypes``, an extra: it is recognised by name here, and never imported (``chainrule.half`` does that for users).
NumPy itself calls its kind void, so ``kind`` and ``is_float`` below are the place to ask.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

BOOL = np.dtype(np.bool_)
INT8, INT32, INT64 = np.dtype(np.int8), np.dtype(np.int32), np.dtype(np.int64)
UINT32 = np.dtype(np.uint32)
FLOAT16, FLOAT32, FLOAT64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)

_NUMPY = frozenset(np.dtype(t) for t in (
    np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.float16, np.float32,
    np.float64, np.complex64, np.complex128))
NAMES = (*sorted(d.name for d in _NUMPY), "bfloat16")
PYTHON = (bool, int, float, complex)  # the types of scalars that give way to arrays


def is_supported(dtype: np.dtype) -> bool:
    return dtype in _NUMPY or is_bfloat16(dtype)


def is_bfloat16(dtype: np.dtype) -> bool:
    return dtype.kind == "V" and dtype.type.__name__ == "bfloat16"


def is_half(dtype: np.dtype) -> bool:
    """Whether arithmetic on it goes through float32."""
    return dtype.itemsize == 2 and (dtype.kind == "f" or is_bfloat16(dtype))


def is_float(dtype: np.dtype) -> bool:
    return dtype.kind == "f" or is_bfloat16(dtype)


def kind(dtype: np.dtype) -> str:
    """``f``, ``c``, ``i``, ``u`` or ``b``; also for bfloat16."""
    found = dtype.kind
    return "f" if found == "V" and is_bfloat16(dtype) else found


def widened(dtype: np.dtype) -> np.dtype:
    """The dtype in which ``dtype`` is computed."""
    return FLOAT32 if is_half(dtype) else dtype


def is_inexact(dtype: np.dtype) -> bool:
    """Whether it is floating or complex: what has derivatives."""
    return is_float(dtype) or dtype.kind == "c"


def promote(*operands: Any) -> np.dtype:
    """The common dtype of dtypes and Python scalars, the scalars giving way to the dtypes.

    NumPy knows no common dtype of bfloat16 and float16 or a wide integer, and lets it give way to a Python float.
    Here it stands where float16 stands: with floats the smallest that holds both, with scalars itself.
    """
    brain = next((d for d in operands if isinstance(d, np.dtype) and is_bfloat16(d)), None)
    if brain is None:
        return np.result_type(*operands)
    others = [d for d in operands if not (isinstance(d, np.dtype) and is_bfloat16(d))]
    if any(d == FLOAT16 for d in others if isinstance(d, np.dtype)):
        return np.result_type(FLOAT32, *others)
    common = np.result_type(FLOAT16, *others)
    return brain if common == FLOAT16 else common


def floating(dtype: np.dtype) -> np.dtype:
    """The dtype in which a real function of ``dtype`` is computed: itself if floating, else NumPy's choice."""
    if is_inexact(dtype):
        return dtype
    return FLOAT16 if dtype.itemsize == 1 else FLOAT32 if dtype.itemsize == 2 else FLOAT64


class FloatInfo(NamedTuple):
    """The limits of a floating dtype as Python numbers."""

    bits: int
    eps: float
    max: float
    tiny: float  # the smallest normal number
    smallest_subnormal: float


def finfo(dtype: np.dtype) -> FloatInfo:
    """``np.finfo`` for all our floats."""
    if is_bfloat16(dtype):
        return FloatInfo(16, 2.0**-7, (2 - 2.0**-7) * 2.0**127, 2.0**-126, 2.0**-133)
    info = np.finfo(dtype)
    return FloatInfo(int(info.bits), float(info.eps), float(info.max), float(info.tiny), float(info.smallest_subnormal))


def real_of(dtype: np.dtype) -> np.dtype:
    """The dtype of the real part."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def complex_of(dtype: np.dtype) -> np.dtype:
    """The complex dtype whose parts hold ``dtype``."""
    dtype = floating(dtype)
    return dtype if dtype.kind == "c" else np.dtype(np.complex64 if dtype.itemsize <= 4 else np.complex128)
