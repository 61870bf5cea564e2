"""How the gradient of the loss is found: by backpropagation, or in ways that cost a pass per parameter.

Backpropagation is one way to compute gradients. Forward mode gives the same numbers, finite differences nearly so, both
at the price of as many passes as there are parameters. What an optimizer does with a gradient does not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autodiff import gradients, jvp
from chainrule.control import scan
from chainrule.errors import unknown_name
from chainrule.ops import elementwise as ew
from chainrule.optimizers.layout import Layout
from chainrule.trace import as_node

WAYS = ("backprop", "forward", "finite_difference")
Measured = Callable[[Sequence[Any]], tuple[Any, Any, Any]]


def checked(way: str) -> str:
    """The name of a way; an error for an unknown one."""
    if way not in WAYS:
        raise unknown_name("gradient", way, WAYS)
    return way


def found(way: str, measured: Measured, params: Any, layout: Layout, scale: Any = None,
          wanted: bool = True) -> tuple[Any, Any, Any, Any]:
    """The loss, its gradient, and what else ``measured`` gives.

    Args:
        way: one of ``WAYS``.
        measured: gives the loss and two further values for the arrays of all parameters.
        params: the flat vector of all parameters, recorded.
        layout: the arrays that it holds.
        scale: the loss is multiplied by it before it is differentiated, the gradient divided; None for 1.
        wanted: whether the gradient is needed at all; without, zeros stand for it.
    """
    weights = layout.split(params)
    loss, second, third = measured(weights)
    if not wanted:
        return loss, np.zeros(params.shape, params.dtype), second, third
    if way != "backprop":
        def function(flat: Any) -> Any:
            return measured(layout.split(flat))[0]
        by = _forward if way == "forward" else _differences
        return loss, by(function, params), second, third
    target = loss if scale is None else loss * _like(scale, loss)
    wrt = [w.node for w in weights]
    by_node = gradients(as_node(target), wrt)
    grads = layout.join([by_node[n] if n in by_node else np.zeros(n.shape, n.dtype) for n in wrt])
    return loss, grads if scale is None else grads / _like(scale, grads), second, third


def _forward(function: Callable[[Any], Any], params: Any) -> Any:
    """One directional derivative per parameter."""
    def along(carry: Any, i: Any) -> tuple[Any, Any]:
        return carry, jvp(function, (params,), (_unit(i, params),))[1]
    return _each(along, params)


def _differences(function: Callable[[Any], Any], params: Any) -> Any:
    """Central differences, with steps in proportion to the cube root of the precision and the size of a parameter."""
    step = float(np.finfo(params.dtype).eps) ** (1 / 3)

    def along(carry: Any, i: Any) -> tuple[Any, Any]:
        unit = _unit(i, params)
        size = np.maximum(np.abs(np.sum(unit * params)), 1.0) * step
        up, down = params + unit * size, params - unit * size
        return carry, (function(up) - function(down)) / np.sum(up - down)
    return _each(along, params)


def _each(along: Callable[[Any, Any], tuple[Any, Any]], params: Any) -> Any:
    n = params.shape[0]
    return scan(along, np.zeros((), np.int32), np.arange(n, dtype=np.int32))[1]


def _unit(i: Any, params: Any) -> Any:
    return ew.cast(ew.eq(np.arange(params.shape[0], dtype=np.int32), i), dtype=params.dtype)


def _like(scale: Any, x: Any) -> Any:
    return scale.astype(x.dtype) if hasattr(scale, "astype") else np.asarray(scale, x.dtype)


__all__ = ["WAYS", "checked", "found"]
