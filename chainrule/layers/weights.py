"""Weights: the arrays that a layer keeps, those that are trained and those that are state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ArgumentError, ShapeError, UsageError
from chainrule.layers.context import CALL
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced

FLOAT = np.dtype(np.float32)


class Version:
    """Numbers that are others whenever something about any layer's weights has changed.

    Attributes:
        now: the weights there are, or which of them are trained.
        moved: which array holds a weight.
    """

    now = 0
    moved = 0


class Weight:
    """One array of a layer.

    ``array`` holds its value; a model moves what it trains into its flat vector of parameters, ``array`` is then a
    view. While a program is recorded ``traced`` stands for it.

    Attributes:
        name: by default that of the attribute of the layer.
        trainable: whether an optimizer changes it, if its layer is not frozen; else it is state, which only the layer
            itself changes.
        regularizer: a function of the value whose result is added to the loss; or None.
        constraint: a function of the value that is applied after each step of the optimizer; or None.
    """

    def __init__(self, name: str, array: np.ndarray, trainable: bool = True,
                 regularizer: Callable[[Any], Any] | None = None,
                 constraint: Callable[[Any], Any] | None = None) -> None:
        self.name, self.array, self.trainable = name, array, trainable
        self.regularizer, self.constraint = regularizer, constraint
        self.traced: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        """That of the array."""
        return self.array.dtype

    @property
    def value(self) -> Any:
        """What stands for the weight now: the recorded array, or the concrete one."""
        return self.array if self.traced is None else self.traced

    def numpy(self) -> np.ndarray:
        """A copy of the concrete array."""
        return self.array.copy()

    def assign(self, value: Any) -> None:
        """Give the weight a new value, also while it is recorded: the program then returns it.

        Raises:
            ShapeError: for another shape.
            UsageError: where a program is recorded that has no place to return it.
        """
        given = value if isinstance(value, Traced) else np.asarray(value)
        if given.shape != self.shape:
            raise ShapeError.of(f"the weight {self.name!r} of shape {self.shape} was assigned an array of shape "
                                f"{tuple(given.shape)}", f"shape {self.shape}", f"value.reshape{self.shape}")
        call = CALL.get()
        if call is not None and call.trial:
            return
        if self.traced is not None:
            self.traced = ew.cast(given, dtype=self.dtype) if given.dtype != self.dtype else given
            return
        if isinstance(given, Traced):
            given = given.node.value
            if given is None:
                raise UsageError.of(f"the weight {self.name!r} was assigned in a program that cannot return it",
                                    "fit, or stateless_call, which returns the state after the call",
                                    "outputs, state = model.stateless_call(trainable, state, x, training=True)")
        self.array[...] = given

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if self.traced is not None:
            raise UsageError.of(f"the weight {self.name!r} itself was used as an array while it is recorded",
                                "its value", "x @ self.kernels[0].value")
        return np.array(self.array, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Weight({self.name}, shape={self.shape})"


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
