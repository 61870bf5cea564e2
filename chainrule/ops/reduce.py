"""Operations that combine the elements along axes. The axes are dropped from the shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ops.declare import REGISTRY, Op, widening
from chainrule.ops.elementwise import add, cast, div, eq, mul


def _infer(x: Any, axes: tuple[int, ...]) -> Any:
    return tuple(n for i, n in enumerate(x[0]) if i not in axes), x[1]


def _infer_extreme(x: Any, axes: tuple[int, ...]) -> Any:
    if any(x[0][a] == 0 for a in axes):
        raise ShapeError.of(f"the largest or smallest element of an axis of extent 0 (shape {x[0]}) does not exist",
                            "at least one element", "np.max(x, initial=0)")
    return _infer(x, axes)


def _batch(name: str) -> Callable[..., Any]:
    def rule(args: Any, batched: Any, size: int, axes: tuple[int, ...]) -> Any:
        return REGISTRY[name](args[0], axes=tuple(a + 1 for a in axes))
    return rule


def _reference(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, axes: tuple[int, ...]) -> Any:
        with np.errstate(all="ignore"):
            return np.asarray(function(x, axis=axes)).astype(x.dtype, copy=False)
    return widening(run)


def spread(x: Any, axes: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """A reduced array back over ``shape``, repeated along the reduced ``axes``."""
    return REGISTRY["broadcast"](x, shape=tuple(shape), dims=tuple(i for i in range(len(shape)) if i not in axes))


sum_: Op = Op(
    "sum", "Sum of the elements along axes.", "reduce", infer=_infer, reference=_reference(np.sum), combine="add",
    jvp=lambda t, x, out, axes: sum_(t[0], axes=axes), kinds=("f", "i", "u"), onnx="ReduceSum",
    batch=_batch("sum"),
    transpose=lambda ct, x, axes: [spread(ct, axes, x[0].shape)])


def _extreme_jvp(t: Any, x: Any, out: Any, axes: tuple[int, ...]) -> Any:
    winners = cast(eq(x[0], spread(out, axes, x[0].shape)), dtype=x[0].dtype)
    return div(sum_(mul(winners, t[0]), axes=axes), sum_(winners, axes=axes))


max_: Op = Op(
    "max", "Largest element along axes; NaN if one is NaN. Elements that tie share the derivative.", "reduce",
    infer=_infer_extreme, reference=_reference(np.max), combine="max", jvp=_extreme_jvp, onnx="ReduceMax",
    batch=_batch("max"))
min_: Op = Op(
    "min", "Smallest element along axes; NaN if one is NaN. Elements that tie share the derivative.", "reduce",
    infer=_infer_extreme, reference=_reference(np.min), combine="min", jvp=_extreme_jvp, onnx="ReduceMin",
    batch=_batch("min"))


def _prod_jvp(t: Any, x: Any, out: Any, axes: tuple[int, ...]) -> Any:
    """Halves of the array are multiplied element by element until one element is left: (u·v)' = u'·v + u·v'.

    No division, so it is exact where elements are 0, and so are the derivatives of it; 3 n products.
    """
    shape = x[0].shape
    rest = [i for i in range(len(shape)) if i not in axes]
    n = math.prod(shape[i] for i in axes)
    if n == 0:
        return sum_(t[0], axes=axes)
    order, flat = (*axes, *rest), (n, *(shape[i] for i in rest))
    value, tangent = (REGISTRY["reshape"](REGISTRY["transpose"](a, axes=order), shape=flat) for a in (x[0], t[0]))
    while n > 1:
        half = n // 2
        u, v, odd = (_rows(value, a, b) for a, b in ((0, half), (half, 2 * half), (2 * half, n)))
        du, dv, d_odd = (_rows(tangent, a, b) for a, b in ((0, half), (half, 2 * half), (2 * half, n)))
        value, tangent = mul(u, v), add(mul(du, v), mul(u, dv))
        if n % 2:
            value, tangent = (REGISTRY["concatenate"](a, b, axis=0) for a, b in ((value, odd), (tangent, d_odd)))
        n = half + n % 2
    return REGISTRY["reshape"](tangent, shape=flat[1:])


def _rows(x: Any, start: int, stop: int) -> Any:
    rest = x.shape[1:]
    return REGISTRY["slice"](x, start=(start, *(0,) * len(rest)), stop=(stop, *rest), step=(1,) * len(x.shape))


prod: Op = Op("prod", "Product of the elements along axes.", "reduce", infer=_infer, reference=_reference(np.prod),
          combine="mul", jvp=_prod_jvp, kinds=("f", "i", "u"), onnx="ReduceProd",
          batch=_batch("prod"))
all_: Op = Op(
    "all",
    "True where all elements along the axes are.",
    "reduce",
    infer=_infer,
    reference=_reference(np.all),
    combine="mul",
    kinds=("b",),
    batch=_batch("all"),
)
any_: Op = Op("any", "True where any element along the axes is.", "reduce", infer=_infer, reference=_reference(np.any),
          combine="add", kinds=("b",),
          batch=_batch("any"))
