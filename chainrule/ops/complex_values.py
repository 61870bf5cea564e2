"""Functions of complex numbers with the special values of the array API standard, where NumPy has others."""

from __future__ import annotations

from typing import Any

import numpy as np


def complex_expm1(z: Any) -> Any:
    """exp(z) - 1 = (expm1(a)·cos(b) - 2 sin²(b/2)) + exp(a)·sin(b) i, with the array API standard's special values."""
    a, b = z.real, z.imag
    out = np.empty_like(z)
    half = np.sin(b / 2)
    out.real = np.where(b == 0, np.expm1(a) + 0.0, np.expm1(a) * np.cos(b) - 2 * half * half)
    out.imag = np.where(b == 0, b, np.exp(a) * np.sin(b))
    undirected = np.isinf(a) & ~np.isfinite(b)  # an infinite radius without an angle
    out.real[undirected] = np.where(a > 0, np.inf, -1)[undirected]
    out.imag[undirected] = np.where(a > 0, np.nan, np.copysign(0.0, b))[undirected]
    return out


def complex_tanh(z: Any) -> Any:
    """NumPy's, with ±1 ± 0i at infinity as the array API standard has it."""
    out = np.array(np.tanh(z))
    far = np.isinf(z.real)
    out.real[far] = np.copysign(1.0, z.real)[far]
    out.imag[far] = np.copysign(0.0, z.imag)[far]
    return out
