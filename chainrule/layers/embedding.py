"""Embedding: vectors for whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import constraints, initializers, regularizers
from chainrule.arguments import whole
from chainrule.errors import DataError
from chainrule.layers.base import Layer, Shape
from chainrule.nn.lookup import embedding

LABEL = np.dtype(np.int32)


class Embedding(Layer):
    """A learned vector for each of ``input_dim`` whole numbers, such as the words of a vocabulary.

    Args:
        input_dim: how many numbers there are: 0 to ``input_dim - 1``.
        output_dim: the extent of a vector.
        embeddings_initializer: of the ``(input_dim, output_dim)`` table.
        embeddings_regularizer: a function of the table whose result is added to the loss.
        embeddings_constraint: a function applied to the table after each training step.
        mask_zero: whether 0 means "nothing here": layers that take masks then skip it.
        weights: a table to begin with, in a list of one.
        options: those of every :class:`Layer`.

    Shapes: ``(batch, …)`` to ``(batch, …, output_dim)``.

    Example:
        >>> Embedding(10, 4)(np.array([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    input_dtype = LABEL

    def __init__(self, input_dim: int, output_dim: int, embeddings_initializer: Any = "uniform",
                 embeddings_regularizer: Any = None, embeddings_constraint: Any = None, mask_zero: bool = False,
                 weights: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.input_dim, self.output_dim = whole("input_dim", input_dim), whole("output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = bool(mask_zero)
        if weights is not None:
            self.build(())
            self.set_weights([weights] if isinstance(weights, np.ndarray) else weights)

    def build(self, input_shape: Shape = ()) -> None:
        """Make the table."""
        if not self._own:
            self.embeddings = self.add_weight(
                (self.input_dim, self.output_dim), self.embeddings_initializer,
                regularizer=self.embeddings_regularizer, constraint=self.embeddings_constraint)

    def call(self, ids: Any) -> Any:
        """The vectors; a number out of range, where it is only known when the program runs, gets the nearest one's."""
        return embedding(ids, self.embeddings)

    def check_values(self, x: np.ndarray, name: str) -> None:
        """An error for numbers that are not in the table."""
        wrong = (x < 0) | (x >= self.input_dim)
        if wrong.any():
            where = [int(i) for i in np.argwhere(wrong)[0]]
            larger = f"Embedding({int(x.max()) + 1}, {self.output_dim})"
            fix = larger if x.min() >= 0 else f"{name} = {name} - {name}.min()"
            raise DataError.of(f"the value {name}{where} is {x[tuple(where)]:g}, which layer {self.name!r} (Embedding) "
                               "has no vector for", f"whole numbers from 0 to {self.input_dim - 1}", fix)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where the number is not 0, with ``mask_zero``."""
        return np.not_equal(inputs, 0) if self.mask_zero else None

    def describe(self) -> str:
        """The extents of the table."""
        return f"{self.input_dim}, {self.output_dim}"


__all__ = ["Embedding"]
