"""Targets and weights of samples, for each output of a model: brought to what its loss takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.arguments import not_negative
from chainrule.errors import ArgumentError, DataError
from chainrule.layers.base import FLOAT
from chainrule.training import data, structure
from chainrule.training.objective import Plan

Outputs = list[tuple[str, Any]]


def outputs(shapes: Any, names: Sequence[str] | None) -> Outputs:
    """Names and shapes of the outputs of a model.

    Args:
        shapes: the shape of the output, or a list or dict of several.
        names: of the outputs, if they have some; else the keys of a dict, or ``output_0`` and so on.
    """
    if isinstance(shapes, dict):
        return [(str(key), shapes[key]) for key in sorted(shapes)]
    several = isinstance(shapes, list) or (isinstance(shapes, tuple) and any(isinstance(s, tuple) for s in shapes))
    each = list(shapes) if several else [shapes]
    chosen = list(names) if names is not None and len(names) == len(each) else [f"output_{i}" for i in range(len(each))]
    return list(zip(chosen, each, strict=True))


def together(y: Any, plan: Plan, outputs_: Outputs, samples: int, names: tuple[str, str], weights: Any = None,
             classes: Any = None, at: np.ndarray | None = None) -> Any:
    """Targets as programs take them, with weights if there are any.

    Args:
        y: what the user gave.
        plan: says the losses.
        outputs_: names and shapes of the outputs.
        samples: how many there are.
        names: what errors call the samples and the targets.
        weights: ``sample_weight``: one array for all outputs, or a list or dict.
        classes: ``class_weight``: a factor for each class.
        at: the numbers of the rows, where they are a part of the data.
    """
    known = [name for name, _ in outputs_]
    losses = plan.losses(known)
    given = _for_each(y, known, losses, names[1])
    found: list[Any] = []
    for value, loss, (name, shape) in zip(given, losses, outputs_, strict=True):
        label = names[1] if len(outputs_) == 1 else f"{names[1]}[{name!r}]"
        if loss is None:
            found.append(None)
            continue
        raw = data.numbers(value, label)
        if raw.ndim and len(raw) != samples:
            data.same_length(np.broadcast_to(np.zeros(1, bool), (samples,)), raw, (names[0], label))
        found.append(data.targets(raw, loss, shape, label, at))
    result: Any = found[0] if len(found) == 1 else found
    if weights is None and classes is None:
        return result
    if weights is not None and classes is not None:
        raise ArgumentError.of("class_weight and sample_weight together", "one of them",
                               "sample_weight=class_weights[y] * sample_weight")
    if classes is not None:
        if len(found) > 1:
            raise ArgumentError.of(f"class_weight for a model with {len(found)} outputs", "sample_weight, for each",
                                   f"sample_weight={{{known[0]!r}: …}}")
        return {"targets": result, "weights": of_classes(classes, found[0])}
    return {"targets": result, "weights": _weights(weights, known, samples)}


def in_order(given: Any, names: Sequence[str], losses: Sequence[Any] | None, each_output: bool = True) -> list[Any]:
    """What a step got for the outputs, one for each of them; None where nothing is given.

    Args:
        given: an array, or a list or dict of them.
        names: of the outputs.
        losses: of the outputs; where some have none, a list may leave these out.
        each_output: whether one array for several outputs is an error, and not the same for each.
    """
    if isinstance(given, dict):
        return [given.get(name) for name in names]
    if isinstance(given, list | tuple):
        if losses is not None and len(given) == sum(loss is not None for loss in losses) != len(names):
            rest = iter(given)
            return [None if loss is None else next(rest) for loss in losses]
        if len(given) == len(names):
            return list(given)
    elif given is None or len(names) == 1 or not each_output:
        return [given] * len(names)
    held = f"{len(given)} arrays" if isinstance(given, list | tuple) else "one array"
    raise DataError.of(f"{held} of targets for the {len(names)} outputs of the model",
                       f"a list of {len(names)}, or a dict with {', '.join(repr(name) for name in names)}",
                       "self.compute_loss(x, {'a': y}, predicted)")


def as_given(x: Any, y: Any, weights: Any, classes: Any, names: tuple[str, str]) -> tuple[Any, Any]:
    """Data for a step of the model's own: arrays in the structure they came in; floats are float32.

    Returns:
        ``x``, and the rest: None, or ``{"targets": y, "weights": …}``.
    """
    x = structure.samples(x, None, names[0])
    if y is None:
        if weights is not None or classes is not None:
            raise ArgumentError.of("weights of samples without targets", "y", "model.fit(x, y, sample_weight=w)")
        return x, None
    y = structure.samples(y, None, names[1], values=False)
    arrays = tree.flatten(y)[0]
    data.same_length(tree.flatten(x)[0][0], arrays[0], names)
    if weights is not None and classes is not None:
        raise ArgumentError.of("class_weight and sample_weight together", "one of them",
                               "sample_weight=class_weights[y] * sample_weight")
    if classes is not None:
        if len(arrays) > 1:
            raise ArgumentError.of(f"class_weight for {len(arrays)} arrays of targets", "sample_weight", "")
        weights = of_classes(classes, arrays[0])
    elif weights is not None:
        weights = tree.map_leaves(lambda w: _weight(w, len(arrays[0])), structure.samples(weights, None, "weights"))
    return x, {"targets": y, "weights": weights}


def unweighted(y: Any, samples: int) -> Any:
    """Targets with weights of 1, for validation data of a model that is trained with weights."""
    ones = np.ones(samples, FLOAT)
    return {"targets": y, "weights": [ones] * len(y) if isinstance(y, list) else ones}


def of_classes(classes: Any, y: np.ndarray) -> np.ndarray:
    """The weight of each sample from that of its class."""
    if not isinstance(classes, dict) or any(isinstance(k, str) or int(k) != k or k < 0 for k in classes):
        raise ArgumentError.of(f"got class_weight={classes!r}", "a dict from classes to numbers",
                               "class_weight={0: 1.0, 1: 5.0}")
    factors = {int(k): not_negative("class_weight", v) for k, v in classes.items()}
    if y.ndim > 1 and y.shape[-1] > 1 and y.dtype == FLOAT:
        y = y.argmax(axis=-1)  # one-hot
    labels = np.rint(y).astype(np.int64)
    labels = labels[..., 0] if labels.ndim > 1 and labels.shape[-1] == 1 else labels
    table = np.ones(max([int(labels.max()), *factors]) + 1, FLOAT)
    for k, v in factors.items():
        table[k] = v
    return np.ascontiguousarray(table[labels])


def _for_each(y: Any, known: list[str], losses: list[Any], name: str) -> list[Any]:
    """The targets of each output; None for those without a loss."""
    if len(known) == 1:
        if isinstance(y, dict) and set(y) == set(known):
            return [y[known[0]]]
        return [y[0] if isinstance(y, list | tuple) and len(y) == 1 and isinstance(y[0], np.ndarray)
                and y[0].ndim else y]
    if isinstance(y, dict):
        missing = [k for k, loss in zip(known, losses, strict=True) if loss is not None and k not in y]
        if missing:
            raise DataError.of(f"the data {name} has no entry {missing[0]!r}",
                               f"one for each output: {', '.join(repr(k) for k in known)}",
                               f"{name} = {{{missing[0]!r}: array, …}}")
        return [y.get(k) for k in known]
    wanted = [loss for loss in losses if loss is not None]
    if len(wanted) == 1 and not (isinstance(y, list | tuple) and len(y) in (1, len(known))):
        return [None if loss is None else y for loss in losses]
    if isinstance(y, list | tuple) and len(y) == len(known):
        return list(y)
    if isinstance(y, list | tuple) and len(y) == len(wanted):
        rest = iter(y)
        return [None if loss is None else next(rest) for loss in losses]
    given = f"{len(y)} arrays" if isinstance(y, list | tuple) else "one array"
    raise DataError.of(f"the data {name} has {given} for the {len(known)} outputs of the model",
                       f"a list of {len(known)} arrays, or a dict with {', '.join(repr(k) for k in known)}",
                       f"{name} = [a, b]")


def _weights(weights: Any, known: list[str], samples: int) -> Any:
    """Weights checked: one array for all outputs, or a list with one for each."""
    if isinstance(weights, dict):
        unknown = [k for k in weights if k not in known]
        if unknown:
            raise ArgumentError.of(f"sample_weight has an entry {unknown[0]!r}",
                                   f"names of outputs: {', '.join(repr(k) for k in known)}",
                                   f"sample_weight={{{known[0]!r}: weights}}")
        weights = [weights.get(k) for k in known]
    if isinstance(weights, list | tuple) and len(known) > 1 and len(weights) == len(known):
        return [np.ones(samples, FLOAT) if w is None else _weight(w, samples) for w in weights]
    return _weight(weights, samples)


def _weight(given: Any, samples: int) -> np.ndarray:
    array = data.numbers(given, "sample_weight")
    if array.ndim == 0 or len(array) != samples:
        raise DataError.of(f"the data sample_weight has shape {array.shape} for {samples} samples",
                           "one weight per sample", f"sample_weight=np.ones({samples})")
    return data.finite(array, "sample_weight")


__all__ = ["Outputs", "as_given", "in_order", "of_classes", "outputs", "together", "unweighted"]
