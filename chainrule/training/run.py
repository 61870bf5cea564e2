"""``fit``, ``evaluate`` and ``predict`` of a model: what the user gave becomes data tied to programs.

Data that is arrays, or can be made arrays at once, is trained on as it lies in memory; all else is read ahead by a
thread (``sources.py``, ``reader.py``).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from chainrule import random, tree
from chainrule.arguments import whole
from chainrule.errors import ArgumentError, DataError, UsageError
from chainrule.optimizers.base import Optimizer
from chainrule.training import data, frames, sources, targets
from chainrule.training.callbacks import History, Hooks, ProgbarLogger, checked, each
from chainrule.training.epoch import Task, new_state, own_step
from chainrule.training.feed import Check, Engine, Form, Memory, MemoryEvaluation, Stream, StreamEvaluation, count
from chainrule.training.feed import checked as checked_blocks
from chainrule.training.fit import Training, loop, validated
from chainrule.training.gradient import checked as checked_way
from chainrule.training.interrupt import Interrupt
from chainrule.training.objective import Plan
from chainrule.training.parquet import Parquet, is_parquet
from chainrule.training.progress import duration, numbers, verbosity
from chainrule.training.reader import Reader
from chainrule.training.sources import Source
from chainrule.training.steps import OwnTask
from chainrule.training.targets import as_given

BATCH = 32


class Options(NamedTuple):
    """The arguments of ``fit`` beside the data, as the user gave them."""

    batch_size: int | None
    epochs: int
    verbose: int | str
    callbacks: Any
    validation_split: float
    validation_data: Any
    shuffle: bool
    class_weight: Any
    sample_weight: Any
    initial_epoch: int
    steps_per_epoch: int | None
    validation_steps: int | None
    validation_batch_size: int | None
    validation_freq: Any
    gradient: str


def fit(model: Any, x: Any, y: Any, given: Options) -> History:
    """Train a compiled model; see :meth:`chainrule.models.Model.fit`."""
    plan, optimizer = model._compiled("fit")
    way = checked_way(given.gradient)
    if way != "backprop" and own_step(model, "train_step"):
        raise ArgumentError.of(f"got gradient={way!r} for a model with a train_step of its own",
                               "gradients as the step computes them", "model.fit(x, y)")
    batch, epochs = size(given.batch_size), whole("epochs", given.epochs)
    first = whole("initial_epoch", given.initial_epoch, least=0)
    calls, level, often = checked(given.callbacks), verbosity(given.verbose), validated(given.validation_freq)
    level = level or int(any(isinstance(c, ProgbarLogger) for c in calls))
    steps, held_out, weights = whole_or_none("steps_per_epoch", given.steps_per_epoch), given.validation_data, None
    if given.validation_split and held_out is None:
        (x, y, weights), held_out = separate(x, y, given.validation_split, given.sample_weight)
    else:
        weights = given.sample_weight
    source, x, y, weights = opened(x, y, weights)
    if source is not None:
        _own_size(source, given.batch_size)
        x, y, weights = source.sample()

    check = checker(model, "train_step", plan, classes=given.class_weight)
    pair = check(x, y, weights, None)
    if optimizer.whole_data and (source is not None or batch < count(pair)):
        raise UsageError.of(f"{type(optimizer).__name__} with batch_size={batch} for {_many(source, pair)} samples",
                            "all samples as one batch", f"model.fit(x, y, batch_size={_many(source, pair)})")
    engine = started(model, task_of(model, "train_step", plan, optimizer, pair, way))
    hooks = Hooks(calls, every=model.steps_per_execution)
    feed: Memory | Stream
    if source is None:
        feed = Memory(engine, pair, batch, bool(given.shuffle), steps, bool(hooks))
    else:
        source = _endless(source, steps, epochs - first)
        feed = Stream(engine, source, batch, bool(given.shuffle), check, hooks.stop if hooks else None,
                      None if source.own else steps)
    judge = None
    if held_out is not None:
        judge = validation(model, engine, held_out, size(given.validation_batch_size or given.batch_size),
                           whole_or_none("validation_steps", given.validation_steps), epochs - first,
                           isinstance(pair[1], dict), Hooks(calls, "test_batch", model.steps_per_execution))
    try:
        return loop(model, Training(engine, feed, judge, hooks, often), first, epochs, calls, level)
    finally:
        engine.task.finalize(engine.state)


def _many(source: Source | None, pair: Any) -> str:
    return f"{count(pair):,}" if source is None else "streamed" if source.samples is None else f"{source.samples:,}"


def started(model: Any, task: Task) -> Engine:
    """What the programs of a run share, around the model's own arrays."""
    params = model.adopt()
    if not params.size:
        warnings.warn(f"model {model.name!r} has no trainable weights: fit computes its loss and metrics, and learns "
                      "nothing", UserWarning, stacklevel=5)
    opt, step = model._started(task, params)
    state = new_state(task.parts(params), [w.array for w in model.arranged()[1]], opt, step, task.objective.zeros())
    return Engine(task, model._programs, state, params, task.rate, random.key(), Interrupt())


def checker(model: Any, method: str, plan: Plan, names: tuple[str, str] = ("x", "y"), classes: Any = None) -> Check:
    """What makes checked arrays of samples, targets and weights, for a step of the model's own or the usual one."""
    if own_step(model, method):
        return lambda x, y, weights, rows: as_given(x, y, weights, classes, names)
    return lambda x, y, weights, rows: model._data(x, y, plan, names, weights, classes, rows)


def task_of(model: Any, method: str, plan: Plan, optimizer: Optimizer, pair: Any, way: str = "backprop") -> Any:
    """What is trained (``train_step``) or judged (``test_step``), for data like ``pair``."""
    if own_step(model, method):
        return OwnTask(model, model._outline(method, *pair))
    return Task(model, model._objective(plan, pair[1]), optimizer, way)


def validation(model: Any, engine: Engine, given: Any, batch: int, steps: int | None, passes: int,
               weighted: bool, hooks: Hooks) -> MemoryEvaluation | StreamEvaluation:
    """The validation data of ``fit``, tied to their programs; ``weighted`` if the samples trained on have weights."""
    plan, optimizer = model._compiled("fit")
    usual, plain = checker(model, "test_step", plan, ("x_val", "y_val")), isinstance(engine.task, Task)

    def check(x: Any, y: Any, weights: Any, rows: Any) -> Any:
        x, y = usual(x, y, weights, rows)
        same = plain and weighted and not isinstance(y, dict) and not own_step(model, "test_step")
        return x, targets.unweighted(y, count(x)) if same else y

    def task(pair: Any) -> Any:
        usual_step = plain and not own_step(model, "test_step")
        return engine.task if usual_step else task_of(model, "test_step", plan, optimizer, pair)
    if sources.is_batches(given) or isinstance(given, Source) or is_parquet(given):
        given = given, None
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        many = f" of {len(given)}" if isinstance(given, tuple | list) else ""
        raise DataError.of(f"validation_data is a {type(given).__name__}{many}", "a pair (x, y), or batches",
                           "validation_data=(x_val, y_val)")
    source, x, y, weights = opened(*given)
    if source is None:
        pair = check(x, y, weights, None)
        last = None if steps is None else steps * batch
        return MemoryEvaluation(engine, task(pair), tree.map_leaves(lambda a: a[:last], pair), batch, hooks)
    judged = task(check(*source.sample(), None))
    if steps is None and passes > 1:
        sources.once_only(source, f"is needed for {passes} validations", "validation_steps")
    if not source.again and steps is not None:
        source, steps = sources.Endless(source, steps), None
    return StreamEvaluation(engine, judged, source, batch, check, hooks, steps)


def evaluate(model: Any, x: Any, y: Any, batch_size: int | None, verbose: int | str, steps: int | None,
             callbacks: Any, sample_weight: Any) -> dict[str, Any]:
    """Loss and metrics by name; see :meth:`chainrule.models.Model.evaluate`."""
    plan, optimizer = model._compiled("evaluate")
    level, calls, batch = verbosity(verbose), checked(callbacks), size(batch_size)
    hooks = Hooks(calls, "test_batch", model.steps_per_execution)
    steps = whole_or_none("steps", steps)
    source, x, y, weights = opened(x, y, sample_weight)
    if source is not None:
        _own_size(source, batch_size)
        x, y, weights = source.sample()

    check = checker(model, "test_step", plan)
    pair = check(x, y, weights, None)
    task = task_of(model, "test_step", plan, optimizer, pair)
    with Interrupt() as interrupt:
        params, others = model._current()
        engine = Engine(task, model._programs, {"others": others}, params, optimizer.rate, np.zeros(2, np.uint32),
                        interrupt)
        run: MemoryEvaluation | StreamEvaluation
        if source is None:
            last = None if steps is None else steps * batch
            run = MemoryEvaluation(engine, task, tree.map_leaves(lambda a: a[:last], pair), batch, hooks)
        else:
            run = StreamEvaluation(engine, task, source, batch, check, hooks, steps)
        tell(model, calls, "on_test_begin", {})
        begin = time.perf_counter()
        interrupt.native = True
        run.run()
        interrupt.native = False
    if interrupt.pending is not None:
        raise interrupt.pending
    if not run.samples:
        raise DataError.of("the data gave no batch", "at least one", "yield x, y")
    values = task.objective.results(run.sums, run.samples)
    if level:
        made = -(-run.samples // batch)
        print(f"{made}/{made} - {duration((time.perf_counter() - begin) / made)}/step - {numbers(values)}")
    tell(model, calls, "on_test_end", values)
    return values


def blocks(model: Any, x: Any, batch_size: int | None, steps: int | None) -> Iterator[tuple[Any, int]] | None:
    """The samples that ``predict`` takes at a time, checked, and the rows of a batch; None for arrays in memory."""
    source, *_ = opened(x)
    if source is None:
        return None
    _own_size(source, batch_size)
    model.asked(source.sample()[0])
    return _blocks(model, source, size(batch_size), whole_or_none("steps", steps))


def _blocks(model: Any, source: Source, batch: int, steps: int | None) -> Iterator[tuple[Any, int]]:
    form = Form(lambda x, y, weights, rows: (model.asked(x, rows), None))
    stops = None if steps is None else (lambda step: steps if step < steps else step + 1)
    reader = Reader(checked_blocks(source.blocks(batch, None), form, source), None if source.own else batch, stops, 0,
                    source.own)
    made = 0
    try:
        while steps is None or made < steps:
            piece = reader.take()
            if piece is None:
                return
            made += max(piece.batches, 1)
            own = reader.batch or batch
            rows = piece.batches * own or piece.samples
            yield tree.map_leaves(lambda a: a[:rows], form.pair(piece.arrays)[0]), own  # noqa: B023
    finally:
        reader.close()


# ---------------------------------------------------------------- what the user gave


def opened(x: Any, y: Any = None, weights: Any = None) -> tuple[Source | None, Any, Any, Any]:
    """The source of data that is read as it is needed; else None, and what becomes arrays in memory."""
    if isinstance(x, Source):
        return x, None, None, None
    if is_parquet(x):
        if weights is not None:
            raise ArgumentError.of("got sample_weight beside Parquet files", "files and the names of columns alone",
                                   "model.fit('data.parquet', 'label')")
        return Parquet(x, y), None, None, None
    names = sources.names_of(y)
    if names is not None and frames.is_table(x):
        return None, *frames.separated(x, names), weights
    if sources.is_batches(x):
        return sources.batches(x, y, weights), None, None, None
    if sources.is_rows(x) or sources.is_rows(y):
        return sources.Rows(x, y, weights), None, None, None
    return None, x, y, weights


def separate(x: Any, y: Any, fraction: float, weights: Any) -> tuple[tuple[Any, Any, Any], Any]:
    """Training and validation data; see :func:`chainrule.training.data.split`."""
    source, x, y, weights = opened(x, y, weights)
    if source is None:
        (x, y, weights), held_out = data.split(x, y, fraction, weights)
        return (x, y, weights), held_out
    if not isinstance(source, sources.Rows):
        raise ArgumentError.of(f"validation_split={fraction} of {source.what}", "arrays, whose rows can be told apart",
                               "validation_data=batches_to_validate")
    assert source.samples is not None
    at = data.split_at(source.samples, fraction)
    return (source.part(0, at), None, None), source.part(at, source.samples)


def size(batch_size: int | None) -> int:
    """The rows of a batch: 32 by default."""
    return BATCH if batch_size is None else whole("batch_size", batch_size)


def _own_size(source: Source, batch_size: int | None) -> None:
    if source.own and batch_size is not None:
        raise ArgumentError.of(f"got batch_size={batch_size} for {source.what}, which makes the batches itself",
                               "the batches as they are", "model.fit(batches)   # without batch_size")


def whole_or_none(name: str, value: int | None) -> int | None:
    """``value`` as a whole number above 0, or None."""
    return None if value is None else whole(name, value)


def _endless(source: Source, steps: int | None, passes: int) -> Source:
    """A source of batches for epochs of ``steps`` of them, if that is given."""
    if not source.own:
        return source
    if steps is not None and steps != source.steps:
        return sources.Endless(source, steps)
    if steps is None and passes > 1:
        sources.once_only(source, f"there are {passes} epochs", "steps_per_epoch")
    return source


def tell(model: Any, callbacks: Any, hook: str, logs: dict[str, Any]) -> None:
    """Call a hook of the callbacks of an evaluation or a prediction."""
    given = checked(callbacks)
    if hook.endswith("begin"):
        for callback in given:
            callback.set_model(model)
    each(given, hook, dict(logs))


__all__ = ["BATCH", "Options", "blocks", "evaluate", "fit", "size", "tell"]
