"""Activation functions, for recorded and for concrete arrays.

Each is a plain function of an array; layers take it by name or as a callable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from chainrule import dtypes
from chainrule.configuration import offer_functions
from chainrule.errors import ArgumentError, unknown_name
from chainrule.graph import Node
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced, convert, dtype_of
from chainrule.ops.reduce import max_, spread, sum_
from chainrule.thresholds import (
    bounded_relu,
    hard_shrink,
    soft_shrink,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    tanh_shrink,
    threshold,
)

Activation = Callable[[Any], Any]
Axes = int | Sequence[int]


def linear(x: Any) -> Any:
    """``x`` itself.

    Example:
        >>> linear(3.0)
        3.0
    """
    return x


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """``max(x, 0)``, element by element; its derivative at 0 is 0.

    Args:
        x: floats.
        negative_slope: below the threshold it is this times ``x - threshold``.
        max_value: the largest result; None for no bound.
        threshold: up to it elements are small, above it they stay.

    Example:
        >>> relu(np.array([-1.0, 2.0]))
        array([0., 2.])
    """
    if not negative_slope and max_value is None and not threshold:
        return ew.relu(x)
    return bounded_relu(x, negative_slope, max_value, threshold)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """``x`` where it is positive, else ``negative_slope * x``; its derivative at 0 is ``negative_slope``.

    Example:
        >>> leaky_relu(np.array([-1.0, 2.0]))
        array([-0.2,  2. ])
    """
    # a factor instead of a choice of two values: its derivative is that same factor
    return ew.mul(x, ew.select(ew.gt(x, 0.0), _like(x, 1.0), _like(x, negative_slope)))


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


def softmax(x: Any, axis: Axes = -1) -> Any:
    """``exp(x_i) / Σ_j exp(x_j)`` along ``axis``, one or several: positive, with sum 1.

    The largest element is subtracted first, which changes nothing and cannot overflow.

    Example:
        >>> softmax(np.array([[0.0, 0.0]]))
        array([[0.5, 0.5]])
    """
    axes = _axes("softmax", axis, x)
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
    unit = not isinstance(alpha, Traced) and alpha == 1.0
    return ew.select(positive, x, below if unit else ew.mul(below, alpha))


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


def log_softmax(x: Any, axis: Axes = -1) -> Any:
    """``x - log Σ_j exp(x_j)`` along ``axis``: the logarithm of :func:`softmax`, without its underflow.

    Example:
        >>> log_softmax(np.array([[0.0, 1000.0]]))
        array([[-1000.,     0.]])
    """
    axes = _axes("log_softmax", axis, x)
    below = shifted(x, axes)
    return ew.sub(below, spread(ew.log(sum_(ew.exp(below), axes=axes)), axes, x.shape))


def softsign(x: Any) -> Any:
    """``x / (1 + abs(x))``, between -1 and 1.

    Example:
        >>> softsign(np.array([-1.0, 3.0]))
        array([-0.5 ,  0.75])
    """
    return ew.div(x, ew.add(ew.abs_(x), 1.0))


def log_sigmoid(x: Any) -> Any:
    """``log(sigmoid(x))``, without its underflow.

    Example:
        >>> log_sigmoid(np.array([-1000.0, 0.0])).tolist()
        [-1000.0, -0.6931471805599453]
    """
    return ew.neg(ew.softplus(ew.neg(x)))


def exponential(x: Any) -> Any:
    """``exp(x)``.

    Example:
        >>> exponential(np.array([0.0]))
        array([1.])
    """
    return ew.exp(x)


def relu6(x: Any) -> Any:
    """``min(max(x, 0), 6)``; its derivative at 0 is 0, at 6 a half.

    Example:
        >>> relu6(np.array([-1.0, 2.0, 9.0]))
        array([0., 2., 6.])
    """
    return ew.minimum(ew.relu(x), 6.0)


def hard_tanh(x: Any) -> Any:
    """``x``, but at least -1 and at most 1; the derivatives at the corners are a half.

    Example:
        >>> hard_tanh(np.array([-2.0, 0.5]))
        array([-1. ,  0.5])
    """
    return ew.minimum(ew.maximum(x, -1.0), 1.0)


def hard_sigmoid(x: Any) -> Any:
    """``relu6(x + 3) / 6``: straight pieces near the sigmoid.

    Example:
        >>> hard_sigmoid(np.array([-3.0, 0.0, 5.0]))
        array([0. , 0.5, 1. ])
    """
    return ew.div(relu6(ew.add(x, 3.0)), 6.0)


def hard_silu(x: Any) -> Any:
    """``x * hard_sigmoid(x)``, also called hard swish.

    Example:
        >>> hard_silu(np.array([-4.0, 3.0]))
        array([-0.,  3.])

    Source: Howard and others, "Searching for MobileNetV3", ICCV 2019.
    """
    return ew.mul(x, hard_sigmoid(x))


def selu(x: Any) -> Any:
    """``elu`` scaled so that means 0 and variances 1 are kept from layer to layer.

    Example:
        >>> selu(np.array([-1.0, 1.0])).round(4)
        array([-1.1113,  1.0507])

    Source: Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", NeurIPS 2017.
    """
    return ew.mul(elu(x, 1.6732632423543772), 1.0507009873554805)


def celu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` where it is positive, else ``alpha * (exp(x / alpha) - 1)``: smooth at 0 for every ``alpha``.

    Example:
        >>> celu(np.array([-1.0, 2.0]), 0.5).round(4)
        array([-0.4323,  2.    ])

    Source: Barron, "Continuously differentiable exponential linear units", 2017.
    """
    positive = ew.gt(x, 0.0)
    below = ew.expm1(ew.div(ew.select(positive, 0.0, x), alpha))
    unit = not isinstance(alpha, Traced) and alpha == 1.0
    return ew.select(positive, x, below if unit else ew.mul(below, alpha))


def mish(x: Any) -> Any:
    """``x * tanh(softplus(x))``.

    Example:
        >>> mish(np.array([0.0, 1.0])).round(4)
        array([0.    , 0.8651])

    Source: Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.
    """
    return ew.mul(x, ew.tanh(ew.softplus(x)))


def squareplus(x: Any, b: float = 4.0) -> Any:
    """``(x + sqrt(x² + b)) / 2``: a smooth relu without an exponential.

    Example:
        >>> squareplus(np.array([0.0]))
        array([1.])

    Source: Barron, "Squareplus: a softplus-like algebraic rectifier", 2021.
    """
    return ew.mul(ew.add(x, ew.sqrt(ew.add(ew.mul(x, x), b))), 0.5)


def glu(x: Any, axis: int = -1) -> Any:
    """``a * sigmoid(b)`` for the first and second half of ``x`` along ``axis``, whose extent is halved.

    Example:
        >>> glu(np.array([2.0, 0.0]))
        array([1.])

    Source: Dauphin, Fan, Auli and Grangier, "Language modeling with gated convolutional networks", ICML 2017.
    """
    axis = _axes("glu", axis, x)[0]
    extent = x.shape[axis]
    if extent % 2:
        raise ArgumentError.of(f"glu over an axis of extent {extent}", "an even extent", f"glu(x[..., :{extent - 1}])")
    first, second = (slice(None),) * axis + (slice(extent // 2),), (slice(None),) * axis + (slice(extent // 2, None),)
    return ew.mul(x[first], ew.sigmoid(x[second]))


def _axes(name: str, axis: Axes, x: Any) -> tuple[int, ...]:
    """Axes counted from the front, in order, or an error that names them."""
    ndim = len(x.shape)
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    if not all(isinstance(a, int) and -ndim <= a < ndim for a in axes) or len({a % ndim for a in axes}) != len(axes):
        raise ArgumentError.of(f"{name} over axis {axis} of an array of shape {tuple(x.shape)}",
                               f"an axis from {-ndim} to {ndim - 1}", f"{name}(x, axis=-1)")
    return tuple(sorted(a % ndim for a in axes))


swish = silu
hard_swish = hard_silu

_BY_NAME: dict[str, Callable[..., Any]] = {
    "linear": linear, "relu": relu, "leaky_relu": leaky_relu, "sigmoid": sigmoid, "tanh": tanh, "softmax": softmax,
    "softplus": softplus, "elu": elu, "gelu": gelu, "silu": silu, "swish": silu,
    "log_softmax": log_softmax, "softsign": softsign, "log_sigmoid": log_sigmoid, "exponential": exponential,
    "relu6": relu6, "hard_tanh": hard_tanh, "hard_sigmoid": hard_sigmoid, "hard_silu": hard_silu,
    "hard_swish": hard_silu, "selu": selu, "celu": celu, "mish": mish, "squareplus": squareplus, "glu": glu,
    "hard_shrink": hard_shrink, "soft_shrink": soft_shrink, "tanh_shrink": tanh_shrink, "sparse_plus": sparse_plus,
    "sparse_sigmoid": sparse_sigmoid, "sparsemax": sparsemax, "threshold": threshold}


offer_functions({function.__name__: function for function in _BY_NAME.values()})


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
