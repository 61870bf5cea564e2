"""Products of vectors, matrices and arrays, all brought to the one contraction."""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.numpy.common import array, axis_of, last, records, reshaped, transposed
from chainrule.numpy.reductions import sum_
from chainrule.ops import elementwise as ew
from chainrule.ops import reduce
from chainrule.ops.contract import contract
from chainrule.ops.declare import broadcast_shapes, common_dtype, convert
from chainrule.trace import no_out

Labels = tuple[int, ...]


def labelled(a: Any, b: Any, a_axes: Labels, b_axes: Labels, out: Labels) -> Any:
    """Σ over the labels that are not in ``out`` of a · b, in their common dtype.

    A label is in two of the three at least. An extent of 1 stands against any other.
    """
    dtype = common_dtype((a, b))
    if dtype.kind == "b":
        return ew.ne(labelled(convert(a, np.dtype(np.int32)), convert(b, np.dtype(np.int32)), a_axes, b_axes, out), 0)
    a, b = convert(a, dtype), convert(b, dtype)
    a, a_axes, b, b_axes = *_widened(a, a_axes, b, b_axes), *_widened(b, b_axes, a, a_axes)
    a, a_axes = summed_alone(a, a_axes, {*b_axes, *out})
    b, b_axes = summed_alone(b, b_axes, {*a_axes, *out})
    if all(x in out for x in a_axes) and all(x in out for x in b_axes):
        return _product(a, b, a_axes, b_axes, out)
    return contract(a, b, a_axes=a_axes, b_axes=b_axes, out_axes=out)


def summed_alone(x: Any, axes: Labels, needed: Container[int]) -> tuple[Any, Labels]:
    """``x`` summed over the labels that nothing else needs."""
    alone = tuple(k for k, label in enumerate(axes) if label not in needed)
    if not alone:
        return x, axes
    x = sum_(x, alone, dtype=x.dtype) if x.dtype.kind != "b" else reduce.any_(x, axes=alone)
    return x, tuple(label for label in axes if label in needed)


def _widened(x: Any, axes: Labels, other: Any, other_axes: Labels) -> tuple[Any, Labels]:
    """``x`` without the axes of extent 1 that stand against a longer one: the product repeats it by itself."""
    longer = {label for label, n in zip(other_axes, other.shape, strict=True) if n != 1}
    keep = [i for i, label in enumerate(axes) if x.shape[i] != 1 or label not in longer]
    return reshaped(x, [x.shape[i] for i in keep]), tuple(axes[i] for i in keep)


def _product(a: Any, b: Any, a_axes: Labels, b_axes: Labels, out: Labels) -> Any:
    """Nothing to sum: a broadcast product."""
    def placed(x: Any, axes: Labels) -> Any:
        x = transposed(x, sorted(range(len(axes)), key=lambda i: out.index(axes[i])))
        extents = dict(zip(sorted(axes, key=out.index), x.shape, strict=True))
        return reshaped(x, [extents.get(label, 1) for label in out])
    return ew.mul(placed(a, a_axes), placed(b, b_axes))


# ---------------------------------------------------------------- products

_M, _N, _K = 1001, 1002, 1003


@records(np.matmul, np.linalg.matmul)
def matmul(a: Any, b: Any) -> Any:
    """The matrix product; axes before the last two are a stack, and broadcast."""
    a, b = array(a), array(b)
    if not a.shape or not b.shape:
        raise ShapeError.of("a matrix product got a scalar", "arrays of one axis or more", "a * b")
    inner = b.shape[-2] if len(b.shape) > 1 else b.shape[0]
    if a.shape[-1] != inner:
        hint = "a @ b.T" if a.shape[-1] == b.shape[-1] else "a.T @ b" if a.shape[0] == inner else ""
        raise ShapeError.of(f"cannot multiply matrices of shapes {a.shape} and {b.shape}: {a.shape[-1]} columns "
                            f"against {inner} rows",
                            "the last axis of the first as long as the second-to-last of the second", hint)
    a_axes = (*_stacked(a), _M, _K) if len(a.shape) > 1 else (_K,)
    b_axes = (*_stacked(b), _K, _N) if len(b.shape) > 1 else (_K,)
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = (*range(len(lead), 0, -1), *((_M,) if _M in a_axes else ()), *((_N,) if _N in b_axes else ()))
    return labelled(a, b, a_axes, b_axes, out)


def _stacked(x: Any) -> Labels:
    return tuple(range(len(x.shape) - 2, 0, -1))  # counted from the matrices outward, as broadcasting does


@records(np.vecdot, np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The products of corresponding vectors along an axis, of each array its own; the other axes broadcast."""
    x1, x2 = (last(x, axis_of(axis, len(x.shape))) for x in (array(x1), array(x2)))
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError.of(f"np.vecdot of vectors of lengths {x1.shape[-1]} and {x2.shape[-1]}", "equal lengths",
                            "np.vecdot(x, x)")
    n = len(broadcast_shapes(x1.shape, x2.shape))
    first, second = (tuple(range(n - len(x.shape), n)) for x in (x1, x2))
    return labelled(x1, x2, first, second, tuple(range(n - 1)))


@records(np.matvec)
def matvec(x1: Any, x2: Any) -> Any:
    """Matrices times vectors."""
    x1, x2 = array(x1), array(x2)
    if len(x1.shape) < 2 or not x2.shape:
        raise ShapeError.of(f"np.matvec got arrays of shapes {x1.shape} and {x2.shape}",
                            "a matrix and a vector, or stacks of them", "np.matvec(np.ones((3, 2)), np.ones(2))")
    out = matmul(x1, reshaped(x2, (*x2.shape, 1)))
    return reshaped(out, out.shape[:-1])


@records(np.vecmat)
def vecmat(x1: Any, x2: Any) -> Any:
    """Vectors times matrices."""
    x1, x2 = array(x1), array(x2)
    if not x1.shape or len(x2.shape) < 2:
        raise ShapeError.of(f"np.vecmat got arrays of shapes {x1.shape} and {x2.shape}",
                            "a vector and a matrix, or stacks of them", "np.vecmat(np.ones(3), np.ones((3, 2)))")
    out = matmul(reshaped(x1, (*x1.shape[:-1], 1, x1.shape[-1])), x2)
    return reshaped(out, (*out.shape[:-2], out.shape[-1]))


@records(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """The sum over the last axis of the first and the second-to-last of the second."""
    no_out("np.dot", out)
    a, b = array(a), array(b)
    if not a.shape or not b.shape:
        return ew.mul(a, b)
    return tensordot(a, b, ((len(a.shape) - 1,), (max(len(b.shape) - 2, 0),)))


@records(np.inner)
def inner(a: Any, b: Any) -> Any:
    """The sum over the last axes of both."""
    a, b = array(a), array(b)
    if not a.shape or not b.shape:
        return ew.mul(a, b)
    return tensordot(a, b, ((len(a.shape) - 1,), (len(b.shape) - 1,)))


@records(np.vdot)
def vdot(a: Any, b: Any) -> Any:
    """The sum of the products of all elements."""
    a, b = array(a), array(b)
    return dot(reshaped(a, (math.prod(a.shape),)), reshaped(b, (math.prod(b.shape),)))


@records(np.linalg.outer)
def outer_of_vectors(x1: Any, x2: Any, /) -> Any:
    """All products of an element of one vector and an element of another."""
    for x in (x1, x2):
        if len(np.shape(x)) != 1:
            raise ShapeError.of(f"np.linalg.outer of an array of shape {np.shape(x)}", "vectors",
                                "np.outer(a, b)   # of all elements")
    return outer(x1, x2)


@records(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """All products of an element of one and an element of the other."""
    no_out("np.outer", out)
    a, b = array(a), array(b)
    return ew.mul(reshaped(a, (math.prod(a.shape), 1)), reshaped(b, (1, math.prod(b.shape))))


@records(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """The sum over pairs of axes: their number (last of the first, first of the second), or two lists."""
    a, b = array(a), array(b)
    n, m = len(a.shape), len(b.shape)
    if isinstance(axes, int | np.integer):
        first, second = list(range(n - int(axes), n)), list(range(int(axes)))
    else:
        first, second = ([axis_of(x, k) for x in np.atleast_1d(side)] for side, k in zip(axes, (n, m), strict=True))
    if len(first) != len(second) or any(a.shape[i] != b.shape[j] for i, j in zip(first, second, strict=True)):
        raise ShapeError.of(f"cannot sum over axes {tuple(first)} of shape {a.shape} and {tuple(second)} "
                            f"of shape {b.shape}",
                            "axes of equal extents", "np.tensordot(a, b, axes=([1], [0]))")
    b_axes = [n + j for j in range(m)]
    for i, j in zip(first, second, strict=True):
        b_axes[j] = i
    out = [i for i in range(n) if i not in first] + [x for x in b_axes if x >= n]
    return labelled(a, b, tuple(range(n)), tuple(b_axes), tuple(out))


@records(np.kron)
def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: the second array once for each element of the first, scaled by it."""
    a, b = array(a), array(b)
    n = max(len(a.shape), len(b.shape))
    a, b = (reshaped(x, (1,) * (n - len(x.shape)) + tuple(x.shape)) for x in (a, b))
    product = ew.mul(reshaped(a, [e for k in a.shape for e in (k, 1)]),
                     reshaped(b, [e for k in b.shape for e in (1, k)]))
    return reshaped(product, [i * j for i, j in zip(a.shape, b.shape, strict=True)])


def _axis_last(x: Any, axis: int) -> Any:
    n = len(x.shape)
    return transposed(x, [i for i in range(n) if i != axis_of(axis, n)] + [axis_of(axis, n)])


@records(np.cross, np.linalg.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The cross product of vectors of three numbers."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = array(a), array(b)
    a, b = _axis_last(a, axisa), _axis_last(b, axisb)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ShapeError.of(f"the cross product of vectors of {a.shape[-1]} and {b.shape[-1]} numbers", "three each",
                            "")
    x, y, z = (a[..., i:i + 1] for i in range(3))
    u, v, w = (b[..., i:i + 1] for i in range(3))
    parts = [ew.sub(ew.mul(y, w), ew.mul(z, v)), ew.sub(ew.mul(z, u), ew.mul(x, w)), ew.sub(ew.mul(x, v), ew.mul(y, u))]
    out = np.concatenate(parts, axis=-1)
    order = list(range(len(out.shape) - 1))
    order.insert(axis_of(axisc, len(out.shape)), len(out.shape) - 1)
    return transposed(out, order)
