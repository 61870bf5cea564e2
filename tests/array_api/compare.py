"""How results are compared with the referee's: dtype and shape exactly, values to rounding, special values exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from cases import BINARY, UNARY
from namespaces import Call

from chainrule import tree

ROUNDING = 16  # units of rounding of the largest number that goes in or comes out


def difference(call: Call, result: Any, expected: Any) -> str:
    """What is different; an empty string if nothing is."""
    if call.name == "unique_values":  # in whatever order
        result, expected = np.sort(result), np.sort(expected)
    if not isinstance(expected, tuple | list):
        return _difference(call, result, expected)
    if len(result) != len(expected):
        return f"{len(result)} results instead of {len(expected)}"
    return next(filter(None, (_difference(call, r, e) for r, e in zip(result, expected, strict=True))), "")


def _difference(call: Call, result: Any, expected: Any) -> str:
    if not isinstance(expected, np.ndarray | np.generic):
        return "" if result == expected else f"{result!r} instead of {expected!r}"
    result, expected = np.asarray(result), np.asarray(expected)
    for what in ("dtype", "shape"):
        if getattr(result, what) != getattr(expected, what):
            return f"{what} {getattr(result, what)} instead of {getattr(expected, what)}"
    if call.name in ("empty", "empty_like"):
        return ""
    if expected.dtype.kind == "c":
        parts = [(result.real, expected.real), (result.imag, expected.imag)]
    else:
        parts = [(result, expected)]
    if not all(_same(call, *p, of_complex=len(parts) == 2) for p in parts):
        return f"{result!r} instead of {expected!r}"
    return ""


def _same(call: Call, result: np.ndarray, expected: np.ndarray, of_complex: bool) -> bool:
    if expected.dtype.kind != "f":
        return bool(np.array_equal(result, expected))
    with np.errstate(all="ignore"):
        size = [np.abs(a[np.isfinite(a)]).max(initial=0) for a in
                (expected, *(x for x in tree.flatten((call.args, call.options))[0]
                             if isinstance(x, np.ndarray) and x.dtype.kind in "fc"))]
    elementwise = call.name in UNARY + BINARY
    exact = elementwise and not of_complex  # of a complex number the larger part alone is accurate
    slack = 0.0 if exact else ROUNDING * np.finfo(expected.dtype).eps * float(max(size))
    relative = ROUNDING * np.finfo(expected.dtype).eps
    if not np.allclose(result, expected, rtol=relative, atol=slack + np.finfo(expected.dtype).tiny, equal_nan=True):
        return False
    zeros = (result == 0) & (expected == 0)
    return not elementwise or bool(np.array_equal(np.signbit(result[zeros]), np.signbit(expected[zeros])))
