"""Models: layers put together, trained by ``fit``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule import losses, metrics, optimizers, tree
from chainrule.arguments import whole
from chainrule.errors import ArgumentError, ChainruleError, DataError, UsageError
from chainrule.graph import Graph, scope
from chainrule.layers.base import FLOAT, Layer, Shape, Weight, assign
from chainrule.layers.core import Input
from chainrule.layers.summary import table
from chainrule.looked_into import LookedInto
from chainrule.losses import Loss
from chainrule.optimizers.base import Optimizer
from chainrule.runtime import aligned
from chainrule.trace import trace
from chainrule.tracebacks import public
from chainrule.training import data
from chainrule.training.callbacks import Callback, History, checked
from chainrule.training.epoch import Task, prediction_program
from chainrule.training.fit import Programs, Training, bound_evaluation, loop
from chainrule.training.interrupt import Interrupt
from chainrule.training.progress import duration, numbers, verbosity

BATCH = 32
_BLOCK = 64  # batches that one native call of predict takes where there are as many


class Sequential(LookedInto, Layer):
    """Layers one after the other.

    Args:
        layers: the layers; more may follow by :meth:`add`.
        name: of the model.

    The shape of one sample comes from ``Input``, or from ``input_shape`` or ``input_dim`` of the first layer; without,
    from the first data. A model can be a layer of another model.

    Example:
        >>> model = Sequential([Dense(32, input_dim=10, activation="relu"), Dense(1, activation="sigmoid")])
        >>> model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
        >>> history = model.fit(x, y, epochs=50, batch_size=10)   # doctest: +SKIP
    """

    def __init__(self, layers: Iterable[Layer] | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.layers: list[Layer] = []
        self.output_shapes: list[Shape] = []  # after each layer, as far as built
        self.optimizer: Optimizer | None = None
        self.loss: Loss | None = None
        self.metrics: list[Any] = []
        self.history: History | None = None
        self.stop_training = False
        self._params = np.zeros(0, FLOAT)  # all parameters; the weights of the layers are views of it
        self._held: tuple[dict[str, Any], np.ndarray] | None = None  # optimizer state and step count
        self._programs = Programs()
        for layer in layers or ():
            self.add(layer)

    # -- building

    @public
    def add(self, layer: Layer) -> None:
        """Append a layer."""
        if isinstance(layer, type) and issubclass(layer, Layer):
            raise ArgumentError.of(f"add got the class {layer.__name__}", "a layer made from it",
                                   f"model.add({layer.__name__}(...))")
        if not isinstance(layer, Layer):
            raise ArgumentError.of(f"add got {layer!r}", "a Layer", "model.add(Dense(32, activation='relu'))")
        if not self.layers and self.given_shape is None:
            self.given_shape = layer.given_shape
            if layer.given_shape is not None:
                self.input_shape = (None, *layer.given_shape)
            elif layer.built:
                self.input_shape = layer.input_shape
        if isinstance(layer, Input):
            if self.layers:
                raise ArgumentError.of("Input after other layers", "Input as the first entry",
                                       "Sequential([Input((10,)), Dense(32)])")
            return
        if not layer.named:
            taken = {each.name for each in self.layers if each is not layer}
            base, k = layer.name, 0
            while layer.name in taken:
                k += 1
                layer.name = f"{base}_{k}"
        self.layers.append(layer)
        self._forget()
        if self.input_shape is not None:
            self.build(self.input_shape)

    @public
    def build(self, input_shape: Shape) -> None:
        """Make the weights of all layers for inputs of this shape, its first extent None."""
        self.input_shape = (None, *input_shape[1:])
        for layer in self.layers[len(self.output_shapes):]:
            self.output_shapes.append(_built(layer, self.output_shapes[-1] if self.output_shapes else self.input_shape))
        self.built = bool(self.layers)

    def call(self, x: Any, training: bool = False) -> Any:
        """The output of the last layer for a batch ``x``."""
        for layer in self.layers:
            with scope(f"layer {layer.name!r}"):
                x = layer.call(x, training=training)
        return x

    @property
    def weights(self) -> list[Weight]:
        """The weights of all layers; those of a layer that occurs twice once."""
        return list(dict.fromkeys(w for layer in self.layers for w in layer.weights))

    @property
    def random_layers(self) -> list[Layer]:
        """The layers that need random numbers when training."""
        return list(dict.fromkeys(r for layer in self.layers for r in layer.random_layers))

    @property
    def output_shape(self) -> Shape | None:
        """The shape of the output, its first extent None; None itself before the model is built."""
        return self.output_shapes[-1] if self.built and self.output_shapes else None

    @public
    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights by arrays of the same shapes, in the order of :meth:`get_weights`."""
        assign(self.name, self.weights, weights)

    def adopt(self) -> np.ndarray:
        """The flat vector of all parameters, after making the weights of the layers views of it."""
        weights = self.weights
        size = sum(w.array.size for w in weights)
        if self._params.size != size:
            self._params = aligned(np.zeros(size, FLOAT))
        if not self._owns(weights):
            self._params[...] = self._gathered(weights)
            at = 0
            for w in weights:
                n = w.array.size
                w.array = self._params[at:at + n].reshape(w.shape)
                at += n
        return self._params

    def _owns(self, weights: Sequence[Weight]) -> bool:
        owner = self._params.base if self._params.base is not None else self._params
        return all(w.array.base is owner for w in weights)

    @staticmethod
    def _gathered(weights: Sequence[Weight]) -> np.ndarray:
        return np.concatenate([np.zeros(0, FLOAT), *(w.array.reshape(-1) for w in weights)])

    def _current(self) -> np.ndarray:
        """All parameters, to read only: a model that shares layers with another leaves them where they are."""
        weights = self.weights
        owned = self._params.size == sum(w.array.size for w in weights) and self._owns(weights)
        return self._params if owned else self._gathered(weights)

    # -- training

    @public
    def compile(self, optimizer: str | Optimizer = "rmsprop", loss: str | Loss | Callable[..., Any] | None = None,
                metrics: Any = None) -> None:
        """Say how the model is trained. The optimizer starts anew; the weights stay.

        Args:
            optimizer: a name or an Optimizer.
            loss: a name, a Loss, or a function of ``(y_true, y_pred)``.
            metrics: names, Metrics or functions; ``'accuracy'`` is the kind that fits the shapes.

        Example:
            >>> model.compile(loss="mse", optimizer=Adam(0.01), metrics=["mae"])   # doctest: +SKIP
        """
        # everything is checked before anything is changed
        chosen = optimizers.get(optimizer), None if loss is None else losses.get(loss), _checked_metrics(metrics)
        self.optimizer, self.loss, self.metrics = chosen
        self._forget()

    @public
    def fit(self, x: Any = None, y: Any = None, batch_size: int | None = None, epochs: int = 1,
            verbose: int | str = "auto", callbacks: Any = None, validation_split: float = 0.0,
            validation_data: Any = None, shuffle: bool = True, initial_epoch: int = 0) -> History:
        """Train: ``epochs`` times over all samples, ``batch_size`` of them a step, the short last batch included.

        Args:
            x: samples, the first axis counting them.
            y: one target per sample.
            batch_size: 32 by default; more than there are samples is one batch of all.
            epochs: the number of the epoch to stop before.
            verbose: 0 silent, 1 progress, 2 a line per epoch; ``'auto'`` is 1.
            callbacks: objects made from :class:`~chainrule.training.callbacks.Callback`, called between epochs.
            validation_split: the share of samples, the last ones, that is not trained on but evaluated each epoch.
            validation_data: ``(x, y)`` to evaluate each epoch; ``validation_split`` is then not used.
            shuffle: whether the samples come in another order each epoch.
            initial_epoch: the number of the first epoch.

        Returns:
            A History: ``history.history['loss']`` has a number per epoch.

        Raises:
            UsageError: before ``compile``.
            DataError, ShapeError, ArgumentError: for what cannot be trained on.
            KeyboardInterrupt: on Ctrl-C, between two steps; the model keeps what it learned.
        """
        loss, optimizer = self._compiled("fit")
        batch = BATCH if batch_size is None else whole("batch_size", batch_size)
        epochs, first = whole("epochs", epochs), whole("initial_epoch", initial_epoch, least=0)
        level, calls = verbosity(verbose), checked(callbacks)
        if validation_split and validation_data is None:
            (x, y), validation_data = data.split(x, y, validation_split)
        x, y = self._data(x, y, loss)
        held_out = None if validation_data is None else self._validation(validation_data, loss)
        task = Task(self, loss, self._fitting_metrics(y), optimizer)
        params = self.adopt()
        if not params.size:
            raise UsageError.of("fit of a model without weights", "at least one layer that learns",
                                "model.add(Dense(1))")
        if self._held is None:
            self._held = tree.map_leaves(aligned, optimizer.init(params)), np.zeros((), np.int64)
        training = Training(task, self._programs, (params, *self._held), (x, y), held_out, batch, bool(shuffle))
        return loop(self, training, first, epochs, calls, level)

    @public
    def evaluate(self, x: Any = None, y: Any = None, batch_size: int | None = None, verbose: int | str = "auto",
                 return_dict: bool = False) -> Any:
        """Loss and metrics on the samples.

        Returns:
            ``[loss, metric, …]``, only the loss if there are no metrics, or a dict with ``return_dict``.
        """
        loss, optimizer = self._compiled("evaluate")
        batch = BATCH if batch_size is None else whole("batch_size", batch_size)
        level = verbosity(verbose)
        x, y = self._data(x, y, loss)
        task = Task(self, loss, self._fitting_metrics(y), optimizer)
        with Interrupt() as interrupt:
            run = bound_evaluation(task, self._programs, self._current(), (x, y), batch, interrupt)
            begin = time.perf_counter()
            interrupt.native = True
            interrupt.run(run)
        if interrupt.pending is not None:
            raise interrupt.pending
        values = {name: run.result[name].item() / len(x) for name in task.names}
        if level:
            steps = -(-len(x) // batch)
            print(f"{steps}/{steps} - {duration((time.perf_counter() - begin) / steps)}/step - {numbers(values)}")
        return values if return_dict else list(values.values()) if len(values) > 1 else values["loss"]

    @public
    def predict(self, x: Any, batch_size: int | None = None, verbose: int | str = 0) -> np.ndarray:
        """The outputs for all samples, as a float32 array.

        Args:
            x: samples, the first axis counting them.
            batch_size: samples computed at a time; the outputs do not depend on it.
            verbose: 1 prints how long it took.
        """
        batch = BATCH if batch_size is None else whole("batch_size", batch_size)
        level = 0 if verbose == "auto" else verbosity(verbose)
        x = self._samples(x)
        begin = time.perf_counter()
        out = self._predicted(x, batch)
        if level:
            print(f"{len(x)} samples - {duration(time.perf_counter() - begin)}")
        return out

    def _predicted(self, x: np.ndarray, batch: int) -> np.ndarray:
        # Programs for one batch and for a block of batches serve any number of samples
        params, parts, at, n = self._current(), [], 0, len(x)
        while at < n:
            steps = _BLOCK if n - at >= _BLOCK * batch else 1
            rows = x[at:at + steps * batch]
            if len(rows) < batch:
                rows = np.concatenate([rows, np.repeat(rows[-1:], batch - len(rows), axis=0)])
            program = self._programs.get(("predict", batch, steps), partial(prediction_program, self, steps))
            out = program(params, rows.reshape(steps, batch, *x.shape[1:]))
            parts.append(out.reshape(steps * batch, *out.shape[2:])[:n - at])
            at += steps * batch
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    # -- display

    def summary(self, line_length: int | None = None, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the layers with their output shapes and numbers of parameters."""
        known = [*self.output_shapes, *[None] * (len(self.layers) - len(self.output_shapes))]
        table(f"Model: {self.name}", self.layers, known, line_length, print_fn)

    def describe(self) -> str:
        """The layers."""
        return "[" + ", ".join(repr(layer) for layer in self.layers) + "]"

    # -- what fit, evaluate and predict share

    def _forget(self) -> None:
        """Drop what was recorded of the model as it was, and the optimizer's state."""
        self._programs = Programs()
        self._held = None

    def _compiled(self, what: str) -> tuple[Loss, Optimizer]:
        if self.optimizer is None:
            raise UsageError.of(f"{what} before compile", "compile first",
                                "model.compile(loss='binary_crossentropy', optimizer='adam')")
        if self.loss is None:
            raise UsageError.of(f"{what} of a model compiled without a loss", "a loss that says what to make small",
                                "model.compile(loss='binary_crossentropy', optimizer='adam')")
        return self.loss, self.optimizer

    def _samples(self, x: Any, name: str = "x") -> np.ndarray:
        if not self.layers:
            raise UsageError.of("the model has no layers", "at least one", "model.add(Dense(1))")
        if self.built:
            return data.inputs(x, self._entrance(), name)
        x = data.inputs(x, None, name)
        if x.ndim == 1:
            x = x[:, None]
        self.build((None, *x.shape[1:]))
        return x

    def _entrance(self) -> Layer:
        """What names the first layer in errors, with the input shape of the model."""
        first = self.layers[0]
        while isinstance(first, Sequential):
            first = first.layers[0]
        return first

    def _data(self, x: Any, y: Any, loss: Loss, names: tuple[str, str] = ("x", "y")) -> tuple[np.ndarray, np.ndarray]:
        x = self._samples(x, names[0])
        raw = data.numbers(y, names[1])
        if raw.ndim:
            data.same_length(x, raw, names)
        assert self.output_shape is not None
        return x, data.targets(raw, loss, self.output_shape, names[1])

    def _validation(self, given: Any, loss: Loss) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise DataError.of(f"validation_data is a {type(given).__name__}"
                               + (f" of {len(given)}" if isinstance(given, tuple | list) else ""),
                               "a pair (x, y)", "validation_data=(x_val, y_val)")
        x, y = given
        return self._data(x, y, loss, ("x_val", "y_val"))

    def _fitting_metrics(self, y: np.ndarray) -> tuple[metrics.Metric, ...]:
        assert self.output_shape is not None
        found = tuple(metrics.get(m, y.shape, self.output_shape) for m in self.metrics)
        names = ["loss", *(m.name for m in found)]
        for name in names:
            if names.count(name) > 1:
                raise ArgumentError.of(f"two results named {name!r}", "each metric once, under a name of its own",
                                       "metrics=[BinaryAccuracy(name='binary')]")
        return found


def _built(layer: Layer, shape: Shape) -> Shape:
    """Build a layer for inputs of ``shape``; the shape of its output, found by recording it for two samples."""
    sample = np.zeros((2, *(n or 1 for n in shape[1:])), FLOAT)
    try:
        layer.ensure_built(shape)
        layer.check_input(sample.shape)
        graph: Graph = trace(lambda x: layer.call(x, training=False), sample)
    except ChainruleError as error:
        error.add_note(f"  In layer {layer.name!r} ({type(layer).__name__}), input shape {shape}.")
        raise
    return (None, *graph.outputs[0].shape[1:])


def _checked_metrics(given: Any) -> list[Any]:
    wanted = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for each in wanted:
        metrics.get(each, (None, 1), (None, 1))
    return wanted


__all__ = ["Callback", "Sequential"]
