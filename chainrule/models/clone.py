"""Copies of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule import tree
from chainrule.errors import ArgumentError, UsageError
from chainrule.layers.base import Layer
from chainrule.layers.symbolic import InputLayer, Symbol
from chainrule.models.model import Model, network_config, network_from
from chainrule.models.sequential import Sequential


def clone_model(model: Any, input_tensors: Any = None, clone_function: Callable[[Layer], Layer] | None = None,
                call_function: Callable[..., Any] | None = None, recursive: bool = False) -> Any:
    """A model of the same layers with new weights, compiled as the model is.

    Args:
        model: Sequential, made from symbols, or a subclass with a ``get_config`` that its constructor takes.
        input_tensors: symbols in place of the model's inputs, in the same structure.
        clone_function: makes the copy of a layer; by default from its configuration. Not for subclasses.
        call_function: ``call_function(layer, *args, **options)`` in place of calling a layer, for models made from
            symbols.
        recursive: whether ``clone_function`` also copies the layers of models inside.

    Raises:
        ArgumentError: for arguments that do not fit the model.

    Example:
        >>> model = Sequential([Dense(2, input_dim=3)])
        >>> copy = clone_model(model)
        >>> copy.set_weights(model.get_weights())
    """
    copied: dict[int, Any] = {}

    def copy(layer: Layer) -> Any:
        if id(layer) not in copied:  # one that occurs twice is shared by the copy too
            deeper = isinstance(layer, Model) and (recursive or clone_function is None)
            copied[id(layer)] = (
                clone_model(layer, None, clone_function, call_function if recursive else None, recursive) if deeper
                else type(layer).from_config(layer.get_config())
                if clone_function is None or isinstance(layer, InputLayer) else clone_function(layer))
        return copied[id(layer)]
    made = _copy(model, input_tensors, clone_function, call_function, copy)
    if model.compiled and not made.compiled:
        _compile_alike(made, model)
    return made


def _copy(model: Any, inputs: Any, clone_function: Any, call_function: Any, copy: Callable[[Layer], Any]) -> Any:
    if type(model) is Sequential and call_function is None:
        known = isinstance(model._entry, Symbol)
        entry = [InputLayer.from_config(model._entry.step.layer.get_config())] if known else []
        if inputs is not None:
            given = tree.flatten(inputs)[0]
            if len(given) != 1:
                raise ArgumentError.of(f"{len(given)} input_tensors for a Sequential", "one", "Input((10,))")
            entry = [given[0].step.layer]
        return Sequential([*entry, *(copy(layer) for layer in model.layers)], name=model.name,
                          trainable=model.trainable)
    if type(model) is Model and model._network is not None:
        network = model._network
        symbols: Any = None
        if inputs is not None:
            symbols, structure = tree.flatten(inputs)
        if symbols is not None and (structure != tree.flatten(network.inputs)[1]
                                  or not all(isinstance(s, Symbol) for s in symbols)):
            raise ArgumentError.of("input_tensors of another structure than model.input", "symbols in its structure",
                                   "clone_model(model, input_tensors=Input((10,)))")
        made = network_from(network_config(network), [copy(layer) for layer in network.layers], symbols, call_function)
        return Model(*made, name=model.name, trainable=model.trainable)
    if inputs is not None or clone_function is not None or call_function is not None:
        raise ArgumentError.of(f"{type(model).__name__} with input_tensors, clone_function or call_function",
                               "a model made from Input, or a Sequential without call_function", "clone_model(model)")
    return type(model).from_config(model.get_config())


def _compile_alike(made: Any, model: Any) -> None:
    try:
        made.compile_from_config(model.get_compile_config())
    except UsageError:  # with what cannot be written down: the copy is compiled anew by who needs it
        return


__all__ = ["clone_model"]
