"""Operations that move elements: broadcast, reshape, transpose, slice, flip, pad, concatenate.

``view`` rules map the index of an output element to the index of its input element. An index is a
list of affine expressions, which views only permute, scale, shift or drop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ops.declare import Op, leading
from chainrule.ops.reduce import sum_


def _size(shape: Sequence[int]) -> int:
    n = 1
    for extent in shape:
        n *= extent
    return n


def _broadcast_reference(x: Any, shape: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    if not dims and x.flags.c_contiguous:  # one element everywhere: as np.broadcast_to, without its overhead
        out = np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
        out.flags.writeable = False
        return out
    full = [1] * len(shape)
    for d, n in zip(dims, x.shape, strict=True):
        full[d] = n
    return np.broadcast_to(np.reshape(x, full), shape)


def _broadcast_transpose(ct: Any, x: Any, shape: tuple[int, ...], dims: tuple[int, ...]) -> list[Any]:
    return [sum_(ct, axes=tuple(i for i in range(len(shape)) if i not in dims))]


broadcast: Op = Op(
    "broadcast", "The array repeated along new axes; ``dims[k]`` is where axis k goes.", "view",
    infer=lambda x, shape, dims: (shape, x[1]), reference=_broadcast_reference,
    jvp=lambda t, x, out, **p: broadcast(t[0], **p), transpose=_broadcast_transpose, onnx="Expand",
    view=lambda index, x_shape, shape, dims: [index[d] for d in dims],
    batch=lambda args, batched, size, shape, dims: broadcast(
        args[0], shape=(size, *shape), dims=(0, *(d + 1 for d in dims))))


def _reshape_infer(x: Any, shape: tuple[int, ...]) -> Any:
    if _size(x[0]) != _size(shape):
        raise ShapeError.of(f"cannot reshape an array of shape {x[0]} ({_size(x[0])} elements) to {shape}",
                            f"a shape of {_size(x[0])} elements, one extent may be -1", "x.reshape(len(x), -1)")
    return shape, x[1]


def _reshape_view(index: list[Any], x_shape: tuple[int, ...], shape: tuple[int, ...]) -> list[Any] | None:
    """Reading through a reshape that only adds or drops axes of extent 1; None for others."""
    kept = [i for i, n in zip(index, shape, strict=True) if n != 1]
    if [n for n in shape if n != 1] != [n for n in x_shape if n != 1]:
        return None
    rest = iter(kept)
    return [None if n == 1 else next(rest) for n in x_shape]


reshape: Op = Op(
    "reshape", "The elements in row-major order under another shape.", "reshape", infer=_reshape_infer,
    reference=lambda x, shape: np.reshape(x, shape), jvp=lambda t, x, out, shape: reshape(t[0], shape=shape),
    transpose=lambda ct, x, shape: [reshape(ct, shape=x[0].shape)], onnx="Reshape", view=_reshape_view,
    batch=lambda args, batched, size, shape: reshape(args[0], shape=(size, *shape)))


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


transpose: Op = Op(
    "transpose", "The axes in another order.", "view",
    infer=lambda x, axes: (tuple(x[0][a] for a in axes), x[1]), reference=lambda x, axes: np.transpose(x, axes),
    jvp=lambda t, x, out, axes: transpose(t[0], axes=axes),
    transpose=lambda ct, x, axes: [transpose(ct, axes=_inverse(axes))], onnx="Transpose",
    view=lambda index, x_shape, axes: [index[i] for i in _inverse(axes)],
    batch=lambda args, batched, size, axes: transpose(args[0], axes=(0, *(a + 1 for a in axes))))


def _slice_infer(x: Any, start: tuple[int, ...], stop: tuple[int, ...], step: tuple[int, ...]) -> Any:
    return tuple(len(range(a, b, s)) for a, b, s in zip(start, stop, step, strict=True)), x[1]


def _slice_transpose(
    ct: Any, x: Any, start: tuple[int, ...], stop: tuple[int, ...], step: tuple[int, ...]
) -> list[Any]:
    return [pad(ct, shape=x[0].shape, start=start, step=step)]


slice_: Op = Op(
    "slice", "Every ``step``-th element from ``start`` to before ``stop``, for each axis; steps are positive.", "view",
    infer=_slice_infer,
    reference=lambda x, start, stop, step: x[tuple(slice(a, b, s) for a, b, s in zip(start, stop, step, strict=True))],
    jvp=lambda t, x, out, **p: slice_(t[0], **p), transpose=_slice_transpose, onnx="Slice",
    view=lambda index, x_shape, start, stop, step: [i.affine(s, a) for i, a, s in zip(index, start, step, strict=True)],
    batch=lambda args, batched, size, start, stop, step: slice_(args[0], start=(0, *start), stop=(size, *stop),
                                                                step=(1, *step)))

flip: Op = Op(
    "flip", "The elements in reverse order along the axes.", "view", infer=lambda x, axes: x,
    reference=lambda x, axes: np.flip(x, axes), jvp=lambda t, x, out, axes: flip(t[0], axes=axes),
    transpose=lambda ct, x, axes: [flip(ct, axes=axes)],
    view=lambda index, x_shape, axes: [i.affine(-1, n - 1) if a in axes else i
                                       for a, (i, n) in enumerate(zip(index, x_shape, strict=True))],
    batch=lambda args, batched, size, axes: flip(args[0], axes=tuple(a + 1 for a in axes)))


def _pad_reference(x: Any, shape: tuple[int, ...], start: tuple[int, ...], step: tuple[int, ...]) -> Any:
    out = np.zeros(shape, x.dtype)
    out[_placed(x.shape, start, step)] = x
    return out


def _placed(extents: Sequence[int], start: Sequence[int], step: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(a, a + s * (n - 1) + 1 if n else a, s) for n, a, s in zip(extents, start, step, strict=True))


pad: Op = Op(
    "pad", "Zeros of ``shape`` with the array placed at ``start``, every ``step``-th element.", "pad",
    infer=lambda x, shape, start, step: (shape, x[1]), reference=_pad_reference,
    jvp=lambda t, x, out, **p: pad(t[0], **p), onnx="Pad",
    transpose=lambda ct, x, shape, start, step: [slice_(
        ct, start=start, step=step, stop=tuple(s.stop for s in _placed(x[0].shape, start, step)))],
    batch=lambda args, batched, size, shape, start, step: pad(args[0], shape=(size, *shape), start=(0, *start),
                                                              step=(1, *step)))


def _concatenate_infer(*inputs: Any, axis: int) -> Any:
    first, dtype = inputs[0]
    for shape, _ in inputs[1:]:
        if len(shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != axis
        ):
            raise ShapeError.of(
                f"cannot concatenate arrays of shapes {', '.join(str(s) for s, _ in inputs)} along axis {axis}",
                "shapes that agree on all other axes",
                "np.concatenate([a, b], axis=1)",
            )
    return (*first[:axis], sum(s[axis] for s, _ in inputs), *first[axis + 1:]), dtype


def _concatenate_jvp(t: Sequence[Any], x: Sequence[Any], out: Any, axis: int) -> Any:
    filled = [np.zeros(i.shape, i.dtype) if a is None else a for a, i in zip(t, x, strict=True)]
    return concatenate(*filled, axis=axis)


def _concatenate_transpose(ct: Any, x: Any, axis: int) -> list[Any]:
    out, at = [], 0
    for operand in x:
        shape = operand.shape
        start = tuple(at if i == axis else 0 for i in range(len(shape)))
        stop = tuple(at + n if i == axis else n for i, n in enumerate(shape))
        out.append(slice_(ct, start=start, stop=stop, step=(1,) * len(shape)))
        at += shape[axis]
    return out


concatenate: Op = Op(
    "concatenate", "The arrays one after the other along ``axis``.", "concatenate", infer=_concatenate_infer,
    reference=lambda *x, axis: np.concatenate(x, axis=axis), jvp=_concatenate_jvp,
    transpose=_concatenate_transpose, onnx="Concat", arity=-1,
    batch=lambda args, batched, size, axis: concatenate(
        *(leading(x, b, size) for x, b in zip(args, batched, strict=True)), axis=axis + 1))
