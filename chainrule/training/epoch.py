"""The programs that ``fit`` and ``evaluate`` run: functions that are recorded once and compiled whole.

The steps of an epoch are one program: for each batch gather rows, predict, differentiate, update, add up the loss and
the metrics. It ends before the step that ``last`` names, so that the same native code makes a whole epoch in one call
or any part of it: what is learned does not depend on where the loop returned to Python. What it changes is one *state*,
a dict of arrays that native code updates in place::

    params   float32[p]   all parameters, one after the other
    opt      {…}          the optimizer's arrays and scalars
    step     int64        steps made since the model was compiled
    sums     {…}          float64: what loss and metrics are functions of, added up over the samples of this epoch
    others   [array, …]   weights that are not trained: running statistics, states, what is frozen
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import random, tree
from chainrule.control import scan
from chainrule.graph import scope
from chainrule.layers.base import FLOAT, Layer, Weight
from chainrule.layers.context import Call, calling
from chainrule.layers.shapes import UNKNOWN
from chainrule.ops import elementwise as ew
from chainrule.ops.index import take
from chainrule.ops.scan import poll
from chainrule.ops.structure import reshape
from chainrule.optimizers.base import Optimizer, Search
from chainrule.optimizers.layout import Layout
from chainrule.trace import trace
from chainrule.training import gradient as ways
from chainrule.training.objective import Objective, Sums

State = dict[str, Any]

# Streams of random numbers that have nothing to do with each other
_SHUFFLING, LAYERS = 1, 2


@dataclass(frozen=True)
class Task:
    """What is trained, on what: everything that a program is recorded from."""

    model: Layer
    objective: Objective
    optimizer: Optimizer
    gradient: str = "backprop"

    @property
    def names(self) -> list[str]:
        """The keys of ``sums``."""
        return self.objective.names

    @property
    def kind(self) -> tuple[Any, ...]:
        """What may differ between two tasks of one compiled model: metrics follow the data, schedules can be set."""
        return self.objective.kind, self.gradient, self.optimizer.key

    @property
    def rate(self) -> np.ndarray:
        """The learning rate, which programs read."""
        return self.optimizer.rate

    def parts(self, params: np.ndarray) -> np.ndarray:
        """What stands for all that is trained in the state: one vector."""
        return params

    def start(self, params: np.ndarray) -> State:
        """The optimizer's state before the first step."""
        return self.optimizer.init(params, layout(self.model))

    @property
    def optimizers(self) -> list[Optimizer]:
        """All that change weights: the one."""
        return [self.optimizer]

    def lend(self, opt: State, step: np.ndarray) -> None:
        """Let the optimizer see how many steps it has made."""
        self.optimizer.iterations = step

    def finalize(self, state: State) -> None:
        """At the end of ``fit``: what the optimizer does then."""
        self.optimizer.finalize(state["params"], state["opt"])

    def step(self, state: State, x: Any, y: Any, rate: Any, key: Any) -> State:
        """One batch: predict, differentiate, update, add up."""
        place, step, optimizer = layout(self.model), state["step"], self.optimizer
        measured = self._measured(state, x, y, key)
        if not place.shapes:
            _, sums, others = measured([])
            return {**state, "others": others, "step": step + 1, "sums": sums}
        scale = optimizer.loss_scale(state["opt"])
        loss, grads, sums, others = ways.found(self.gradient, measured, state["params"], place, scale,
                                                   wanted=optimizer.uses_gradient)
        with scope(f"optimizer {type(optimizer).__name__}"):
            if isinstance(optimizer, Search):
                params, opt = optimizer.searched(
                    lambda flat: ways.found(self.gradient, measured, flat, place,
                                                wanted=optimizer.uses_gradient)[:2],
                    state["params"], loss, grads, state["opt"], rate, step)
            else:
                params, opt = optimizer.update(state["params"], grads, state["opt"], rate, step, place)
            params = constrained(params, self.model.arranged()[0], place)
        return {"params": params, "others": others, "opt": opt, "step": step + 1, "sums": sums}

    def slopes(self, state: State, x: Any, y: Any, rate: Any, key: Any) -> list[Any]:
        """The gradient of the loss on one batch, one array per weight that is trained."""
        place = layout(self.model)
        return place.split(ways.found(self.gradient, self._measured(state, x, y, key), state["params"], place)[1])

    def _measured(self, state: State, x: Any, y: Any, key: Any) -> ways.Measured:
        """The function that gives the loss of a batch for given weights, the sums with it added, the other weights."""
        def measured(weights: Sequence[Any]) -> tuple[Any, Sums, list[Any]]:
            call = Call(True, lambda: random.fold_in(random.fold_in(key, LAYERS), state["step"]), state["step"])
            predicted, others, penalties = self.model.run(call, weights, state["others"], x)
            loss, sums = self.objective.measured(state["sums"], y, predicted, penalties, call.mask(predicted))
            return loss, sums, others
        return measured

    def judge(self, judged: State, params: Any, x: Any, y: Any) -> State:
        """One batch of an evaluation: predict, add up."""
        call = Call()
        predicted, others, penalties = forward(self.model, (params, judged["others"]), x, call)
        return {"sums": self.objective.measured(judged["sums"], y, predicted, penalties, call.mask(predicted))[1],
                "others": others}


def own_step(model: Any, method: str) -> bool:
    """Whether a model has a step of its own, or a part of it, or no loss but what its layers add."""
    if method != "predict_step" and model.loss is None:
        return True
    parts = (method,) if method == "predict_step" else (method, "compute_loss", "compute_metrics")
    return not all(getattr(getattr(model, part), "default", False) for part in parts)


def new_state(params: np.ndarray, others: list[np.ndarray], opt: State, step: np.ndarray, sums: Sums) -> State:
    """A state around the model's own arrays, which running programs change in place."""
    return {"params": params, "others": others, "opt": opt, "step": step, "sums": sums}


def layout(model: Layer) -> Layout:
    """Where each trained weight lies in the flat vector, under names such as ``dense/kernel``."""
    names, weights = weight_paths(model), model.arranged()[0]
    return Layout([names.get(id(w), w.name) for w in weights], [w.shape for w in weights], weights)


def weight_paths(model: Layer) -> dict[int, str]:
    """Names of weights such as ``dense/kernel``, by their identity."""
    names: dict[int, str] = {}
    _name(model, "", names)
    return names


def _name(layer: Layer, prefix: str, names: dict[int, str]) -> None:
    for weight in layer.weights:
        names[id(weight)] = prefix + weight.name  # the innermost layer that has it comes last
    for inner in layer.sublayers:
        _name(inner, f"{prefix}{inner.name}/", names)


def constrained(params: Any, weights: Sequence[Weight], place: Layout) -> Any:
    """The flat vector after the constraints of the weights."""
    if all(w.constraint is None for w in weights):
        return params
    return place.join([v if w.constraint is None else w.constraint(v)
                       for w, v in zip(weights, place.split(params), strict=True)])


def batch_program(task: Task) -> Callable[..., State]:
    """``batch(state, x, y, rate, key) -> state``: one step on all the rows, its sums those of these rows alone."""
    def batch(state: State, x: Any, y: Any, rate: Any, key: Any) -> State:
        return task.step({**state, "sums": task.objective.zeros()}, x, y, rate, key)
    return batch


def order_program(n: int) -> Callable[..., Any]:
    """``order(key, begun) -> int64[n]``: the rows in the order of the epoch that began after ``begun`` steps."""
    def order(key: Any, begun: Any) -> Any:
        return random.permutation(random.fold_in(random.fold_in(key, _SHUFFLING), begun), n)
    return order


def epoch_program(task: Task, batch: int, ordered: bool) -> Callable[..., State]:
    """``epoch(state, x, y, rows, last, rate, key, stop) -> state``: full batches one after the other.

    The first batch is the first of ``rows``, whatever the step is; ``last`` names the step before which to end. The
    loop also ends once ``stop`` is not 0.

    Args:
        task: what is trained.
        batch: rows per step, at most the number of rows.
        ordered: whether the samples are taken as they lie, without gathering: ``rows`` is then None.
    """
    def epoch(state: State, x: Any, y: Any, rows: Any, last: Any, rate: Any, key: Any, stop: Any) -> State:
        steps = _count(x) // batch

        def body(carry: Any, taken: Any) -> Any:
            xb, yb = taken if ordered else _taken((x, y), taken)
            after = task.step(carry["state"], xb, yb, rate, key)
            return {"state": after, "end": ew.bit_or(ew.ge(after["step"], last), ew.ne(poll(stop), 0))}, None

        init = {"state": state, "end": np.zeros((), np.bool_)}
        batches = _batches((x, y) if ordered else rows, steps, batch)
        return scan(body, init, batches, until=lambda carry: carry["end"])[0]["state"]
    return epoch


def tail_program(task: Task) -> Callable[..., State]:
    """``tail(state, x, y, rows, rate, key) -> state``: one step on the samples that ``rows`` names."""
    def tail(state: State, x: Any, y: Any, rows: Any, rate: Any, key: Any) -> State:
        xb, yb = _taken((x, y), rows)
        return task.step(state, xb, yb, rate, key)
    return tail


def gradient_program(task: Task) -> Callable[..., list[Any]]:
    """``gradients(state, x, y, rate, key) -> arrays``: on one batch, one array per weight that is trained."""
    def gradients(state: State, x: Any, y: Any, rate: Any, key: Any) -> list[Any]:
        return task.slopes(state, x, y, rate, key)
    return gradients


def evaluation_program(task: Task, batch: int) -> Callable[..., State]:
    """``evaluate(judged, params, x, y, last, stop) -> judged``: adds the first ``last`` batches, at least one.

    ``judged`` holds the ``sums`` and the ``others``. Ends early once ``stop`` is set.
    """
    def evaluate(judged: State, params: Any, x: Any, y: Any, last: Any, stop: Any) -> State:
        steps = _count(x) // batch

        def body(carry: Any, taken: Any) -> Any:
            after, made = task.judge(carry["judged"], params, *taken), ew.add(carry["made"], 1)
            return {"judged": after, "made": made, "end": ew.bit_or(ew.ge(made, last), ew.ne(poll(stop), 0))}, None

        init = {"judged": judged, "made": np.zeros((), np.int64), "end": np.zeros((), np.bool_)}
        return scan(body, init, _batches((x, y), steps, batch), until=lambda carry: carry["end"])[0]["judged"]
    return evaluate


def rest_program(task: Task) -> Callable[..., State]:
    """``evaluate(judged, params, x, y) -> judged``: adds all of x and y as one batch."""
    def evaluate(judged: State, params: Any, x: Any, y: Any) -> State:
        return task.judge(judged, params, x, y)
    return evaluate


def prediction_program(model: Any, steps: int) -> Callable[..., Any]:
    """``predict(weights, x) -> (y, others)`` for ``steps`` batches, stacked along the first axis.

    ``others`` are the values of those weights that prediction changes, None for all that it does not.
    """
    def predict(weights: Any, x: Any) -> Any:
        if steps == 1:
            out, after = predicted(model, weights, tree.map_leaves(lambda a: a[0], x))
            out = tree.map_leaves(lambda a: reshape(a, shape=(1, *a.shape)), out)
        else:
            def body(others: Any, rows: Any) -> Any:
                out, after = predicted(model, (weights[0], others), rows)
                moved[:] = [a is not b for a, b in zip(after, others, strict=True)]
                return after, out
            moved: list[bool] = []
            after, out = scan(body, weights[1], x)
            return out, [a if m else None for a, m in zip(after, moved, strict=True)]
        return out, [None if a is b else a for a, b in zip(after, weights[1], strict=True)]
    return predict


def forward(model: Layer, weights: tuple[Any, Any], x: Any,
            call: Call | None = None) -> tuple[Any, list[Any], list[Any]]:
    """Outputs, state afterwards and what is added to the loss, outside of training.

    Args:
        model: what computes them.
        weights: the flat vector of what is trained, and the other weights.
        x: a batch.
        call: knows the masks afterwards.
    """
    return model.run(call or Call(), layout(model).split(weights[0]), weights[1], x)


def predicted(model: Any, weights: tuple[Any, Any], x: Any) -> tuple[Any, list[Any]]:
    """Outputs and state afterwards for ``predict``, by the model's ``predict_step`` if it has one of its own."""
    if not own_step(model, "predict_step"):
        return forward(model, weights, x)[:2]
    with model.standing_in(layout(model).split(weights[0]), weights[1]), calling(Call(several=True)):
        out = model.predict_step(x)
        return out, [w.value for w in model.arranged()[1]]


def makes_masks(model: Layer) -> bool:
    """Whether outputs of the model come with masks."""
    if all(type(layer).compute_mask is Layer.compute_mask for layer in _all_layers(model)):
        return False
    shapes = model.input_shape
    call = Call(trial=True)
    masks: list[Any] = []

    def run(x: Any) -> Any:
        weights = model.arranged()
        out = model.run(call, *([w.value for w in each] for each in weights), x)[0]
        masks.append(call.mask(out))
        return out
    trace(run, _sample(shapes, model.input_dtype or FLOAT))
    return masks[0] is not None


def _sample(shapes: Any, dtype: np.dtype) -> Any:
    if isinstance(shapes, list) or (isinstance(shapes, tuple) and shapes and isinstance(shapes[0], tuple)):
        return type(shapes)([_sample(each, dtype) for each in shapes])
    if isinstance(shapes, dict):
        return {name: _sample(each, dtype) for name, each in shapes.items()}
    return np.zeros((2, *(n or UNKNOWN for n in shapes[1:])), dtype)


def _all_layers(layer: Layer) -> Iterator[Layer]:
    for inner in layer.sublayers:
        yield inner
        yield from _all_layers(inner)


def _count(x: Any) -> int:
    return tree.flatten(x)[0][0].shape[0]


def _batches(data: Any, steps: int, batch: int) -> Any:
    """Full batches as they lie: nothing is gathered."""
    return tree.map_leaves(lambda a: reshape(a[:steps * batch], shape=(steps, batch, *a.shape[1:])), data)


def _taken(data: Any, rows: Any) -> Any:
    return tree.map_leaves(lambda a: take(a, rows, axis=0), data)


__all__ = ["State", "Task", "batch_program", "epoch_program", "evaluation_program", "gradient_program", "layout",
           "new_state", "order_program", "own_step", "prediction_program", "rest_program", "tail_program",
           "weight_paths"]
