"""Training data: brought to contiguous arrays once, and refused with a reason if it cannot be trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import dtypes, tree
from chainrule.arguments import share
from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.layers.base import FLOAT, Layer, Shape
from chainrule.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss
from chainrule.ops.declare import Traced
from chainrule.training import frames

LABEL = np.dtype(np.int32)


def inputs(x: Any, layer: Layer | None = None, name: str = "x", at: np.ndarray | None = None) -> np.ndarray:
    """Samples as a contiguous float32 array, checked against what the first layer was built for.

    Args:
        x: an array, a table, or what NumPy makes an array of; the first axis counts the samples.
        layer: the first layer; None if it takes any shape.
        name: what errors call the data.
        at: the numbers of the rows, where ``x`` is a part of the data.
    """
    array = numbers(x, name)
    if array.ndim == 0:
        raise DataError.of(f"the data {name} is a single number", "an array whose first axis counts the samples",
                           f"{name} = np.array([[{array}]])")
    if len(array) == 0:
        raise DataError.of(f"the data {name} is empty (shape {array.shape})", "at least one sample", "")
    if layer is not None and layer.input_shape is not None:
        if array.ndim == 1 and layer.input_shape == (None, 1):
            array = array[:, None]
        _check_samples(array, layer, layer.input_shape, name)
    return finite(array, name, at, frames.columns(x))


def targets(y: Any, loss: Loss, output_shape: tuple[int | None, ...], name: str = "y",
            at: np.ndarray | None = None) -> np.ndarray:
    """Targets as the loss takes them: float32 in the shape of the output, or int32 class labels.

    Args:
        y: an array or what NumPy makes one of; the first axis counts the samples.
        loss: decides what is right.
        output_shape: the shape of the model's output, its first extent None.
        name: what errors call the data.
        at: the numbers of the rows, where ``y`` is a part of the data.
    """
    array = numbers(y, name)
    if array.ndim == 0 or len(array) == 0:
        raise DataError.of(f"the data {name} is empty (shape {array.shape})", "one target per sample", "")
    if loss.labels == "classes":
        return _labels(array, output_shape, name, at)
    if loss.labels == "anything":
        return finite(array, name, at) if dtypes.is_float(array.dtype) else np.ascontiguousarray(array)
    array = finite(_shaped(array, loss, output_shape, name), name, at)
    if loss.labels == "probabilities":
        _check_probabilities(array, loss, name, at)
    return array


def numbers(x: Any, name: str) -> np.ndarray:
    """``x`` as an array of numbers or bools."""
    if isinstance(x, Traced):
        raise DataError.of(f"the data {name} is being recorded", "concrete arrays",
                           f"model({name})   # inside of recorded functions")
    if x is None:
        raise DataError.of(f"the data {name} is None", "an array with one entry per sample", "model.fit(x, y)")
    try:
        array = np.asarray(frames.plain(x, name))
    except ValueError as error:
        raise DataError.of(f"the data {name} cannot be made an array: {error}", "samples of one shape",
                           f"{name} = np.stack([...])") from None
    if dtypes.kind(array.dtype) in "fiub":
        return array
    kind = {"U": "strings", "S": "bytes", "O": "Python objects", "c": "complex numbers", "M": "dates",
            "m": "durations"}.get(array.dtype.kind, "values")
    fix = f"{name} = np.asarray({name}, dtype=float)"
    if array.dtype.kind in "US" and array.ndim == 1:
        fix = f"labels, {name} = np.unique({name}, return_inverse=True)"
    raise DataError.of(f"the data {name} holds {kind} (dtype {array.dtype})", "numbers or bools", fix)


def finite(array: np.ndarray, name: str, at: np.ndarray | None = None,
           columns: Sequence[str] | None = None) -> np.ndarray:
    """The array as contiguous float32, without NaN and infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        converted = np.ascontiguousarray(array, FLOAT)
        # a finite sum of squares has only finite terms; if it is not, it may also have overflowed: then look closer
        flat = converted.reshape(-1)
        if np.isfinite(np.vdot(flat, flat)):  # reads at the memory's speed, which sum() does not
            return converted
    right = np.isfinite(converted)
    if right.all():
        return converted
    where, value = _first(array, ~right, at)
    column = f", column {columns[where[1]]!r}," if columns is not None and len(where) > 1 else ""
    if np.isfinite(value):
        raise DataError.of(f"the value {name}{where}{column} is {value}, too large for float32", "numbers up to 3.4e38",
                           f"{name} = {name} / {name}.max()")
    many = int(converted.size - right.sum())
    others = f", the first of {many:,} such values" if many > 1 else ""
    raise DataError.of(f"the value {name}{where}{column} is {value}{others}", "finite numbers",
                       f"{name} = np.nan_to_num({name})   # or leave out these samples")


def same_length(x: np.ndarray, y: np.ndarray, names: tuple[str, str] = ("x", "y")) -> None:
    """An error unless both have as many samples."""
    if len(x) != len(y):
        (a, b), n = names, min(len(x), len(y))
        fix = f"{a} = {a}[:{n}]" if len(x) > n else f"{b} = {b}[:{n}]"
        raise DataError.of(f"the data {a} has {len(x)} samples and {b} has {len(y)}", "one target per sample", fix)


def split(x: Any, y: Any, fraction: float, weights: Any = None) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Training and validation data: the last ``fraction`` of the samples, before any shuffling, is for validation.

    Both are ``(x, y, weights)``, each an array, or a list or dict of arrays.
    """
    x, y = _each(x, "x"), _each(y, "y")
    weights = None if weights is None else _each(weights, "sample_weight")
    arrays = tree.flatten((x, y, weights))[0]
    if all(a.ndim for a in arrays[:2]):
        same_length(*arrays[:2])
    at = split_at(len(arrays[0]) if arrays[0].ndim else 0, fraction)
    first, last = (tree.map_leaves(lambda a: a[rows], (x, y, weights))  # noqa: B023
                   for rows in (slice(at), slice(at, None)))
    return first, last if weights is not None else last[:2]


def split_at(n: int, fraction: float) -> int:
    """How many of ``n`` samples, the first ones, are for training."""
    share("validation_split", fraction)
    at = math.floor(n * (1.0 - fraction))
    if not 0 < at < n:
        raise ArgumentError.of(f"validation_split={fraction} of {n} samples leaves {at} for training and {n - at} "
                               "for validation", "at least one for each", "validation_split=0.2")
    return at


def _each(given: Any, name: str) -> Any:
    """One array, or the arrays of several inputs or outputs in their list or dict."""
    if isinstance(given, dict):
        return {key: numbers(value, f"{name}[{key!r}]") for key, value in given.items()}
    if isinstance(given, list | tuple) and given and all(isinstance(a, np.ndarray) and a.ndim for a in given):
        return [numbers(value, f"{name}[{i}]") for i, value in enumerate(given)]
    return numbers(given, name)


def _check_samples(array: np.ndarray, layer: Layer, fits: Shape, name: str) -> None:
    given, kind = array.shape, f"{layer.name!r} ({type(layer).__name__})"
    if _fits(array, fits[1:]):
        return
    if len(given) == len(fits) == 2:
        cut = given[1] > (fits[1] or 0)
        fix = f"{name} = {name}[:, :{fits[1]}]" if cut else f"{type(layer).__name__}(..., input_dim={given[1]})"
        raise ShapeError.of(f"the data {name} has {given[1]} features per sample (shape {given}), and layer {kind} was "
                            f"built for {fits[1]}", f"{name} of shape {_shape(fits)}", fix)
    wanted = ", ".join(str(n) for n in fits[1:])
    raise ShapeError.of(f"the data {name} has shape {given}, and layer {kind} was built for samples of shape "
                        f"{fits[1:]}", f"{name} of shape {_shape(fits)}", f"{name} = {name}.reshape(-1, {wanted})")


def _fits(array: np.ndarray, sample: Shape) -> bool:
    """Whether samples have this shape, whose None stands for any extent."""
    given = array.shape[1:]
    return len(given) == len(sample) and all(b is None or a == b for a, b in zip(given, sample, strict=True))


def _labels(array: np.ndarray, output_shape: Shape, name: str, at: np.ndarray | None) -> np.ndarray:
    """Class labels without an axis for the classes."""
    classes, inner = output_shape[-1] or 0, output_shape[1:-1]
    if _fits(array, (*inner, 1)):
        array = array[..., 0]
    if not _fits(array, inner):
        if _fits(array, output_shape[1:]):
            raise DataError.of(f"the data {name} has shape {array.shape}, as if one-hot, but the loss takes labels",
                               "one whole number, the class, per sample",
                               "loss='categorical_crossentropy'   # or y.argmax(axis=-1)")
        raise DataError.of(f"the data {name} has shape {array.shape} for outputs of shape {_shape(output_shape)}",
                           f"class labels of shape {_shape((None, *inner))}", f"{name} = {name}.reshape(-1)")
    if dtypes.is_float(array.dtype):
        wrong = ~((array == np.floor(array)) & np.isfinite(array))
        if wrong.any():
            where, value = _first(array, wrong, at)
            raise DataError.of(f"the value {name}{where} is {value}, which is no class label",
                               f"whole numbers from 0 to {classes - 1}", "loss='mse'   # for numbers")
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0 or high >= classes:
        where, value = _first(array, (array < 0) | (array >= classes), at)
        fix = f"{name} = {name} - {low}" if high - low < classes else f"Dense({high + 1}, activation='softmax')"
        raise DataError.of(f"the value {name}{where} is {value}, out of range for {classes} classes",
                           f"labels from 0 to {classes - 1}", fix)
    return np.ascontiguousarray(array, LABEL)


def _shaped(array: np.ndarray, loss: Loss, output_shape: Shape, name: str) -> np.ndarray:
    """Targets in the shape of the output: a last axis of extent 1 may be missing or too much."""
    wanted = output_shape[1:]
    if _fits(array, wanted):
        return array
    if wanted[-1:] == (1,) and _fits(array, wanted[:-1]):
        return array[..., None]
    if _fits(array, (*wanted, 1)):
        return array[..., 0]
    fix = f"Dense({array.shape[-1] if array.ndim > 1 else 1})   # as the last layer"
    if isinstance(loss, CategoricalCrossentropy) and array.shape[1:] in ((), (1,)):
        fix = "loss='sparse_categorical_crossentropy'   # for class labels"
    elif isinstance(loss, BinaryCrossentropy) and array.shape[1:] in ((), (1,)):
        fix = "Dense(1, activation='sigmoid')   # as the last layer"
    raise ShapeError.of(f"the data {name} has shape {array.shape} for outputs of shape {_shape(output_shape)} "
                        f"(loss {loss.name})", f"{name} of shape {_shape(output_shape)}", fix)


def _check_probabilities(array: np.ndarray, loss: Loss, name: str, at: np.ndarray | None) -> None:
    low, high = array.min(), array.max()
    if low >= 0 and high <= 1:
        return
    where, value = _first(array, (array < 0) | (array > 1), at)
    fix = "loss='mse'   # for numbers"
    if isinstance(loss, BinaryCrossentropy) and bool((array == np.floor(array)).all()):
        if (low, high) == (-1, 1):
            fix = f"{name} = ({name} + 1) / 2"
        elif low >= 0:
            fix = f"Dense({int(high) + 1}, activation='softmax') and loss='sparse_categorical_crossentropy'"
    raise DataError.of(f"the value {name}{where} is {value}, out of range for {loss.name}", "targets from 0 to 1", fix)


def _first(array: np.ndarray, mask: np.ndarray, at: np.ndarray | None) -> tuple[list[int], Any]:
    """Where the mask is first True, and the value there; ``at`` has the numbers of the rows."""
    where = np.unravel_index(int(np.argmax(mask)), mask.shape)
    row = where[0] if at is None else at[where[0]]
    return [int(row), *(int(i) for i in where[1:])], array[where]


def _shape(shape: Shape) -> str:
    return "(" + ", ".join("n" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
