"""Noise while training: dropout and its relatives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule import random
from chainrule.arguments import not_negative, share, whole
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import FLOAT, Layer
from chainrule.layers.shape import format_of
from chainrule.nn.stochastic import dropout


class _Noise(Layer):
    input_dtype = FLOAT
    supports_masking = True


class Dropout(_Noise):
    """Sets a share ``rate`` of the elements to 0 while training and divides the others by ``1 - rate``.

    Otherwise it does nothing. Which elements is a function of the model's seed and the step, so that equal seeds give
    equal numbers.

    Args:
        rate: from 0 to 1; with 1 all of them.
        noise_shape: one decision for each element of this shape, which broadcasts to the batch; None as an extent is
            that of the batch: ``(None, 1, None)`` drops the same features in all steps.
        seed: a seed of this layer's own.
        options: those of every :class:`Layer`.

    Example:
        >>> Dropout(0.5)(np.ones((2, 3)))
        array([[1., 1., 1.],
               [1., 1., 1.]], dtype=float32)

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to prevent neural
    networks from overfitting", JMLR 2014.
    """

    def __init__(self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None,
                 **options: Any) -> None:
        super().__init__(**options)
        self.rate, self.seed = share("rate", rate, one=True), seed
        self.noise_shape = None if noise_shape is None else _noise_shape(noise_shape)

    def noise(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the decisions for a batch of ``shape``."""
        given = self.noise_shape
        if given is None:
            return shape
        if len(given) != len(shape):
            raise ShapeError.of(f"layer {self.name!r} (Dropout) got a batch of shape {shape} for noise_shape={given}",
                                "as many axes", f"noise_shape={(None, *(1,) * (len(shape) - 1))}")
        return tuple(n if g is None else g for g, n in zip(given, shape, strict=True))

    def call(self, x: Any, training: bool = False) -> Any:
        """The batch, thinned out while training."""
        if not (training and self.rate):
            return x
        if self.rate == 1:
            return np.zeros(tuple(x.shape), FLOAT)
        return dropout(self.next_key(self.seed), x, self.rate, self.noise(tuple(x.shape)))

    def describe(self) -> str:
        """The rate."""
        return str(self.rate)


class AlphaDropout(Dropout):
    """:class:`Dropout` that keeps mean 0 and variance 1: elements become selu's limit ``-α λ``, and all are rescaled.

    Args:
        rate: from 0 to 1, the share that is dropped.
        noise_shape: as for :class:`Dropout`.
        seed: a seed of this layer's own.
        options: those of every :class:`Layer`.

    Example:
        >>> AlphaDropout(0.5)(np.ones((1, 2)))
        array([[1., 1.]], dtype=float32)

    Source: Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", NeurIPS 2017.
    """

    def call(self, x: Any, training: bool = False) -> Any:
        """The batch, thinned out while training."""
        if not (training and self.rate):
            return x
        limit = -1.6732632423543772 * 1.0507009873554805
        factor = ((1.0 - self.rate) * (1.0 + self.rate * limit**2)) ** -0.5 if self.rate < 1 else 0.0
        kept = random.bernoulli(self.next_key(self.seed), 1.0 - self.rate, self.noise(tuple(x.shape)))
        return np.where(kept, x, np.float32(limit)) * np.float32(factor) - np.float32(factor * limit * self.rate)


def _noise_shape(given: Any) -> tuple[int | None, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ArgumentError.of(f"got noise_shape={given!r}", "extents, None for those of the batch",
                               "noise_shape=(None, 1, None)")
    return tuple(None if n is None else whole("noise_shape", n) for n in given)


class _SpatialDropout(Dropout):
    rank = 2

    def __init__(self, rate: float, data_format: str | None = None, seed: int | None = None, **options: Any) -> None:
        super().__init__(rate, None, seed, **options)
        self.data_format = format_of(data_format)

    def noise(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One decision for each channel of a sample."""
        if len(shape) != self.rank + 2:
            raise ShapeError.of(f"layer {self.name!r} ({type(self).__name__}) got a batch of shape {shape}",
                                f"{self.rank + 2} axes: the batch, {self.rank} spatial ones and the channels",
                                "Dropout(rate)")
        ones = (1,) * self.rank
        return (shape[0], *ones, shape[-1]) if self.data_format == "channels_last" else (*shape[:2], *ones)


class SpatialDropout1D(_SpatialDropout):
    """:class:`Dropout` of whole channels of sequences.

    Args:
        rate: from 0 to below 1.
        seed: a seed of this layer's own.
        options: those of every :class:`Layer`.
    """

    rank = 1

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(rate, None, seed, **options)


class SpatialDropout2D(_SpatialDropout):
    """:class:`Dropout` of whole channels of images.

    Args:
        rate: from 0 to below 1.
        data_format: ``'channels_last'`` (the default) or ``'channels_first'``.
        seed: a seed of this layer's own.
        options: those of every :class:`Layer`.
    """


class SpatialDropout3D(_SpatialDropout):
    """:class:`Dropout` of whole channels of volumes; arguments as for :class:`SpatialDropout2D`."""

    rank = 3


class GaussianNoise(_Noise):
    """Adds normal numbers of deviation ``stddev`` while training.

    Args:
        stddev: the standard deviation.
        seed: a seed of this layer's own.
        options: those of every :class:`Layer`.

    Example:
        >>> GaussianNoise(0.1)(np.ones((1, 2)))
        array([[1., 1.]], dtype=float32)
    """

    def __init__(self, stddev: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.stddev, self.seed = not_negative("stddev", stddev), seed

    def call(self, x: Any, training: bool = False) -> Any:
        """The batch, with noise while training."""
        if not (training and self.stddev):
            return x
        return x + self.stddev * random.normal(self.next_key(self.seed), tuple(x.shape), dtype=FLOAT)

    def describe(self) -> str:
        """The deviation."""
        return str(self.stddev)


class GaussianDropout(_Noise):
    """Multiplies by normal numbers of mean 1 and deviation ``√(rate / (1 - rate))`` while training.

    Args:
        rate: from 0 to below 1; the noise has the variance of :class:`Dropout` of this rate.
        seed: a seed of this layer's own.
        options: those of every :class:`Layer`.
    """

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.rate, self.seed = share("rate", rate), seed

    def call(self, x: Any, training: bool = False) -> Any:
        """The batch, with noise while training."""
        if not (training and self.rate):
            return x
        deviation = float(np.sqrt(self.rate / (1.0 - self.rate)))
        return x * (1.0 + deviation * random.normal(self.next_key(self.seed), tuple(x.shape), dtype=FLOAT))

    def describe(self) -> str:
        """The rate."""
        return str(self.rate)


__all__ = ["AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D", "SpatialDropout2D",
           "SpatialDropout3D"]
