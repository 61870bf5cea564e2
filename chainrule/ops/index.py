"""Positions and elements picked by integer arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.dtypes import INT64
from chainrule.errors import ChainruleTypeError
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Op, leading, widening
from chainrule.ops.structure import reshape, transpose

iota: Op = Op(
    "iota", "0, 1, 2, … along ``axis`` of an array of ``shape``.", "iota", arity=0,
    infer=lambda shape, dtype, axis: (shape, np.dtype(dtype)),
    reference=lambda shape, dtype, axis: np.array(np.broadcast_to(
        np.arange(shape[axis], dtype=dtypes.widened(np.dtype(dtype))).astype(dtype).reshape(
            [-1 if i == axis else 1 for i in range(len(shape))]), shape)))


def _take_infer(x: Any, indices: Any, axis: int) -> Any:
    if indices[1].kind not in "iu":
        raise ChainruleTypeError.of(f"indices of dtype {indices[1]}", "integers", "np.take(x, indices.astype(int))")
    return (*x[0][:axis], *indices[0], *x[0][axis + 1:]), x[1]


def flat_batch(indices: Any, batched: bool, size: int, extent: int) -> Any:
    """Indices into the batch axis and an axis of ``extent`` taken as one."""
    wide = ew.cast(leading(indices, batched, size), dtype=INT64)  # small integers would not hold size·extent
    picked = ew.minimum(ew.maximum(wide, 0), extent - 1)
    first = ew.mul(iota.reference((size,), picked.dtype, 0), extent)
    return ew.add(picked, first.reshape(size, *(1 for _ in picked.shape[1:])))


def _take_batch(args: Any, batched: Any, size: int, axis: int) -> Any:
    x, indices = args
    if not batched[1]:
        return take(x, indices, axis=axis + 1)
    if not batched[0]:  # the batch axis of the indices moves to the front
        out = take(x, indices, axis=axis)
        n = len(out.shape)
        return transpose(out, axes=(axis, *(i for i in range(n) if i != axis)))
    n, extent = len(x.shape), x.shape[axis + 1]
    rest = [i for i in range(1, n) if i != axis + 1]
    rows = reshape(transpose(x, axes=(0, axis + 1, *rest)), shape=(size * extent, *(x.shape[i] for i in rest)))
    out = take(rows, flat_batch(indices, True, size, extent), axis=0)
    picked = len(indices.shape)  # (size, *picked, *rest): the axes before ``axis`` go back to their place
    before = range(picked, picked + axis)
    order = (0, *before, *range(1, picked), *range(picked + axis, len(out.shape)))
    return transpose(out, axes=order)


take: Op = Op(
    "take", "The entries of ``axis`` at integer indices (clamped to the range).", "take", infer=_take_infer,
    reference=lambda x, indices, axis: np.take(x, indices, axis=axis, mode="clip"),
    jvp=lambda t, x, out, axis: None if t[0] is None else take(t[0], x[1], axis=axis),
    transpose=lambda ct, x, axis: [scatter_add(ct, x[1], axis=axis, extent=x[0].shape[axis]), None],
    arity=2, onnx="Gather", batch=_take_batch)


def _scatter_infer(x: Any, indices: Any, axis: int, extent: int) -> Any:
    return (*x[0][:axis], extent, *x[0][axis + len(indices[0]):]), x[1]


def _scatter_reference(x: Any, indices: Any, axis: int, extent: int) -> Any:
    out = np.zeros((*x.shape[:axis], extent, *x.shape[axis + indices.ndim:]), x.dtype)
    where = (slice(None),) * axis + (np.clip(indices, 0, extent - 1),)
    np.add.at(out, where, x)
    return out


def scatter_batch(op: Callable[[], Op]) -> Callable[..., Any]:
    """The batch rule of an operation that combines entries at positions of an axis."""
    def rule(args: Any, batched: Any, size: int, axis: int, extent: int, **params: Any) -> Any:
        x, indices = leading(args[0], batched[0], size), args[1]
        if not batched[1]:
            return op()(x, indices, axis=axis + 1, extent=extent, **params)
        picked = len(indices.shape) - 1
        before = range(1, 1 + axis)
        order = (0, *range(1 + axis, 1 + axis + picked), *before, *range(1 + axis + picked, len(x.shape)))
        rows = op()(transpose(x, axes=order), flat_batch(indices, True, size, extent), axis=0, extent=size * extent,
                    **params)
        out = reshape(rows, shape=(size, extent, *rows.shape[1:]))
        return transpose(out, axes=(0, *range(2, 2 + axis), 1, *range(2 + axis, len(out.shape))))
    return rule


scatter_add: Op = Op(
    "scatter_add", "Zeros with the entries added along ``axis`` at integer indices: the transpose of ``take``.",
    "scatter_add", infer=_scatter_infer, reference=widening(_scatter_reference),
    jvp=lambda t, x, out, **p: None if t[0] is None else scatter_add(t[0], x[1], **p),
    transpose=lambda ct, x, axis, extent: [take(ct, x[1], axis=axis), None], arity=2,
    batch=scatter_batch(lambda: scatter_add))
