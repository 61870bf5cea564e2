"""What all layers share: weights, building for an input shape, and recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import chainrule.numpy  # noqa: F401  from here on NumPy functions record themselves
from chainrule import dtypes, initializers, random
from chainrule.arguments import whole
from chainrule.errors import ArgumentError, ShapeError
from chainrule.losses import snake_case
from chainrule.ops.declare import Traced

FLOAT = np.dtype(np.float32)
Shape = tuple[int | None, ...]


class Weight:
    """One parameter array of a layer.

    ``array`` holds its value; a model moves it into its flat vector of all parameters, ``array`` is then a view.
    While a program is recorded ``traced`` stands for it.
    """

    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self.array = name, array
        self.traced: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents of the array."""
        return self.array.shape

    @property
    def value(self) -> Any:
        """What stands for the weight now: the recorded array, or the concrete one."""
        return self.array if self.traced is None else self.traced

    def __repr__(self) -> str:
        return f"Weight({self.name}, shape={self.shape})"


class Layer:
    """One step of a network. A subclass defines ``call`` and, if it has weights, ``build``.

    Args:
        name: the layer's name; by default its class's name in lower case, made unique in the model.
        input_shape: the shape of one sample, for the first layer of a model.
        input_dim: the same where a sample is a vector: ``input_dim=10`` is ``input_shape=(10,)``.

    A weight is made in ``build`` and used in ``call`` under the name it was stored as:

        class Scale(Layer):
            def build(self, input_shape):
                self.factor = self.add_weight((input_shape[-1],), "ones")

            def call(self, x, training=False):
                return x * self.factor
    """

    def __init__(self, name: str | None = None, input_shape: Sequence[int] | None = None,
                 input_dim: int | None = None) -> None:
        self._weights: dict[str, Weight] = {}
        self.named = name is not None
        self.name = name or snake_case(type(self).__name__)
        self.built = False
        self.input_shape: Shape | None = None
        self.given_shape = _given_shape(input_shape, input_dim)
        self.key: Any = None  # for random layers: the key of this call

    # -- what a subclass defines

    def build(self, input_shape: Shape) -> None:
        """Make the weights for inputs of this shape, its first extent (the batch) None."""

    def call(self, x: Any, training: bool = False) -> Any:
        """The output for a batch ``x``."""
        raise NotImplementedError

    # -- weights

    def add_weight(self, shape: Sequence[int], initializer: str | Callable[..., Any] = "glorot_uniform",
                   name: str = "") -> Weight:
        """A new weight; store it as an attribute: ``self.kernel = self.add_weight(...)``."""
        return Weight(name, np.array(initializers.get(initializer)(tuple(shape), FLOAT), FLOAT))

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Weight):
            value.name = value.name or name
            self._weights[name] = value
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # only asked for what is not an ordinary attribute
        weights = self.__dict__.get("_weights", {})
        if name in weights:
            return weights[name].value
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def weights(self) -> list[Weight]:
        """All weights, in the order of their making."""
        return list(self._weights.values())

    @property
    def random_layers(self) -> list[Layer]:
        """The layers in here that need a key when training."""
        return []

    def count_params(self) -> int:
        """The number of parameters."""
        return sum(w.array.size for w in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights."""
        return [w.array.copy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights by arrays of the same shapes, in the order of :meth:`get_weights`."""
        assign(self.name, self.weights, weights)

    # -- calls

    def __call__(self, x: Any, training: bool = False) -> Any:
        """The output for a concrete or recorded batch; builds the layer at the first call."""
        x = as_float(x)
        self.ensure_built((None, *x.shape[1:]))
        self.check_input(tuple(x.shape))
        key = random.key() if training and self.random_layers else None
        return apply(self, None, x, training, key)

    def ensure_built(self, input_shape: Shape) -> None:
        """Build the layer, once."""
        if not self.built:
            self.build(input_shape)
            self.input_shape = input_shape
            self.built = True

    def check_input(self, shape: tuple[int, ...]) -> None:
        """An error for a batch that does not fit what the layer was built for."""
        fits = self.input_shape
        if fits is not None and self.weights and len(fits) > 1 and (len(shape) < 2 or shape[-1] != fits[-1]):
            raise ShapeError.of(f"layer {self.name!r} ({type(self).__name__}) got an input of shape {shape}",
                                f"a shape like {fits}, for which it was built",
                                f"{type(self).__name__}(...) anew for {shape[-1] if shape else 'scalar'} inputs")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.describe()})"

    def describe(self) -> str:
        """The arguments that matter, for ``repr``."""
        return ""


def apply(layer: Layer, values: Sequence[Any] | None, x: Any, training: bool, key: Any = None) -> Any:
    """The output of ``layer`` with ``values`` in place of its weights (None: its own), and ``key`` for randomness."""
    weights = layer.weights if values is not None else []
    randoms = layer.random_layers if key is not None else []
    for weight, value in zip(weights, values or (), strict=True):
        weight.traced = value
    for i, each in enumerate(randoms):
        each.key = random.fold_in(key, i)
    try:
        return layer.call(x, training=training)
    finally:
        for weight in weights:
            weight.traced = None
        for each in randoms:
            each.key = None


def assign(name: str, weights: Sequence[Weight], values: Sequence[Any]) -> None:
    """Write ``values`` into the weights of layer or model ``name``, all or none of them."""
    values = list(values)
    if len(values) != len(weights):
        state = "" if weights else "; one that is not built has none"
        raise ArgumentError.of(f"set_weights of {name!r} got {len(values)} arrays for {len(weights)} weights{state}",
                               f"arrays of shapes {', '.join(str(w.shape) for w in weights)}",
                               "other.set_weights(model.get_weights())")
    arrays = [np.asarray(v) for v in values]
    for i, (weight, array) in enumerate(zip(weights, arrays, strict=True)):
        if array.shape != weight.shape:
            raise ShapeError.of(f"set_weights of {name!r} got an array of shape {array.shape} for weight {i}, "
                                f"{weight.name!r}", f"shape {weight.shape}", f"weights[{i}].reshape{weight.shape}")
        if dtypes.kind(array.dtype) not in "fiub":
            raise ArgumentError.of(f"set_weights of {name!r} got dtype {array.dtype} for weight {i}", "numbers",
                                   f"weights[{i}].astype(np.float32)")
    for weight, array in zip(weights, arrays, strict=True):
        weight.array[...] = array


def as_float(x: Any) -> Any:
    """A batch in the dtype that layers compute in."""
    if isinstance(x, Traced):
        return x if x.dtype == FLOAT else x.astype(FLOAT)  # type: ignore[attr-defined]
    return np.asarray(x, FLOAT)


def _given_shape(input_shape: Any, input_dim: Any) -> tuple[int, ...] | None:
    if input_dim is not None:
        return (whole("input_dim", input_dim),)
    if input_shape is None:
        return None
    extents = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
    if any(not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1 for n in extents):
        raise ArgumentError.of(f"got input_shape={input_shape!r}", "the extents of one sample, whole numbers above 0, "
                               "without the batch", "input_shape=(28, 28)")
    return tuple(int(n) for n in extents)


__all__ = ["FLOAT", "Layer", "Shape", "Weight", "apply", "as_float", "assign"]
