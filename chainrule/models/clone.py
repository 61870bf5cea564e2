"""Copies of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.layers.base import Layer
from chainrule.layers.symbolic import InputLayer
from chainrule.models.model import Model, network_config, network_from
from chainrule.models.sequential import Sequential


def clone_model(model: Any, clone_function: Callable[[Layer], Layer] | None = None) -> Any:
    """A model of the same layers with new weights.

    Args:
        model: Sequential, made from symbols, or a subclass with a ``get_config`` that its constructor takes.
        clone_function: makes the copy of a layer; by default from its configuration. Not for subclasses.

    Example:
        >>> model = Sequential([Dense(2, input_dim=3)])
        >>> copy = clone_model(model)
        >>> copy.set_weights(model.get_weights())
    """
    copied: dict[int, Any] = {}

    def copy(layer: Layer) -> Any:
        if id(layer) not in copied:  # one that occurs twice is shared by the copy too
            copied[id(layer)] = clone_function(layer) if clone_function is not None else \
                clone_model(layer) if isinstance(layer, Model) else type(layer).from_config(layer.get_config())
        return copied[id(layer)]
    if type(model) is Sequential:
        entry = [] if model._entry is None else [InputLayer.from_config(model.inputs[0].step.layer.get_config())]
        return Sequential([*entry, *(copy(layer) for layer in model.layers)], name=model.name,
                          trainable=model.trainable)
    if type(model) is Model and model._network is not None:
        inputs, outputs = network_from(network_config(model._network), [copy(layer) for layer in model._network.layers])
        return Model(inputs, outputs, name=model.name, trainable=model.trainable)
    return type(model).from_config(model.get_config())
