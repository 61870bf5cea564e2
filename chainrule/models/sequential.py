"""Layers one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chainrule import tree
from chainrule.configuration import custom_object_scope
from chainrule.errors import ArgumentError, UsageError
from chainrule.layers import config
from chainrule.layers.base import FLOAT, Layer, unique_names
from chainrule.layers.symbolic import Input, InputLayer, Network, Symbol
from chainrule.layers.weights import Version
from chainrule.models.model import Model
from chainrule.tracebacks import public
from chainrule.training.structure import samples


class Sequential(Model):
    """Layers one after the other.

    Args:
        layers: the layers; more may follow by :meth:`add`.
        name: of the model.
        trainable: whether training changes its weights.

    The shape of one sample comes from ``Input``, or from ``input_shape`` or ``input_dim`` of the first layer; without,
    from the first data. A model can be a layer of another model.

    Example:
        >>> model = Sequential([Dense(32, input_dim=10, activation="relu"), Dense(1, activation="sigmoid")])
        >>> model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
        >>> history = model.fit(x, y, epochs=50, batch_size=10)   # doctest: +SKIP
    """

    def __init__(self, layers: Iterable[Any] | None = None, name: str | None = None, **options: Any) -> None:
        super().__init__(name=name, **options)
        self._layers: list[Layer] = []
        self._entry: Any = None  # a symbol, or a list or dict of them
        self._last: Any = None  # the symbol after the last layer
        for layer in layers or ():
            self.add(layer)

    @property
    def sublayers(self) -> list[Layer]:
        """The layers, each once."""
        return list(dict.fromkeys(self._layers))

    @property
    def layers(self) -> list[Layer]:
        """The layers in their order."""
        return list(self._layers)

    # -- building

    @public
    def add(self, layer: Any) -> None:
        """Append a layer."""
        if isinstance(layer, type) and issubclass(layer, Layer):
            raise ArgumentError.of(f"add got the class {layer.__name__}", "a layer made from it",
                                   f"model.add({layer.__name__}(...))")
        if isinstance(layer, InputLayer):
            layer = layer.output
        if isinstance(layer, Symbol) and layer.step is not None and isinstance(layer.step.layer, InputLayer):
            if self._layers or self._entry is not None:
                raise ArgumentError.of("Input after other layers", "Input as the first entry",
                                       "Sequential([Input((10,)), Dense(32)])")
            self._begin(layer)
            return
        if not isinstance(layer, Layer):
            raise ArgumentError.of(f"add got {layer!r}", "a Layer", "model.add(Dense(32, activation='relu'))")
        self._layers.append(layer)
        Version.now += 1
        unique_names(self._layers)
        self._forget()
        if self._entry is None and len(self._layers) == 1:
            self._begin_with(layer)
        elif self._entry is not None:
            self._apply(layer)

    @public
    def pop(self) -> Layer:
        """Take the last layer away, and return it."""
        if not self._layers:
            raise UsageError.of("pop of a model without layers", "at least one", "model.add(Dense(1))")
        layer = self._layers.pop()
        Version.now += 1
        self._forget()
        if self._entry is not None:
            self.build(self._entry.shape)
        return layer

    def _begin_with(self, layer: Layer) -> None:
        """Take the input shape from the first layer, if it knows one."""
        self.given_shape = self.given_shape or layer.given_shape
        if self.given_shape is not None:
            shape: Any = (None, *self.given_shape)
        elif layer.built and layer.input_shape is not None:
            shape = layer.input_shape
        else:
            return
        self.build(shape)

    def _begin(self, entry: Symbol) -> None:
        self._entry = self._last = entry
        self.input_shape, self.given_shape = entry.shape, entry.shape[1:]

    def _apply(self, layer: Layer) -> None:
        try:
            self._last = layer(self._last)
        except Exception:
            self._layers.remove(layer)
            raise
        self._network = Network(self._entry, self._last)
        self.output_shape, self.built = self._network.results[0].shape, True

    @public
    def build(self, input_shape: Any = None) -> None:
        """Make the weights of all layers for inputs of this shape, its first extent None."""
        if input_shape is None:
            return
        first = self._layers[0] if self._layers else None
        dtype = first.input_dtype if first is not None and first.input_dtype is not None else FLOAT
        if isinstance(input_shape, dict) or not isinstance(input_shape[0], int | None):
            self._entry = self._last = _inputs(input_shape, dtype)
            self.input_shape = input_shape
        else:
            entry = self._entry
            if entry is None or entry.shape[1:] != tuple(input_shape[1:]):
                entry = Input(shape=input_shape[1:], dtype=dtype)
            self._begin(entry)
        self._network, self.built, self.output_shape = None, False, None
        for layer in list(self._layers):
            self._apply(layer)

    def ensure_built(self, *shapes: Any) -> None:
        """Build the layers, once."""
        if not self.built:
            self.build(shapes[0])

    def build_for(self, x: Any) -> None:
        """Build the layers for data like these, if they are not built."""
        if not self.built:
            self.build(tree.map_leaves(lambda a: (None, *a.shape[1:]), x))

    def _samples(self, x: Any, name: str = "x", at: Any = None) -> Any:
        """Samples as programs take them; of several inputs the names are those of the first data."""
        if self._entry is None and isinstance(x, dict):
            self.build_for(samples(x, None, name, at))
        return super()._samples(x, name, at)

    def entrances(self) -> list[Layer] | None:
        """The first layer, which names the input in errors."""
        if not self._layers:
            raise UsageError.of("the model has no layers", "at least one", "model.add(Dense(1))")
        if isinstance(self._entry, list | dict):
            return super().entrances()
        first: Any = self._layers[0]
        while isinstance(first, Sequential) and first._layers:
            first = first._layers[0]
        return [first]

    # -- configuration and display

    def get_config(self) -> dict[str, Any]:
        """The model without its weights, as plain data.

        Example:
            >>> Sequential.from_config(Sequential([Dense(2, input_dim=3)]).get_config())
            Sequential([Dense(2)])
        """
        if type(self) is not Sequential:
            return super().get_config()
        entry = config.serialize(self._entry.step.layer) if isinstance(self._entry, Symbol) else None
        return {"name": self.name, "trainable": self.trainable, "entry": entry,
                "layers": [config.serialize(layer) for layer in self._layers]}

    @classmethod
    def from_config(cls, config_: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """A model from what :meth:`get_config` gave, with classes of one's own by their names; its weights are new."""
        if "entry" not in config_:
            return super().from_config(config_, custom_objects)
        with custom_object_scope(custom_objects):
            first = [] if config_["entry"] is None else [config.deserialize(config_["entry"])]
            layers = [config.deserialize(layer) for layer in config_["layers"]]
        return cls([*first, *layers], name=config_["name"], trainable=config_["trainable"])

    def describe(self) -> str:
        """The layers."""
        return "[" + ", ".join(repr(layer) for layer in self._layers) + "]"


def _inputs(shapes: Any, dtype: Any) -> Any:
    """An input for each shape in a list or dict."""
    if isinstance(shapes, dict):
        return {key: Input(shape[1:], dtype=dtype, name=key) for key, shape in shapes.items()}
    if not isinstance(shapes[0], int | None):
        return [_inputs(shape, dtype) for shape in shapes]
    return Input(shape=shapes[1:], dtype=dtype)


__all__ = ["Sequential"]
