"""``x[key]`` of a recorded array, and copies with ``x[key]`` changed.

NumPy's rules, with integers, slices, ``...``, ``None`` and arrays of integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ChainruleTypeError, ShapeError
from chainrule.graph import user_source
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, broadcast_shapes, convert, expand
from chainrule.ops.index import take
from chainrule.ops.structure import flip, pad, reshape, slice_, transpose

_INT32 = np.dtype(np.int32)


@dataclass(frozen=True)
class _Array:
    """An array of integers among the keys; it picks from an axis of its own, of extent 1, if it is ``new``."""

    indices: Any
    new: bool = False


@dataclass(frozen=True)
class _Mask:
    """A bool array whose values are known: it picks positions that are known too."""

    mask: Any


def index(x: Any, key: Any) -> Any:
    """``x[key]``."""
    given = _given(key)
    keys = _complete(x, given)
    if any(isinstance(k, _Array) for k in keys):
        return _advanced(x, keys, _together(given))
    return _basic(x, keys)


def _given(key: Any) -> list[Any]:
    return [k for given in (key if isinstance(key, tuple) else (key,)) for k in _plain(given)]


def _together(given: Sequence[Any]) -> bool:
    """Whether arrays of integers, and integers beside them, follow one another; ``...`` parts them even if empty."""
    places = [i for i, k in enumerate(given) if isinstance(k, int | _Array | _Mask)]
    return places == list(range(places[0], places[-1] + 1))


def _plain(key: Any) -> list[Any]:
    """One given key as slices, integers, ``None``, ``...`` and arrays of integers."""
    if key is None or key is Ellipsis or isinstance(key, slice):
        return [key]
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return [int(key)]
    array: Any = key if isinstance(key, Traced) else np.asarray(key)
    if array.dtype == dtypes.BOOL:
        if isinstance(key, Traced):
            source = user_source()
            where = f" (line {source.line} of {source.file})" if source else ""
            raise ChainruleTypeError.of(f"indexing with a bool mask gives a shape that depends on values{where}",
                                        "a fixed shape", "np.where(mask, x, 0)")
        return [_Mask(array)]
    if array.dtype.kind not in "iu" and not (array.size == 0 and not isinstance(key, Traced)):
        raise IndexError(f"an index is a {type(key).__name__} of dtype {array.dtype}, not an integer or a slice")
    return [_Array(array if array.dtype.kind in "iu" else array.astype(np.int64))]


def _complete(x: Any, keys: list[Any]) -> list[Any]:
    """Keys for all axes: ``...`` written out, masks as positions."""
    taken = sum(k.mask.ndim if isinstance(k, _Mask) else 1 for k in keys if k is not None and k is not Ellipsis)
    ndim = len(x.shape)
    if taken > ndim:
        raise ShapeError.of(f"{taken} indices for an array of {ndim} axes (shape {x.shape})", f"at most {ndim}", "")
    at = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
    out: list[Any] = []
    axis = 0
    for k in [*keys[:at], *[slice(None)] * (ndim - taken), *keys[at + 1:]]:
        if isinstance(k, _Mask) and not k.mask.ndim:  # one bool: all of x, or nothing of it, behind a new axis
            out.append(_Array(np.zeros(int(k.mask), np.int64), new=True))
        elif isinstance(k, _Mask):
            extents = x.shape[axis:axis + k.mask.ndim]
            if k.mask.shape != extents:
                raise ShapeError.of(f"a mask of shape {k.mask.shape} for axes of extents {extents}", "equal shapes", "")
            out += [_Array(positions) for positions in np.nonzero(k.mask)]
            axis += k.mask.ndim
        elif k is None:
            out.append(k)
        else:
            out.append(k)
            axis += 1
    return out


def _adds(key: Any) -> bool:
    """Whether a key stands for a new axis."""
    return key is None or (isinstance(key, _Array) and key.new)


def _basic(x: Any, keys: Sequence[Any]) -> Any:
    """Integers, slices and new axes: a slice, a flip, a reshape. Arrays of integers are left for later (whole axes)."""
    start, stop, step, flipped, shape = [], [], [], [], []
    axis = 0
    for k in keys:
        if _adds(k):
            shape.append(1)
            continue
        extent = x.shape[axis]
        positions = range(extent)
        if isinstance(k, slice):
            positions = range(*k.indices(extent))
            if positions.step < 0:
                flipped.append(axis)
                positions = positions[::-1]
            shape.append(len(positions))
        elif isinstance(k, int):
            if not -extent <= k < extent:
                raise IndexError(f"index {k} is out of range for axis {axis} of extent {extent}")
            positions = range(k % extent, k % extent + 1)
        else:
            shape.append(extent)
        start.append(positions.start if len(positions) else 0)
        stop.append(positions.stop if len(positions) else 0)
        step.append(positions.step)
        axis += 1
    if any((a, b, s) != (0, n, 1) for a, b, s, n in zip(start, stop, step, x.shape, strict=True)):
        x = slice_(x, start=tuple(start), stop=tuple(stop), step=tuple(step))
    if flipped:
        x = flip(x, axes=tuple(flipped))
    return x if x.shape == tuple(shape) else reshape(x, shape=tuple(shape))


@dataclass(frozen=True)
class _Picking:
    """How arrays of integers pick: axes of ``region`` (what the other keys leave) are moved and become one."""

    order: tuple[int, ...]  # of the region's axes, the picked ones together
    moved: tuple[int, ...]  # the region's shape in that order
    merged: tuple[int, ...]  # the same with the picked axes as one
    axis: int  # that one
    indices: Any  # positions along it

    @staticmethod
    def of(region: Any, keys: list[Any], together: bool) -> _Picking:
        places = [i for i, k in enumerate(keys) if isinstance(k, _Array)]
        total = math.prod(region.shape[i] for i in places)
        indices = [checked_indices(keys[i].indices, region.shape[i], i, total) for i in places]
        picked = broadcast_shapes(*(i.shape for i in indices))
        rest = [i for i in range(len(keys)) if i not in places]
        at = places[0] if together else 0  # NumPy puts axes picked apart from each other first
        order = (*rest[:at], *places, *rest[at:])
        moved = tuple(region.shape[i] for i in order)
        extents = moved[at:at + len(places)]
        flat = expand(indices[0], picked)
        for position, extent in zip(indices[1:], extents[1:], strict=True):
            flat = ew.add(ew.mul(flat, extent), position)
        return _Picking(order, moved, (*moved[:at], total, *moved[at + len(places):]), at, flat)

    def merge(self, region: Any) -> Any:
        return _reshaped(_transposed(region, self.order), self.merged)

    def unmerge(self, x: Any) -> Any:
        return _transposed(_reshaped(x, self.moved), [self.order.index(i) for i in range(len(self.order))])


def _advanced(x: Any, keys: list[Any], together: bool) -> Any:
    """Arrays of integers: the axes they index become one, and one ``take`` picks from it."""
    keys = _with_arrays(keys)
    region = _basic(x, keys)  # None has become an axis of extent 1: from here on, one axis for each key
    pick = _Picking.of(region, keys, together)
    return take(pick.merge(region), pick.indices, axis=pick.axis)


def _with_arrays(keys: list[Any]) -> list[Any]:
    """Integers beside arrays of integers are such arrays."""
    return [_Array(np.asarray(k)) if isinstance(k, int) else k for k in keys]


def _reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == tuple(shape) else reshape(x, shape=tuple(shape))


def _transposed(x: Any, axes: Sequence[int]) -> Any:
    return x if tuple(axes) == tuple(range(len(x.shape))) else transpose(x, axes=tuple(axes))


# ---------------------------------------------------------------- updates


def updated(x: Any, key: Any, plain: Any, picked: Any) -> Any:
    """A copy of ``x`` in which ``x[key]`` is changed.

    Without arrays of integers in ``key``, what is there becomes ``plain(x[key])``. With them,
    ``picked(a, indices, axis)`` gives the new ``a``, an array in which ``indices`` along ``axis`` pick what ``key``
    picks of ``x``.
    """
    given = _given(key)
    keys = _complete(x, given)
    if not any(isinstance(k, _Array) for k in keys):
        return _put(x, keys, plain(_basic(x, keys)))
    keys = _with_arrays(keys)
    region = _basic(x, keys)
    pick = _Picking.of(region, keys, _together(given))
    return _put(x, keys, pick.unmerge(picked(pick.merge(region), pick.indices, pick.axis)))


def _put(x: Any, keys: Sequence[Any], new: Any) -> Any:
    """``x`` with ``new`` as the region that integers, slices and new axes select: undoes :func:`_basic`."""
    axes: list[range] = []
    flipped: list[int] = []
    for k, extent in zip((k for k in keys if not _adds(k)), x.shape, strict=True):
        positions = range(extent)
        if isinstance(k, slice):
            positions = range(*k.indices(extent))
            if positions.step < 0:
                flipped.append(len(axes))
                positions = positions[::-1]
        elif isinstance(k, int):
            positions = range(k % extent, k % extent + 1)
        axes.append(positions)
    new = _reshaped(new, tuple(len(p) for p in axes))
    if flipped:
        new = flip(new, axes=tuple(flipped))
    if new.shape == x.shape:
        return new
    if math.prod(new.shape) == 0:
        return ew.copy(x)
    here: Any = None
    for axis, (p, extent) in enumerate(zip(axes, x.shape, strict=True)):
        if len(p) == extent:
            continue
        inside = np.zeros(extent, np.bool_)
        inside[p.start:p.stop:p.step] = True
        along = inside.reshape([-1 if i == axis else 1 for i in range(len(x.shape))])
        here = along if here is None else ew.bit_and(here, along)
    spread = pad(new, shape=x.shape, start=tuple(p.start for p in axes), step=tuple(p.step for p in axes))
    return ew.select(here, spread, x)


def checked_indices(indices: Any, extent: int, axis: int, total: int = 0) -> Any:
    """Integer positions counted from the front. Known ones must be in range; traced ones are not checked.

    Their dtype holds ``extent``, and ``total`` where positions along several axes become one.
    """
    if isinstance(indices, Traced):
        indices = holding(indices, max(extent, total))
        return ew.select(ew.lt(indices, 0), ew.add(indices, extent), indices) if indices.dtype.kind == "i" else indices
    wrong = (indices < -extent) | (indices >= extent)
    if wrong.any():
        first = indices[wrong][0] if indices.ndim else indices
        raise IndexError(f"index {first} is out of range for axis {axis} of extent {extent}")
    return np.where(indices < 0, indices + extent, indices).astype(np.int64)


def holding(indices: Any, largest: int) -> Any:
    """Whole numbers in a dtype in which arithmetic with numbers up to ``largest`` does not overflow."""
    if largest <= np.iinfo(indices.dtype).max:
        return indices
    return convert(indices, _INT32 if largest <= np.iinfo(_INT32).max else dtypes.INT64)
