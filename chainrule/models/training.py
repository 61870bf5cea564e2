"""Training of models: ``compile``, ``fit``, ``evaluate``, ``predict``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule import losses, metrics, optimizers, tree
from chainrule.arguments import whole
from chainrule.errors import ArgumentError, DataError, UsageError
from chainrule.layers.base import FLOAT, Layer, Version, Weight
from chainrule.losses import Loss
from chainrule.optimizers.base import Optimizer
from chainrule.runtime import aligned
from chainrule.tracebacks import public
from chainrule.training import data
from chainrule.training.callbacks import Callback, History, checked
from chainrule.training.epoch import Task, prediction_program
from chainrule.training.fit import Programs, Training, bound_evaluation, loop
from chainrule.training.interrupt import Interrupt
from chainrule.training.progress import duration, numbers, verbosity
from chainrule.training.structure import count, samples

BATCH = 32
_BLOCK = 64  # batches that one native call of predict takes where there are as many


class Trainer(Layer):
    """What trains a model; :class:`~chainrule.models.Model` adds what the model is made of."""

    def entrances(self) -> list[Layer] | None:
        """The layers that data enter by, which know shapes and dtypes; None: any structure of data."""
        raise NotImplementedError

    def build_for(self, x: Any) -> None:
        """Build the model for data like these, if it is not built."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """The attributes of a model that has not been compiled."""
        self.optimizer: Optimizer | None = None
        self.loss: Loss | None = None
        self.metrics: list[Any] = []
        self.history: History | None = None
        self.stop_training = False
        self._params = np.zeros(0, FLOAT)  # what is trained; those weights of the layers are views of it
        self._held: tuple[dict[str, Any], np.ndarray] | None = None  # optimizer state and step count
        self._trained: list[Weight] = []  # the weights that the optimizer state is for
        self._programs = Programs()
        self._known: tuple[int, list[Weight], list[Weight]] = (-1, [], [])

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
        params, others = self.adopt(), [w.array for w in self._weights()[1]]
        if not params.size:
            raise UsageError.of("fit of a model without weights", "at least one layer that learns",
                                "model.add(Dense(1))")
        if self._held is None:
            self._held = tree.map_leaves(aligned, optimizer.init(params)), np.zeros((), np.int64)
        held = params, others, *self._held
        training = Training(task, self._programs, held, (x, y), held_out, batch, bool(shuffle))
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
        n = count(x)
        values = {name: run.result[name].item() / n for name in task.names}
        if level:
            steps = -(-n // batch)
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
            print(f"{count(x)} samples - {duration(time.perf_counter() - begin)}")
        return out

    def _predicted(self, x: Any, batch: int) -> Any:
        # Programs for one batch and for a block of batches serve any number of samples
        leaves, structure = tree.flatten(x)
        parts, at, n = [], 0, len(leaves[0])
        while at < n:
            steps = _BLOCK if n - at >= _BLOCK * batch else 1
            taken = [_rows(leaf, at, steps, batch) for leaf in leaves]
            program = self._programs.get(("predict", batch, steps), partial(prediction_program, self, steps))
            out, after = program(self._current(), tree.unflatten(structure, taken))
            for weight, value in zip(self._weights()[1], after, strict=True):
                if value is not None:
                    weight.array[...] = value
            parts.append(tree.map_leaves(lambda a: a.reshape(-1, *a.shape[2:])[:n - at], out))  # noqa: B023
            at += steps * batch
        return parts[0] if len(parts) == 1 else tree.map_leaves(lambda *each: np.concatenate(each), *parts)

    # -- the weights as the programs take them

    def _weights(self) -> tuple[list[Weight], list[Weight]]:
        """The weights that are trained, and the others."""
        if self._known[0] != Version.now:
            self._known = Version.now, self.trainable_weights, self.non_trainable_weights
        return self._known[1:]

    def adopt(self) -> np.ndarray:
        """The flat vector of all that is trained, after making the weights of the layers views of it."""
        weights = self._weights()[0]
        if weights != self._trained:  # others than before: what was recorded and the optimizer's state are not for them
            if self._trained:
                self._forget()
            self._trained = weights
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

    def _current(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """What is trained and the other weights, to read only: models that share layers leave them where they are."""
        weights, others = self._weights()
        if self._trained and weights != self._trained:
            self._forget()
            self._trained = weights
        owned = self._params.size == sum(w.array.size for w in weights) and self._owns(weights)
        return self._params if owned else self._gathered(weights), [w.array for w in others]

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

    def _samples(self, x: Any, name: str = "x") -> Any:
        """Samples as the programs take them; a model that is not built is built for them."""
        x = samples(x, self.entrances(), name)
        self.build_for(x)
        self.check_values(x, name)
        return x

    def _data(self, x: Any, y: Any, loss: Loss, names: tuple[str, str] = ("x", "y")) -> tuple[np.ndarray, np.ndarray]:
        x = self._samples(x, names[0])
        raw = data.numbers(y, names[1])
        if raw.ndim:
            data.same_length(tree.flatten(x)[0][0], raw, names)
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


def _rows(a: np.ndarray, at: int, steps: int, batch: int) -> np.ndarray:
    """Rows from ``at`` on, by batches; a batch that is short is filled up with its last row."""
    rows = a[at:at + steps * batch]
    if len(rows) < batch:
        rows = np.concatenate([rows, np.repeat(rows[-1:], batch - len(rows), axis=0)])
    return rows.reshape(steps, batch, *a.shape[1:])


def _checked_metrics(given: Any) -> list[Any]:
    wanted = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for each in wanted:
        metrics.get(each, (None, 1), (None, 1))
    return wanted


__all__ = ["BATCH", "Callback", "Trainer"]
