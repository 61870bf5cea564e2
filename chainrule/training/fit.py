"""The loop over epochs: everything is checked, recorded and bound before it, so that a turn is one native call."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.errors import ArgumentError, DataError, NotFiniteError
from chainrule.training.callbacks import Callback, History, Hooks, each, overrides
from chainrule.training.feed import Engine, Memory, MemoryEvaluation, Stream, StreamEvaluation
from chainrule.training.progress import Progress, Record


class Training:
    """One run of ``fit``: the bound programs and what the loop reads.

    Args:
        engine: what all programs share.
        feed: the training data, tied to their programs.
        validation: the same for validation, or None.
        hooks: who wants to be called for batches.
        validated: whether the epoch of a number is followed by a validation.

    Attributes:
        epoch: the number of the epoch that is under way, or of the next one.
        columns: a list of numbers per epoch for the loss and each metric.
    """

    def __init__(self, engine: Engine, feed: Memory | Stream, validation: MemoryEvaluation | StreamEvaluation | None,
                 hooks: Hooks, validated: Callable[[int], bool] = lambda epoch: True) -> None:
        self.engine, self.feed, self.validation, self.hooks = engine, feed, validation, hooks
        self.validated, self._hooked = validated, bool(hooks)
        self.state, self.interrupt = engine.state, engine.interrupt
        self._optimizers = engine.task.optimizers
        self.epoch = self.step = 0
        self.inside = False  # of an epoch
        self.callbacks: Sequence[Any] = ()
        self._resumed = 0  # samples of this epoch that an earlier run has trained on
        self._known: dict[str, list[tuple[str, Callable[[int], Any]]]] = {}
        self._totals = tree.flatten(self.state["sums"])[0]
        names = sorted(engine.task.names)
        judged = [] if validation is None else [f"val_{name}" for name in sorted(validation.task.names)]
        self.columns: dict[str, list[float]] = {name: [] for name in (*names, *judged)}

    @property
    def samples(self) -> int:
        """How many this epoch has been trained on so far."""
        return self.feed.samples

    def resume(self, epoch: int, step: int, samples: int) -> None:
        """Go on in the middle of an epoch, whose sums the state holds; to be called before the first epoch."""
        self.epoch, self.step, self._resumed = epoch, step, samples

    @property
    def position(self) -> tuple[int, int, int]:
        """The epoch, the steps made of it, and the samples that these were trained on."""
        if self.inside:
            return self.epoch, self.feed.at, self.feed.samples
        return self.epoch, self.step, self._resumed

    def logs(self) -> dict[str, float]:
        """Loss and metrics of this epoch so far."""
        samples = self.feed.samples
        return self._read("", self.engine.task, self.state["sums"], samples) if samples else {}

    def _read(self, prefix: str, task: Any, sums: Any, samples: int) -> dict[str, Any]:
        """The values by name; what reads them is made once."""
        known = self._known.get(prefix)
        if known is None:
            found = sorted(task.objective.readers(sums), key=lambda r: r[0])
            known = self._known[prefix] = [(prefix + name, read) for name, read in found]
        return {name: read(samples) for name, read in known}

    def begin(self) -> None:
        """Start the epoch, or go on with a resumed one."""
        at, self.step = self.step, 0
        self._ask()
        if not at:
            for total in self._totals:
                total[...] = 0.0
        self.feed.begin(at)
        if at and isinstance(self.feed, Stream):
            self.feed.samples = self._resumed
        self._resumed = 0
        self.inside = True

    def _ask(self) -> None:
        """Ask for learning rates that functions know."""
        for optimizer in self._optimizers:
            optimizer.ask()

    def run(self, model: Any) -> float:
        """The steps of the epoch and its validation; ends early when asked to stop. Returns the seconds it took."""
        begin = time.perf_counter()
        self.begin()
        feed = self.feed
        if self._hooked:
            self._by_hooks(model)
        elif isinstance(feed, Memory):
            self.engine.call(feed.run, feed.rows)
        else:
            feed.run()
        if self.validation is not None and not self.interrupt.stop and self.validated(self.epoch):
            self._validate(self.validation)
        return time.perf_counter() - begin

    def _validate(self, validation: MemoryEvaluation | StreamEvaluation) -> None:
        told = [c for c in self.callbacks if overrides(c, "on_test_begin", "on_test_end")]
        self._tell(told, "on_test_begin", {})
        validation.run()
        if told and not self.interrupt.stop:
            results = validation.task.objective.results(validation.sums, validation.samples)
            self._tell(told, "on_test_end", results)

    def _tell(self, told: Sequence[Any], hook: str, logs: dict[str, Any]) -> None:
        """Call a hook between native calls."""
        self.interrupt.native = False
        each(told, hook, logs)
        self.interrupt.native = True

    def _by_hooks(self, model: Any) -> None:
        """The steps, with a return to Python wherever a callback asks for it."""
        feed, hooks, interrupt, call = self.feed, self.hooks, self.interrupt, self.engine.call
        memory = isinstance(feed, Memory)
        while (feed.steps is None or feed.at < feed.steps) and not interrupt.stop and not model.stop_training:
            at = feed.at
            if hooks.begins:
                interrupt.native = False
                hooks.begin(at)
                interrupt.native = True
            model.adopt()  # what the hooks did to the weights
            self._ask()
            until = hooks.stop(at)
            if memory:
                call(partial(feed.run, until), (until - at) * feed.batch)
            else:
                feed.run(until)
            if feed.at == at:
                return
            interrupt.native = False
            hooks.end(feed.at - 1, self.logs(), feed.at == feed.steps)
            interrupt.native = True
        model.adopt()

    def numbers(self) -> dict[str, float]:
        """Loss and metrics of the epoch that ended, and of its validation."""
        found = self.logs()
        if not found:
            raise DataError.of("the training data gave no batch in this epoch", "at least one", "yield x, y")
        if self.validation is not None and self.validated(self.epoch):
            if not self.validation.samples:
                raise DataError.of("the validation data gave no batch", "at least one", "yield x, y")
            found |= self._read("val_", self.validation.task, self.validation.sums, self.validation.samples)
        return found

    def gradients(self) -> list[np.ndarray]:
        """The gradient of the loss on a batch of this epoch, an array for each weight that is trained."""
        return self.engine.gradients(self.feed.batch_now())

    def facts(self, error: NotFiniteError) -> None:
        """Say in an error of :func:`chainrule.debug_nans` which step it was."""
        steps = self.feed.steps
        if error.loops:  # the epoch's own loop is the outermost
            step = self.feed.at + error.loops.pop(0)[1] + 1
            error.facts.append(f"step {step} of {steps}; the model keeps what it had learned before that epoch.")
        elif self.feed.at == steps:
            error.facts.append("the validation.")
        else:
            error.facts.append(f"step {steps}, the short last batch; the model keeps what it had learned before that "
                               "step.")


def loop(model: Any, training: Training, first: int, epochs: int, callbacks: Sequence[Callback],
         verbose: int) -> History:
    """Train from epoch ``first`` to before ``epochs``; what was learned stays in the model whatever happens."""
    history = History()
    columns = history.history = training.columns
    record = Record(first, epochs, training.feed.steps, training.feed.batch, columns, training.state,
                    training.engine.task.objective.results)
    model.history, model.stop_training, model._running = history, False, training
    training.epoch, training.callbacks = first, callbacks
    for callback in callbacks:
        callback.set_params({"epochs": epochs, "steps": training.feed.steps, "verbose": verbose})
        callback.set_model(model)
    try:
        with training.interrupt, Progress(verbose, record) as progress:
            each(callbacks, "on_train_begin", {})
            record.first, record.before = training.epoch, len(history.epoch)
            _epochs(model, training, record, history, callbacks, progress)
            if training.interrupt.pending is None:
                logs = {name: column[-1] for name, column in columns.items() if column}
                each(callbacks, "on_train_end", logs)
        if training.interrupt.pending is not None:
            raise training.interrupt.pending
    except KeyboardInterrupt:
        each([c for c in callbacks if hasattr(c, "on_interrupt")], "on_interrupt")
        _say_what_was_kept(training, epochs)
        raise
    finally:
        training.feed.close()
        model._running = None
    if verbose and history.report():
        print(history.report())
    return history


def _epochs(model: Any, training: Training, record: Record, history: History, callbacks: Sequence[Callback],
            progress: Progress) -> None:
    interrupt, run = training.interrupt, training.run
    clock, numbers, seconds = time.perf_counter, history.epoch, record.seconds
    columns, feed, step = history.history, training.feed, training.state["step"]
    bad = False
    for epoch in range(training.epoch, record.epochs):
        if model.stop_training:  # so it was resumed
            return
        training.epoch, record.begun = epoch, step.item() - training.step
        if callbacks:
            interrupt.native = False
            each(callbacks, "on_epoch_begin", epoch, {})
            model.adopt()
        interrupt.native = True
        try:
            last = run(model)
        except NotFiniteError as error:
            training.facts(error)
            error.facts[-1] = f"In epoch {epoch + 1} of {record.epochs}, {error.facts[-1]}"
            raise
        done = feed.at == feed.steps
        if interrupt.pending is not None and (training.validation is not None or not done):
            return  # without the numbers of an epoch, or of a validation, that may not have come to its end
        logs = training.numbers()
        for name, value in logs.items():
            columns[name].append(value)
        numbers.append(epoch)
        seconds.append(last)
        loss = logs.get("loss", 0.0)
        if loss - loss != 0 and not bad:
            bad = True
            _warn(loss, epoch)
        if clock() > progress.due:
            progress.draw()
        training.epoch, training.inside, record.steps = epoch + 1, False, feed.steps
        if callbacks:
            interrupt.native = False
            progress.draw()  # before what the callbacks print
            known = set(logs)
            each(callbacks, "on_epoch_end", epoch, logs)
            for name in logs.keys() - known:  # what a callback has added
                columns.setdefault(name, []).append(logs[name])
        if interrupt.pending is not None or model.stop_training:
            return


def validated(freq: Any) -> Callable[[int], bool]:
    """Whether an epoch is followed by a validation: every so many, or those whose numbers (from 1) are given."""
    if isinstance(freq, int) and not isinstance(freq, bool) and freq > 0:
        return lambda epoch: (epoch + 1) % freq == 0
    if isinstance(freq, Iterable) and not isinstance(freq, str):
        chosen = set(freq)
        return lambda epoch: epoch + 1 in chosen
    raise ArgumentError.of(f"got validation_freq={freq!r}", "a whole number above 0, or numbers of epochs",
                           "validation_freq=2")


def _warn(loss: float, epoch: int) -> None:
    warnings.warn(f"the loss is {loss} from epoch {epoch + 1} on: a smaller learning rate, or data scaled to about 1, "
                  "usually helps", RuntimeWarning, stacklevel=5)


def _say_what_was_kept(training: Training, epochs: int) -> None:
    epoch, at, _ = training.position
    steps = training.feed.steps
    done = f"the end of epoch {epoch + (at == steps)} of {epochs}"
    if at and at != steps:
        done = f"epoch {epoch + 1} of {epochs}, step {at}" + (f" of {steps}" if steps is not None else "")
    print(f"Interrupted: the model keeps all it learned up to {done}.", flush=True)


__all__ = ["Training", "loop", "validated"]
