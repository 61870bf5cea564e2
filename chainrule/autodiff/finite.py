"""Derivatives by finite differences: independent of every derivative rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes, tree
from chainrule.tracebacks import public


@public
def finite_difference(function: Callable[..., Any], args: Sequence[Any], argnum: int = 0,
                      step: float | None = None) -> Any:
    """The gradient of a scalar function by central differences: slow, and independent of every derivative rule.

    Args:
        function: returns a scalar.
        args: its arguments; ``args[argnum]`` may be a nested container.
        step: the relative step; the cube root of the rounding unit by default.
    """
    leaves, structure = tree.flatten(args[argnum])
    arrays = [np.array(leaf, copy=True) for leaf in leaves]
    rest = list(args)

    def at() -> float:
        rest[argnum] = tree.unflatten(structure, [a.copy() for a in arrays])
        return float(function(*rest))
    out = []
    for a in arrays:
        g = np.zeros_like(a)
        h0 = step or float(dtypes.finfo(a.dtype).eps) ** (1 / 3)
        for i in np.ndindex(a.shape):
            x = a[i]
            h = h0 * max(1.0, abs(float(x)))
            a[i] = x + h
            up, hi = at(), float(a[i])
            a[i] = x - h
            down, lo = at(), float(a[i])
            a[i] = x
            g[i] = (up - down) / (hi - lo)
        out.append(g)
    return tree.unflatten(structure, out)
