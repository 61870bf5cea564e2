"""Positions and elements picked by integer arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ChainruleTypeError
from chainrule.ops.declare import Op

iota: Op = Op(
    "iota", "0, 1, 2, … along ``axis`` of an array of ``shape``.", "iota", arity=0,
    infer=lambda shape, dtype, axis: (shape, np.dtype(dtype)),
    reference=lambda shape, dtype, axis: np.array(np.broadcast_to(
        np.arange(shape[axis], dtype=dtype).reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)))


def _take_infer(x: Any, indices: Any, axis: int) -> Any:
    if indices[1].kind not in "iu":
        raise ChainruleTypeError.of(f"indices of dtype {indices[1]}", "integers", "np.take(x, indices.astype(int))")
    return (*x[0][:axis], *indices[0], *x[0][axis + 1:]), x[1]


take: Op = Op(
    "take", "The entries of ``axis`` at integer indices (clamped to the range).", "take", infer=_take_infer,
    reference=lambda x, indices, axis: np.take(x, indices, axis=axis, mode="clip"),
    jvp=lambda t, x, out, axis: None if t[0] is None else take(t[0], x[1], axis=axis),
    transpose=lambda ct, x, axis: [scatter_add(ct, x[1], axis=axis, extent=x[0].shape[axis]), None],
    arity=2, onnx="Gather")


def _scatter_infer(x: Any, indices: Any, axis: int, extent: int) -> Any:
    return (*x[0][:axis], extent, *x[0][axis + len(indices[0]):]), x[1]


def _scatter_reference(x: Any, indices: Any, axis: int, extent: int) -> Any:
    out = np.zeros((*x.shape[:axis], extent, *x.shape[axis + indices.ndim:]), x.dtype)
    where = (slice(None),) * axis + (np.clip(indices, 0, extent - 1),)
    np.add.at(out, where, x)
    return out


scatter_add: Op = Op(
    "scatter_add", "Zeros with the entries added along ``axis`` at integer indices: the transpose of ``take``.",
    "scatter_add", infer=_scatter_infer, reference=_scatter_reference,
    jvp=lambda t, x, out, **p: None if t[0] is None else scatter_add(t[0], x[1], **p),
    transpose=lambda ct, x, axis, extent: [take(ct, x[1], axis=axis), None], arity=2)
