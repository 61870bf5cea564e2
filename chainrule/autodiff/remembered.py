"""Gradients of functions that were differentiated before: the rules are not applied again, only the numbers are new.

A function that is not compiled is recorded at every call, since it may do something else each time. If it did what an
earlier call did, operation by operation, its gradient is the same program as then, whose steps are kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.graph import Node, graphs_in, topological
from chainrule.ops.declare import CONSTANT, INPUT, OBSERVER, Traced

_KEPT = 256  # programs
_COMPARED = 4096  # elements up to which constants are compared; of larger ones no derivative rule asks the values


@dataclass(frozen=True)
class _Program:
    """Steps ``value = reference(*values at slots, **params)`` after the values of a recorded function's nodes."""

    constants: list[Any]
    steps: list[tuple[Callable[..., Any], list[int], dict[str, Any]]]
    results: list[int | None]

    def run(self, values: list[Any]) -> list[Any]:
        values += self.constants
        for reference, slots, params in self.steps:
            values.append(reference(*[values[s] for s in slots], **params))
        return [None if r is None else values[r] for r in self.results]


_programs: dict[Any, _Program] = {}
_lock = threading.Lock()


def remembered(output: Node, wrt: Sequence[Node], compute: Callable[[Node, Sequence[Node]], dict[Node, Any]],
               ) -> dict[Node, Any]:
    """What ``compute(output, wrt)`` gives, the gradient for each of ``wrt`` that has one; as arrays if it was known."""
    order = topological([output], stop=wrt)
    key = None if OBSERVER.get() is not None else _key(order, wrt)
    known = _programs.get(key)
    if known is not None:
        return {n: g for n, g in zip(wrt, known.run([n.value for n in order]), strict=True) if g is not None}
    found = compute(output, wrt)
    program = None if key is None else _written([found.get(n) for n in wrt], order)
    if program is not None:
        with _lock:
            if len(_programs) >= _KEPT:
                _programs.pop(next(iter(_programs)))
            _programs[key] = program
    return found


def _key(order: Sequence[Node], wrt: Sequence[Node]) -> Any:
    """Equal for recordings that do the same; None where one cannot tell, or where another recording goes on."""
    if any(n.op is not INPUT for n in wrt):
        return None
    number = {node: k for k, node in enumerate(order)}
    roots = set(wrt)
    key: list[Any] = [number.get(n, -1) for n in wrt]
    for node in order:
        if node.value is None:
            return None
        if node in roots:
            key.append((node.shape, node.dtype, node.weak))
            continue
        if node.open or node.op is INPUT:
            return None
        params: tuple[Any, ...] = ()
        if node.op is CONSTANT:
            params = (node.value.tobytes() if node.size <= _COMPARED else "large",)
        elif node.params:
            for value in node.params.values():
                if callable(value) or isinstance(value, np.ndarray) or graphs_in(value):
                    return None
            params = tuple([(k, v.hex() if type(v) is float else v) for k, v in node.params.items()])  # -0.0 is not 0.0
        key.append((node.op.name, params, tuple([number[i] for i in node.inputs]), node.shape, node.dtype, node.weak))
    try:
        hash(whole := tuple(key))
    except TypeError:  # a parameter that cannot be compared
        return None
    return whole


def _written(gradients: Sequence[Any], order: Sequence[Node]) -> _Program | None:
    """The program of recorded gradients; None if it has no numbers, or holds an array that may be somebody's data."""
    if not all(g is None or isinstance(g, Traced) and g.node.value is not None for g in gradients):
        return None
    slot: dict[Node, int] = {node: k for k, node in enumerate(order)}
    same = {id(node.value): k for node, k in slot.items()}  # nodes that stand for others have their values
    further = [n for n in topological([g.node for g in gradients if g is not None], stop=order) if n not in slot]
    constants: list[Any] = []
    computed: list[Node] = []
    for node in further:
        if id(node.value) in same:
            slot[node] = same[id(node.value)]
        elif node.op is CONSTANT and node.size <= _COMPARED:
            slot[node] = len(order) + len(constants)
            constants.append(node.value)
        elif node.inputs and node.value is not None:
            computed.append(node)
        else:
            return None
    for k, node in enumerate(computed):
        slot[node] = len(order) + len(constants) + k
    steps = [(n.op.reference, [slot[i] for i in n.inputs], n.params) for n in computed]
    return _Program(constants, steps, [None if g is None else slot[g.node] for g in gradients])
