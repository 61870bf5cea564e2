"""Regularizers: numbers added to the loss that grow with weights or outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule import configuration
from chainrule.arguments import not_negative
from chainrule.configuration import Configured, serialize
from chainrule.errors import ArgumentError, ShapeError, unknown_name


class Regularizer(Configured):
    """A penalty: ``regularizer(x) -> number``. A subclass defines ``__call__``."""

    kind = "regularizer"

    def __call__(self, x: Any) -> Any:
        """The penalty of an array."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


class L1L2(Regularizer):
    """``l1 Σ|x| + l2 Σx²``.

    Example:
        >>> float(L1L2(l1=0.5, l2=0.25)(np.array([1.0, -2.0])))
        2.75
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = not_negative("l1", l1 or 0.0), not_negative("l2", l2 or 0.0)

    def __call__(self, x: Any) -> Any:
        """The penalty."""
        total = 0.0
        if self.l1:
            total = total + self.l1 * np.sum(np.abs(x))
        if self.l2:
            total = total + self.l2 * np.sum(np.square(x))
        return total


class L1(L1L2):
    """``l1 Σ|x|``."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """``l2 Σx²``."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


class OrthogonalRegularizer(Regularizer):
    """Pulls the rows (or columns) of a matrix apart: ``factor Σ |cos| / pairs`` over all pairs of different ones.

    Args:
        factor: the strength.
        mode: ``"rows"`` or ``"columns"``.

    Example:
        >>> float(OrthogonalRegularizer(factor=1.0)(np.array([[1.0, 0.0], [3.0, 4.0]])).round(4))
        0.6

    Source: Brock et al., "Neural photo editing with introspective adversarial networks", ICLR 2017.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        if mode not in ("rows", "columns"):
            raise unknown_name("mode", mode, ("rows", "columns"))
        self.factor, self.mode = not_negative("factor", factor), mode

    def __call__(self, x: Any) -> Any:
        """The penalty."""
        if len(x.shape) != 2:
            raise ShapeError.of(f"OrthogonalRegularizer of an array of shape {tuple(x.shape)}", "a matrix",
                                "Dense(4, kernel_regularizer=OrthogonalRegularizer())")
        rows = x if self.mode == "rows" else x.T
        unit = rows / np.sqrt(np.maximum(np.sum(rows * rows, axis=1, keepdims=True), 1e-14))
        n = unit.shape[0]
        cosines = np.abs(unit @ unit.T) * (1.0 - np.eye(n, dtype=unit.dtype))
        return np.sum(cosines) * (self.factor * 0.5 / max(n * (n - 1) / 2, 1))


_CLASSES: dict[str, type[Regularizer]] = {
    "l1": L1, "l2": L2, "l1_l2": L1L2, "orthogonal_regularizer": OrthogonalRegularizer}
_BY_NAME = {**_CLASSES, **{c.__name__: c for c in _CLASSES.values()}, "l1l2": L1L2}

# Keras's other names of the classes
l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer


def deserialize(config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The regularizer that ``serialize`` wrote down.

    Args:
        config: what it gave.
        custom_objects: classes and functions of the program by their names.
    """
    return configuration.deserialize(config, custom_objects, "regularizer")


def get(identifier: str | Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    """The regularizer of a name, or the function of an array itself; None is none."""
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        if identifier in _BY_NAME:
            return _BY_NAME[identifier]()
        raise unknown_name("regularizer", identifier, _CLASSES)
    if isinstance(identifier, type) and issubclass(identifier, Regularizer):
        return identifier()
    if callable(identifier):
        return identifier
    raise ArgumentError.of(f"regularizer {identifier!r}", "a name, a Regularizer, or a function of an array",
                           "kernel_regularizer='l2'")


__all__ = ["L1", "L2", "L1L2", "OrthogonalRegularizer", "Regularizer", "deserialize", "get", "serialize"]
