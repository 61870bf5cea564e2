"""What has weights, and layers with weights in it: their lists, and what is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.layers.weights import Version, Weight, assign

# Attributes that may hold layers or weights without being parts of the layer
_OWN = frozenset(("_given", "_own", "_named", "_inbound"))


class Holder:
    """Base of all layers: the weights that it made itself, and those of the layers among its attributes."""

    name: str
    _own: list[Weight]
    _trainable: bool

    @property
    def sublayers(self) -> list[Any]:
        """The layers that are stored in here, in the order of their attributes, each once."""
        found = (layer for name, value in vars(self).items() if name not in _OWN for layer in layers_in(value))
        return list(dict.fromkeys(found))

    @property
    def weights(self) -> list[Weight]:
        """All weights, each once: its own, first those to train, then the state; then those of layers in it."""
        own = sorted(self._own, key=lambda w: not w.trainable)
        return list(dict.fromkeys([*own, *(w for layer in self.sublayers for w in layer.weights)]))

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that training changes."""
        if not self._trainable:
            return []
        own = [w for w in self._own if w.trainable]
        return list(dict.fromkeys([*own, *(w for layer in self.sublayers for w in layer.trainable_weights)]))

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The others: state, and the weights of frozen layers."""
        trained = set(self.trainable_weights)
        return [w for w in self.weights if w not in trained]

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it sets it for all layers inside as well.

        A model takes notice at its next ``fit``, whose optimizer then starts anew.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        Version.now += 1
        for layer in self.sublayers:
            layer.trainable = value

    def count_params(self) -> int:
        """The number of elements of all weights."""
        return sum(w.array.size for w in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights."""
        return [w.array.copy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights by arrays of the same shapes, in the order of :meth:`get_weights`."""
        assign(self.name, self.weights, weights)

    # Keras's names of the same lists
    variables, trainable_variables, non_trainable_variables = weights, trainable_weights, non_trainable_weights


def layers_in(value: Any) -> Iterator[Any]:
    """The layers in an attribute: itself, or those in a list, tuple or dict."""
    if isinstance(value, Holder):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from layers_in(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from layers_in(each)


__all__ = ["Holder", "layers_in"]
