"""Steps of one's own: ``train_step`` and ``test_step`` of a model, recorded as part of the native epoch.

A step is called twice. Once on a *trial*, for shapes alone: layers are built, and the :class:`Outline` notes which
optimizer changes which weights, which metrics are updated, and what is reported. From that come the arrays that the
program carries from step to step. Then it is recorded, with these arrays in place of weights, optimizers' states and
metrics' sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import random, tree
from chainrule.autodiff import gradients
from chainrule.errors import ArgumentError, UsageError
from chainrule.graph import scope
from chainrule.layers.base import Layer, Weight
from chainrule.layers.context import Call, calling
from chainrule.metrics import Metric
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced
from chainrule.optimizers.base import Optimizer, as_dtype
from chainrule.optimizers.layout import Layout
from chainrule.recorded import STEP, Reported
from chainrule.trace import as_node, record
from chainrule.training.epoch import LAYERS, State, constrained, layout, weight_paths
from chainrule.training.objective import DOUBLE, reader

_COUNT = "samples"  # beside the sums of a metric: over how many samples


@dataclass
class Outline:
    """What a step does, as far as a program has to know before it is recorded.

    Attributes:
        optimizers: each with the weights that it changes.
        metrics: those that the step updates, each with the shapes of its sums.
        reported: names and what is returned for them: a metric's number, or None for a number of each step.
    """

    optimizers: list[tuple[Optimizer, list[Weight]]] = field(default_factory=list)
    metrics: list[tuple[Metric, dict[str, tuple[int, ...]]]] = field(default_factory=list)
    reported: dict[str, int | None] = field(default_factory=dict)

    @property
    def groups(self) -> list[list[Weight]]:
        """Weights that are changed together, each once."""
        found: list[list[Weight]] = []
        for _, weights in self.optimizers:
            if weights not in found:
                found.append(weights)
        return found

    @property
    def names(self) -> list[str]:
        """What is reported."""
        return list(self.reported)

    @property
    def kind(self) -> tuple[Any, ...]:
        """What may differ between two outlines of one compiled model."""
        return (tuple(self.reported.items()), tuple(tuple(shapes.items()) for _, shapes in self.metrics),
                tuple((id(o), o.key, len(weights)) for o, weights in self.optimizers))

    def zeros(self) -> State:
        """Sums over no samples yet."""
        sums: State = {name: {"total": np.zeros((), DOUBLE)} for name, of in self.reported.items() if of is None}
        for i, (_, shapes) in enumerate(self.metrics):
            sums[f"metric {i}"] = {_COUNT: np.zeros((), DOUBLE),
                                   **{name: np.zeros(shape, DOUBLE) for name, shape in shapes.items()}}
        return sums

    def readers(self, sums: State) -> list[tuple[str, Callable[[int], Any]]]:
        """Each name with a function that reads its value from concrete sums, given over how many samples they are."""
        return [(name, reader(None, sums[name]) if of is None
                 else _metric_reader(self.metrics[of][0], sums[f"metric {of}"]))
                for name, of in self.reported.items()]

    def results(self, sums: State, samples: int) -> dict[str, Any]:
        """The values by name."""
        return {name: read(samples) for name, read in self.readers(sums)}


def _metric_reader(metric: Metric, sums: dict[str, Any]) -> Callable[[int], Any]:
    own, count = {name: value for name, value in sums.items() if name != _COUNT}, sums[_COUNT]
    read = reader(metric, own)
    return lambda samples: read(int(count))


class Trial:
    """Notes what a step does while it runs for shapes alone."""

    def __init__(self, model: Layer) -> None:
        self._model, self.outline = model, Outline()

    def apply(self, optimizer: Optimizer, grads: Sequence[Any], weights: Sequence[Weight]) -> None:
        """Note the optimizer and its weights, or say why that cannot be part of a program."""
        if optimizer.evaluates or not optimizer.uses_gradient:
            raise UsageError.of(f"{type(optimizer).__name__} in a train_step: its rule asks for the loss at points of "
                                "its own choice", "an optimizer that takes gradients, or compute_loss alone",
                                "self.optimizer = Adam()")
        trained = set(self._model.trainable_weights)
        for g, w in zip(grads, weights, strict=True):
            if w not in trained:
                raise UsageError.of(f"{type(optimizer).__name__}.apply of the weight {w!r}, which is not among "
                                    f"{self._model.name}.trainable_weights", "weights of layers that the model holds "
                                    "as attributes and that are not frozen", "self.generator = generator")
            if tuple(np.shape(g)) != w.shape:
                raise ArgumentError.of(f"a gradient of shape {tuple(np.shape(g))} for {w!r}", "the weight's shape",
                                       "self.gradients(loss, weights)")
        for known, before in self.outline.optimizers:
            if known is optimizer and before == list(weights):
                return
            if known is optimizer or (before != list(weights) and set(before) & set(weights)):
                raise UsageError.of(
                    f"{type(optimizer).__name__}.apply got the weights {_listed(weights)}, and "
                    f"{'it' if known is optimizer else 'another optimizer'} changes {_listed(before)}",
                    "the same weights each time, and none of them in another list", "an optimizer for each part")
        self.outline.optimizers.append((optimizer, list(weights)))

    def scale(self, optimizer: Optimizer) -> Any:
        """None: nothing is computed."""

    def gradients(self, loss: Any, by: Any) -> Any:
        """Zeros."""
        if np.shape(loss) != ():
            raise ArgumentError.of(f"gradients of {_described(loss)}", "one number computed in this step",
                                   "self.gradients(np.mean(loss))")
        zeros = [np.zeros(x.shape, x.dtype) for x in _list(by)]
        return zeros if isinstance(by, list | tuple) else zeros[0]

    def add(self, metric: Metric, sums: dict[str, Any], samples: int) -> None:
        """Note the shapes of the metric's sums."""
        if all(known is not metric for known, _ in self.outline.metrics):
            self.outline.metrics.append((metric, {name: tuple(np.shape(value)) for name, value in sums.items()}))

    def reset(self, metric: Metric) -> None:
        """Nothing."""

    def updated(self, metric: Metric) -> bool:
        """Whether the metric has been updated."""
        return any(known is metric for known, _ in self.outline.metrics)

    def report(self, logs: Any, what: str) -> None:
        """Note what the step returned."""
        for name, value in flat_logs(logs, what).items():
            if isinstance(value, Reported):
                self.outline.reported[name] = _number_of(value.metric, self.outline)
            elif np.shape(value) == ():
                self.outline.reported[name] = None
            else:
                raise ArgumentError.of(f"{what} returned for {name!r} an array of shape {np.shape(value)}",
                                       "a number, or the result of a metric", f"{{{name!r}: np.mean(value)}}")


class Recording:
    """A step that is recorded: holds what stands for weights, optimizers' states and metrics' sums.

    Args:
        outline: what the step does.
        sums: of the metrics and reported numbers.
        groups: weights that are changed together; none in a ``test_step``.
        parts: for each group the vector that stands for it.
        opt: for each optimizer its ``state`` and its ``step``.
        rates: for each optimizer the learning rate.
        places: for each group where its weights lie in the vector.
    """

    def __init__(self, outline: Outline, sums: State, groups: Sequence[list[Weight]] = (), parts: Sequence[Any] = (),
                 opt: Sequence[State] = (), rates: Sequence[Any] = (), places: Sequence[Layout] = ()) -> None:
        self.outline, self.sums, self.opt, self.rates = outline, dict(sums), list(opt), rates
        self.found: dict[int, Any] = {}  # by weight: the gradient it was last changed by
        self._groups, self._places, self._flat = groups, places, list(parts)
        self._values = [place.split(flat) for place, flat in zip(places, parts, strict=True)]

    @property
    def trained(self) -> list[Any]:
        """The array of each weight, group by group."""
        return [value for values in self._values for value in values]

    def _vector(self, group: int) -> Any:
        """The vector of a group, as its weights are now."""
        now = [w.value for w in self._groups[group]]
        if any(a is not b for a, b in zip(now, self._values[group], strict=True)):
            self._flat[group], self._values[group] = self._places[group].join(now), now
        return self._flat[group]

    @property
    def vectors(self) -> list[Any]:
        """The vector of each group, as the weights are now."""
        return [self._vector(i) for i in range(len(self._groups))]

    def _index(self, optimizer: Optimizer) -> int:
        found = [i for i, (known, _) in enumerate(self.outline.optimizers) if known is optimizer]
        if not found:
            raise UsageError.of(f"{type(optimizer).__name__}.apply in this call of the step, and not in the one before",
                                "a step that does the same each time it is called", "np.where, or cr.cond")
        return found[0]

    def apply(self, optimizer: Optimizer, grads: Sequence[Any], weights: Sequence[Weight]) -> None:
        """The optimizer's step, as part of the program."""
        i = self._index(optimizer)
        group = self._groups.index(list(weights))
        place, held, flat = self._places[group], self.opt[i], self._vector(group)
        vector, scale = place.join([_as(g, w) for g, w in zip(grads, weights, strict=True)]), self.scale(optimizer)
        if scale is not None:
            vector = vector / as_dtype(scale, vector)
        with scope(f"optimizer {type(optimizer).__name__}"):
            new, state = optimizer.update(flat, vector, held["state"], self.rates[i], held["step"], place)
            new = ew.stop_gradient(constrained(new, weights, place))  # new weights are no functions of the old ones
        self.opt[i] = {"state": state, "step": held["step"] + 1}
        self._flat[group], self._values[group] = new, place.split(new)
        for weight, value, g in zip(weights, self._values[group], grads, strict=True):
            weight.traced = value
            self.found[id(weight)] = g

    def scale(self, optimizer: Optimizer) -> Any:
        """What the loss is to be multiplied by; None for an optimizer that changes nothing."""
        if all(known is not optimizer for known, _ in self.outline.optimizers):
            return None
        return optimizer.loss_scale(self.opt[self._index(optimizer)]["state"])

    def gradients(self, loss: Any, by: Any) -> Any:
        """The derivatives; zeros where the loss does not depend on a weight."""
        nodes = [_node(x) for x in _list(by)]
        found = gradients(as_node(loss), nodes) if nodes else {}
        if nodes and not found:
            raise UsageError.of("gradients of a loss that depends on none of what is asked for",
                                "weights as they were when the loss was computed: ask before optimizer.apply",
                                "gradients = self.gradients(loss, weights)")
        each = [found[n] if n in found else np.zeros(n.shape, n.dtype) for n in nodes]
        return each if isinstance(by, list | tuple) else each[0]

    def add(self, metric: Metric, sums: dict[str, Any], samples: int) -> None:
        """Add to the sums of a metric."""
        key = f"metric {_number_of(metric, self.outline)}"
        before = self.sums[key]
        self.sums[key] = {_COUNT: before[_COUNT] + float(samples),
                          **{name: ew.add(before[name], _double(value)) for name, value in sums.items()}}

    def reset(self, metric: Metric) -> None:
        """Begin the sums anew."""
        key = f"metric {_number_of(metric, self.outline)}"
        self.sums[key] = {name: np.zeros(np.shape(value), DOUBLE) for name, value in self.sums[key].items()}

    def updated(self, metric: Metric) -> bool:
        """Whether the step updates the metric."""
        return any(known is metric for known, _ in self.outline.metrics)

    def report(self, logs: Any, what: str, samples: int) -> None:
        """Add up the numbers that the step returned."""
        for name, value in flat_logs(logs, what).items():
            if not isinstance(value, Reported):
                self.sums[name] = {"total": ew.add(self.sums[name]["total"], ew.mul(_double(value), float(samples)))}


@dataclass(frozen=True)
class OwnTask:
    """What is trained or judged by a step of the model's own; in place of :class:`~chainrule.training.epoch.Task`.

    Its state has in ``params`` a vector for each group of weights that an optimizer changes, and one of the rest; in
    ``opt`` the state and the steps of each optimizer.
    """

    model: Any
    objective: Outline
    own = True

    @property
    def names(self) -> list[str]:
        """What is reported."""
        return self.objective.names

    @property
    def kind(self) -> tuple[Any, ...]:
        """What may differ between two tasks of one compiled model."""
        return "own", self.objective.kind

    @property
    def rate(self) -> list[np.ndarray]:
        """The learning rates, which programs read."""
        return [o.rate for o, _ in self.objective.optimizers]

    @property
    def groups(self) -> list[list[Weight]]:
        """The weights that are changed together; last those that no optimizer changes, if there are any."""
        groups = self.objective.groups
        rest = self.model.arranged()[0][sum(map(len, groups)):]
        return [*groups, rest] if rest else groups

    def _places(self) -> list[Layout]:
        paths = weight_paths(self.model)
        return [Layout([paths.get(id(w), w.name) for w in group], [w.shape for w in group]) for group in self.groups]

    def parts(self, params: np.ndarray) -> list[np.ndarray]:
        """The vectors of the groups, as parts of the one of all that is trained."""
        ends = np.cumsum([sum(w.array.size for w in group) for group in self.groups])
        return np.split(params, ends[:-1]) if len(ends) else []

    def start(self, params: np.ndarray) -> list[State]:
        """The optimizers' states before the first step."""
        groups, parts, places = self.groups, self.parts(params), self._places()
        at = [groups.index(weights) for _, weights in self.objective.optimizers]
        return [{"state": optimizer.init(parts[i], places[i]), "step": np.zeros((), np.int64)}
                for (optimizer, _), i in zip(self.objective.optimizers, at, strict=True)]

    @property
    def optimizers(self) -> list[Optimizer]:
        """All that change weights."""
        return [o for o, _ in self.objective.optimizers]

    def lend(self, opt: list[State], step: np.ndarray) -> None:
        """Let the optimizers see how many steps they have made."""
        for (optimizer, _), held in zip(self.objective.optimizers, opt, strict=True):
            optimizer.iterations = held["step"]

    def finalize(self, state: State) -> None:
        """At the end of ``fit``: what the optimizers do then."""
        groups = self.objective.groups
        for (optimizer, weights), held in zip(self.objective.optimizers, state["opt"], strict=True):
            optimizer.finalize(state["params"][groups.index(weights)], held["state"])

    def step(self, state: State, x: Any, y: Any, rate: Any, key: Any) -> State:
        """One call of ``train_step``, recorded."""
        return self._trained(state, x, y, rate, key)[0]

    def slopes(self, state: State, x: Any, y: Any, rate: Any, key: Any) -> list[Any]:
        """What the optimizers changed each weight by; zeros for those that they left."""
        found = self._trained(state, x, y, rate, key)[1]
        return [found.get(id(w), np.zeros(w.shape, w.dtype)) for w in self.model.trainable_weights]

    def _trained(self, state: State, x: Any, y: Any, rate: Any, key: Any) -> tuple[State, dict[int, Any]]:
        recording = Recording(self.objective, state["sums"], self.groups, state["params"], state["opt"], rate,
                              self._places())
        call = Call(False, lambda: random.fold_in(random.fold_in(key, LAYERS), state["step"]), state["step"],
                    several=True)
        with self.model.standing_in(recording.trained, state["others"]):
            with stepping(recording, call):
                recording.report(self.model.train_step(packed(x, y)), "train_step", samples_of(x))
            params, others = recording.vectors, [w.value for w in self.model.arranged()[1]]
        return {"params": params, "others": others, "opt": recording.opt, "step": state["step"] + 1,
                "sums": recording.sums}, recording.found

    def judge(self, judged: State, params: Any, x: Any, y: Any) -> State:
        """One call of ``test_step``, recorded."""
        recording = Recording(self.objective, judged["sums"])
        with self.model.standing_in(layout(self.model).split(params), judged["others"]):
            with stepping(recording, Call(several=True)):
                recording.report(self.model.test_step(packed(x, y)), "test_step", samples_of(x))
            others = [w.value for w in self.model.arranged()[1]]
        return {"sums": recording.sums, "others": others}


@contextmanager
def stepping(step: Any, call: Call) -> Iterator[None]:
    """Inside, optimizers, metrics and layers belong to a step."""
    token = STEP.set(step)
    try:
        with calling(call):
            yield
    finally:
        STEP.reset(token)
        for layer in call.called:  # what they hold belongs to the recording
            layer._added = []


def outlined(model: Any, method: str, x: Any, y: Any) -> Outline:
    """What ``model.train_step`` or ``model.test_step`` does with data like these; builds the layers that it calls."""
    trial = Trial(model)

    def run(x: Any, y: Any) -> Any:
        with stepping(trial, Call(False, lambda: np.zeros(2, np.uint32), trial=True, several=True)):
            trial.report(getattr(model, method)(packed(x, y)), method)
        return np.zeros(())
    record(run, tree.map_leaves(lambda a: np.broadcast_to(np.zeros((), a.dtype), (2, *a.shape[1:])), (x, y)))
    return trial.outline


def tried(model: Any, x: Any) -> None:
    """Build the layers that ``model.predict_step`` calls."""
    def run(x: Any) -> Any:
        with calling(Call(trial=True, several=True)):
            model.predict_step(x)
        return np.zeros(())
    record(run, (tree.map_leaves(lambda a: np.broadcast_to(np.zeros((), a.dtype), (2, *a.shape[1:])), x),))


def packed(x: Any, y: Any) -> Any:
    """What a step gets: ``x``, ``(x, y)`` or ``(x, y, sample_weight)``."""
    if y is None:
        return x
    return (x, y["targets"]) if y["weights"] is None else (x, y["targets"], y["weights"])


def unpacked(data: Any) -> tuple[Any, Any, Any]:
    """``x``, ``y`` and ``sample_weight`` of the data that a step gets; None for what is not there.

    Example:
        >>> unpacked((1, 2))
        (1, 2, None)
    """
    if not isinstance(data, tuple):
        return data, None, None
    x, y, weights = (*data, None, None)[:3]
    return x, y, weights


def samples_of(x: Any) -> int:
    """The number of rows."""
    return int(tree.flatten(x)[0][0].shape[0])


def flat_logs(logs: Any, what: str) -> dict[str, Any]:
    """What a step returned, dicts inside of it laid open."""
    if not isinstance(logs, dict) or not logs:
        raise ArgumentError.of(f"{what} returned {_described(logs)}", "a dict of what is to be reported",
                               "return {'loss': loss}")
    out: dict[str, Any] = {}
    for name, value in logs.items():
        out |= flat_logs(value, what) if isinstance(value, dict) else {str(name): value}
    return out


def _number_of(metric: Metric, outline: Outline) -> int:
    for i, (known, _) in enumerate(outline.metrics):
        if known is metric:
            return i
    raise UsageError.of(f"the result of the metric {metric.name!r}, which this step does not update",
                        "update_state before result", f"self.{metric.name}.update_state(…)")


def _list(by: Any) -> list[Any]:
    return list(by) if isinstance(by, list | tuple) else [by]


def _node(x: Any) -> Any:
    value = x.value if isinstance(x, Weight) else x
    if not isinstance(value, Traced):
        raise UsageError.of(f"gradients with respect to {_described(x)}, which is no part of this step",
                            "weights of the model, or arrays that were computed in this step",
                            "self.gradients(loss, self.trainable_weights)")
    return value.node


def _as(gradient: Any, weight: Weight) -> Any:
    return gradient if gradient.dtype == weight.dtype else gradient.astype(weight.dtype)


def _double(value: Any) -> Any:
    if isinstance(value, Traced):
        return value if value.dtype == DOUBLE else ew.cast(value, dtype=DOUBLE)
    return np.asarray(value, DOUBLE)


def _listed(weights: Sequence[Weight]) -> str:
    return ", ".join(w.name for w in weights[:6]) + (f", … ({len(weights)})" if len(weights) > 6 else "")


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"an array of shape {tuple(shape)}" if shape is not None else repr(value)[:80]


__all__ = ["OwnTask", "Outline", "outlined", "packed", "tried", "unpacked"]
