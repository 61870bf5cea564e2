"""Training of models: ``compile``, ``fit``, ``evaluate``, ``predict``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import configuration, optimizers, random, tree
from chainrule.addresses import aligned
from chainrule.arguments import whole
from chainrule.errors import ArgumentError, UsageError
from chainrule.layers.base import FLOAT, Layer, Weight
from chainrule.layers.weights import Version
from chainrule.lazy import lazy
from chainrule.metrics import Mean, Metric
from chainrule.models.prediction import Predictor
from chainrule.optimizers.base import Optimizer
from chainrule.tracebacks import public
from chainrule.training import checkpoint, run, targets
from chainrule.training.callbacks import Callback, History
from chainrule.training.epoch import batch_program, makes_masks
from chainrule.training.feed import Programs
from chainrule.training.objective import Objective, Plan, separated
from chainrule.training.single import Single
from chainrule.training.steps import Outline, outlined
from chainrule.training.structure import count, samples

keras_files = lazy("chainrule.training.keras_files")


class Trainer(Predictor):
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
        self.loss: Any = None
        self._plan: Plan | None = None
        self._masked: bool | None = None  # whether outputs have masks; None: not asked yet
        self.history: History | None = None
        self.steps_per_execution = 1
        self._recipe: dict[str, Any] = {}  # the arguments of compile
        self._running: Any = None  # the run of fit that is under way
        self.stop_training = False
        self._adopted = (-1, -1)  # the version at which the weights were views of the vector
        self._params = np.zeros(0, FLOAT)  # what is trained; those weights of the layers are views of it
        self._held: tuple[dict[str, Any], np.ndarray] | None = None  # optimizer state and step count
        self._trained: list[Weight] = []  # the weights that the optimizer state is for
        self._programs = Programs()
        self._single: Single | None = None
        self._groups: list[list[Weight]] = []  # weights that a train_step of one's own changes together
        self._outlines: dict[Any, tuple[int, Outline]] = {}
        self._judging: dict[Any, Objective] = {}
        self._compiled_results: dict[str, Any] = {}
        self._loss_tracker: Metric = Mean("loss")
        self._task: Any = None  # what was trained last
        self._tried = -1  # the version that predict_step has been tried at
        self._saved_state: Any = None  # of a file, until it is known what for
        self._known: tuple[int, list[Weight], list[Weight]] = (-1, [], [])

    # -- training

    @public
    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, loss_weights: Any = None, metrics: Any = None,
                weighted_metrics: Any = None, run_eagerly: bool = False, steps_per_execution: int = 1,
                jit_compile: bool | str = "auto", auto_scale_loss: bool = True) -> None:
        """Say how the model is trained. The optimizer starts anew; the weights stay.

        For a model of several outputs each argument may be a list in their order, or a dict by their names.

        Args:
            optimizer: a name, an Optimizer, or the configuration of one.
            loss: a name, a Loss, or a function of ``(y_true, y_pred)``; one alone counts for every output.
            loss_weights: how much the loss of each output counts; 1 by default.
            metrics: names, Metrics or functions; ``'accuracy'`` is the kind that fits the shapes.
            weighted_metrics: metrics in which samples count by ``sample_weight`` or ``class_weight``.
            run_eagerly: False: what trains is always compiled.
            steps_per_execution: hooks of batches are called after every so many of them.
            jit_compile: of no meaning here: what trains is always compiled.
            auto_scale_loss: whether the optimizer of a model that was made while the policy of
                :mod:`chainrule.mixed_precision` is ``"mixed_float16"`` becomes a ``LossScaleOptimizer``.

        Raises:
            ArgumentError: for arguments that no model could be trained with; nothing is changed then.

        Example:
            >>> model.compile(loss="mse", optimizer=Adam(0.01), metrics=["mae"])   # doctest: +SKIP
        """
        # everything is checked before anything is changed
        if run_eagerly:
            raise ArgumentError.of("got run_eagerly=True", "False: to look at numbers there are cr.debug_nans(), "
                                   "model.graph(x, y), and model(x), which computes at once",
                                   "model.compile(optimizer, loss)")
        rule = optimizers.get(optimizer)
        scalable = rule.uses_gradient and not rule.evaluates and not isinstance(rule, optimizers.LossScaleOptimizer)
        if auto_scale_loss and scalable and self._policy == "mixed_float16":
            rule = optimizers.LossScaleOptimizer(rule)
        chosen = rule, Plan.of(loss, loss_weights, metrics, weighted_metrics)
        self.steps_per_execution = whole("steps_per_execution", steps_per_execution)
        self.optimizer, self._plan = chosen
        self.loss, self.run_eagerly, self.jit_compile = self._plan.loss, False, True
        self._recipe = {"optimizer": self.optimizer, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
                        "weighted_metrics": weighted_metrics, "steps_per_execution": self.steps_per_execution}
        self._forget()

    @property
    def compiled(self) -> bool:
        """Whether :meth:`compile` was called."""
        return self._plan is not None

    def get_compile_config(self) -> dict[str, Any] | None:
        """The arguments of :meth:`compile` as plain data, None before it; a model with a ``compile`` of its own may
        have one of its own.

        Raises:
            UsageError: for what cannot be written down.
        """
        return configuration.serialize(self._recipe) if self.compiled else None

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile the model as :meth:`get_compile_config` says."""
        if type(self).compile is not Trainer.compile:
            warnings.warn(f"{self.name} has a compile of its own and is left uncompiled: call it, or define "
                          "get_compile_config and compile_from_config", stacklevel=5)
            return
        self.compile(**configuration.deserialize(config))

    @public
    def fit(self, x: Any = None, y: Any = None, batch_size: int | None = None, epochs: int = 1,
            verbose: int | str = "auto", callbacks: Any = None, validation_split: float = 0.0,
            validation_data: Any = None, shuffle: bool = True, class_weight: dict[int, float] | None = None,
            sample_weight: Any = None, initial_epoch: int = 0, steps_per_epoch: int | None = None,
            validation_steps: int | None = None, validation_batch_size: int | None = None, validation_freq: Any = 1,
            gradient: str = "backprop") -> History:
        """Train: ``epochs`` times over all samples, ``batch_size`` of them a step, the short last batch included.

        Args:
            x: samples, the first axis counting them: an array, a table of pandas, polars or Arrow, a sparse matrix, a
                memory map. Or batches ``(x, y)`` or ``(x, y, sample_weight)``: a generator, an iterable, a function
                that makes one, a ``DataLoader``, a ``PyDataset``. Or the path of Parquet files. What does not lie in
                memory is read ahead by a thread.
            y: one target per sample; for several outputs a list, or a dict by their names; for tables and Parquet files
                also the name of a column, or a list of names; None where batches hold the targets.
            batch_size: 32 by default; more than there are samples is one batch of all.
            epochs: the number of the epoch to stop before.
            verbose: 0 silent, 1 progress, 2 a line per epoch; ``'auto'`` is 1.
            callbacks: objects made from :class:`~chainrule.callbacks.Callback`, called between epochs, and between
                batches if they have hooks for these.
            validation_split: the share of samples, the last ones, that is not trained on but evaluated each epoch.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)``, or batches, to evaluate each epoch;
                ``validation_split`` is then not used.
            shuffle: whether the samples come in another order each epoch.
            class_weight: how much samples of each class count in the loss; 1 for classes without an entry.
            sample_weight: how much each sample counts in the loss; for several outputs also a list or a dict.
            initial_epoch: the number of the first epoch.
            steps_per_epoch: batches of an epoch; None for all there are.
            validation_steps: batches of a validation; None for all there are.
            validation_batch_size: rows of a batch of the validation; by default ``batch_size``.
            validation_freq: validate after every so many epochs, or after those of a list of numbers from 1.
            gradient: ``"backprop"``, or ``"forward"`` (forward mode) or ``"finite_difference"``, both of which cost a
                pass per parameter: to compare.

        Returns:
            A History: ``history.history['loss']`` has a number per epoch, ``history.best_epoch`` says which was best.

        Raises:
            UsageError: before ``compile``.
            DataError, ShapeError, ArgumentError: for what cannot be trained on.
            KeyboardInterrupt: on Ctrl-C, between two steps; the model keeps what it learned.
        """
        return run.fit(self, x, y, run.Options(
            batch_size, epochs, verbose, callbacks, validation_split, validation_data, shuffle, class_weight,
            sample_weight, initial_epoch, steps_per_epoch, validation_steps, validation_batch_size, validation_freq,
            gradient))

    @public
    def evaluate(self, x: Any = None, y: Any = None, batch_size: int | None = None, verbose: int | str = "auto",
                 sample_weight: Any = None, steps: int | None = None, callbacks: Any = None,
                 return_dict: bool = False) -> Any:
        """Loss and metrics on the samples.

        Args:
            x: as in :meth:`fit`.
            y: as in :meth:`fit`.
            batch_size: samples computed at a time.
            verbose: 1 prints the results.
            sample_weight: how much each sample counts.
            steps: batches to evaluate; None for all.
            callbacks: called before and after, and between batches if they have hooks for these.
            return_dict: whether the results come by name.

        Returns:
            ``[loss, metric, …]``, only the loss if there are no metrics, or a dict with ``return_dict``.
        """
        return _shown(run.evaluate(self, x, y, batch_size, verbose, steps, callbacks, sample_weight), return_dict)

    @public
    def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None,
                       class_weight: dict[int, float] | None = None, return_dict: bool = False) -> Any:
        """One step on all the samples given.

        Returns:
            The loss and metrics of these samples, before the step: ``[loss, metric, …]``, only the loss if there are no
            metrics, or a dict with ``return_dict``. Unlike Keras's they do not add up from call to call.
        """
        plan, optimizer = self._compiled("train_on_batch")
        x, y = run.checker(self, "train_step", plan, classes=class_weight)(x, y, sample_weight, None)
        task = run.task_of(self, "train_step", plan, optimizer, (x, y))
        params, others = self.adopt(), [w.array for w in self.arranged()[1]]
        opt, step = self._started(task, params)
        for optimizer in task.optimizers:
            optimizer.ask()
        program = self._programs.get(("batch", task.kind), lambda: batch_program(task))
        before = {"params": task.parts(params), "others": others, "opt": opt, "step": step}
        after = program(before, x, y, task.rate, random.key())
        tree.map_leaves(_written, before, {k: after[k] for k in before})
        return _shown(task.objective.results(after["sums"], count(x)), return_dict)

    @public
    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Loss and metrics of the samples, computed at once; see :meth:`train_on_batch` for what it returns."""
        values = self.evaluate(x, y, batch_size=sys.maxsize, verbose=0, return_dict=True, sample_weight=sample_weight)
        return _shown(values, return_dict)

    def __getstate__(self) -> dict[str, Any]:
        """For ``copy`` and ``pickle``: all but what was compiled, and what is under way."""
        return {**super().__getstate__(), "_programs": Programs(), "_single": None, "_running": None, "_task": None,
                "_adopted": (-1, -1), "_known": (-1, [], []), "_outlines": {}, "_judging": {},
                "_params": np.zeros(0, FLOAT)}

    # -- files

    @public
    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Write all of the model to one file: layers, weights, how it was compiled, the optimizer's state.

        :func:`~chainrule.models.load_model` makes the model of it again. The file is written whole or not at all.

        Args:
            filepath: ends in ``.safetensors``.
            overwrite: whether a file that is there is replaced.

        Raises:
            FileError: where it cannot be written, or is there already.
            UsageError: for a layer that cannot be written as plain data.
        """
        checkpoint.save(self, filepath, overwrite)

    @public
    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights alone to one file; see :meth:`save`."""
        checkpoint.save(self, filepath, overwrite, weights_only=True)

    @public
    def load_weights(self, filepath: Any) -> None:
        """Take the weights from a file of :meth:`save_weights` or :meth:`save`, or from one of Keras.

        Args:
            filepath: ends in ``.safetensors``, or in ``.weights.h5`` or ``.keras`` for one of Keras.

        Raises:
            FileError, ShapeError: if they are not the weights of such a model; none is changed then.
        """
        if keras_files.is_keras(filepath):
            keras_files.load_weights(self, filepath)
        else:
            checkpoint.load_weights(self, filepath)

    # -- the weights as the programs take them

    def arranged(self) -> tuple[list[Weight], list[Weight]]:
        """The weights that are trained, and the others, in the order in which programs take them.

        Weights that one optimizer changes lie together, where a ``train_step`` has several.
        """
        if self._known[0] != Version.now:
            trained = self.trainable_weights
            first = [w for group in self._groups for w in group]
            if first and set(first) <= set(trained):
                trained = [*first, *(w for w in trained if w not in set(first))]
            self._known = Version.now, trained, self.non_trainable_weights
        return self._known[1:]

    def _outline(self, method: str, x: Any, y: Any) -> Outline:
        """What a step of the model's own does with data like these."""
        leaves, structure = tree.flatten((x, y))
        key = method, structure, tuple((a.shape[1:], a.dtype.str) for a in leaves)
        known = self._outlines.get(key)
        if known is None or known[0] != Version.now:
            outline = outlined(self, method, x, y)
            known = self._outlines[key] = Version.now, outline  # the version after: layers may have been built
        if method == "train_step" and known[1].groups != self._groups:
            self._groups, self._known, self._adopted = known[1].groups, (-1, [], []), (-1, -1)
        return known[1]

    def adopt(self) -> np.ndarray:
        """The flat vector of all that is trained, after making the weights of the layers views of it."""
        if self._adopted == (Version.now, Version.moved):
            return self._params
        weights = self.arranged()[0]
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
            Version.moved += 1
        self._adopted = Version.now, Version.moved
        return self._params

    def _owns(self, weights: Sequence[Weight]) -> bool:
        owner = self._params.base if self._params.base is not None else self._params
        return all(w.array.base is owner for w in weights)

    @staticmethod
    def _gathered(weights: Sequence[Weight]) -> np.ndarray:
        return np.concatenate([np.zeros(0, FLOAT), *(w.array.reshape(-1) for w in weights)])

    def _current(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """What is trained and the other weights, to read only: models that share layers leave them where they are."""
        weights, others = self.arranged()
        if self._trained and weights != self._trained:
            self._forget()
            self._trained = weights
        owned = self._params.size == sum(w.array.size for w in weights) and self._owns(weights)
        return self._params if owned else self._gathered(weights), [w.array for w in others]

    # -- what fit, evaluate and predict share

    def _forget(self) -> None:
        """Drop what was recorded of the model as it was, and the optimizer's state."""
        self._programs = Programs()
        self._held = self._task = self._single = self._saved_state = None
        self._judging, self._outlines = {}, {}

    def _compiled(self, what: str) -> tuple[Plan, Optimizer]:
        """The plan and the optimizer of ``compile``; an error without."""
        if self.optimizer is None or self._plan is None:
            fix = "super().compile()   # in a compile of one's own"
            if type(self).compile is Trainer.compile:
                fix = "model.compile(loss='binary_crossentropy', optimizer='adam')"
            raise UsageError.of(f"{what} before compile", "compile first", fix)
        return self._plan, self.optimizer

    def _started(self, task: Any, params: np.ndarray) -> tuple[Any, np.ndarray]:
        """The optimizers' state and the count of steps, made if there is none yet."""
        if self._held is None:
            self._held = tree.map_leaves(aligned, task.start(params)), np.zeros((), np.int64)
        self._task = task
        task.lend(*self._held)
        if self._saved_state is not None:
            saved, self._saved_state = self._saved_state, None
            checkpoint.put_state(self, *saved)
        return self._held

    def _samples(self, x: Any, name: str = "x", at: np.ndarray | None = None) -> Any:
        """Samples as the programs take them; a model that is not built is built for them."""
        x = samples(x, self.entrances(), name, at)
        self.build_for(x)
        self.check_values(x, name)
        return x

    def _data(self, x: Any, y: Any, plan: Plan, names: tuple[str, str] = ("x", "y"), weights: Any = None,
              classes: Any = None, at: np.ndarray | None = None) -> tuple[Any, Any]:
        """Samples and targets as the programs take them; see ``training/objective.py`` for the form of targets."""
        x = self._samples(x, names[0], at)
        return x, targets.together(y, plan, self._outputs(), count(x), names, weights, classes, at)

    def _outputs(self) -> list[tuple[str, Any]]:
        """The names and shapes of the outputs."""
        return targets.outputs(self.output_shape, self.output_names())

    def _objective(self, plan: Plan, y: Any) -> Objective:
        """What is made small and reported, for these targets."""
        outputs = self._outputs()
        if self._masked is None:
            self._masked = makes_masks(self)
        each, weights = separated(y, len(outputs))
        return self._known_objective(plan, outputs, each, any(w is not None for w in weights), self._masked)


def _written(array: np.ndarray, value: Any) -> np.ndarray:
    array[...] = value
    return array


def _shown(values: dict[str, Any], return_dict: bool) -> Any:
    return values if return_dict else list(values.values()) if len(values) > 1 else values["loss"]


__all__ = ["Callback", "Trainer"]
