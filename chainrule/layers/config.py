"""Layers as plain data; ``chainrule/configuration.py`` does it."""

from __future__ import annotations

from typing import Any

from chainrule import configuration
from chainrule.configuration import LAYER, NUMPY, deserialize, register, serialize


def offer(cls: type) -> None:
    """Make a layer of the package known by its name."""
    configuration.offer(cls, LAYER)


def arguments_of(layer: Any, args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The arguments a layer was made with, defaults included, as plain data; name and ``trainable`` as they are now."""
    shared = {name: serialize(getattr(layer, name)) for name in layer.shared_arguments}
    return {**shared, **configuration.arguments_of(layer, args, options,
                                                   {"name": layer.name, "trainable": layer.trainable})}


__all__ = ["NUMPY", "arguments_of", "deserialize", "offer", "register", "serialize"]
