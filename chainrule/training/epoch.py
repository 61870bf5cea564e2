"""The programs that ``fit`` and ``evaluate`` run: functions that are recorded once and compiled whole.

An epoch is one program: shuffle, and for each batch gather rows, predict, differentiate, update, add up the loss and
the metrics. What it changes is one *state*, a dict of arrays that native code updates in place::

    params   float32[p]   all parameters, one after the other
    opt      {…}          the optimizer's arrays and scalars
    step     int64        steps made since the model was compiled
    sums     {…}          float64: loss and metrics added up over the samples of this epoch
    rest     int64[r]     the rows of the short last batch, which a program of its own trains on
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import random
from chainrule.autodiff import gradients
from chainrule.control import scan
from chainrule.graph import scope
from chainrule.layers.base import Layer, Weight, apply
from chainrule.losses import Loss
from chainrule.metrics import Metric
from chainrule.ops import elementwise as ew
from chainrule.ops.index import take
from chainrule.ops.reduce import sum_
from chainrule.ops.scan import poll
from chainrule.ops.structure import concatenate, reshape
from chainrule.optimizers.base import Optimizer
from chainrule.trace import as_node

DOUBLE = np.dtype(np.float64)
State = dict[str, Any]

# Streams of random numbers that have nothing to do with each other
_SHUFFLING, _LAYERS = 1, 2


@dataclass(frozen=True)
class Task:
    """What is trained, on what: everything that a program is recorded from."""

    model: Layer
    loss: Loss
    metrics: tuple[Metric, ...]
    optimizer: Optimizer

    @property
    def names(self) -> list[str]:
        """The keys of ``sums``."""
        return ["loss", *(m.name for m in self.metrics)]

    @property
    def kind(self) -> tuple[Any, ...]:
        """What may differ between two tasks of one compiled model: the kinds of metrics, which follow the data."""
        return tuple((m.name, type(m).__name__) for m in self.metrics)


def new_state(params: np.ndarray, opt: State, step: np.ndarray, names: Sequence[str], rest: int) -> State:
    """A state around the model's own arrays, which running programs change in place."""
    return {"params": params, "opt": opt, "step": step, "sums": {name: np.zeros((), DOUBLE) for name in names},
            "rest": np.zeros(rest, np.int64)}


def unpack(params: Any, weights: Sequence[Weight]) -> list[Any]:
    """The flat vector as one array per weight."""
    out, at = [], 0
    for weight in weights:
        n = math.prod(weight.shape)
        part = params[at:at + n]
        out.append(part if len(weight.shape) == 1 else reshape(part, shape=weight.shape))
        at += n
    return out


def pack(arrays: Sequence[Any]) -> Any:
    """Arrays as one flat vector."""
    parts = [a if len(a.shape) == 1 else reshape(a, shape=(math.prod(a.shape),)) for a in arrays]
    return parts[0] if len(parts) == 1 else concatenate(*parts, axis=0)


def train_step(task: Task, state: State, x: Any, y: Any, rate: Any, key: Any) -> State:
    """One batch: predict, differentiate, update, add up."""
    weights = unpack(state["params"], task.model.weights)
    noise = None
    if task.model.random_layers:
        noise = random.fold_in(random.fold_in(key, _LAYERS), state["step"])
    predicted = apply(task.model, weights, x, True, noise)
    loss, sums = _measured(task, state["sums"], y, predicted)
    wrt = [w.node for w in weights]
    found = gradients(as_node(loss), wrt)
    grads = pack([found[n] if n in found else np.zeros(n.shape, n.dtype) for n in wrt])
    with scope(f"optimizer {type(task.optimizer).__name__}"):
        params, opt = task.optimizer.update(state["params"], grads, state["opt"], rate, state["step"])
    return {"params": params, "opt": opt, "step": state["step"] + 1, "sums": sums, "rest": state["rest"]}


def epoch_program(task: Task, batch: int, shuffle: bool) -> Callable[..., State]:
    """``epoch(state, x, y, rate, key, stop) -> state``: all full batches, ended early once ``stop`` is not 0.

    Args:
        task: what is trained.
        batch: rows per step, at most the number of rows.
        shuffle: whether the rows come in another order each epoch.
    """
    def epoch(state: State, x: Any, y: Any, rate: Any, key: Any, stop: Any) -> State:
        n = x.shape[0]
        steps, full = n // batch, n // batch * batch
        order = None
        rows: Any
        if shuffle and batch < n:
            order = random.permutation(random.fold_in(random.fold_in(key, _SHUFFLING), state["step"]), n)
            rows = reshape(order[:full], shape=(steps, batch))
        else:  # the rows as they lie: nothing to gather
            rows = [reshape(a[:full], shape=(steps, batch, *a.shape[1:])) for a in (x, y)]

        def body(carry: Any, taken: Any) -> Any:
            xb, yb = taken if order is None else (take(a, taken, axis=0) for a in (x, y))
            after = train_step(task, {**carry["state"], "rest": None}, xb, yb, rate, key)
            return {"state": _without_rest(after), "stop": ew.ne(poll(stop), 0)}, None

        init = {"state": {**_without_rest(state), "sums": {k: np.zeros((), DOUBLE) for k in task.names}},
                "stop": np.zeros((), np.bool_)}
        last = scan(body, init, rows, until=lambda carry: carry["stop"])[0]["state"]
        rest = np.arange(full, n, dtype=np.int64) if order is None else order[full:]
        return {**last, "rest": rest}
    return epoch


def tail_program(task: Task) -> Callable[..., State]:
    """``tail(state, x, y, rate, key) -> state``: one step on the rows that ``rest`` of the state names."""
    def tail(state: State, x: Any, y: Any, rate: Any, key: Any) -> State:
        return train_step(task, state, take(x, state["rest"], axis=0), take(y, state["rest"], axis=0), rate, key)
    return tail


def evaluation_program(task: Task, batch: int) -> Callable[..., State]:
    """``evaluate(params, x, y, stop) -> sums`` over all rows, ``batch`` at a time; ends early if ``stop`` is set."""
    def evaluate(params: Any, x: Any, y: Any, stop: Any) -> State:
        n = x.shape[0]
        steps, full = n // batch, n // batch * batch

        def add(sums: State, taken: Any) -> State:
            predicted = apply(task.model, unpack(params, task.model.weights), taken[0], False)
            return _measured(task, sums, taken[1], predicted)[1]
        sums: Any = {k: np.zeros((), DOUBLE) for k in task.names}
        if steps:
            rows = [reshape(a[:full], shape=(steps, batch, *a.shape[1:])) for a in (x, y)]
            init = {"sums": sums, "stop": np.zeros((), np.bool_)}
            sums = scan(lambda carry, taken: ({"sums": add(carry["sums"], taken), "stop": ew.ne(poll(stop), 0)}, None),
                        init, rows, until=lambda carry: carry["stop"])[0]["sums"]
        return add(sums, (x[full:], y[full:])) if full < n else sums
    return evaluate


def prediction_program(model: Layer, steps: int) -> Callable[..., Any]:
    """``predict(params, x) -> y`` for ``steps`` batches, stacked along the first axis."""
    def predict(params: Any, x: Any) -> Any:
        weights = unpack(params, model.weights)
        if steps == 1:
            out = apply(model, weights, x[0], False)
            return reshape(out, shape=(1, *out.shape))
        return scan(lambda carry, rows: (carry, apply(model, weights, rows, False)), np.zeros((), np.int32), x)[1]
    return predict


def _measured(task: Task, sums: State, y: Any, predicted: Any) -> tuple[Any, State]:
    """The loss of a batch, and the sums with its samples added."""
    batch = predicted.shape[0]
    with scope(f"loss {task.loss.name!r}"):
        values = task.loss.call(y, predicted)
    axes = tuple(range(len(values.shape)))
    total, count = (sum_(values, axes=axes) if axes else values), math.prod(values.shape)
    new = {"loss": _added(sums["loss"], total, batch / count)}
    for metric in task.metrics:
        with scope(f"metric {metric.name!r}"):
            value, n = metric.measure(y, predicted)
        new[metric.name] = _added(sums[metric.name], value, batch / n)
    return ew.mul(total, 1.0 / count), new


def _added(so_far: Any, total: Any, samples_per_value: float) -> Any:
    # in units of samples, so that batches count by their size
    added = total if samples_per_value == 1 else ew.mul(total, samples_per_value)
    return ew.add(so_far, ew.cast(added, dtype=DOUBLE))


def _without_rest(state: State) -> State:
    return {k: v for k, v in state.items() if k != "rest"}


__all__ = ["State", "Task", "epoch_program", "evaluation_program", "new_state", "pack",
           "prediction_program", "tail_program", "train_step", "unpack"]
