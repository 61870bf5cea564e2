"""Where the Python array API standard (2025.12) and NumPy differ: thin wrappers that follow the standard.

Source: https://data-apis.org/array-api/2025.12/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.numpy.common import array
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced
from chainrule.ops.host import on_host

__array_api_version__ = "2025.12"
_np: Any = np  # as its type stubs do not know it: with arguments that record


def _dtype(type: Any) -> np.dtype:
    return np.dtype(type.dtype if isinstance(type, Traced | np.ndarray | np.generic) else type)


@dataclass(frozen=True)
class FloatInfo:
    """The limits of a floating dtype, as Python numbers."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: np.dtype

    @property
    def tiny(self) -> float:
        """NumPy's name of ``smallest_normal``."""
        return self.smallest_normal


@dataclass(frozen=True)
class IntInfo:
    """The limits of an integer dtype, as Python numbers."""

    bits: int
    max: int
    min: int
    dtype: np.dtype


def finfo(type: Any, /) -> FloatInfo:
    """The limits of a floating dtype (of the parts of a complex one), or of an array's.

    Example:
        >>> from chainrule import numpy as cnp
        >>> cnp.finfo(cnp.float32).bits
        32
    """
    info = np.finfo(_dtype(type))
    return FloatInfo(int(info.bits), float(info.eps), float(info.max), float(info.min), float(info.smallest_normal),
                     np.dtype(info.dtype))


def iinfo(type: Any, /) -> IntInfo:
    """The limits of an integer dtype, or of an array's.

    Example:
        >>> from chainrule import numpy as cnp
        >>> cnp.iinfo(cnp.int8).max
        127
    """
    dtype = _dtype(type)
    info = np.iinfo(dtype)
    return IntInfo(int(info.bits), int(info.max), int(info.min), dtype)


# ---------------------------------------------------------------- elementwise


def sign(x: Any, /) -> Any:
    """-1, 0 or 1 as the element is negative, zero (of either sign) or positive; NaN for NaN; z/|z| if complex."""
    out = np.sign(x)
    if out.dtype.kind == "c":
        out = np.where(np.isnan(x), out.dtype.type(complex(np.nan, np.nan)), out)
    return np.where(np.equal(out, 0), out.dtype.type(0), out) if out.dtype.kind in "fc" else out


def floor_divide(x1: Any, x2: Any, /) -> Any:
    """The quotient rounded down. Where one of the two is infinite it is the true quotient; NumPy has NaN and -1 there.

    Example:
        >>> from chainrule import numpy as cnp
        >>> cnp.floor_divide(cnp.asarray([7.0, cnp.inf]), 2.0)
        array([ 3., inf])
    """
    with np.errstate(invalid="ignore"):  # whatever the wrapped function says of infinity
        out = np.floor_divide(x1, x2)
    if out.dtype.kind != "f":
        return out
    with np.errstate(all="ignore"):
        infinite = (np.isinf(x1) & np.isfinite(x2)) | (np.isfinite(x1) & np.isinf(x2))
        return np.where(infinite, np.divide(x1, x2).astype(out.dtype), out) if _any(infinite) else out


def _any(condition: Any) -> bool:
    return isinstance(condition, Traced) or bool(np.any(condition))


def expm1(x: Any, /) -> Any:
    """exp(x) - 1, accurate near 0."""
    return ew.expm1(x) if array(x).dtype.kind == "c" else np.expm1(x)


def tanh(x: Any, /) -> Any:
    """Hyperbolic tangent."""
    return ew.tanh(x) if array(x).dtype.kind == "c" else np.tanh(x)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """Each element brought into [min, max]; None for no limit. The result has the dtype of ``x``.

    Example:
        >>> from chainrule import numpy as cnp
        >>> cnp.clip(cnp.arange(5), 1, max=3)
        array([1, 1, 2, 3, 3])
    """
    x = array(x)
    out = x
    if (low := _within(min, x.dtype)) is not None:
        out = np.maximum(out, low)
    if (high := _within(max, x.dtype)) is not None:
        out = np.minimum(out, high)
    out = out if out.dtype == x.dtype else np.astype(out, x.dtype)
    return np.copy(out) if out is x else out


def _within(limit: Any, dtype: np.dtype) -> Any:
    """A limit that is a Python integer brought into the range of an integer dtype."""
    if type(limit) is int and dtype.kind in "iu":
        info = np.iinfo(dtype)
        return info.max if limit > info.max else info.min if limit < info.min else limit
    return limit


# ---------------------------------------------------------------- the rest


def reshape(x: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    """The elements under another shape; one extent may be -1.

    Example:
        >>> from chainrule import numpy as cnp
        >>> cnp.reshape(cnp.arange(6), (2, -1)).shape
        (2, 3)
    """
    return _np.reshape(x, shape, order, copy=copy)


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The products of corresponding vectors along an axis, the first conjugated."""
    return _np.vecdot(x1, x2, axis=axis)


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Any:
    """The array that an object of another library offers to share; a traced array is itself."""
    if isinstance(x, Traced):
        return x.to_device(device or "cpu")  # type: ignore[attr-defined]
    return _np.from_dlpack(x, device=device, copy=copy)


def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Any:
    """Each entry of an axis repeated, by one number or one for each; any integer dtype will do for ``repeats``.

    Example:
        >>> from chainrule import numpy as cnp
        >>> cnp.repeat(cnp.asarray([1, 2]), cnp.asarray([2, 1], dtype=cnp.uint64))
        array([1, 1, 2])
    """
    return _np.repeat(x, repeats if isinstance(repeats, Traced) else np.asarray(repeats, np.int64), axis=axis)


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> Any:
    """The frequencies of :func:`fft`'s results for ``n`` points at a distance of ``d``.

    Example:
        >>> from chainrule import numpy as cnp
        >>> cnp.fft.fftfreq(4, dtype=cnp.float32)
        array([ 0.  ,  0.25, -0.5 , -0.25], dtype=float32)
    """
    return _frequencies(np.fft.fftfreq, n, d, dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: str | None = None) -> Any:
    """The frequencies of :func:`rfft`'s results for ``n`` points at a distance of ``d``."""
    return _frequencies(np.fft.rfftfreq, n, d, dtype, device)


def _frequencies(function: Any, n: int, d: Any, dtype: Any, device: str | None) -> Any:
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise ArgumentError.of(f"frequencies of dtype {np.dtype(dtype)}", "a floating dtype", "dtype=np.float32")
    if isinstance(d, Traced):
        out = on_host(function, f"np.fft.{function.__name__}", (n, d), {})
    else:
        out = function(n, d, device=device)
    return out if dtype is None else np.astype(out, dtype)
