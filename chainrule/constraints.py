"""Constraints: what a weight is made to fulfil after each training step, inside of the compiled epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import configuration
from chainrule.arguments import not_negative, share
from chainrule.configuration import Configured, serialize
from chainrule.errors import ArgumentError, unknown_name

EPSILON = 1e-7
Axes = int | Sequence[int]


class Constraint(Configured):
    """A projection of a weight: ``constraint(value) -> value``. A subclass defines ``__call__``."""

    kind = "constraint"

    def __call__(self, w: Any) -> Any:
        """The weight's new value."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


class MaxNorm(Constraint):
    """Norms along ``axis`` are at most ``max_value``; longer vectors are shortened.

    Args:
        max_value: the largest norm.
        axis: along which a norm is taken: 0 is the incoming weights of each unit of a ``(inputs, units)`` kernel,
            ``(0, 1, 2)`` those of each filter of a ``(height, width, in, out)`` kernel.

    Example:
        >>> MaxNorm(1.0)(np.array([[3.0, 0.3], [4.0, 0.4]])).round(4)
        array([[0.6, 0.3],
               [0.8, 0.4]])

    Source: Srivastava and others, "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.
    """

    def __init__(self, max_value: float = 2.0, axis: Axes = 0) -> None:
        self.max_value, self.axis = not_negative("max_value", max_value), axis

    def __call__(self, w: Any) -> Any:
        """The weight, long vectors shortened."""
        norms = _norms(w, self.axis)
        return w * (np.clip(norms, 0.0, self.max_value) / (norms + EPSILON))


class NonNeg(Constraint):
    """Negative elements become 0.

    Example:
        >>> NonNeg()(np.array([-1.0, 2.0]))
        array([0., 2.])
    """

    def __call__(self, w: Any) -> Any:
        """The weight without what is negative."""
        return np.maximum(w, 0.0)


class UnitNorm(Constraint):
    """Norms along ``axis`` are 1.

    Args:
        axis: as for :class:`MaxNorm`.

    Example:
        >>> UnitNorm()(np.array([[3.0], [4.0]])).round(4)
        array([[0.6],
               [0.8]])
    """

    def __init__(self, axis: Axes = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """The weight divided by its norms."""
        return w / (_norms(w, self.axis) + EPSILON)


class MinMaxNorm(Constraint):
    """Norms along ``axis`` are moved into ``[min_value, max_value]``.

    Args:
        min_value: the smallest norm.
        max_value: the largest norm.
        rate: 1 moves a norm all the way in a step, a smaller number only this share of it.
        axis: as for :class:`MaxNorm`.

    Example:
        >>> MinMaxNorm(0.5, 1.0)(np.array([[3.0, 0.06], [4.0, 0.08]])).round(4)
        array([[0.6, 0.3],
               [0.8, 0.4]])
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axes = 0) -> None:
        self.min_value, self.max_value = not_negative("min_value", min_value), not_negative("max_value", max_value)
        if self.min_value > self.max_value:
            raise ArgumentError.of(f"min_value={min_value} with max_value={max_value}", "min_value at or below it",
                                   f"MinMaxNorm({max_value}, {min_value})")
        self.rate, self.axis = share("rate", rate, one=True), axis

    def __call__(self, w: Any) -> Any:
        """The weight, its norms moved into the range."""
        norms = _norms(w, self.axis)
        wanted = np.clip(norms, self.min_value, self.max_value) * self.rate + norms * (1.0 - self.rate)
        return w * (wanted / (norms + EPSILON))


def _norms(w: Any, axis: Axes) -> Any:
    along = axis if isinstance(axis, int) else tuple(axis)
    return np.sqrt(np.sum(np.square(w), axis=along, keepdims=True))


_CLASSES: dict[str, type[Constraint]] = {
    "max_norm": MaxNorm, "non_neg": NonNeg, "unit_norm": UnitNorm, "min_max_norm": MinMaxNorm}
_BY_NAME = {**_CLASSES, **{c.__name__: c for c in _CLASSES.values()}}

# Keras's other names of the classes
max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm


def deserialize(config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The constraint that ``serialize`` wrote down.

    Args:
        config: what it gave.
        custom_objects: classes and functions of the program by their names.
    """
    return configuration.deserialize(config, custom_objects, "constraint")


def get(identifier: str | Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    """The constraint of a name, or the function of a weight itself; None is none.

    Example:
        >>> get("non_neg")
        NonNeg()
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        if identifier in _BY_NAME:
            return _BY_NAME[identifier]()
        raise unknown_name("constraint", identifier, _CLASSES)
    if isinstance(identifier, type) and issubclass(identifier, Constraint):
        return identifier()
    if callable(identifier):
        return identifier
    raise ArgumentError.of(f"constraint {identifier!r}", "a name, a Constraint, or a function of a weight",
                           "kernel_constraint='non_neg'")


__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "deserialize", "get", "serialize"]
