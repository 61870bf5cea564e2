"""Programs tied to the data they run on: arrays in memory, or buffers that a thread fills."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.errors import ChainruleError, DataError
from chainrule.runtime import jit
from chainrule.training.callbacks import Hooks
from chainrule.training.epoch import (
    State,
    epoch_program,
    evaluation_program,
    gradient_program,
    order_program,
    rest_program,
    tail_program,
)
from chainrule.training.interrupt import Interrupt
from chainrule.training.reader import Reader, Stops
from chainrule.training.sources import Order, Source

LONG = 0.05  # seconds from which native code runs in a thread of its own, so that Ctrl-C is heard meanwhile

Pair = tuple[Any, Any]  # samples and targets: arrays, or containers of them
Leaves = tuple[np.ndarray, ...]
Check = Callable[[Any, Any, Any, np.ndarray | None], Pair]


class Programs:
    """The programs of one compiled model, each recorded when first asked for and kept.

    Attributes:
        pace: about how many seconds they took for a row lately; the first may take long.
    """

    def __init__(self) -> None:
        self.pace = LONG
        self._known: dict[Any, Any] = {}

    def get(self, key: Any, make: Callable[[], Callable[..., Any]], donate: tuple[int, ...] = ()) -> Any:
        """The compiled program called ``key``; ``make`` gives the function to record if there is none yet."""
        if key not in self._known:
            self._known[key] = jit(make(), donate=donate)
        return self._known[key]


@dataclass
class Engine:
    """What all programs of one run share.

    Attributes:
        task: what is trained: a :class:`~chainrule.training.epoch.Task`, or a step of the model's own.
        programs: the model's programs.
        state: the arrays that running programs change.
        params: the vector of all that is trained; the state's ``params`` are it, or parts of it.
        rate: the learning rate.
        key: of the random numbers of this run.
        interrupt: how to ask a program to end.
    """

    task: Any
    programs: Programs
    state: State
    params: np.ndarray
    rate: Any
    key: np.ndarray
    interrupt: Interrupt

    def call(self, program: Callable[[], Any], rows: int) -> None:
        """Run a bound program for so many rows, so that Ctrl-C is heard if it takes long."""
        begin, programs = time.perf_counter(), self.programs
        if programs.pace * rows < LONG:
            program()
        else:
            self.interrupt.run(program)
        now = (time.perf_counter() - begin) / rows
        programs.pace = now if programs.pace == LONG else max(now, programs.pace / 2)

    def order(self, n: int) -> Any:
        """The program that puts n rows in order."""
        return self.programs.get(("order", n), lambda: order_program(n))

    def epoch(self, pair: Pair, batch: int, rows: np.ndarray | None, last: np.ndarray) -> Any:
        """Full batches of samples and targets, bound to them."""
        make = partial(epoch_program, self.task, batch, rows is None)
        program = self.programs.get(("epoch", self.task.kind, batch, rows is None), make, (0,))
        return program.bind(self.state, *pair, rows, last, self.rate, self.key, self.interrupt.stop)

    def gradients(self, pair: Pair) -> list[np.ndarray]:
        """The gradient of the loss on a batch, for each weight that is trained."""
        program = self.programs.get(("gradient", self.task.kind), lambda: gradient_program(self.task))
        return program(self.state, *pair, self.rate, self.key)

    def tail(self, pair: Pair, rows: np.ndarray) -> Any:
        """One step on the samples ``rows``, bound to them."""
        program = self.programs.get(("tail", self.task.kind), lambda: tail_program(self.task), (0,))
        return program.bind(self.state, *pair, rows, self.rate, self.key)


class Memory:
    """Training on arrays in memory: an epoch is one native call, and one more for the short last batch.

    Args:
        engine: what runs.
        pair: checked samples and targets.
        batch: rows of a step.
        shuffle: whether the rows come in another order each epoch.
        steps: of an epoch; None for all there are.
        parts: whether epochs are run in parts.

    Attributes:
        rows: how many rows an epoch trains on.
    """

    def __init__(self, engine: Engine, pair: Pair, batch: int, shuffle: bool, steps: int | None = None,
                 parts: bool = False) -> None:
        self._n = n = count(pair)
        self.batch = batch = min(batch, n)
        self._full = n // batch
        self.steps: int | None = -(-n // batch)
        self._engine, self._pair, self._parts = engine, pair, parts
        self._step, self._stop = engine.state["step"], engine.interrupt.stop
        self._last, self._begun = np.zeros((), np.int64), np.zeros((), np.int64)
        self._order: Any = None
        if shuffle and batch < n:
            self._order = engine.order(n).bind(engine.key, self._begun)
            self._rows = self._order.result
        else:
            self._rows = np.arange(n)
        # where parts of an epoch are run: they are copied to the front of the rows
        self._kept = self._rows.copy() if parts else self._rows
        # one batch is taken as it lies; otherwise all orders and all parts are the same program
        self._epoch = engine.epoch(pair, batch, self._rows if self._full > 1 else None, self._last)
        self._tail: Any = None
        if n % batch:
            self._tail = engine.tail(pair, self._rows[self._full * batch:])
        if steps is not None:
            self.steps = min(steps, self.steps)
        self.rows = min(self.steps * self.batch, n)
        self._moved = False
        self.at = 0

    @property
    def samples(self) -> int:
        """How many have been trained on in this epoch."""
        return min(self.at * self.batch, self._n)

    def begin(self, at: int = 0) -> None:
        """Put the rows in the order of this epoch, of which ``at`` steps have been made."""
        self.at = at
        if self._order is not None:
            self._begun[...] = self._step - at if at else self._step
            self._order()
        elif self._moved:
            self._rows[...] = self._kept
        self._moved = False
        if at and not self._parts:
            self._kept = self._rows.copy()
        elif self._parts and self._order is not None:
            self._kept[...] = self._rows

    def batch_now(self) -> Pair:
        """Samples and targets of a batch of this epoch."""
        return tree.map_leaves(lambda a: a[self._rows[:self.batch]], self._pair)

    def run(self, until: int | None = None) -> None:
        """Train up to the step ``until`` of the epoch, or to its end; ends early when asked to stop."""
        assert self.steps is not None
        end = self.steps if until is None else min(until, self.steps)
        many = min(end, self._full) - self.at
        if many > 0:
            if self.at:
                self._moved = True
                self._rows[:many * self.batch] = self._kept[self.at * self.batch:(self.at + many) * self.batch]
            before = self._step.item()
            self._last[...] = before + many
            self._epoch()
            self.at += self._step.item() - before
        if end > self._full == self.at and not self._stop:
            self._tail()
            self.at += 1

    def close(self) -> None:
        """Nothing reads."""


class Stream:
    """Training on what a thread reads.

    Args:
        engine: what runs.
        source: what is read.
        batch: rows of a step; of no meaning for a source of batches.
        shuffle: whether the order changes from epoch to epoch.
        check: makes checked arrays of what was read.
        stops: where the loop has to return to Python within an epoch; None for nowhere.
        steps: of an epoch; None for all there are.
    """

    def __init__(self, engine: Engine, source: Source, batch: int, shuffle: bool, check: Check,
                 stops: Stops | None = None, steps: int | None = None) -> None:
        self._engine, self._source, self._shuffle = engine, source, shuffle
        self.batch = batch
        self.steps = source.steps
        if source.samples is not None and not source.own:
            self.batch = min(batch, source.samples)
            self.steps = -(-source.samples // self.batch)
        self._limit = steps
        if steps is not None:
            self.steps = steps if self.steps is None else min(steps, self.steps)
        self._stops = self._all_stops(stops)
        self._buffers: list[Leaves] = []
        self._form = Form(check)
        self._usual: int | None = None if source.own else self.batch
        self._bound: dict[int, Any] = {}
        self._last = np.zeros((), np.int64)
        self._reader: Reader | None = None
        self._now: Leaves = ()
        self.at = self.samples = 0
        self._passed = False  # whether the source has been told of the end of the epoch

    def _all_stops(self, stops: Stops | None) -> Stops | None:
        limit = self._limit
        if limit is None:
            return stops
        return lambda step: min(limit if step < limit else step + 1, stops(step) if stops else limit)

    def begin(self, at: int = 0) -> None:
        """Start reading this epoch, of which ``at`` steps have been made."""
        self.close()
        engine = self._engine
        begun = np.asarray(engine.state["step"] - at, np.int64)
        order = None
        if self._shuffle:
            order = Order(lambda n: engine.order(n)(engine.key, begun), (*engine.key.tolist(), int(begun)))
        raw = self._source.blocks(self.batch, order, at)
        self._reader = Reader(checked(raw, self._form, self._source, at), self._usual, self._stops, at,
                              self._source.own, self._buffers, self.steps)
        self.at, self._passed = at, False
        self.samples = at * self.batch  # of own batches: corrected by what a checkpoint holds

    def run(self, until: int | None = None) -> None:
        """Train up to the step ``until`` of the epoch, or to its end; ends early when asked to stop."""
        assert self._reader is not None
        stop = self._engine.interrupt.stop
        end = self.steps if until is None else until
        while (end is None or self.at < end) and not stop:
            piece = self._reader.take(lambda: not stop)
            if piece is None:
                if not stop:
                    self.steps = self.at
                break
            self._usual, self._now = self._reader.batch, piece.arrays
            step = self._engine.state["step"]
            before = step.item()
            if piece.batches:
                self._last[...] = before + piece.batches
                program = self._bound.get(id(piece.arrays))
                if program is None:
                    assert self._usual is not None
                    program = self._engine.epoch(self._form.pair(piece.arrays), self._usual, None, self._last)
                    self._bound[id(piece.arrays)] = program
                self._engine.call(program, piece.batches * self.batch)
            else:
                self._engine.call(self._engine.tail(self._form.pair(piece.arrays), np.arange(piece.samples)),
                                  piece.samples)
            made = step.item() - before
            self.at += made
            self.samples += made * (self._usual or 0) if piece.batches else piece.samples
        if self.at == self.steps and not self._passed:
            self._passed = True
            self._source.passed()

    def batch_now(self) -> Pair:
        """Samples and targets of a batch of this epoch."""
        return self._form.pair(tuple(a[:self._usual] for a in self._now))

    def close(self) -> None:
        """End the reading thread."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class Form:
    """Pairs of samples and targets as flat lists of arrays, and back."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._structure: Any = None

    def leaves(self, x: Any, y: Any, weights: Any, rows: np.ndarray | None) -> Leaves:
        """The arrays of what was read, checked."""
        leaves, structure = tree.flatten(self._check(x, y, weights, rows))
        if self._structure not in (None, structure):
            raise DataError.of("batches hold different things: some sample weights, or other inputs, and some not",
                               "all batches alike", "yield x, y, weights")
        self._structure = structure
        return tuple(leaves)

    def pair(self, leaves: Leaves) -> Pair:
        """Samples and targets, in the containers in which they came."""
        return tree.unflatten(self._structure, leaves)


def checked(blocks: Iterator[Any], form: Form, source: Source, first: int = 0) -> Iterator[Leaves]:
    """Checked arrays; errors say in which batch, where rows have no numbers."""
    for k, (x, y, weights, rows) in enumerate(blocks, first):
        try:
            arrays = form.leaves(x, y, weights, rows)
        except ChainruleError as error:
            if rows is not None:
                raise
            raise type(error)(f"{error}\n  Where: in batch {k} (counted from 0) of {source.what}.") from None
        yield arrays


def count(pair: Any) -> int:
    """The number of samples."""
    return len(tree.flatten(pair)[0][0])


# ---------------------------------------------------------------- evaluation


class MemoryEvaluation:
    """Evaluation of arrays in memory: one native call, and one more for the rows that make no full batch.

    Where there are hooks of batches, a call from one to the next.
    """

    def __init__(self, engine: Engine, task: Any, pair: Pair, batch: int, hooks: Hooks) -> None:
        n = count(pair)
        self._batch = batch = min(batch, n)
        self.task, self._engine, self._pair, self._hooks = task, engine, pair, hooks
        self.samples, self._steps = n, n // batch
        self.sums = task.objective.zeros()
        self._stop = engine.interrupt.stop
        self._last = np.asarray(self._steps, np.int64)
        self._main = None if hooks else evaluation(engine, task, self.sums, pair, batch, self._last)
        self._rest = None
        if n % batch:
            self._rest = rest_of(engine, task, self.sums, self._rows(self._steps, self._steps + 1))

    def _rows(self, first: int, last: int) -> Pair:
        return tree.map_leaves(lambda a: a[first * self._batch:last * self._batch], self._pair)

    def run(self) -> None:
        """Add up loss and metrics."""
        zero(self.sums)
        if self._main is None:
            self._by_hooks()
            return
        self._engine.call(self._main, self._steps * self._batch)
        if self._rest is not None and not self._stop:
            self._engine.call(self._rest, self._batch)

    def _by_hooks(self) -> None:
        at, end = 0, self._steps + (self._rest is not None)
        while at < end and not self._stop:
            until = min(self._hooks.stop(at), self._steps) if at < self._steps else end
            with self._engine.interrupt.python():
                self._hooks.begin(at)
            if at < self._steps:
                self._last[...] = until - at
                program = evaluation(self._engine, self.task, self.sums, self._rows(at, until), self._batch, self._last)
                self._engine.call(program, (until - at) * self._batch)
            elif self._rest is not None:
                self._engine.call(self._rest, self._batch)
            logs = self.task.objective.results(self.sums, min(until * self._batch, self.samples))
            with self._engine.interrupt.python():
                self._hooks.end(until - 1, logs, until == end)
            at = until


class StreamEvaluation:
    """Evaluation of what a thread reads."""

    def __init__(self, engine: Engine, task: Any, source: Source, batch: int, check: Check, hooks: Hooks,
                 steps: int | None = None) -> None:
        self.task, self._hooks = task, hooks
        self._engine, self._source, self._batch = engine, source, batch
        self._usual: int | None = None if source.own else batch
        self._buffers: list[Leaves] = []
        self._form = Form(check)
        self._bound: dict[int, Any] = {}
        self._steps = steps
        self._last = np.zeros((), np.int64)
        self.sums = task.objective.zeros()
        self.samples = 0

    def _stops(self) -> Stops | None:
        limit, hooks = self._steps, self._hooks
        if limit is None:
            return hooks.stop if hooks else None
        return lambda step: min(limit if step < limit else step + 1, hooks.stop(step) if hooks else limit)

    def run(self) -> None:
        """Add up loss and metrics."""
        stop, limit = self._engine.interrupt.stop, self._steps
        zero(self.sums)
        self.samples = made = 0
        known = limit or self._source.steps or (self._source.samples or 0) // self._batch or None
        reader = Reader(checked(self._source.blocks(self._batch, None), self._form, self._source), self._usual,
                        self._stops(), 0, self._source.own, self._buffers, known)
        try:
            while not stop and (limit is None or made < limit):
                piece = reader.take(lambda: not stop)
                if piece is None:
                    return
                self._usual = reader.batch
                if self._hooks:
                    with self._engine.interrupt.python():
                        self._hooks.begin(made)
                self._add(piece)
                made += max(piece.batches, 1)
                if self._hooks:
                    with self._engine.interrupt.python():
                        self._hooks.end(made - 1, self.task.objective.results(self.sums, self.samples))
        finally:
            reader.close()

    def _add(self, piece: Any) -> None:
        """Add what was read."""
        engine, pair = self._engine, self._form.pair(piece.arrays)
        assert self._usual is not None
        if piece.batches:
            self._last[...] = piece.batches
            if id(piece.arrays) not in self._bound:
                self._bound[id(piece.arrays)] = evaluation(engine, self.task, self.sums, pair, self._usual, self._last)
            engine.call(self._bound[id(piece.arrays)], piece.batches * self._usual)
        else:
            engine.call(rest_of(engine, self.task, self.sums, pair), piece.samples)
        self.samples += piece.batches * self._usual or piece.samples


def zero(sums: State) -> None:
    """Begin to add up anew."""
    for total in tree.flatten(sums)[0]:
        total[...] = 0.0


def evaluation(engine: Engine, task: Any, sums: State, pair: Pair, batch: int, last: np.ndarray) -> Any:
    """The evaluation of full batches, bound to ``pair``."""
    program = engine.programs.get(("evaluate", task.kind, batch), lambda: evaluation_program(task, batch), (0,))
    judged = {"sums": sums, "others": engine.state["others"]}
    return program.bind(judged, engine.params, *pair, last, engine.interrupt.stop)


def rest_of(engine: Engine, task: Any, sums: State, pair: Pair) -> Any:
    """The evaluation of one batch, bound to ``pair``."""
    program = engine.programs.get(("rest", task.kind), lambda: rest_program(task), (0,))
    return program.bind({"sums": sums, "others": engine.state["others"]}, engine.params, *pair)


__all__ = ["Engine", "Memory", "MemoryEvaluation", "Programs", "Stream", "StreamEvaluation", "checked"]
