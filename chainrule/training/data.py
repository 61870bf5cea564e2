"""Training data: brought to contiguous arrays once, and refused with a reason if it cannot be trained on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.checks import share
from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.graph import Node
from chainrule.layers.base import FLOAT, Layer
from chainrule.losses import Loss
from chainrule.ops.declare import Traced

LABEL = np.dtype(np.int32)


def inputs(x: Any, layer: Layer | None = None, name: str = "x") -> np.ndarray:
    """Samples as a contiguous float32 array, checked against what the first layer was built for.

    Args:
        x: an array or what NumPy makes one of; the first axis counts the samples.
        layer: the first layer; None if it takes any shape.
        name: what errors call the data.
    """
    array = numbers(x, name)
    if array.ndim == 0:
        raise DataError.of(f"{name} is a single number", "an array whose first axis counts the samples", f"{name}[None]")
    if len(array) == 0:
        raise DataError.of(f"{name} is empty (shape {array.shape})", "at least one sample", "len(x) > 0")
    fits = None if layer is None else layer.input_shape
    if fits is not None:
        if array.ndim == 1 and fits == (None, 1):
            array = array[:, None]
        _check_features(array, layer, fits, name)  # type: ignore[arg-type]
    return finite(array, name)


def targets(y: Any, loss: Loss, output_shape: tuple[int | None, ...], name: str = "y") -> np.ndarray:
    """Targets as the loss takes them: float32 in the shape of the output, or int32 class labels.

    Args:
        y: an array or what NumPy makes one of; the first axis counts the samples.
        loss: decides what is right.
        output_shape: the shape of the model's output, its first extent None.
        name: what errors call the data.
    """
    array = numbers(y, name)
    if array.ndim == 0 or len(array) == 0:
        raise DataError.of(f"{name} is empty (shape {array.shape})", "one target per sample", "len(y) == len(x)")
    if loss.labels == "classes":
        return _labels(array, output_shape, name)
    array = _shaped(array, loss, output_shape, name)
    array = finite(array, name)
    if loss.labels == "probabilities":
        _check_probabilities(array, loss, name)
    return array


def numbers(x: Any, name: str) -> np.ndarray:
    """``x`` as an array of numbers or bools."""
    if isinstance(x, Traced | Node):
        raise DataError.of(f"{name} is being recorded", "concrete arrays", "model(x) inside of recorded functions")
    if x is None:
        raise DataError.of(f"{name} is None", "an array with one entry per sample", "model.fit(x, y)")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise DataError.of(f"{name} cannot be made an array: {error}", "samples of one shape",
                           f"{name} = np.stack([...])") from None
    if array.dtype.kind in "fiub":
        return array
    kinds = {"U": "strings", "S": "bytes", "O": "Python objects", "c": "complex numbers", "M": "dates", "m": "durations"}
    fix = f"labels, {name} = np.unique({name}, return_inverse=True)" if array.dtype.kind in "US" else f"{name}.astype(np.float32)"
    raise DataError.of(f"{name} holds {kinds.get(array.dtype.kind, 'values')} (dtype {array.dtype})",
                       "numbers or bools", fix)


def finite(array: np.ndarray, name: str) -> np.ndarray:
    """The array as contiguous float32, without NaN and infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        converted = np.ascontiguousarray(array, FLOAT)
        # the sum is finite only if all elements are (or it overflowed: then look closer)
        if np.isfinite(converted.sum()):
            return converted
    right = np.isfinite(converted)
    if right.all():
        return converted
    where = tuple(int(i) for i in np.unravel_index(int(np.argmin(right)), converted.shape))
    value = array[where]
    if np.isfinite(value):
        raise DataError.of(f"{name}{list(where)} is {value}, too large for float32", "numbers up to 3.4e38",
                           f"{name} = {name} / {name}.max()")
    many = int(converted.size - right.sum())
    raise DataError.of(f"{name}{list(where)} is {value}" + (f", the first of {many} such values" if many > 1 else ""),
                       "finite numbers", f"{name} = np.nan_to_num({name})   # or leave out these samples")


def same_length(x: np.ndarray, y: np.ndarray, names: tuple[str, str] = ("x", "y")) -> None:
    """An error unless both have as many samples."""
    if len(x) != len(y):
        a, b = names
        n = min(len(x), len(y))
        raise DataError.of(f"{a} has {len(x)} samples and {b} has {len(y)}", "one target per sample",
                           f"{a}, {b} = {a}[:{n}], {b}[:{n}]")


def split(x: Any, y: Any, fraction: float) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Training and validation data: the last ``fraction`` of the samples, before any shuffling, is for validation."""
    share("validation_split", fraction)
    x, y = numbers(x, "x"), numbers(y, "y")
    n = min(len(x), len(y)) if x.ndim and y.ndim else 0
    at = math.floor(n * (1.0 - fraction))
    if not 0 < at < n:
        raise ArgumentError.of(f"validation_split={fraction} of {n} samples leaves {at} for training and {n - at} for "
                               "validation", "at least one for each", "validation_split=0.2")
    return (x[:at], y[:at]), (x[at:], y[at:])


def _check_features(array: np.ndarray, layer: Layer, fits: tuple[int | None, ...], name: str) -> None:
    given = array.shape
    if len(given) == len(fits) and all(b is None or a == b for a, b in zip(given, fits, strict=True)):
        return
    shown = "(" + ", ".join("n" if n is None else str(n) for n in fits) + ("," if len(fits) == 1 else "") + ")"
    if len(given) == len(fits) == 2 and fits[1] is not None:
        fix = f"{name} = {name}[:, :{fits[1]}]" if given[1] > fits[1] else f"{type(layer).__name__}(..., input_dim={given[1]})"
        raise ShapeError.of(f"{name} has {given[1]} features per sample (shape {given}), and layer {layer.name!r} "
                            f"({type(layer).__name__}) was built for {fits[1]}", f"{name} of shape {shown}", fix)
    fix = f"{name} = {name}.reshape(len({name}), {', '.join(str(n) for n in fits[1:])})"
    raise ShapeError.of(f"{name} has shape {given}, and layer {layer.name!r} ({type(layer).__name__}) was built for "
                        f"samples of shape {fits[1:]}", f"{name} of shape {shown}", fix)


def _labels(array: np.ndarray, output_shape: tuple[int | None, ...], name: str) -> np.ndarray:
    classes = output_shape[-1]
    inner = tuple(output_shape[1:-1])
    if array.shape[1:] == (*inner, 1):
        array = array[..., 0]
    if array.shape[1:] != inner:
        if array.shape[1:] == tuple(output_shape[1:]):
            raise DataError.of(f"{name} has shape {array.shape}, as if one-hot, but the loss takes class labels",
                               "whole numbers, one per sample", "loss='categorical_crossentropy'   # or y.argmax(axis=-1)")
        raise DataError.of(f"{name} has shape {array.shape} for outputs of shape {output_shape}",
                           f"class labels of shape (n{''.join(f', {i}' for i in inner)})", f"{name} = {name}.reshape(-1)")
    if array.dtype.kind == "f":
        wrong = array != np.floor(array)  # also NaN, not infinity
        wrong |= ~np.isfinite(array)
        if wrong.any():
            where, value = _first(array, wrong)
            raise DataError.of(f"{name}{where} is {value}, which is no class label", f"whole numbers from 0 to {_top(classes)}",
                               f"{name} = {name}.astype(int)   # or loss='mse' for numbers")
    low, high = array.min(), array.max()
    if low < 0 or (classes is not None and high >= classes):
        outside = (array < 0) | (array >= classes) if classes is not None else array < 0
        where, value = _first(array, outside)
        fix = f"{name} = {name} - {int(low)}" if high - low < (classes or 0) else f"Dense({int(high) + 1}, activation='softmax')"
        raise DataError.of(f"{name}{where} is {value}, out of range for {classes} classes",
                           f"labels from 0 to {_top(classes)}", fix)
    return np.ascontiguousarray(array, LABEL)


def _top(classes: int | None) -> str:
    return "the number of classes - 1" if classes is None else str(classes - 1)


def _first(array: np.ndarray, mask: np.ndarray) -> tuple[list[int], Any]:
    where = np.unravel_index(int(np.argmax(mask)), mask.shape)
    return [int(i) for i in where], array[where]


def _shaped(array: np.ndarray, loss: Loss, output_shape: tuple[int | None, ...], name: str) -> np.ndarray:
    wanted = tuple(output_shape[1:])
    if array.shape[1:] == wanted:
        return array
    if (*array.shape[1:], 1) == wanted:
        return array[..., None]
    if array.shape[1:] == (*wanted, 1):
        return array[..., 0]
    units = output_shape[-1]
    fix = f"Dense({array.shape[1] if array.ndim == 2 else 1})   # as the last layer"
    if loss.name == "categorical_crossentropy" and array.shape[1:] in ((), (1,)):
        fix = "loss='sparse_categorical_crossentropy'   # or np.eye(classes)[y]"
    elif loss.name == "binary_crossentropy" and array.ndim == 1 and units is not None and units > 1:
        fix = "Dense(1, activation='sigmoid')   # or loss='sparse_categorical_crossentropy'"
    shown = ", ".join(["n", *(str(n) for n in wanted)])
    raise ShapeError.of(f"{name} has shape {array.shape}, and the model's output has shape {output_shape} "
                        f"(loss {loss.name})", f"{name} of shape ({shown})", fix)


def _check_probabilities(array: np.ndarray, loss: Loss, name: str) -> None:
    if array.min() >= 0 and array.max() <= 1:
        return
    where, value = _first(array, (array < 0) | (array > 1))
    fix = "loss='mse'   # for numbers"
    if loss.name == "binary_crossentropy":
        whole = not (array != np.floor(array)).any()
        fix = f"{name} = ({name} + 1) / 2" if whole and array.min() == -1 and array.max() == 1 else (
            f"Dense({int(array.max()) + 1}, activation='softmax') with loss='sparse_categorical_crossentropy'"
            if whole and array.min() >= 0 else fix)
    raise DataError.of(f"{name}{where} is {value}, out of range for {loss.name}", "targets from 0 to 1", fix)
