"""Functions that make arrays: on traced arguments they record, otherwise NumPy makes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.numpy.assembly import stack
from chainrule.numpy.common import array, axis_of, filled, positions, records, reshaped, transposed
from chainrule.numpy.shapes import expand_dims
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, broadcast_shapes, common_dtype, convert, expand


def _on_cpu(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ArgumentError.of(f"device={device!r}", "the one device there is", "device='cpu'")


def _like(a: Any, value: Any, dtype: Any, shape: Any, device: Any) -> Any:
    _on_cpu(device)
    a = array(a)
    shape = a.shape if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
    dtype = a.dtype if dtype is None else np.dtype(dtype)
    if isinstance(value, Traced):
        return expand(convert(value, dtype), shape)
    value = np.asarray(value, dtype)
    return expand(value, shape) if value.shape else filled(a, shape, value, dtype)


@records(np.zeros_like)
def zeros_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *,
               device: str | None = None) -> Any:
    """Zeros of the shape and dtype of an array."""
    return _like(a, 0, dtype, shape, device)


@records(np.ones_like)
def ones_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *,
              device: str | None = None) -> Any:
    """Ones of the shape and dtype of an array."""
    return _like(a, 1, dtype, shape, device)


@records(np.empty_like)
def empty_like(prototype: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *,
               device: str | None = None) -> Any:
    """Zeros: a recorded array cannot be filled in later."""
    return _like(prototype, 0, dtype, shape, device)


@records(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True,
              shape: Any = None, *, device: str | None = None) -> Any:
    """One value in the shape and dtype of an array."""
    return _like(a, fill_value, dtype, shape, device)


def full(shape: Any, fill_value: Any, dtype: Any = None, *, device: str | None = None) -> Any:
    """An array of ``shape`` of one value, which may be traced."""
    if not isinstance(fill_value, Traced):
        return np.full(shape, fill_value, dtype, device=device)  # type: ignore[arg-type]
    return _like(fill_value, fill_value, dtype, shape, device)


def asarray(a: Any, /, dtype: Any = None, *, device: str | None = None, copy: bool | None = None) -> Any:
    """``a`` as an array: nested lists may hold traced numbers and arrays.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import numpy as cnp
        >>> cr.grad(lambda x: cnp.asarray([x, x * x])[1])(3.0)
        np.float64(6.0)
    """
    a = _gathered(a)
    if isinstance(a, Traced):
        _on_cpu(device)
        return a if dtype is None else convert(a, np.dtype(dtype))
    return np.asarray(a, dtype, device=device, copy=copy)  # type: ignore[arg-type]


def _gathered(a: Any) -> Any:
    """Nested lists that hold traced elements as one traced array; anything else as it is."""
    if not isinstance(a, list | tuple):
        return a
    parts = [_gathered(x) for x in a]
    return stack(parts) if any(isinstance(p, Traced) for p in parts) else a


@records(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """The same elements."""
    return ew.copy(array(a))


@records(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """The elements converted to another dtype."""
    _on_cpu(device)
    return convert(x, np.dtype(dtype))


@records(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype that the arguments have in common."""
    return np.result_type(*(a.dtype if isinstance(a, Traced) else a for a in arrays_and_dtypes))


@records(np.can_cast)
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """Whether a dtype, or that of an array, may become another by a rule of casting."""
    return np.can_cast(from_.dtype if isinstance(from_, Traced) else from_, to, casting)


@records(np.linspace)
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
             axis: int = 0, *, device: str | None = None) -> Any:
    """Evenly spaced numbers from ``start`` to ``stop``."""
    _on_cpu(device)
    kind = common_dtype((array(start), array(stop), 1.0))
    start, stop = convert(array(start), kind), convert(array(stop), kind)
    gap = ew.sub(stop, start)
    parts = num - 1 if endpoint else num
    step = ew.div(gap, float(parts)) if parts else ew.mul(gap, np.nan)
    number = reshaped(positions(gap, (num,), 0, kind), (num, *(1,) * len(gap.shape)))
    out = ew.add(ew.mul(number, step if parts else gap), start)
    if endpoint and num > 1:  # rounding must not move the last one
        out = ew.select(ew.eq(number, float(parts)), stop, out)
    if dtype is not None:
        out = convert(ew.floor(out) if np.dtype(dtype).kind in "iu" else out, np.dtype(dtype))
    order = list(range(1, len(out.shape)))
    order.insert(axis_of(axis, len(out.shape)), 0)
    out = transposed(out, order)
    return (out, step) if retstep else out


@records(np.logspace)
def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None,
             axis: int = 0) -> Any:
    """Powers of ``base`` whose exponents are evenly spaced."""
    base = array(base)
    if base.shape:
        start, stop, base = (expand(array(x), broadcast_shapes(*(array(y).shape for y in (start, stop, base))))
                             for x in (start, stop, base))
        base = expand_dims(base, axis)
    exponents = linspace(start, stop, num, endpoint, axis=axis)
    out = ew.pow_(convert(base, exponents.dtype), exponents)
    return out if dtype is None else convert(out, np.dtype(dtype))


@records(np.geomspace)
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """Numbers from ``start`` to ``stop`` of one sign whose ratios are equal: signs and logarithms are interpolated."""
    start, stop = array(start), array(stop)
    kind = common_dtype((start, stop, 1.0))
    start, stop = (convert(x, kind) for x in (start, stop))
    first, last = (ew.log10(ew.abs_(x)) for x in (start, stop))
    size = ew.pow_(convert(np.asarray(10.0), kind), linspace(first, last, num, endpoint))
    out = ew.mul(ew.sign(start), size)
    number = reshaped(positions(out, (num,), 0, kind), (num, *(1,) * (len(out.shape) - 1)))
    if num:  # rounding must not move the ends
        out = ew.select(ew.eq(number, 0.0), start, out)
    if endpoint and num > 1:
        out = ew.select(ew.eq(number, float(num - 1)), stop, out)
    order = list(range(1, len(out.shape)))
    order.insert(axis_of(axis, len(out.shape)), 0)
    out = transposed(out, order)
    return out if dtype is None else convert(out, np.dtype(dtype))


@records(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """Coordinate matrices of coordinate vectors."""
    vectors = [reshaped(x, (math.prod(x.shape),)) for x in map(array, xi)]
    n = len(vectors)
    place = list(range(n))
    if indexing == "xy" and n > 1:
        place[0], place[1] = 1, 0
    extents = {place[k]: v.shape[0] for k, v in enumerate(vectors)}
    shape = tuple(extents[i] for i in range(n))
    grids = [reshaped(v, [shape[i] if i == place[k] else 1 for i in range(n)]) for k, v in enumerate(vectors)]
    return tuple(grids if sparse else [expand(g, shape) for g in grids])
