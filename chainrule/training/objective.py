"""What training makes small and what it reports: the losses of all outputs with their weights, and the metrics.

What programs add up for it, ``sums``, is a dict of dicts of float64 arrays: for each name the sums that its value is
a function of. The targets of a program are one array, or a list with one per output; with weights of samples they are
``{"targets": …, "weights": …}``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes, losses, metrics, tree
from chainrule.arguments import not_negative
from chainrule.errors import ArgumentError, UsageError
from chainrule.graph import scope
from chainrule.losses import Loss
from chainrule.losses.base import array, over
from chainrule.metrics import Metric
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import convert

DOUBLE = np.dtype(np.float64)
Sums = dict[str, dict[str, Any]]
Shape = tuple[int | None, ...]


class Plan:
    """The arguments of ``compile``, checked as far as they can be before the outputs are known."""

    def __init__(self, loss: Any, loss_weights: Any = None, metrics: Any = None, weighted_metrics: Any = None) -> None:
        self.loss, self.loss_weights = loss, loss_weights
        self.metrics, self.weighted_metrics = metrics, weighted_metrics

    @classmethod
    def of(cls, loss: Any, loss_weights: Any, metrics_: Any, weighted: Any) -> Plan:
        """The plan; an error for what no model could be trained with."""
        plan = cls(_mapped(losses.get, loss), _mapped(lambda w: not_negative("loss_weights", w), loss_weights),
                   metrics_, weighted)
        for each in _leaves(plan.loss):
            if each.reduction == "none":
                raise ArgumentError.of(f"loss {each.name!r} with reduction=None in compile", "one number to make small",
                                       f"{type(each).__name__}()")
        for each in [*_leaves(metrics_), *_leaves(weighted)]:
            metrics.get(each, (None, 1), (None, 1))
        return plan

    def objective(self, names: Sequence[str], y_shapes: Sequence[Shape | None], shapes: Sequence[Shape],
                  weighted: bool, masked: bool = False) -> Objective:
        """The objective for a model with these outputs.

        Args:
            names: of the outputs.
            y_shapes: the shapes of the targets; None where there are none.
            shapes: the shapes of the outputs.
            weighted: whether samples have weights.
            masked: whether outputs have masks.
        """
        n = len(names)
        chosen = self.losses(names)
        factors = _each("loss_weights", self.loss_weights, names, default=1.0)
        plain, extra = (_each(what, given, names, several=True) for what, given in (
            ("metrics", self.metrics), ("weighted_metrics", self.weighted_metrics)))
        outputs = []
        for i, loss in enumerate(chosen):
            y_shape = y_shapes[i]
            fitting = [] if y_shape is None else [
                (metrics.get(m, y_shape, shapes[i]), counts) for group, counts in ((plain[i], False), (extra[i], True))
                for m in group or ()]
            if y_shape is None and (plain[i] or extra[i]):
                raise ArgumentError.of(f"metrics of the output {names[i]!r}, which has no targets", "a loss for it too",
                                       f"loss={{{names[i]!r}: 'mse'}}")
            taken = [m.name for m, counts in fitting if not counts]
            prefix = f"{names[i]}_" if n > 1 else ""
            outputs.append(Output(prefix, loss, factors[i], tuple(
                Measured(prefix + ("weighted_" if counts and m.name in taken else "") + m.name, m, counts and weighted,
                         m.sums(y_shape or (), shapes[i], masked or (counts and weighted))) for m, counts in fitting)))
        return Objective(tuple(outputs))

    def losses(self, names: Sequence[str]) -> list[Loss | None]:
        """The loss of each output."""
        if isinstance(self.loss, Loss):
            return [self.loss] * len(names)
        found = _each("loss", self.loss, names)
        found = [each[0] if isinstance(each, list | tuple) and len(each) == 1 else each for each in found]
        for each, name in zip(found, names, strict=True):
            if isinstance(each, list | tuple | dict):
                raise ArgumentError.of(f"several losses for the output {name!r}", "one loss, or None, for each output",
                                       f"loss={{{name!r}: 'mse'}}")
        return found


class Measured:
    """A metric of one output: what it is reported as, whether samples have weights in it, the shapes of its sums."""

    def __init__(self, name: str, metric: Metric, weighted: bool, shapes: dict[str, tuple[int, ...]]) -> None:
        self.name, self.metric, self.weighted, self.shapes = name, metric, weighted, shapes


class Output:
    """What is asked of one output; ``prefix`` stands before the names of its results."""

    def __init__(self, prefix: str, loss: Loss | None, weight: float, metrics: tuple[Measured, ...]) -> None:
        self.prefix, self.loss, self.weight, self.metrics = prefix, loss, weight, metrics


class Objective:
    """What a model is trained for.

    Attributes:
        outputs: what is asked of each output.
        names: of the results, ``loss`` first.
    """

    def __init__(self, outputs: tuple[Output, ...]) -> None:
        self.outputs = outputs
        parts = [f"{o.prefix}loss" for o in self.outputs if o.loss is not None] if len(self.outputs) > 1 else []
        names = ["loss", *parts, *(m.name for o in self.outputs for m in o.metrics)]
        for name in names:
            if names.count(name) > 1:
                raise ArgumentError.of(f"two results named {name!r}", "each metric once, under a name of its own",
                                       "metrics=[BinaryAccuracy(name='binary')]")
        self.names = names

    @property
    def kind(self) -> tuple[Any, ...]:
        """What may differ between two objectives of one compiled model: metrics follow the data."""
        return tuple((m.name, type(m.metric).__name__, m.weighted, tuple(m.shapes.items()))
                     for o in self.outputs for m in o.metrics)

    def zeros(self) -> Sums:
        """Sums over no samples yet."""
        out: Sums = {name: {"total": np.zeros((), DOUBLE)} for name in self.names}
        for o in self.outputs:
            for m in o.metrics:
                out[m.name] = {k: np.zeros(shape, DOUBLE) for k, shape in m.shapes.items()}
        return out

    def measured(self, sums: Sums, y: Any, predicted: Any, penalties: Sequence[Any] = (),
                 mask: Any = None) -> tuple[Any, Sums]:
        """The loss of a batch, its penalties included, and the sums with its samples added."""
        n = len(self.outputs)
        predictions = [predicted] if n == 1 else tree.flatten(predicted)[0]
        if n == 1 and isinstance(predicted, list | tuple | dict):
            predictions = tree.flatten(predicted)[0]
        predictions = [convert(p, dtypes.widened(p.dtype)) for p in predictions]  # half numbers as float32
        targets, weights = separated(y, n)
        masks = [mask] * n if n == 1 else [None] * n if mask is None else _mask_leaves(mask, predicted)
        batch, new, loss = predictions[0].shape[0], dict(sums), None
        for o, p, t, w, m in zip(self.outputs, predictions, targets, weights, masks, strict=True):
            if o.loss is not None:
                loss = self._add_loss(o, new, loss, batch, o.loss, (t, p, w, m))
            for each in o.metrics:
                with scope(f"metric {each.name!r}"):
                    counted = _combined(w if each.weighted else None, m)
                    found = each.metric.measure(t, p, counted)
                new[each.name] = {k: _added(sums[each.name][k], v) for k, v in found.items()}
        for penalty in penalties:
            new["loss"] = {"total": _added(new["loss"]["total"], penalty, batch)}
            loss = penalty if loss is None else ew.add(loss, penalty)
        return loss, new

    def _add_loss(self, o: Output, new: Sums, loss: Any, batch: int, function: Loss, given: tuple[Any, ...]) -> Any:
        """The loss so far with that of one output; adds it to the sums."""
        with scope(f"loss {o.prefix}{function.name!r}" if o.prefix else f"loss {function.name!r}"):
            total, count = function.parts(*given)
            fixed = isinstance(count, int | float)
            value = ew.mul(total, o.weight / count) if fixed else over(total, count)
            weighted = value if fixed or o.weight == 1.0 else ew.mul(value, o.weight)
        if fixed:
            new["loss"] = {"total": _added(new["loss"]["total"], total, batch * o.weight / count)}
        else:
            new["loss"] = {"total": _added(new["loss"]["total"], weighted, batch)}
        if len(self.outputs) > 1:
            own = _added(new[f"{o.prefix}loss"]["total"], total if fixed else value, batch / count if fixed else batch)
            new[f"{o.prefix}loss"] = {"total": own}
        return weighted if loss is None else ew.add(loss, weighted)

    def readers(self, sums: Sums) -> list[tuple[str, Callable[[int], Any]]]:
        """Each name with a function that reads its value from concrete sums, given over how many samples they are."""
        known = {m.name: m.metric for o in self.outputs for m in o.metrics}
        return [(name, reader(known.get(name), sums[name])) for name in self.names]

    def results(self, sums: Sums, samples: int) -> dict[str, Any]:
        """The values by name."""
        return {name: read(samples) for name, read in self.readers(sums)}


def separated(y: Any, outputs: int) -> tuple[list[Any], list[Any]]:
    """Targets and weights of each output; None for those without."""
    weights = None
    if isinstance(y, dict):
        y, weights = y["targets"], y["weights"]
    targets = y if isinstance(y, list) else [y]
    each = weights if isinstance(weights, list) else [weights] * outputs
    return targets, each


def reader(metric: Metric | None, sums: dict[str, Any]) -> Callable[[int], Any]:
    """The function that reads the value of a metric, or without one a mean, from concrete sums over samples."""
    if metric is None or (set(sums) == {"total"} and type(metric).outcome is metrics.MeanMetric.outcome):
        total = sums["total"].item
        return lambda samples: total() / samples

    def read(samples: int) -> Any:
        value = np.asarray(metric.outcome(sums, samples))
        return value.item() if value.ndim == 0 else value
    return read


def _combined(weights: Any, mask: Any) -> Any:
    """Weights of samples where a mask is True."""
    if mask is None or weights is None:
        return mask if weights is None else weights
    mask, weights = array(mask), array(weights)
    missing = len(mask.shape) - len(weights.shape)
    if missing > 0:
        weights = np.reshape(weights, (*weights.shape, *[1] * missing))
    return weights * mask.astype(weights.dtype)


def _added(so_far: Any, value: Any, factor: float = 1.0) -> Any:
    added = value if factor == 1 else ew.mul(value, factor)
    return ew.add(so_far, ew.cast(added, dtype=DOUBLE))


def _mask_leaves(mask: Any, predicted: Any) -> list[Any]:
    """The mask of each output, in their order."""
    if isinstance(predicted, dict):
        return [mask[key] for key in sorted(predicted)]
    return list(mask)


def _mapped(function: Callable[[Any], Any], given: Any) -> Any:
    if isinstance(given, dict):
        return {key: _mapped(function, value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return [_mapped(function, value) for value in given]
    return None if given is None else function(given)


def _leaves(given: Any) -> list[Any]:
    if isinstance(given, dict):
        return [leaf for value in given.values() for leaf in _leaves(value)]
    if isinstance(given, list | tuple):
        return [leaf for value in given for leaf in _leaves(value)]
    return [] if given is None else [given]


def _each(what: str, given: Any, names: Sequence[str], default: Any = None, several: bool = False) -> list[Any]:
    """An argument of ``compile`` for each output.

    Args:
        what: the argument's name.
        given: a dict by names of outputs, a list in their order, or one thing for the only output.
        names: of the outputs.
        default: for outputs that nothing is given for.
        several: whether one output may have a list of its own.
    """
    n = len(names)
    if given is None:
        return [default] * n
    if isinstance(given, dict):
        unknown = [key for key in given if key not in names]
        if unknown:
            raise ArgumentError.of(f"{what} has an entry {unknown[0]!r}",
                                   f"names of outputs: {', '.join(repr(name) for name in names)}",
                                   f"{what}={{{names[0]!r}: …}}")
        found = [given.get(name, default) for name in names]
    elif n == 1 and several:
        found = [given]
        if isinstance(given, list | tuple) and len(given) == 1 and isinstance(given[0], list | tuple):
            found = [given[0]]
    elif isinstance(given, list | tuple):
        if len(given) != n:
            raise ArgumentError.of(f"{what} has {len(given)} entries for {n} output{'s' if n > 1 else ''}",
                                   f"one for each: {', '.join(repr(name) for name in names)}",
                                   f"{what}={{{names[0]!r}: …}}")
        found = [default if each is None else each for each in given]
    elif n == 1:
        found = [given]
    else:
        raise UsageError.of(f"one entry of {what} for {n} outputs", "a list, or a dict by names of outputs",
                            f"{what}={{{names[0]!r}: …}}")
    if several:
        return [each if each is None or isinstance(each, list | tuple) else [each] for each in found]
    return found


__all__ = ["Objective", "Plan", "Sums", "reader", "separated"]
