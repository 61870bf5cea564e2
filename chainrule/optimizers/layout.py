"""Where each parameter array lies in the flat vector of all parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.ops.structure import concatenate, reshape

Shape = tuple[int, ...]


class Layout:
    """The names and shapes of the arrays that one flat vector holds, one after the other.

    Most rules are one loop over the whole vector. Those that work on matrices, or on the norm of each array, take the
    vector apart with :meth:`split` and put it together with :meth:`join`; compiled, neither copies anything.

    Args:
        names: of the arrays, such as ``"dense/kernel"``.
        shapes: of the arrays.
        weights: the objects that hold them, where there are any.

    Example:
        >>> layout = Layout(["kernel", "bias"], [(2, 3), (3,)])
        >>> [part.shape for part in layout.split(np.zeros(9))]
        [(2, 3), (3,)]
    """

    def __init__(self, names: Sequence[str], shapes: Sequence[Shape], weights: Sequence[Any] = ()) -> None:
        self.names, self.shapes = list(names), [tuple(shape) for shape in shapes]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.whole, self.weights = False, list(weights)

    @classmethod
    def of(cls, array: Any) -> Layout:
        """The layout of one array that is not flattened."""
        layout = cls([""], [tuple(array.shape)])
        layout.whole = True
        return layout

    def split(self, flat: Any) -> list[Any]:
        """The vector as one array per parameter."""
        if self.whole:
            return [flat]
        out, at = [], 0
        for shape, n in zip(self.shapes, self.sizes, strict=True):
            part = flat[at:at + n]
            out.append(part if len(shape) == 1 else reshape(part, shape=shape))
            at += n
        return out

    def join(self, parts: Sequence[Any]) -> Any:
        """Arrays, one per parameter, as one vector."""
        if self.whole:
            return parts[0]
        flat = [a if len(a.shape) == 1 else reshape(a, shape=(math.prod(a.shape),)) for a in parts]
        return flat[0] if len(flat) == 1 else concatenate(*flat, axis=0)

    def map(self, function: Callable[..., Any], *flat: Any) -> Any:
        """``function`` of the arrays of each parameter, its results joined."""
        return self.join([function(*parts) for parts in zip(*map(self.split, flat), strict=True)])

    def matches(self, patterns: Iterable[str], weights: Sequence[Any] = ()) -> list[bool]:
        """Which names hold one of the regular expressions, or belong to one of the weights."""
        wanted = [re.compile(pattern) for pattern in patterns]
        held = self.weights or [None] * len(self.names)
        return [any(pattern.search(name) for pattern in wanted) or any(
            weight is each if each is not None else weight.name == name for weight in weights)
            for name, each in zip(self.names, held, strict=True)]

    def each(self, values: Sequence[float], dtype: Any) -> np.ndarray:
        """A vector with one value for all elements of a parameter."""
        if self.whole:
            return np.full(self.shapes[0], values[0], dtype)
        return np.repeat(np.asarray(values, dtype), self.sizes)


__all__ = ["Layout"]
