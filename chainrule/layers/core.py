"""Layers of one's own function, and small ones without weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import regularizers
from chainrule.layers.base import FLOAT, Layer


class Identity(Layer):
    """The batch as it is."""

    supports_masking = True

    def call(self, x: Any) -> Any:
        """The batch."""
        return x


class Lambda(Layer):
    """Any function as a layer: of NumPy, of :mod:`chainrule.nn`, or of one's own.

    Args:
        function: of a batch, or of what the layer is called with.
        output_shape: not needed, as the function is recorded; taken so that a program for Keras runs.
        mask: the mask of the output, or a function ``(inputs, mask)`` that gives it; None for none.
        arguments: further arguments of the function, by name.
        options: those of every :class:`Layer`.

    Example:
        >>> Lambda(lambda x: np.sort(x, axis=-1))(np.array([[3.0, 1.0]]))
        array([[1., 3.]], dtype=float32)
    """

    def __init__(self, function: Callable[..., Any], output_shape: Any = None, mask: Any = None,
                 arguments: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.function, self.mask, self.arguments = function, mask, dict(arguments or {})

    def call(self, x: Any) -> Any:
        """What the function gives."""
        return self.function(x, **self.arguments)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask that was given for it."""
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def describe(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", repr(self.function))


class Masking(Layer):
    """Marks time steps to be skipped: those where all features are ``mask_value``. They become 0.

    Layers that take masks (recurrent ones, attention) skip them, and losses and metrics do not count them.

    Args:
        mask_value: what marks a step.
        options: those of every :class:`Layer`.

    Shapes: ``(batch, steps, features)``, unchanged; the mask is ``(batch, steps)``.

    Example:
        >>> Masking(-1.0)(np.array([[[1.0], [-1.0]]])).ravel()
        array([1., 0.], dtype=float32)
    """

    input_dtype = FLOAT

    def __init__(self, mask_value: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.mask_value = mask_value

    def call(self, x: Any) -> Any:
        """The batch, skipped steps 0."""
        return np.where(self.compute_mask(x, None)[..., None], x, np.float32(0))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where some feature is not ``mask_value``."""
        return np.any(np.not_equal(inputs, np.float32(self.mask_value)), axis=-1)

    def describe(self) -> str:
        """The value."""
        return str(self.mask_value)


class ActivityRegularization(Layer):
    """Adds ``(l1 Σ|x| + l2 Σx²) / batch size`` to the loss; the batch stays as it is.

    Args:
        l1: of the absolute values.
        l2: of the squares.
        options: those of every :class:`Layer`.

    Example:
        >>> layer = ActivityRegularization(l1=0.5)
        >>> layer(np.array([[1.0, -3.0]])), [float(loss) for loss in layer.losses]
        (array([[ 1., -3.]], dtype=float32), [2.0])
    """

    input_dtype = FLOAT
    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **options: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1, l2), **options)
        self.l1, self.l2 = l1, l2

    def call(self, x: Any) -> Any:
        """The batch."""
        return x


__all__ = ["ActivityRegularization", "Identity", "Lambda", "Masking"]
