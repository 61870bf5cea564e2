"""The namespaces that are compared: ours plainly, ours with every call jitted, and ``array_api_strict`` as referee."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import array_api_strict
import numpy as np

import chainrule.numpy as ours
from chainrule import jit, tree

# They return no arrays, or arrays whose shape depends on values: called as they are, as one would do with JAX.
EAGER = {
    "can_cast": "a Python bool", "finfo": "limits of a dtype", "iinfo": "limits of a dtype", "isdtype": "a Python bool",
    "result_type": "a dtype", "broadcast_shapes": "a shape",
    "nonzero": "shape by values", "unique_all": "shape by values", "unique_counts": "shape by values",
    "unique_inverse": "shape by values", "unique_values": "shape by values"}


class Call:
    """One call of a function by its dotted name; arrays among the arguments are of NumPy, dtypes are ``np.dtype``."""

    def __init__(self, name: str, *args: Any, **options: Any) -> None:
        self.name, self.args, self.options = name, args, options

    def __repr__(self) -> str:
        parts = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.options.items()]
        return f"{self.name}({', '.join(parts)})"

    @property
    def of_complex(self) -> bool:
        """Whether complex numbers are among the arguments."""
        return any(isinstance(x, complex | np.dtype | np.ndarray) and np.asarray(x if not isinstance(x, np.dtype) else
                   np.zeros(0, x)).dtype.kind == "c" for x in tree.flatten((self.args, self.options))[0])

    def resolved(self, namespace: Any) -> Any:
        function = namespace
        for part in self.name.split("."):
            function = getattr(function, part)
        return function

    def plain(self) -> Any:
        """The result of our function on arrays."""
        with np.errstate(all="ignore"):
            return self.resolved(ours)(*self.args, **self.options)

    def referee(self) -> Any:
        """The result of the referee, as NumPy arrays."""
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            args, options = _mapped(_to_strict, (self.args, self.options))
            return _mapped(_from_strict, self.resolved(array_api_strict)(*args, **options))


def jitted(calls: Sequence[Call]) -> list[Any]:
    """The results of all calls, each jitted: arrays among its arguments are traced, all else is closed over.

    Calls are jitted many at a time, which costs less; those with complex numbers apart, for NumPy evaluates them.
    """
    out: list[Any] = [None] * len(calls)
    for of_complex in (False, True):
        chosen = [i for i, call in enumerate(calls) if call.of_complex == of_complex]
        if chosen:
            for i, result in zip(chosen, _together([calls[i] for i in chosen]), strict=True):
                out[i] = result
    return out


def _together(calls: Sequence[Call]) -> list[Any]:
    leaves, structure = tree.flatten([(c.args, c.options) for c in calls])
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray)]

    def run(arrays: list[Any]) -> list[Any]:
        filled = list(leaves)
        for i, x in zip(places, arrays, strict=True):
            filled[i] = x
        return [call.resolved(ours)(*args, **options)
                for call, (args, options) in zip(calls, tree.unflatten(structure, filled), strict=True)]
    return jit(run)([leaves[i] for i in places])


def _mapped(function: Any, value: Any) -> Any:
    leaves, structure = tree.flatten(value)
    return tree.unflatten(structure, [function(leaf) for leaf in leaves])


def _to_strict(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return array_api_strict.asarray(leaf)
    return getattr(array_api_strict, leaf.name) if isinstance(leaf, np.dtype) else leaf


def _from_strict(leaf: Any) -> Any:
    if hasattr(leaf, "__array_namespace__"):
        return leaf._array  # the NumPy array that it wraps
    return np.dtype(str(leaf).rpartition(".")[2]) if type(leaf).__name__ == "DType" else leaf
