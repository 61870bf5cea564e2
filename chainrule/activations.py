"""Activation functions, for recorded and for concrete arrays.

Each is a plain function of an array; layers take it by name or as a callable.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from chainrule import dtypes
from chainrule.errors import ArgumentError, unknown_name
from chainrule.graph import Node
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, convert, dtype_of
from chainrule.ops.reduce import max_, spread, sum_

Activation = Callable[[Any], Any]


def linear(x: Any) -> Any:
    """``x`` itself.

    Example:
        >>> linear(3.0)
        3.0
    """
    return x


def relu(x: Any) -> Any:
    """``max(x, 0)``, element by element; its derivative at 0 is 0.

    Example:
        >>> relu(np.array([-1.0, 2.0]))
        array([0., 2.])
    """
    return ew.relu(x)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """``x`` where it is positive, else ``negative_slope * x``.

    Example:
        >>> leaky_relu(np.array([-1.0, 2.0]))
        array([-0.2,  2. ])
    """
    # a factor instead of a choice of two values: its derivative is that same factor
    return ew.mul(x, ew.select(ew.lt(x, 0.0), _like(x, negative_slope), _like(x, 1.0)))


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, between 0 and 1.

    Example:
        >>> sigmoid(np.array([0.0]))
        array([0.5])
    """
    return ew.sigmoid(x)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent, between -1 and 1.

    Example:
        >>> tanh(np.array([0.0]))
        array([0.])
    """
    return ew.tanh(x)


def softmax(x: Any, axis: int = -1) -> Any:
    """``exp(x_i) / Σ_j exp(x_j)`` along ``axis``: positive, with sum 1.

    The largest element is subtracted first, which changes nothing and cannot overflow.

    Example:
        >>> softmax(np.array([[0.0, 0.0]]))
        array([[0.5, 0.5]])
    """
    ndim = len(x.shape)
    if not -ndim <= axis < ndim:
        raise ArgumentError.of(f"softmax over axis {axis} of an array of shape {tuple(x.shape)}",
                               f"an axis from {-ndim} to {ndim - 1}", "softmax(x, axis=-1)")
    axes = (axis % ndim,)
    powers = ew.exp(shifted(x, axes))
    return ew.div(powers, spread(sum_(powers, axes=axes), axes, x.shape))


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``: a smooth relu.

    Example:
        >>> softplus(np.array([0.0])).round(4)
        array([0.6931])
    """
    return ew.softplus(x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)``.

    Example:
        >>> elu(np.array([-1.0, 2.0])).round(4)
        array([-0.6321,  2.    ])

    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential
    linear units", ICLR 2016.
    """
    positive = ew.gt(x, 0.0)
    # exp of the positive elements could overflow, and infinity times a zero gradient is NaN
    below = ew.expm1(ew.select(positive, 0.0, x))
    return ew.select(positive, x, below if alpha == 1.0 else ew.mul(below, alpha))


def gelu(x: Any, approximate: bool = False) -> Any:
    """``x Φ(x)`` with the normal distribution function Φ; with tanh instead of erf if ``approximate``.

    Example:
        >>> gelu(np.array([1.0])).round(4)
        array([0.8413])

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """
    if approximate:
        cubic = ew.add(x, ew.mul(ew.mul(ew.mul(x, x), x), 0.044715))
        share = ew.tanh(ew.mul(cubic, math.sqrt(2.0 / math.pi)))
    else:
        share = ew.erf(ew.mul(x, math.sqrt(0.5)))
    return ew.mul(ew.mul(x, 0.5), ew.add(share, 1.0))


def silu(x: Any) -> Any:
    """``x * sigmoid(x)``, also called swish.

    Example:
        >>> silu(np.array([0.0, 1.0])).round(4)
        array([0.    , 0.7311])
    """
    return ew.mul(x, ew.sigmoid(x))


swish = silu

_BY_NAME: dict[str, Activation] = {
    "linear": linear, "relu": relu, "leaky_relu": leaky_relu, "sigmoid": sigmoid, "tanh": tanh, "softmax": softmax,
    "softplus": softplus, "elu": elu, "gelu": gelu, "silu": silu, "swish": silu}


def get(identifier: str | Activation | None) -> Activation:
    """The activation of a name, or the callable itself; None is ``linear``.

    Example:
        >>> get("relu") is relu
        True
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        if identifier in _BY_NAME:
            return _BY_NAME[identifier]
        raise unknown_name("activation", identifier, _BY_NAME)
    if callable(identifier):
        return identifier
    raise ArgumentError.of(f"got activation={identifier!r}", "a name or a function of an array", "activation='relu'")


# ---------------------------------------------------------------- for the losses


def shifted(x: Any, axes: tuple[int, ...]) -> Any:
    """``x`` minus its largest element along ``axes``, which is taken as a constant."""
    return ew.sub(x, spread(ew.stop_gradient(max_(x, axes=axes)), axes, x.shape))


def logits_of(y: Any, activation: str) -> Any | None:
    """What a recorded ``y`` is the ``sigmoid`` or (over the last axis) the ``softmax`` of; None if it is neither.

    Losses and metrics use it: a cross-entropy of logits is stable and has a simple gradient.
    """
    if not isinstance(y, Traced):
        return None
    found = _sigmoid_input(y.node) if activation == "sigmoid" else _softmax_input(y.node)
    return None if found is None else type(y)(found)


def _sigmoid_input(node: Node) -> Node | None:
    return node.inputs[0] if node.op is ew.sigmoid else None


def _softmax_input(node: Node) -> Node | None:
    """The x of ``div(exp(sub(x, max x)), sum of the same exp)``."""
    if node.op is not ew.div:
        return None
    powers, total = node.inputs
    total = _behind(total, "broadcast")
    last = (node.ndim - 1,)
    if powers.op is not ew.exp or total.op is not sum_ or total.params["axes"] != last or total.inputs[0] is not powers:
        return None
    difference = powers.inputs[0]
    if difference.op is not ew.sub:
        return None
    x, largest = difference.inputs
    largest = _behind(_behind(largest, "broadcast"), "stop_gradient")
    return x if largest.op is max_ and largest.inputs[0] is x and largest.params["axes"] == last else None


def _behind(node: Node, op: str) -> Node:
    return node.inputs[0] if node.op.name == op else node


def _like(x: Any, value: float) -> Any:
    """A scalar of the floating dtype in which a function of ``x`` is computed."""
    return convert(value, dtypes.floating(dtype_of(x)))
