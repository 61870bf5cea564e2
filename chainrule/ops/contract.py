"""The contraction: out[i…] = Σ_r a[i…, r…] · b[i…, r…]. Matrix products in every transposition are one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ops.declare import Op, is_linear, widened

Labels = tuple[int, ...]


def _infer(a: Any, b: Any, a_axes: Labels, b_axes: Labels, out_axes: Labels) -> Any:
    extent = dict(zip(a_axes, a[0], strict=True))
    for label, n in zip(b_axes, b[0], strict=True):
        if extent.setdefault(label, n) != n:
            raise ShapeError.of(f"cannot multiply arrays of shapes {a[0]} and {b[0]}: {extent[label]} against {n}",
                                "the last axis of the first as long as the second-to-last of the second",
                                "a @ b.T   # or transpose the other operand")
    return tuple(extent[label] for label in out_axes), a[1]


def _reference(a: Any, b: Any, a_axes: Labels, b_axes: Labels, out_axes: Labels) -> Any:
    summed = [x for x in a_axes if x in b_axes and x not in out_axes]
    shared = [x for x in out_axes if x in a_axes and x in b_axes]
    dtype, a, b = a.dtype, widened(a), widened(b)
    with np.errstate(all="ignore"):
        if shared or a.dtype.kind != "f":
            number = {label: i for i, label in enumerate(dict.fromkeys((*a_axes, *b_axes)))}  # einsum takes 0 … 51 only
            named = ([number[x] for x in axes] for axes in (a_axes, b_axes, out_axes))
            return np.asarray(np.einsum(a, next(named), b, next(named), next(named))).astype(dtype, copy=False)
        out = np.asarray(np.tensordot(a, b, ([a_axes.index(x) for x in summed], [b_axes.index(x) for x in summed])))
        out = out.astype(dtype, copy=False)
    have = [x for x in (*a_axes, *b_axes) if x not in summed]
    return np.transpose(out, [have.index(x) for x in out_axes]) if have != list(out_axes) else out


def _jvp(t: Sequence[Any], x: Sequence[Any], out: Any, **p: Any) -> Any:
    from_a = None if t[0] is None else contract(t[0], x[1], **p)
    from_b = None if t[1] is None else contract(x[0], t[1], **p)
    if from_a is None or from_b is None:
        return from_b if from_a is None else from_a
    return from_a + from_b


def _transpose(ct: Any, x: Sequence[Any], a_axes: Labels, b_axes: Labels, out_axes: Labels) -> list[Any]:
    if is_linear(x[0]):
        return [contract(ct, x[1], a_axes=out_axes, b_axes=b_axes, out_axes=a_axes), None]
    return [None, contract(x[0], ct, a_axes=a_axes, b_axes=out_axes, out_axes=b_axes)]


def _batch(args: Sequence[Any], batched: Sequence[bool], size: int, a_axes: Labels, b_axes: Labels,
           out_axes: Labels) -> Any:
    """One more label, of the operands that are batched."""
    label = 1 + max((*a_axes, *b_axes), default=0)
    a_axes, b_axes = ((label, *axes) if flag else axes for flag, axes in zip(batched, (a_axes, b_axes), strict=True))
    return contract(*args, a_axes=a_axes, b_axes=b_axes, out_axes=(label, *out_axes))


contract: Op = Op(
    "contract", "Σ over the labels that are not in ``out_axes`` of the product of two arrays with labelled axes; every "
    "label is in two of the three.", "contract", infer=_infer, reference=_reference, jvp=_jvp, transpose=_transpose,
    arity=2, kinds=("f", "i", "u"), onnx="Einsum", batch=_batch)
