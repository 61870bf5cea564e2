"""Data of several inputs: arrays in lists or dicts, checked one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import dtypes, tree
from chainrule.errors import DataError
from chainrule.layers.base import Layer
from chainrule.training import data

LABEL = np.dtype(np.int32)


def count(x: Any) -> int:
    """The number of samples."""
    return len(tree.flatten(x)[0][0])


def samples(x: Any, entrances: Sequence[Layer] | None, name: str = "x", at: np.ndarray | None = None,
            values: bool = True) -> Any:
    """Samples as programs take them: contiguous arrays of the dtype that each entrance computes in.

    Args:
        x: one array, or a list or dict of them.
        entrances: the layers that data enter by; None: any structure of data, as it is.
        name: what errors call the data.
        at: the numbers of the rows, where ``x`` is a part of the data.
        values: whether NaN and infinity are refused, where no layer says what fits.
    """
    if entrances is None:
        return _any(x, name, values)
    if len(entrances) == 1:
        if isinstance(x, dict):
            x = _by_name(x, entrances, name)[0]
        elif isinstance(x, list | tuple) and len(x) == 1 and np.ndim(x[0]) > 0:
            x = x[0]
        return _one(x, entrances[0], name, at)
    names = [f"{name}[{i}]" for i in range(len(entrances))]
    if isinstance(x, dict):
        names = [f"{name}[{layer.name!r}]" for layer in entrances]
        x = _by_name(x, entrances, name)
    if not isinstance(x, list | tuple) or len(x) != len(entrances):
        given = f"{len(x)} arrays" if isinstance(x, list | tuple) else "one array"
        raise DataError.of(f"the data {name} has {given} for the {len(entrances)} inputs of the model",
                           f"a list of {len(entrances)} arrays, or a dict with "
                           f"{', '.join(repr(layer.name) for layer in entrances)}", f"{name} = [a, b]")
    arrays = [_one(a, layer, n, at) for a, layer, n in zip(x, entrances, names, strict=True)]
    for array, n in zip(arrays[1:], names[1:], strict=True):
        data.same_length(arrays[0], array, (names[0], n))
    return arrays


def _by_name(x: dict[str, Any], entrances: Sequence[Layer], name: str) -> list[Any]:
    missing = [layer.name for layer in entrances if layer.name not in x]
    if missing:
        raise DataError.of(f"the data {name} has no entry {missing[0]!r}",
                           f"one for each input: {', '.join(repr(layer.name) for layer in entrances)}",
                           f"{name} = {{{missing[0]!r}: array, …}}")
    return [x[layer.name] for layer in entrances]


def _one(x: Any, layer: Layer, name: str, at: np.ndarray | None) -> np.ndarray:
    wanted = layer.input_dtype
    if wanted is not None and wanted.kind == "f":
        return data.inputs(x, layer, name, at)
    array = data.numbers(x, name)
    if dtypes.is_float(array.dtype):
        array = data.inputs(x, layer, name, at)  # whole numbers that came as floats, checked like other floats
    else:
        data.inputs(np.broadcast_to(np.float32(0), array.shape), layer, name)  # the shape
        if array.ndim == 1 and layer.input_shape == (None, 1):
            array = array[:, None]
    return _narrowed(array, wanted or array.dtype, name)


def _narrowed(array: np.ndarray, wanted: np.dtype, name: str) -> np.ndarray:
    """In the dtype wanted; whole numbers of 64 bits, which may be too large, in 32."""
    kind = LABEL if wanted.kind in "iu" and wanted.itemsize > 4 else wanted
    if kind.kind in "iu" and array.size and array.dtype != kind:
        low, high = array.min(), array.max()
        if low < np.iinfo(kind).min or high > np.iinfo(kind).max:
            raise DataError.of(f"the data {name} holds numbers from {low} to {high}", f"numbers that {kind} can hold",
                               f"{name} = {name} % 1000   # or other labels")
    return np.ascontiguousarray(array, kind)


def _any(x: Any, name: str, values: bool) -> Any:
    if isinstance(x, dict):
        checked: Any = {key: _any(value, f"{name}[{key!r}]", values) for key, value in x.items()}
    elif isinstance(x, list | tuple) and any(isinstance(part, np.ndarray) and part.ndim for part in x):
        checked = [_any(part, f"{name}[{i}]", values) for i, part in enumerate(x)]
    else:
        array = data.numbers(x, name)
        if not dtypes.is_float(array.dtype):
            return _narrowed(array, array.dtype, name)
        return data.inputs(x, None, name) if values else np.ascontiguousarray(array, np.float32)
    leaves = tree.flatten(checked)[0]
    for i, array in enumerate(leaves[1:], start=1):
        data.same_length(leaves[0], array, (f"{name} (first array)", f"{name} (array {i})"))
    return checked


__all__ = ["count", "samples"]
