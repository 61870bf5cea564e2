"""Functions that give the elements another arrangement: reshape, join, split, repeat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ShapeError
from chainrule.numpy.common import array, axes_of, axis_of, filled, no_out, records, reshaped, sliced, transposed
from chainrule.ops import elementwise as ew
from chainrule.ops import structure
from chainrule.ops.declare import Traced, broadcast_shapes, common_dtype, convert, expand
from chainrule.ops.index import take

# ---------------------------------------------------------------- shape


@records(np.shape)
def shape(a: Any) -> tuple[int, ...]:
    """The extents."""
    return a.shape


@records(np.ndim)
def ndim(a: Any) -> int:
    """The number of axes."""
    return len(a.shape)


@records(np.size)
def size(a: Any, axis: int | None = None) -> int:
    """The number of elements, or the extent of an axis."""
    return math.prod(a.shape) if axis is None else a.shape[axis]


@records(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: bool | None = None) -> Any:
    """The elements under another shape; one extent may be -1."""
    a = array(a)
    shape = _completed(a.shape, shape)
    if order == "F":
        return transposed(reshaped(_reversed(a), shape[::-1]), range(len(shape))[::-1])
    _check_order(order)
    return reshaped(a, shape)


def _completed(old: tuple[int, ...], new: Any) -> tuple[int, ...]:
    new = (int(new),) if isinstance(new, int | np.integer) else tuple(int(n) for n in new)
    if new.count(-1) > 1 or any(n < -1 for n in new):
        raise ArgumentError.of(f"cannot reshape to {new}", "extents of 0 or more, one of them may be -1", "x.reshape(-1, 4)")
    if -1 in new:
        rest, total = math.prod(n for n in new if n != -1), math.prod(old)
        if rest == 0 or total % rest:
            raise ShapeError.of(f"cannot reshape an array of shape {old} ({total} elements) to {new}",
                                f"a shape whose other extents divide {total}", "x.reshape(len(x), -1)")
        new = tuple(total // rest if n == -1 else n for n in new)
    return new


def _check_order(order: str) -> None:
    if order not in ("C", "K", "A"):
        raise ArgumentError.of(f"order={order!r}", "'C' (the last axis varies fastest) or 'F'", "np.reshape(x, shape, order='C')")


def _reversed(a: Any) -> Any:
    return transposed(a, range(len(a.shape))[::-1])


@records(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """The elements in one axis."""
    return reshape(a, -1, order) if math.prod(array(a).shape) else reshape(a, 0, order)


@records(np.transpose)
def transpose(a: Any, axes: Any = None) -> Any:
    """The axes in another order, reversed if none is given."""
    a = array(a)
    n = len(a.shape)
    if axes is None:
        return _reversed(a)
    order = tuple(axis_of(x, n) for x in axes)
    if sorted(order) != list(range(n)):
        raise ArgumentError.of(f"cannot transpose an array of {n} axes with axes={tuple(axes)}", "each axis once", "x.T")
    return transposed(a, order)


@records(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    return swapaxes(x, -1, -2)


@records(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    a = array(a)
    order = list(range(len(a.shape)))
    i, j = axis_of(axis1, len(order)), axis_of(axis2, len(order))
    order[i], order[j] = order[j], order[i]
    return transposed(a, order)


@records(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Axes moved to other places, the rest in their order."""
    a = array(a)
    n = len(a.shape)
    come = [axis_of(x, n) for x in np.atleast_1d(source)]
    go = [axis_of(x, n) for x in np.atleast_1d(destination)]
    order = [x for x in range(n) if x not in come]
    for where, axis in sorted(zip(go, come, strict=True)):
        order.insert(where, axis)
    return transposed(a, order)


@records(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """An axis moved before the axis ``start``."""
    a = array(a)
    n = len(a.shape)
    order = [x for x in range(n) if x != axis_of(axis, n)]
    start = start + n if start < 0 else start
    order.insert(start - (axis_of(axis, n) < start), axis_of(axis, n))
    return transposed(a, order)


@records(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """New axes of extent 1."""
    a = array(a)
    places = axes_of(axis, len(a.shape) + (1 if isinstance(axis, int | np.integer) else len(axis)))
    rest = iter(a.shape)
    return reshaped(a, [1 if i in places else next(rest) for i in range(len(a.shape) + len(places))])


@records(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """Axes of extent 1 dropped."""
    a = array(a)
    axes = [i for i, n in enumerate(a.shape) if n == 1] if axis is None else axes_of(axis, len(a.shape))
    if any(a.shape[i] != 1 for i in axes):
        raise ShapeError.of(f"cannot squeeze axis {axis} of an array of shape {a.shape}", "axes of extent 1", "np.squeeze(x)")
    return reshaped(a, [n for i, n in enumerate(a.shape) if i not in axes])


def _at_least(n: int, a: Any) -> Any:
    a = array(a)
    missing = n - len(a.shape)
    if missing <= 0:
        return a
    if n == 3 and missing == 1:  # NumPy puts the third axis last
        return reshaped(a, (*a.shape, 1))
    return reshaped(a, (1, *a.shape, 1) if n == 3 and missing == 2 else (1,) * missing + tuple(a.shape))


@records(np.atleast_1d)
def atleast_1d(*arrays: Any) -> Any:
    """Scalars as arrays of one element."""
    return _at_least(1, arrays[0]) if len(arrays) == 1 else tuple(_at_least(1, a) for a in arrays)


@records(np.atleast_2d)
def atleast_2d(*arrays: Any) -> Any:
    """Arrays of at least two axes."""
    return _at_least(2, arrays[0]) if len(arrays) == 1 else tuple(_at_least(2, a) for a in arrays)


@records(np.atleast_3d)
def atleast_3d(*arrays: Any) -> Any:
    """Arrays of at least three axes."""
    return _at_least(3, arrays[0]) if len(arrays) == 1 else tuple(_at_least(3, a) for a in arrays)


@records(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """The array repeated to ``shape`` by NumPy's rule."""
    shape = (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)
    if broadcast_shapes(array.shape, shape) != shape:
        raise ShapeError.of(f"an array of shape {array.shape} does not broadcast to {shape}",
                            "equal extents, or 1, counted from the last axis", "np.broadcast_to(x[:, None], shape)")
    return expand(array, shape)


@records(np.broadcast_arrays)
def broadcast_arrays(*arrays: Any, subok: bool = False) -> tuple[Any, ...]:
    """The arrays repeated to their common shape."""
    together = [array(a) for a in arrays]
    shape = broadcast_shapes(*(a.shape for a in together))
    return tuple(expand(a, shape) for a in together)


# ---------------------------------------------------------------- join


def joined(arrays: Sequence[Any], axis: int, dtype: Any = None) -> Any:
    """Arrays of one number of axes one after the other, in their common dtype."""
    if not arrays:
        raise ArgumentError.of("no arrays to join", "at least one array", "np.concatenate([a, b])")
    dtype = common_dtype(arrays) if dtype is None else np.dtype(dtype)
    parts = [convert(a, dtype) for a in arrays]
    return parts[0] if len(parts) == 1 else structure.concatenate(*parts, axis=axis_of(axis, len(parts[0].shape)))


@records(np.concatenate)
def concatenate(arrays: Any, /, axis: int | None = 0, out: Any = None, *, dtype: Any = None) -> Any:
    """The arrays one after the other along an axis; None joins their elements."""
    no_out("np.concatenate", out)
    parts = [array(a) for a in arrays]
    if axis is None:
        parts, axis = [ravel(a) for a in parts], 0
    if any(not a.shape for a in parts):
        raise ShapeError.of("scalars cannot be concatenated", "arrays of one axis or more", "np.stack([a, b])")
    return joined(parts, axis, dtype)


@records(np.stack)
def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None) -> Any:
    """Arrays of one shape along a new axis."""
    no_out("np.stack", out)
    parts = [array(a) for a in arrays]
    shapes = {a.shape for a in parts}
    if len(shapes) > 1:
        raise ShapeError.of(f"cannot stack arrays of shapes {', '.join(map(str, sorted(shapes)))}", "one shape", "")
    return joined([expand_dims(a, axis) for a in parts], axis, dtype)


@records(np.vstack)
def vstack(tup: Any, *, dtype: Any = None) -> Any:
    """The arrays below one another."""
    return joined([_at_least(2, a) for a in tup], 0, dtype)


@records(np.hstack)
def hstack(tup: Any, *, dtype: Any = None) -> Any:
    """The arrays beside one another."""
    parts = [_at_least(1, a) for a in tup]
    return joined(parts, 0 if len(parts[0].shape) == 1 else 1, dtype)


@records(np.dstack)
def dstack(tup: Any) -> Any:
    """The arrays behind one another."""
    return joined([_at_least(3, a) for a in tup], 2)


@records(np.column_stack)
def column_stack(tup: Any) -> Any:
    """Arrays of one axis as the columns of a matrix."""
    parts = [array(a) for a in tup]
    return joined([reshaped(a, (math.prod(a.shape), 1)) if len(a.shape) < 2 else a for a in parts], 1)


@records(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """The values after the array."""
    return concatenate([arr, values], axis)


# ---------------------------------------------------------------- split


@records(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Parts along an axis, as equal as can be, or cut at the given positions."""
    a = array(ary)
    axis = axis_of(axis, len(a.shape))
    n = a.shape[axis]
    if isinstance(indices_or_sections, int | np.integer):
        parts = int(indices_or_sections)
        if parts < 1:
            raise ArgumentError.of(f"cannot split into {parts} parts", "1 or more", "np.array_split(x, 2)")
        cuts = [0, *np.cumsum([n // parts + (i < n % parts) for i in range(parts)]).tolist()]
    else:
        cuts = [0, *(slice(int(c)).indices(n)[1] for c in indices_or_sections), n]
    return [sliced(a, axis, low, max(low, high)) for low, high in zip(cuts, cuts[1:], strict=False)]


@records(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Equal parts along an axis, or parts cut at the given positions."""
    a = array(ary)
    extent = a.shape[axis_of(axis, len(a.shape))]
    if isinstance(indices_or_sections, int | np.integer) and extent % int(indices_or_sections):
        raise ShapeError.of(f"an axis of extent {extent} cannot be split into {indices_or_sections} equal parts",
                            f"a divisor of {extent}", "np.array_split(x, parts)")
    return array_split(a, indices_or_sections, axis)


@records(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the first axis."""
    return split(ary, indices_or_sections, 0)


@records(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the second axis, the first of a vector."""
    return split(ary, indices_or_sections, 0 if len(ary.shape) == 1 else 1)


@records(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the third axis."""
    return split(ary, indices_or_sections, 2)


@records(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The entries of an axis one by one."""
    x = array(x)
    axis = axis_of(axis, len(x.shape))
    rest = [n for i, n in enumerate(x.shape) if i != axis]
    return tuple(reshaped(sliced(x, axis, i, i + 1), rest) for i in range(x.shape[axis]))


# ---------------------------------------------------------------- repeat, reverse, shift, pad


@records(np.tile)
def tile(A: Any, reps: Any) -> Any:  # noqa: N803 (NumPy's name)
    """The array repeated as a whole along each axis."""
    a = array(A)
    times = (int(reps),) if isinstance(reps, int | np.integer) else tuple(int(n) for n in reps)
    ndim = max(len(times), len(a.shape))
    times = (1,) * (ndim - len(times)) + times
    shape = (1,) * (ndim - len(a.shape)) + tuple(a.shape)
    whole = tuple(x for pair in zip(times, shape, strict=True) for x in pair)
    spread = structure.broadcast(reshaped(a, shape), shape=whole, dims=tuple(2 * i + 1 for i in range(ndim)))
    return reshaped(spread, [t * n for t, n in zip(times, shape, strict=True)])


@records(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each entry of an axis repeated, by one number or one for each."""
    a = array(a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = axis_of(axis, len(a.shape))
    if isinstance(repeats, Traced):
        raise ArgumentError.of("the shape of np.repeat would depend on traced repeats", "plain integers", "np.repeat(x, 3)")
    times = np.atleast_1d(repeats)
    if times.size > 1:
        return take(a, np.repeat(np.arange(a.shape[axis]), times), axis=axis)
    n, k = a.shape[axis], int(times[0])
    wide = (*a.shape[:axis + 1], k, *a.shape[axis + 1:])
    spread = structure.broadcast(a, shape=wide, dims=tuple(i for i in range(len(wide)) if i != axis + 1))
    return reshaped(spread, (*a.shape[:axis], n * k, *a.shape[axis + 1:]))


@records(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """The elements in reverse order along axes."""
    m = array(m)
    axes = axes_of(axis, len(m.shape))
    return structure.flip(m, axes=axes) if axes else m


@records(np.flipud)
def flipud(m: Any) -> Any:
    """Upside down: the first axis reversed."""
    return flip(m, 0)


@records(np.fliplr)
def fliplr(m: Any) -> Any:
    """Left to right: the second axis reversed."""
    return flip(m, 1)


@records(np.rot90)
def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """The plane of two axes turned by quarters, from the first towards the second."""
    turn = k % 4
    if turn == 0:
        return array(m)
    if turn == 2:
        return flip(m, axes)
    return swapaxes(flip(m, axes[1]), *axes) if turn == 1 else flip(swapaxes(m, *axes), axes[1])


@records(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """The elements moved along axes, those that leave at the end coming back at the start."""
    a = array(a)
    if axis is None:
        return reshaped(roll(ravel(a), shift, 0), a.shape)
    shifts, axes = np.broadcast_arrays(np.atleast_1d(shift), np.atleast_1d(axis))
    for by, along in zip(shifts, axes, strict=True):
        where = axis_of(along, len(a.shape))
        n = a.shape[where]
        cut = (n - int(by)) % n if n else 0
        if cut:
            a = structure.concatenate(sliced(a, where, cut, n), sliced(a, where, 0, cut), axis=where)
    return a


@records(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    """Elements added at both ends of the axes: constants, or copies of others (edge, reflect, symmetric, wrap)."""
    a = array
    widths = _widths(pad_width, len(a.shape))
    if mode == "constant":
        values = np.broadcast_to(np.asarray(constant_values), (len(a.shape), 2))
        if not values.any():
            shape = tuple(n + before + after for n, (before, after) in zip(a.shape, widths, strict=True))
            return structure.pad(a, shape=shape, start=tuple(w[0] for w in widths), step=(1,) * len(shape))
    elif mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ArgumentError.of(f"np.pad with mode={mode!r}", "constant, edge, reflect, symmetric or wrap", "np.pad(x, 1)")
    for axis, (before, after) in enumerate(widths):
        if before == after == 0:
            continue
        if mode == "constant":
            ends = [filled(a, (*a.shape[:axis], n, *a.shape[axis + 1:]), v, a.dtype)
                    for n, v in zip((before, after), values[axis], strict=True)]
            a = structure.concatenate(ends[0], a, ends[1], axis=axis)
        else:
            a = take(a, np.pad(np.arange(a.shape[axis]), (before, after), mode=mode), axis=axis)  # type: ignore[call-overload]
    return a


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        given = {axis_of(k, ndim): v for k, v in pad_width.items()}
        pad_width = [given.get(i, (0, 0)) for i in range(ndim)]
        pad_width = [(w, w) if isinstance(w, int) else w for w in pad_width]
    return [(int(b), int(a)) for b, a in np.broadcast_to(np.asarray(pad_width), (ndim, 2))]


@records(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along an axis, ``n`` times."""
    a = array(a)
    axis = axis_of(axis, len(a.shape))
    ends = []
    for end in (prepend, append):
        if end is not None:
            end = array(end)
            one = tuple(1 if i == axis else extent for i, extent in enumerate(a.shape))
            ends.append(expand(end, one) if not end.shape else end)
        else:
            ends.append(None)
    parts = [p for p in (ends[0], a, ends[1]) if p is not None]
    a = joined(parts, axis)
    for _ in range(n):
        extent = a.shape[axis]
        later, earlier = sliced(a, axis, min(1, extent), extent), sliced(a, axis, 0, max(extent - 1, 0))
        a = ew.ne(later, earlier) if a.dtype.kind == "b" else ew.sub(later, earlier)
    return a


@records(np.ediff1d)
def ediff1d(ary: Any) -> Any:
    """Differences of neighbouring elements."""
    return diff(ravel(ary))
