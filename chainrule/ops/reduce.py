"""Operations that combine the elements along axes. The axes are dropped from the shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ops.declare import REGISTRY, Op, widened
from chainrule.ops.elementwise import cast, div, eq, mul, select


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
            return np.asarray(function(widened(x), axis=axes)).astype(x.dtype, copy=False)
    return run


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
    share = div(winners, spread(sum_(winners, axes=axes), axes, x[0].shape))
    return sum_(mul(share, t[0]), axes=axes)


max_: Op = Op(
    "max", "Largest element along axes; NaN if one is NaN. Elements that tie share the derivative.", "reduce",
    infer=_infer_extreme, reference=_reference(np.max), combine="max", jvp=_extreme_jvp, onnx="ReduceMax",
    batch=_batch("max"))
min_: Op = Op(
    "min", "Smallest element along axes; NaN if one is NaN. Elements that tie share the derivative.", "reduce",
    infer=_infer_extreme, reference=_reference(np.min), combine="min", jvp=_extreme_jvp, onnx="ReduceMin",
    batch=_batch("min"))


def _prod_jvp(t: Any, x: Any, out: Any, axes: tuple[int, ...]) -> Any:
    # ∂Π/∂x_k is the product of the others: exact also where elements are 0
    shape = x[0].shape
    zero = eq(x[0], 0.0)
    zeros = spread(sum_(cast(zero, dtype=x[0].dtype), axes=axes), axes, shape)
    without = spread(prod(select(zero, 1.0, x[0]), axes=axes), axes, shape)
    regular = div(without, select(zero, 1.0, x[0]))
    others = select(eq(zeros, 0.0), regular, select(eq(zeros, 1.0), select(zero, without, 0.0), 0.0))
    return sum_(mul(others, t[0]), axes=axes)


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
