"""The carries of a loop that begin as Python numbers: they take the dtype that the loop's body makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.ops.declare import common_dtype, convert, dtype_of, input_node, is_weak, shape_of
from chainrule.ops.transform import wrap


def settled(leaves: Sequence[Any], turn: Callable[[list[Any]], tuple[list[Any], Any]]) -> tuple[
        list[Any], list[Any], list[Any], Any]:
    """A loop's carries once the Python numbers among them have found their dtypes.

    ``turn(carries) -> (next carries, anything else)`` records the body. A Python number in ``leaves`` stays weak if the
    body makes a Python number of it; else it takes the dtype that came back, and the body is recorded anew. A Python
    number that comes back for an array takes the array's dtype, if that is the one which the two have in common.

    Returns:
        The first carries, the body's traced carries, what came back for them, and the body's other results.
    """
    numbers = [is_weak(leaf) for leaf in leaves]
    kinds = [(dtype_of(leaf), number) for leaf, number in zip(leaves, numbers, strict=True)]
    while True:
        carries = [wrap(input_node(shape_of(leaf), dtype)) for leaf, (dtype, _) in zip(leaves, kinds, strict=True)]
        for carry, (_, weak) in zip(carries, kinds, strict=True):
            carry.node.weak = weak
        after, rest = turn(carries)
        if len(after) != len(leaves):  # the caller says so
            return list(leaves), carries, after, rest
        found = [_wider(kind, a) if number else kind for kind, a, number in zip(kinds, after, numbers, strict=True)]
        if found == kinds:  # dtypes only grow, so this happens
            break
        kinds = found
    first = [convert(leaf, dtype) for leaf, (dtype, _) in zip(leaves, kinds, strict=True)]
    after = [convert(a, dtype) if is_weak(a) and common_dtype((np.empty(0, dtype), a)) == dtype else a
             for a, (dtype, _) in zip(after, kinds, strict=True)]
    return first, carries, after, rest


def _wider(kind: tuple[np.dtype, bool], after: Any) -> tuple[np.dtype, bool]:
    """The dtype and weakness of a carry that began as a Python number, after a turn that made ``after`` of it."""
    dtype, weak = kind
    if is_weak(after):
        return (common_dtype((np.empty(0, dtype), np.empty(0, dtype_of(after)))), True) if weak else kind
    return (dtype_of(after) if weak else common_dtype((np.empty(0, dtype), after))), False
