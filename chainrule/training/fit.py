"""The loop over epochs: everything is checked, recorded and bound before it, so that a turn is one native call."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from chainrule import random
from chainrule.errors import NotFiniteError
from chainrule.runtime import jit
from chainrule.training.callbacks import Callback, History
from chainrule.training.epoch import Task, epoch_program, evaluation_program, new_state, tail_program
from chainrule.training.interrupt import Interrupt
from chainrule.training.progress import Progress, Record
from chainrule.training.structure import count

LONG = 0.05  # seconds from which an epoch runs in a thread of its own, so that Ctrl-C is heard meanwhile

Pair = tuple[Any, Any]  # samples and targets: arrays, or containers of them


class Programs:
    """The programs of one compiled model, each recorded when first asked for and kept."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def get(self, key: Any, make: Callable[[], Callable[..., Any]], donate: tuple[int, ...] = ()) -> Any:
        """The compiled program called ``key``; ``make`` gives the function to record if there is none yet."""
        if key not in self._known:
            self._known[key] = jit(make(), donate=donate)
        return self._known[key]


class Training:
    """One run of ``fit``: the bound programs and what the loop reads.

    Args:
        task: what is trained.
        programs: the model's programs.
        held: the model's parameters, other weights, optimizer state and step count, which are updated in place.
        train: checked samples and targets.
        validation: the same for validation, or None.
        batch: rows per step.
        shuffle: whether each epoch takes the rows in another order.
    """

    def __init__(self, task: Task, programs: Programs, held: tuple[Any, ...], train: Pair, validation: Pair | None,
                 batch: int, shuffle: bool) -> None:
        x, y = train
        self.n, self.task = count(x), task
        self.batch = min(batch, self.n)
        self.steps = -(-self.n // self.batch)
        rest = self.n % self.batch
        params, others, opt, step = held
        self.state = new_state(params, others, opt, step, task.objective.zeros(), rest)
        self.interrupt = Interrupt()
        rate, key = task.optimizer.rate, random.key()
        kind = task.kind
        make = partial(epoch_program, task, self.batch, shuffle)
        epoch = programs.get(("epoch", kind, self.batch, shuffle), make, (0,))
        self._epoch = epoch.bind(self.state, x, y, rate, key, self.interrupt.stop)
        self._tail = None
        if rest:
            tail = programs.get(("tail", kind), lambda: tail_program(task), (0,))
            self._tail = tail.bind(self.state, x, y, rate, key)
        self._validate = None
        self.readings = sorted(task.objective.readers(self.state["sums"], self.n), key=lambda r: r[0])
        if validation is not None:
            weights = self.state["params"], self.state["others"]
            self._validate = bound_evaluation(task, programs, weights, validation, batch, self.interrupt)
            sums, n = self._validate.result, count(validation[0])
            more = sorted(task.objective.readers(sums, n), key=lambda r: r[0])
            self.readings += [(f"val_{name}", read) for name, read in more]

    def epoch(self) -> None:
        """One epoch: its full batches, the short last one, the validation; ends early when asked to stop."""
        stop, part = self.interrupt.stop, ""
        try:
            self._epoch()
            if self._tail is not None and not stop:
                part = f"step {self.steps}, the short last batch; the model keeps what it had learned before that step."
                self._tail()
            if self._validate is not None and not stop:
                part = "the validation."
                self._validate()
        except NotFiniteError as error:
            if not part:  # the epoch's own loop is the outermost
                step = f"step {error.loops.pop(0)[1] + 1} of {self.steps}; " if error.loops else ""
                part = f"{step}the model keeps what it had learned before that epoch."
            error.facts.append(part)
            raise


def bound_evaluation(task: Task, programs: Programs, weights: tuple[Any, Any], pair: Pair, batch: int,
                     interrupt: Interrupt) -> Any:
    """The evaluation of ``pair``, ready to be called; its ``result`` holds the sums."""
    batch = min(batch, count(pair[0]))
    program = programs.get(("evaluate", task.kind, batch), lambda: evaluation_program(task, batch))
    return program.bind(weights, *pair, interrupt.stop)


def loop(model: Any, training: Training, first: int, epochs: int, callbacks: Sequence[Callback],
         verbose: int) -> History:
    """Train from epoch ``first`` to before ``epochs``; what was learned stays in the model whatever happens."""
    history = History()
    columns = history.history = {name: [] for name, _ in training.readings}
    record = Record(first, epochs, training.steps, training.batch, columns, training.state,
                    training.task.objective.results)
    model.history, model.stop_training = history, False
    began = int(training.state["step"])
    for callback in callbacks:
        callback.set_params({"epochs": epochs, "steps": training.steps, "verbose": verbose})
        callback.set_model(model)
    try:
        with training.interrupt, Progress(verbose, record) as progress:
            _each(callbacks, "on_train_begin")
            _epochs(model, training, record, history, callbacks, progress)
            if training.interrupt.pending is None:
                logs = {name: column[-1] for name, column in columns.items() if column}
                _each(callbacks, "on_train_end", logs)
        if training.interrupt.pending is not None:
            raise training.interrupt.pending
    except KeyboardInterrupt:
        _say_what_was_kept(training, int(training.state["step"]) - began, first, epochs)
        raise
    return history


def _epochs(model: Any, training: Training, record: Record, history: History, callbacks: Sequence[Callback],
            progress: Progress) -> None:
    interrupt, step = training.interrupt, training.state["step"]
    # all that the loop touches, looked up once; columns: (list to append to, what reads the value)
    clock, run, steps = time.perf_counter, training.epoch, training.steps
    numbers, seconds = history.epoch, record.seconds
    columns = [(history.history[name].append, read) for name, read in training.readings]
    losses = history.history["loss"]
    validated = len(columns) > len(training.task.names)
    bad = False
    last = LONG  # how long the epoch before took; the first may take long
    for epoch in range(record.first, record.epochs):
        if callbacks:
            interrupt.native = False
            _each(callbacks, "on_epoch_begin", {}, epoch)
            model.adopt()
        before = step.item()
        interrupt.native = True
        begin = clock()
        try:
            if last < LONG:
                run()
            else:
                interrupt.run(run)
        except NotFiniteError as error:
            error.facts[-1] = f"In epoch {epoch + 1} of {record.epochs}, {error.facts[-1]}"
            raise
        now = clock()
        last = now - begin
        if interrupt.pending is not None and (validated or step.item() - before < steps):
            return  # without the numbers of an epoch, or of a validation, that may not have come to its end
        for append, read in columns:
            append(read())
        numbers.append(epoch)
        seconds.append(last)
        loss = losses[-1]
        if loss - loss != 0 and not bad:
            bad = True
            _warn(loss, epoch)
        if now > progress.due:
            progress.draw()
        if callbacks:
            interrupt.native = False
            progress.draw()  # before what the callbacks print
            _each(callbacks, "on_epoch_end", {name: column[-1] for name, column in history.history.items()}, epoch)
        if interrupt.pending is not None or model.stop_training:
            return


def _each(callbacks: Sequence[Callback], hook: str, logs: dict[str, float] | None = None, *first: int) -> None:
    for callback in callbacks:
        function = getattr(callback, hook, None)
        if function is not None:
            function(*first, {} if logs is None else dict(logs))


def _warn(loss: float, epoch: int) -> None:
    warnings.warn(f"the loss is {loss} from epoch {epoch + 1} on: a smaller learning rate, or data scaled to about 1, "
                  "usually helps", RuntimeWarning, stacklevel=5)


def _say_what_was_kept(training: Training, made: int, first: int, epochs: int) -> None:
    whole, part = divmod(made, training.steps)
    at = f", step {part} of {training.steps}" if part else ""
    done = f"epoch {first + whole + 1} of {epochs}{at}" if part else f"the end of epoch {first + whole} of {epochs}"
    print(f"Interrupted: the model keeps all it learned up to {done}.", flush=True)


__all__ = ["Programs", "Training", "bound_evaluation", "loop"]
