"""Out-of-place updates: ``at(x, key).set(v)`` is a copy of ``x`` in which ``x[key]`` is ``v``.

The convention is that of array-api-extra and JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.graph import user_source
from chainrule.indexing import checked_indices, index, updated
from chainrule.numpy.common import array, axis_of, from_last, last, positions, records, reshaped, traced
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, broadcast_shapes, check_dtype, convert, dtype_of, expand, is_weak
from chainrule.ops.index import scatter_add, take
from chainrule.ops.scatter import scatter
from chainrule.trace import power

_NO_KEY: Any = object()


class at:  # noqa: N801 (a function to its users)
    """A place in an array, to be changed in a copy: ``at(x, key).set(v)`` or ``at(x)[key].set(v)``.

    ``x`` may be traced or not, and is never changed. ``key`` is what ``x[key]`` takes: integers, slices, ``...``,
    ``None``, arrays of integers (traced ones too: their positions out of range are brought to the nearest end) and
    bool masks. A traced mask must be the whole key, and the value must fit any number of picked elements: a scalar, or
    what broadcasts along the axes behind the mask. The result has the shape and dtype of ``x``.

    An element that ``key`` picks more than once gets all its updates: ``add``, ``subtract``, ``multiply``, ``divide``,
    ``power``, ``min`` and ``max`` accumulate; of several ``set`` the last one (in row-major order) stays. Both run
    plainly, recorded and compiled. All are differentiable by ``x`` and by the value.

    Args:
        x: an array.
        key: what to change.

    Example:
        >>> import chainrule as cr
        >>> from chainrule import numpy as cnp
        >>> x = cnp.zeros(4)
        >>> cr.at(x, slice(1, 3)).set(5.0)
        array([0., 5., 5., 0.])
        >>> cr.at(x)[cnp.asarray([0, 0, 2])].add(cnp.asarray([1.0, 2.0, 3.0]))
        array([3., 0., 3., 0.])
        >>> float(cr.grad(lambda v: cnp.sum(cr.at(x)[1].set(v) ** 2))(3.0))
        6.0
    """

    __slots__ = ("key", "x")

    def __init__(self, x: Any, key: Any = _NO_KEY, /) -> None:
        self.x, self.key = array(x), key

    def __getitem__(self, key: Any) -> at:
        if self.key is not _NO_KEY:
            raise ArgumentError.of("a key was given twice: at(x, key)[…]", "one key", "at(x)[key].set(v)")
        return at(self.x, key)

    def get(self) -> Any:
        """``x[key]``, as a copy."""
        self._complete()
        return np.array(self.x[self.key]) if not traced(self.x, *self._keys()) else index(self.x, self.key)

    def set(self, value: Any, /) -> Any:
        """A copy with ``x[key] = value``."""
        return self._update("set", value)

    def add(self, value: Any, /) -> Any:
        """A copy with ``x[key] += value``."""
        return self._update("add", value)

    def subtract(self, value: Any, /) -> Any:
        """A copy with ``x[key] -= value``."""
        return self._update("subtract", value)

    def multiply(self, value: Any, /) -> Any:
        """A copy with ``x[key] *= value``."""
        return self._update("multiply", value)

    def divide(self, value: Any, /) -> Any:
        """A copy with ``x[key] /= value``."""
        return self._update("divide", value)

    def power(self, value: Any, /) -> Any:
        """A copy with ``x[key] **= value``."""
        return self._update("power", value)

    def min(self, value: Any, /) -> Any:
        """A copy with ``x[key] = minimum(x[key], value)``."""
        return self._update("min", value)

    def max(self, value: Any, /) -> Any:
        """A copy with ``x[key] = maximum(x[key], value)``."""
        return self._update("max", value)

    # -- how

    def _complete(self) -> None:
        if self.key is _NO_KEY:
            raise ArgumentError.of("no key was given", "what to change", "at(x)[0].set(v)   # or at(x, 0).set(v)")

    def _keys(self) -> tuple[Any, ...]:
        return self.key if isinstance(self.key, tuple) else (self.key,)

    def _update(self, name: str, value: Any) -> Any:
        self._complete()
        x = self.x
        value = _converted(name, value, x.dtype)
        if not traced(x, value, *self._keys()):
            return _plainly(name, x, self.key, value)
        keys = self._keys()
        if any(isinstance(k, Traced) and k.dtype == dtypes.BOOL for k in keys):
            if len(keys) > 1:
                raise ChainruleTypeError.of("a traced mask among other keys", "the mask alone", "at(x, mask).set(0.0)")
            return _masked(name, x, keys[0], value)
        return updated(x, self.key, lambda region: PAIRS[name](region, _fitted(value, region.shape)),
                       lambda a, indices, axis: _scattered(name, a, indices, axis, value))


PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "set": lambda x, v: v, "add": ew.add, "subtract": ew.sub, "multiply": ew.mul, "divide": ew.div, "power": power,
    "min": ew.minimum, "max": ew.maximum}
_RANK = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}  # a number fits an array of its kind or a higher one
_UFUNCS = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "power": np.power,
           "min": np.minimum, "max": np.maximum}


def _converted(name: str, value: Any, dtype: np.dtype) -> Any:
    """The value in the dtype of the array, which it must not need more than; ``set`` converts whatever it gets."""
    given = dtype_of(value)
    for part in (dtype, given):
        check_dtype(part)
    if name in ("min", "max") and dtype.kind == "c":
        raise ChainruleTypeError.of(f"at(x).{name} for an array of {dtype}, which has no order", "real numbers",
                                    f"at(x.real, key).{name}(v)")
    if given.kind == "c" and dtype.kind != "c":
        raise ChainruleTypeError.of(f"at(x).{name} of {given} into an array of {dtype}", f"a value of {dtype}",
                                    f"at(x, key).{name}(v.real)")
    if name == "divide" and not dtypes.is_inexact(dtype):
        raise ChainruleTypeError.of(f"at(x).divide for an array of dtype {dtype}", "an array of floats",
                                    "at(x.astype(np.float64), key).divide(v)")
    if name == "subtract" and dtype == dtypes.BOOL:
        raise ChainruleTypeError.of("at(x).subtract for an array of bools", "numbers", "at(x, key).set(False)")
    if name == "power" and type(value) is int:
        return value
    by_kind = is_weak(value) or any(map(dtypes.is_bfloat16, (given, dtype)))  # whose casts NumPy does not know all
    fits = (_RANK[dtypes.kind(given)] <= _RANK[dtypes.kind(dtype)] if by_kind
            else np.can_cast(given, dtype, "same_kind"))
    if name != "set" and not fits:
        raise ChainruleTypeError.of(f"at(x).{name} of {given} into an array of {dtype}", f"a value of {dtype}",
                                    f"at(x.astype(np.{given}), key).{name}(v)")
    return convert(value, dtype)


def _fitted(value: Any, shape: tuple[int, ...]) -> Any:
    """The value repeated to the shape of what is changed."""
    if isinstance(value, int):
        return value
    have = value.shape
    while len(have) > len(shape) and have[0] == 1:  # as an assignment does
        value, have = reshaped(value, have[1:]), have[1:]
    if not _fits(have, shape):
        raise ShapeError.of(f"a value of shape {have} for a place of shape {tuple(shape)}",
                            "a shape that broadcasts to it", "at(x, 0).set(v)")
    return expand(value, tuple(shape))


def _fits(have: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an array of one shape broadcasts to another."""
    return len(have) <= len(shape) and all(a in (1, b) for a, b in zip(have[::-1], shape[::-1], strict=False))


def _plainly(name: str, x: np.ndarray, key: Any, value: Any) -> np.ndarray:
    out = np.array(x)
    with np.errstate(all="ignore"):
        if name == "set":
            out[key] = value
        else:
            _UFUNCS[name].at(out, key, value)
    return out


def _masked(name: str, x: Any, mask: Any, value: Any) -> Any:
    """Where a mask that is only known later holds. What is not picked does not reach the derivatives."""
    n = len(mask.shape)
    if mask.shape != x.shape[:n]:
        raise ShapeError.of(f"a mask of shape {mask.shape} for an array of shape {x.shape}",
                            "the array's first extents", "at(x, x > 0).set(0.0)")
    value = array(value)
    tail = x.shape[n:]
    if len(value.shape) == len(tail) + 1 and value.shape[0] == 1:
        value = reshaped(value, value.shape[1:])
    if not _fits(value.shape, tail):
        raise ShapeError.of(
            f"a value of shape {value.shape} where a traced mask holds: how many elements it picks is not known",
            f"a scalar, or a shape that broadcasts to {tail}", "np.where(mask, values, x)")
    here = expand(reshaped(mask, (*mask.shape, *(1,) * len(tail))), x.shape)
    value = expand(value, x.shape)
    if name != "set":
        one = np.ones((), x.dtype)
        value = PAIRS[name](ew.select(here, x, one), ew.select(here, value, one))
    return ew.select(here, value, x)


def _scattered(name: str, a: Any, indices: Any, axis: int, value: Any) -> Any:
    """Updates at integer positions along an axis, of which some may be equal."""
    extent = a.shape[axis]
    shape = (*a.shape[:axis], *indices.shape, *a.shape[axis + 1:])
    if name == "power":
        value = convert(value, a.dtype)
    value = _fitted(value, shape)
    if 0 in shape:
        return ew.copy(a) if isinstance(a, Traced) else a
    place = {"axis": axis, "extent": extent}
    if name == "add" and a.dtype == dtypes.BOOL:
        name = "max"
    if name in ("add", "subtract"):
        return PAIRS[name](a, scatter_add(value, indices, **place))
    if name in ("multiply", "divide", "power"):
        total = scatter(value, indices, **place, combine="mul")
        return ew.pow_(a, total) if name == "power" else PAIRS[name](a, total)
    if name in ("min", "max"):
        return PAIRS[name](a, scatter(value, indices, **place, combine=name))
    # the last writer of each entry, or none
    number = reshaped(positions(indices, (int(np.prod(indices.shape)),), 0), indices.shape)
    writer = scatter(number, indices, axis=0, extent=extent, combine="max")
    rows = reshaped(value, (*a.shape[:axis], int(np.prod(indices.shape)), *a.shape[axis + 1:]))
    new = take(rows, ew.maximum(writer, 0), axis=axis)
    along = tuple(extent if i == axis else 1 for i in range(len(a.shape)))
    return ew.select(reshaped(ew.ge(writer, 0), along), new, a)


# ---------------------------------------------------------------- along an axis, by number


def put_along_axis(x: Any, indices: Any, values: Any, axis: int = -1) -> Any:
    """A copy of ``x`` with ``values`` at the positions ``indices`` of an axis: undoes ``take_along_axis``.

    NumPy's function of this name changes ``x`` itself; this one does not. Of equal positions the last one counts.

    Args:
        x: an array.
        indices: whole numbers, of as many axes as ``x`` has, of extents that broadcast to its own but for ``axis``.
        values: what to put there; broadcast to the shape of ``indices``.
        axis: the axis.

    Example:
        >>> from chainrule import numpy as cnp
        >>> cnp.put_along_axis(cnp.zeros((2, 3)), cnp.asarray([[1], [2]]), 7.0, axis=1)
        array([[0., 7., 0.],
               [0., 0., 7.]])
    """
    x, indices = array(x), array(indices)
    n = len(x.shape)
    if len(indices.shape) != n:
        raise ArgumentError.of(f"positions of {len(indices.shape)} axes for an array of {n}", "as many", "")
    axis = axis_of(axis, n)
    moved = last(x, axis)
    rows, extent = moved.shape[:-1], moved.shape[-1]
    shape = tuple(k if i == axis else m for i, (k, m) in enumerate(zip(indices.shape, x.shape, strict=True)))
    if not _fits(indices.shape, shape):
        raise ShapeError.of(f"positions of shape {indices.shape} along axis {axis} of an array of shape {x.shape}",
                            f"a shape that broadcasts to {shape}", "put_along_axis(x, np.argsort(x, axis), v, axis)")
    values = last(expand(convert(values, x.dtype), shape), axis)
    indices = last(expand(convert(checked_indices(indices, extent, axis), dtypes.INT64), shape), axis)
    many = int(np.prod(rows))
    flat = ew.add(reshaped(indices, (many, indices.shape[-1])), np.arange(many, dtype=np.int64)[:, None] * extent)
    out = at(reshaped(moved, (many * extent,)), flat).set(reshaped(values, flat.shape))
    return from_last(reshaped(out, moved.shape), axis)


def _in_place(name: str, instead: str) -> Callable[..., Any]:
    def refuse(*args: Any, **options: Any) -> Any:
        source = user_source()
        where = f" (line {source.line} of {source.file})" if source else ""
        raise ChainruleTypeError.of(f"the function np.{name} changes an array in place{where}", "a changed copy",
                                    instead)
    return refuse


for _function, _instead in (
        (np.put, "x = cr.at(x.reshape(-1), indices).set(v).reshape(x.shape)"), (np.place, "x = cr.at(x, mask).set(v)"),
        (np.putmask, "x = np.where(mask, values, x)"), (np.copyto, "x = np.broadcast_to(values, x.shape)"),
        (np.fill_diagonal, "x = cr.at(x, np.diag_indices_from(x)).set(v)"),
        (np.put_along_axis, "x = cr.numpy.put_along_axis(x, indices, values, axis)"),
        ((np.add, "at"), "x = cr.at(x, indices).add(v)"), ((np.subtract, "at"), "x = cr.at(x, indices).subtract(v)"),
        ((np.multiply, "at"), "x = cr.at(x, indices).multiply(v)"),
        ((np.divide, "at"), "x = cr.at(x, indices).divide(v)"),
        ((np.maximum, "at"), "x = cr.at(x, indices).max(v)"), ((np.minimum, "at"), "x = cr.at(x, indices).min(v)")):
    _name = f"{_function[0].__name__}.at" if isinstance(_function, tuple) else _function.__name__
    records(_function)(_in_place(_name, _instead))


@records(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """For each element the choice of that number. Traced numbers out of range are brought to the nearest end."""
    parts = [array(c) for c in choices] if isinstance(choices, list | tuple) else [choices[i] for i in
                                                                                 range(choices.shape[0])]
    n = len(parts)
    a = array(a)
    if mode == "wrap":
        a = ew.remainder(a, n)
    elif mode == "raise" and not isinstance(a, Traced) and ((a < 0) | (a >= n)).any():
        raise ArgumentError.of("numbers beyond the choices", f"0 to {n - 1}", "np.choose(i, choices, mode='clip')")
    elif mode not in ("raise", "clip"):
        raise ArgumentError.of(f"np.choose with mode={mode!r}", "'raise', 'wrap' or 'clip'", "np.choose(i, choices)")
    result = parts[-1]
    for k in range(n - 2, -1, -1):
        result = ew.select(ew.le(a, k), parts[k], result)
    return expand(result, broadcast_shapes(a.shape, result.shape))
