"""The programs that ``fit`` and ``evaluate`` run: functions that are recorded once and compiled whole.

An epoch is one program: shuffle, and for each batch gather rows, predict, differentiate, update, add up the loss and
the metrics. What it changes is one *state*, a dict of arrays that native code updates in place::

    params   float32[p]   all parameters, one after the other
    opt      {…}          the optimizer's arrays and scalars
    step     int64        steps made since the model was compiled
    sums     {…}          float64: loss and metrics added up over the samples of this epoch
    rest     int64[r]     the rows of the short last batch, which a program of its own trains on
    others   [array, …]   weights that are not trained: running statistics, states, what is frozen
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import random, tree
from chainrule.autodiff import gradients
from chainrule.control import scan
from chainrule.graph import scope
from chainrule.layers.base import Layer, Weight
from chainrule.layers.context import Call
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


def new_state(params: np.ndarray, others: list[np.ndarray], opt: State, step: np.ndarray, names: Sequence[str],
              rest: int) -> State:
    """A state around the model's own arrays, which running programs change in place."""
    return {"params": params, "others": others, "opt": opt, "step": step,
            "sums": {name: np.zeros((), DOUBLE) for name in names}, "rest": np.zeros(rest, np.int64)}


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


def constrained(params: Any, weights: Sequence[Weight]) -> Any:
    """The flat vector after the constraints of the weights."""
    if all(w.constraint is None for w in weights):
        return params
    return pack([v if w.constraint is None else w.constraint(v)
                 for w, v in zip(weights, unpack(params, weights), strict=True)])


def train_step(task: Task, state: State, x: Any, y: Any, rate: Any, key: Any) -> State:
    """One batch: predict, differentiate, update, add up."""
    trained = task.model.trainable_weights
    weights = unpack(state["params"], trained)
    call = Call(True, lambda: random.fold_in(random.fold_in(key, _LAYERS), state["step"]), state["step"])
    predicted, others, penalties = task.model.run(call, weights, state["others"], x)
    loss, sums = _measured(task, state["sums"], y, predicted, penalties)
    wrt = [w.node for w in weights]
    found = gradients(as_node(loss), wrt)
    grads = pack([found[n] if n in found else np.zeros(n.shape, n.dtype) for n in wrt])
    with scope(f"optimizer {type(task.optimizer).__name__}"):
        params, opt = task.optimizer.update(state["params"], grads, state["opt"], rate, state["step"])
        params = constrained(params, trained)
    return {"params": params, "others": others, "opt": opt, "step": state["step"] + 1, "sums": sums,
            "rest": state["rest"]}


def epoch_program(task: Task, batch: int, shuffle: bool) -> Callable[..., State]:
    """``epoch(state, x, y, rate, key, stop) -> state``: all full batches, ended early once ``stop`` is not 0.

    Args:
        task: what is trained.
        batch: rows per step, at most the number of rows.
        shuffle: whether the rows come in another order each epoch.
    """
    def epoch(state: State, x: Any, y: Any, rate: Any, key: Any, stop: Any) -> State:
        n = _count(x)
        steps, full = n // batch, n // batch * batch
        order = None
        rows: Any
        if shuffle and batch < n:
            order = random.permutation(random.fold_in(random.fold_in(key, _SHUFFLING), state["step"]), n)
            rows = reshape(order[:full], shape=(steps, batch))
        else:  # the rows as they lie: nothing to gather
            rows = _batches((x, y), steps, batch)

        def body(carry: Any, taken: Any) -> Any:
            xb, yb = taken if order is None else _taken((x, y), taken)
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
        xb, yb = _taken((x, y), state["rest"])
        return train_step(task, state, xb, yb, rate, key)
    return tail


def evaluation_program(task: Task, batch: int) -> Callable[..., State]:
    """``evaluate(weights, x, y, stop) -> sums`` over all rows, ``batch`` at a time; ends early if ``stop`` is set.

    The weights are those of :func:`forward`.
    """
    def evaluate(weights: Any, x: Any, y: Any, stop: Any) -> State:
        n = _count(x)
        steps, full = n // batch, n // batch * batch

        def add(carry: State, taken: Any) -> State:
            predicted, others, penalties = forward(task.model, (weights[0], carry["others"]), taken[0])
            return {"sums": _measured(task, carry["sums"], taken[1], predicted, penalties)[1], "others": others}
        last: Any = {"sums": {k: np.zeros((), DOUBLE) for k in task.names}, "others": weights[1]}
        if steps:
            last = scan(lambda carry, taken: ({**add(carry, taken), "stop": ew.ne(poll(stop), 0)}, None),
                        {**last, "stop": np.zeros((), np.bool_)}, _batches((x, y), steps, batch),
                        until=lambda carry: carry["stop"])[0]
        return (add(last, tree.map_leaves(lambda a: a[full:], (x, y))) if full < n else last)["sums"]
    return evaluate


def prediction_program(model: Layer, steps: int) -> Callable[..., Any]:
    """``predict(weights, x) -> (y, others)`` for ``steps`` batches, stacked along the first axis.

    ``others`` are the values of those weights that prediction changes, None for all that it does not.
    """
    def predict(weights: Any, x: Any) -> Any:
        if steps == 1:
            out, after, _ = forward(model, weights, tree.map_leaves(lambda a: a[0], x))
            out = tree.map_leaves(lambda a: reshape(a, shape=(1, *a.shape)), out)
        else:
            def body(others: Any, rows: Any) -> Any:
                out, after, _ = forward(model, (weights[0], others), rows)
                moved[:] = [a is not b for a, b in zip(after, others, strict=True)]
                return after, out
            moved: list[bool] = []
            after, out = scan(body, weights[1], x)
            return out, [a if m else None for a, m in zip(after, moved, strict=True)]
        return out, [None if a is b else a for a, b in zip(after, weights[1], strict=True)]
    return predict


def forward(model: Layer, weights: tuple[Any, Any], x: Any) -> tuple[Any, list[Any], list[Any]]:
    """Outputs, state afterwards and what is added to the loss, outside of training.

    Args:
        model: what computes them.
        weights: the flat vector of what is trained, and the other weights.
        x: a batch.
    """
    return model.run(Call(), unpack(weights[0], model.trainable_weights), weights[1], x)


def _count(x: Any) -> int:
    return tree.flatten(x)[0][0].shape[0]


def _batches(data: Any, steps: int, batch: int) -> Any:
    """Full batches as they lie: nothing is gathered."""
    return tree.map_leaves(lambda a: reshape(a[:steps * batch], shape=(steps, batch, *a.shape[1:])), data)


def _taken(data: Any, rows: Any) -> Any:
    return tree.map_leaves(lambda a: take(a, rows, axis=0), data)


def _measured(task: Task, sums: State, y: Any, predicted: Any, penalties: Sequence[Any]) -> tuple[Any, State]:
    """The loss of a batch, its penalties included, and the sums with its samples added."""
    batch = predicted.shape[0]
    with scope(f"loss {task.loss.name!r}"):
        values = task.loss.call(y, predicted)
    axes = tuple(range(len(values.shape)))
    total, count = (sum_(values, axes=axes) if axes else values), math.prod(values.shape)
    new = {"loss": _added(sums["loss"], total, batch / count)}
    for penalty in penalties:
        new["loss"] = _added(new["loss"], penalty, batch)
    for metric in task.metrics:
        with scope(f"metric {metric.name!r}"):
            value, n = metric.measure(y, predicted)
        new[metric.name] = _added(sums[metric.name], value, batch / n)
    loss = ew.mul(total, 1.0 / count)
    for penalty in penalties:
        loss = ew.add(loss, penalty)
    return loss, new


def _added(so_far: Any, total: Any, samples_per_value: float) -> Any:
    # in units of samples, so that batches count by their size
    added = total if samples_per_value == 1 else ew.mul(total, samples_per_value)
    return ew.add(so_far, ew.cast(added, dtype=DOUBLE))


def _without_rest(state: State) -> State:
    return {k: v for k, v in state.items() if k != "rest"}


__all__ = ["State", "Task", "epoch_program", "evaluation_program", "new_state", "pack",
           "prediction_program", "tail_program", "train_step", "unpack"]
