"""Functions that put arrays together, take them apart, repeat, reverse and shift them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ShapeError
from chainrule.numpy.common import array, axes_of, axis_of, filled, records, reshaped, sliced
from chainrule.numpy.shapes import at_least, expand_dims, ravel, swapaxes
from chainrule.ops import elementwise as ew
from chainrule.ops import structure
from chainrule.ops.declare import Traced, common_dtype, convert, expand
from chainrule.ops.index import take
from chainrule.trace import no_out

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
    return joined([at_least(2, a) for a in tup], 0, dtype)


@records(np.hstack)
def hstack(tup: Any, *, dtype: Any = None) -> Any:
    """The arrays beside one another."""
    parts = [at_least(1, a) for a in tup]
    return joined(parts, 0 if len(parts[0].shape) == 1 else 1, dtype)


@records(np.dstack)
def dstack(tup: Any) -> Any:
    """The arrays behind one another."""
    return joined([at_least(3, a) for a in tup], 2)


@records(np.column_stack)
def column_stack(tup: Any) -> Any:
    """Arrays of one axis as the columns of a matrix."""
    parts = [array(a) for a in tup]
    return joined([reshaped(a, (math.prod(a.shape), 1)) if len(a.shape) < 2 else a for a in parts], 1)


@records(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """The values after the array."""
    return concatenate([arr, values], axis)


@records(np.block)
def block(arrays: Any) -> Any:
    """Arrays in nested lists: those of the innermost along the last axis, the next outward along the one before."""
    depth = _depth(arrays)
    ndim = max([depth, *(len(a.shape) for a in _leaves(arrays))])
    return _assembled(arrays, ndim - depth, ndim)


def _depth(arrays: Any) -> int:
    if not isinstance(arrays, list):
        return 0
    depths = {_depth(a) for a in arrays}
    if len(depths) != 1:
        raise ArgumentError.of("np.block of lists of different depths, or an empty one", "one depth everywhere",
                               "np.block([[a, b], [c, d]])")
    return 1 + depths.pop()


def _leaves(arrays: Any) -> list[Any]:
    return [leaf for a in arrays for leaf in _leaves(a)] if isinstance(arrays, list) else [array(arrays)]


def _assembled(arrays: Any, axis: int, ndim: int) -> Any:
    if not isinstance(arrays, list):
        a = array(arrays)
        return reshaped(a, (1,) * (ndim - len(a.shape)) + tuple(a.shape))
    return joined([_assembled(a, axis + 1, ndim) for a in arrays], axis)


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
        raise ArgumentError.of("the shape of np.repeat would depend on traced repeats", "plain integers",
                               "np.repeat(x, 3)")
    times = np.atleast_1d(repeats)
    if times.size > 1:
        return take(a, np.repeat(np.arange(a.shape[axis]), times), axis=axis)
    n, k = a.shape[axis], int(times[0])
    wide = (*a.shape[:axis + 1], k, *a.shape[axis + 1:])
    spread = structure.broadcast(a, shape=wide, dims=tuple(i for i in range(len(wide)) if i != axis + 1))
    return reshaped(spread, (*a.shape[:axis], n * k, *a.shape[axis + 1:]))


@records(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """The elements again and again until a shape is filled."""
    a = array(a)
    shape = (int(new_shape),) if isinstance(new_shape, int | np.integer) else tuple(int(n) for n in new_shape)
    if any(n < 0 for n in shape):
        raise ArgumentError.of(f"np.resize to shape {shape}", "extents of 0 or more", "np.reshape(x, (-1, 2))")
    n, many = math.prod(a.shape), math.prod(shape)
    if not n:
        return filled(a, shape, 0, a.dtype)
    rounds = tile(ravel(a), -(-many // n))
    return reshaped(sliced(rounds, 0, 0, many), shape)


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
    """The elements moved along axes, those that leave at the end coming back at the start. One shift may be traced."""
    a = array(a)
    if axis is None:
        return reshaped(roll(ravel(a), shift, 0), a.shape)
    if isinstance(shift, Traced):
        where = axis_of(axis, len(a.shape))
        n = a.shape[where]
        return take(a, ew.remainder(ew.sub(np.arange(n), shift), n), axis=where) if n else a
    shifts, axes = np.broadcast_arrays(np.atleast_1d(shift), np.atleast_1d(axis))
    for by, along in zip(shifts, axes, strict=True):
        where = axis_of(along, len(a.shape))
        n = a.shape[where]
        cut = (n - int(by)) % n if n else 0
        if cut:
            a = structure.concatenate(sliced(a, where, cut, n), sliced(a, where, 0, cut), axis=where)
    return a


@records(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along an axis, ``n`` times."""
    a = array(a)
    if n < 0:
        raise ArgumentError.of(f"np.diff with n={n}", "how often differences are taken: 0 or more", "np.diff(x, n=1)")
    if n == 0:
        return a  # without the ends, as NumPy has it
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
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbouring elements, on request between other elements."""
    parts = [diff(ravel(ary))]
    dtype = parts[0].dtype
    parts = [*([] if to_begin is None else [to_begin]), *parts, *([] if to_end is None else [to_end])]
    return joined([ravel(array(p)) for p in parts], 0, dtype)


@records(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """The array without the entries of an axis at plain (not traced) positions."""
    a = array(arr)
    if axis is None:
        a, axis = ravel(a), 0
    axis = axis_of(axis, len(a.shape))
    if isinstance(obj, Traced):
        raise ArgumentError.of("the shape of np.delete would depend on traced positions", "plain integers",
                               "np.delete(x, 0)")
    return take(a, np.delete(np.arange(a.shape[axis]), obj), axis=axis)


@records(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """The array with values put in before plain (not traced) positions of an axis, or of all elements as one row."""
    if isinstance(obj, Traced):
        raise ArgumentError.of("np.insert at traced positions", "plain integers", "np.insert(x, 0, v)")
    a, added = array(arr), array(values)
    n = math.prod(a.shape)
    numbers = np.arange(n).reshape(a.shape), n + np.arange(math.prod(added.shape)).reshape(added.shape)
    places = np.insert(numbers[0], obj, numbers[1], axis)
    return take(joined([ravel(a), convert(ravel(added), a.dtype)], 0), places, axis=0)
