"""The model: layers put together, by applying them to symbolic batches or in a ``call`` of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.configuration import custom_object_scope
from chainrule.errors import ArgumentError, UsageError
from chainrule.layers import config
from chainrule.layers.base import FLOAT, Layer, Shape, assign, unique_names
from chainrule.layers.symbolic import Network, Symbol, replaced
from chainrule.looked_into import LookedInto
from chainrule.models.summary import table
from chainrule.models.training import Trainer
from chainrule.tracebacks import public


class Model(LookedInto, Trainer):
    """Layers put together, and trained by ``fit``. A model can be a layer of another model.

    Either from what layers make of ``Input``: several inputs and outputs, shared layers, branches that are added or
    concatenated; or as a subclass with a ``call`` of its own, which may hold any Python that does not depend on values.

    Args:
        inputs: what ``Input`` gave, or a list or dict of that.
        outputs: what layers made of it, or a list or dict of that.
        name: of the model.
        trainable: whether training changes its weights.

    Example:
        >>> x = Input(shape=(8,))
        >>> h = Dense(8, activation="relu")(x)
        >>> model = Model(x, Dense(1)(x + h))
        >>> model.output_shape, model.count_params()
        ((None, 1), 81)

        class Classifier(Model):
            def __init__(self):
                super().__init__()
                self.hidden = Dense(32, activation="relu")
                self.out = Dense(10, activation="softmax")

            def call(self, x, training=False):
                return self.out(self.hidden(x))
    """

    scoped = False

    def __init__(self, inputs: Any = None, outputs: Any = None, name: str | None = None, **options: Any) -> None:
        super().__init__(name, **{"dtype": "float32", **options})  # it computes in what its layers do
        self._prepare()
        self._network: Network | None = None
        if inputs is not None or outputs is not None:
            if inputs is None or outputs is None:
                raise ArgumentError.of("a Model with inputs or outputs only", "both", "Model(inputs=x, outputs=y)")
            self._put_together(Network(inputs, outputs))

    def _put_together(self, network: Network) -> None:
        self._network, self.built = network, True
        unique_names(network.layers)
        self.input_shape = tree.map_leaves(lambda s: s.shape, network.inputs)
        self.output_shape = tree.map_leaves(lambda s: s.shape, network.outputs)

    @property
    def sublayers(self) -> list[Layer]:
        """The layers of the network, and those stored as attributes."""
        network = self.__dict__.get("_network")
        return list(dict.fromkeys([*(network.layers if network is not None else ()), *super().sublayers]))

    @property
    def layers(self) -> list[Layer]:
        """The layers; of a model made of symbols, those of its inputs first."""
        return self.sublayers

    @public
    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of a name, or at an index."""
        if index is not None:
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ArgumentError.of(f"model {self.name!r} has no layer {name!r}",
                               f"one of {', '.join(repr(layer.name) for layer in self.layers)}", "model.layers[0]")

    # -- building and calling

    def call(self, inputs: Any) -> Any:
        """The outputs for batches in the structure of the inputs. A subclass without them defines its own."""
        if self._network is None:
            raise UsageError.of(f"model {self.name!r} ({type(self).__name__}) is called without layers",
                                "a call of its own, or inputs and outputs", "Model(inputs=x, outputs=y)")
        return self._network.run(inputs)

    @public
    def build(self, input_shape: Any) -> None:
        """Make the weights of all layers for inputs of this shape, its first extent None."""
        shapes = [input_shape] if _is_shape(input_shape) else list(input_shape)
        symbols = [Symbol((None, *shape[1:]), FLOAT) for shape in shapes]
        self(symbols[0] if _is_shape(input_shape) else symbols)

    def mark_built(self, *shapes: Any) -> None:
        """Nothing: a model is built when its layers are."""

    def ensure_built(self, *shapes: Any) -> None:
        """Note the shape of the input; layers inside are built when ``call`` comes to them."""
        if not self.built:
            if type(self).build is not Model.build:
                self.build(shapes[0])
            self.built, self.input_shape, self.argument_shapes = True, shapes[0], shapes

    def build_for(self, x: Any) -> None:
        """Build the model for data like these, if it is not built."""
        if self.output_shape is None:
            symbols = tree.map_leaves(lambda a: Symbol((None, *a.shape[1:]), a.dtype), x)
            self(symbols)
            unique_names(self.sublayers)

    def entrances(self) -> list[Layer] | None:
        """The layers that data enter by, which know shapes and dtypes; None: any structure of data."""
        if self._network is None:
            return None
        return [s.step.layer for s in self._network.entries if s.step is not None]

    def check_values(self, x: Any, name: str = "x") -> None:
        """An error for data that a layer which gets them as they are cannot take."""
        if self._network is not None:
            entries = {id(symbol): i for i, symbol in enumerate(self._network.entries)}
            arrays = tree.flatten(x)[0]
            for step in self._network.steps:
                i = entries.get(id(step.args[0])) if step.args else None
                if i is not None:
                    step.layer.check_values(arrays[i], name if len(arrays) == 1 else f"{name}[{i}]")

    # -- symbols

    @property
    def inputs(self) -> list[Symbol]:
        """The symbols that the model was made from."""
        return list(self._made().entries)

    @property
    def outputs(self) -> list[Symbol]:
        """The symbols that the model computes."""
        return list(self._made().results)

    @property
    def input(self) -> Any:
        """The symbol, or the container of symbols, that the model was made from."""
        return self._made().inputs

    @property
    def output(self) -> Any:
        """The symbol, or the container of symbols, that the model computes."""
        return self._made().outputs

    def _made(self) -> Network:
        if self._network is None:
            raise UsageError.of(f"model {self.name!r} knows no symbols: it has its own call, or no input shape yet",
                                "a model made from Input", "Sequential([Input((10,)), Dense(1)])")
        return self._network

    def output_names(self) -> list[str] | None:
        """The names of the layers that make the outputs; None for a subclass, and where the outputs are a dict."""
        if self._network is None or isinstance(self._network.outputs, dict):
            return None
        names = [s.step.layer.name if s.step is not None else f"output_{i}" for i, s in enumerate(self.outputs)]
        return [name if names.index(name) == i else f"{name}_{names[:i].count(name)}" for i, name in enumerate(names)]

    # -- weights

    @public
    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights by arrays of the same shapes, in the order of :meth:`get_weights`."""
        assign(self.name, self.weights, weights)

    def reset_states(self) -> None:
        """Set the states of stateful recurrent layers to 0, also of those in models inside."""
        for layer in self.sublayers:
            reset = getattr(layer, "reset_states", None) or getattr(layer, "reset_state", None)
            if reset is not None:
                reset()

    # -- configuration

    def get_config(self) -> dict[str, Any]:
        """The model without its weights, as plain data; of a subclass the arguments it was made with.

        Example:
            >>> x = Input((4,))
            >>> model = Model(x, Dense(2)(x))
            >>> [layer["class_name"] for layer in Model.from_config(model.get_config()).get_config()["layers"]]
            ['InputLayer', 'Dense']
        """
        if self._network is None or type(self) is not Model:
            return super().get_config()
        return {"name": self.name, "trainable": self.trainable, **network_config(self._network)}

    @classmethod
    def from_config(cls, config_: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """A model from what :meth:`get_config` gave, with classes of one's own by their names; its weights are new."""
        with custom_object_scope(custom_objects):
            if "steps" not in config_:
                return super().from_config(config_)
            inputs, outputs = network_from(config_, [config.deserialize(layer) for layer in config_["layers"]])
            return cls(inputs, outputs, name=config_["name"], trainable=config_["trainable"])

    def to_json(self, **options: Any) -> str:
        """The model without its weights as JSON, for :func:`~chainrule.models.model_from_json`.

        Args:
            options: of ``json.dumps``.
        """
        return json.dumps(config.serialize(self), **options)

    # -- display

    def summary(self, line_length: int | None = None, positions: Any = None,
                print_fn: Callable[[str], Any] | None = None, expand_nested: bool = False,
                show_trainable: bool = False, layer_range: Sequence[str] | None = None) -> None:
        """Print the layers with output shapes, numbers of parameters, and operations for one sample.

        Args:
            line_length: of the table in characters; by default that of the terminal.
            positions: of no meaning here: columns are as wide as they need to be.
            print_fn: gets the whole text in place of the standard output.
            expand_nested: whether the layers of models inside have rows too.
            show_trainable: whether a column says which layers are trained.
            layer_range: regular expressions for the names of the first and the last layer shown.
        """
        table(self, line_length, print_fn, expand_nested, show_trainable, layer_range)

    def describe(self) -> str:
        """The name."""
        return f"name={self.name!r}"


def network_config(network: Network) -> dict[str, Any]:
    """A network as plain data: its layers, and the steps with references to the symbols of other steps."""
    layers = network.layers
    numbers = {id(layer): i for i, layer in enumerate(layers)}
    places: dict[int, Any] = {}
    for i, symbol in enumerate(network.entries):
        places[id(symbol)] = {"symbol": [-1, i]}
    steps = []
    for k, step in enumerate(network.steps):
        steps.append({"layer": numbers[id(step.layer)], "args": config.serialize(replaced(list(step.args), places)),
                      "options": config.serialize(replaced(step.options, places))})
        for i, symbol in enumerate(tree.flatten(step.outputs)[0]):
            places.setdefault(id(symbol), {"symbol": [k, i]})
    entrances = [numbers[id(s.step.layer)] for s in network.entries if s.step is not None]
    return {"layers": [config.serialize(layer) for layer in layers], "entrances": entrances, "steps": steps,
            "inputs": replaced(network.inputs, places), "outputs": replaced(network.outputs, places)}


def network_from(data: dict[str, Any], layers: Sequence[Layer], inputs: Sequence[Any] | None = None,
                 call: Callable[..., Any] | None = None) -> tuple[Any, Any]:
    """Inputs and outputs of a network with these layers in place of its own.

    Args:
        data: what :func:`network_config` gave.
        layers: in its order.
        inputs: symbols in place of those of the layers of the inputs.
        call: ``call(layer, *args, **options)`` in place of calling the layer.
    """
    made: dict[int, list[Any]] = {-1: list(inputs) if inputs is not None else [
        layers[i].output for i in data["entrances"]]}
    for k, step in enumerate(data["steps"]):
        args, options = _resolved(step["args"], made), _resolved(step["options"], made)
        layer = layers[step["layer"]]
        made[k] = tree.flatten(call(layer, *args, **options) if call else layer(*args, **options))[0]
    return _resolved(data["inputs"], made), _resolved(data["outputs"], made)


def _resolved(container: Any, made: dict[int, list[Any]]) -> Any:
    """A container with symbols in place of references to them, and plain data read back."""
    if isinstance(container, dict):
        if set(container) == {"symbol"}:
            k, i = container["symbol"]
            return made[k][i]
        if set(container) & {"class_name", "function", "slice", "index", "ellipsis", "array"}:
            return config.deserialize(container)
        return {name: _resolved(each, made) for name, each in container.items()}
    if isinstance(container, list):
        return [_resolved(each, made) for each in container]
    return container


def _is_shape(given: Any) -> bool:
    return isinstance(given, tuple) and all(n is None or isinstance(n, int | np.integer) for n in given)


__all__ = ["Model", "Shape", "network_config", "network_from"]
