"""One run of a function with fresh nodes in place of what it is transformed by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes, tree
from chainrule.errors import ArgumentError, ChainruleTypeError
from chainrule.graph import Node
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import INPUT, OBSERVER, Traced, input_node, is_weak
from chainrule.trace import Tracer, as_array
from chainrule.tracebacks import public


class Recording:
    """One run of a function with fresh nodes for the differentiated leaves."""

    def __init__(self, function: Callable[..., Any], args: Sequence[Any], argnums: tuple[int, ...],
                 options: dict[str, Any],
                 has_aux: bool = False) -> None:
        flat = [tree.flatten(a) for a in args]
        self.leaves: list[Any] = []
        traced_args = []
        for position, (leaves, structure) in enumerate(flat):
            if position in argnums:
                fresh = [_fresh(leaf, position) for leaf in leaves]
                self.leaves += fresh
                leaves = fresh
            traced_args.append(tree.unflatten(structure, leaves))
        self.structures = [flat[i][1] for i in argnums]
        if OBSERVER.get() is not None:  # which tells the user the names
            own = {id(leaf) for leaf in self.leaves}
            for name, leaf in zip(tree.argument_paths(function, args), tree.flatten(traced_args)[0], strict=True):
                if id(leaf) in own:
                    leaf.node.name = name
        result = function(*traced_args, **options)
        self.aux = None
        if has_aux:
            result, self.aux = result
        self.result = result
        self.wrt = [leaf.node for leaf in self.leaves]

    def close(self) -> None:
        """Declare the fresh inputs ended: what depends on them alone is concrete from here on."""
        for node in self.wrt:
            node.open = False
            if node.op is INPUT:
                node.params["closed"] = True

    def unflatten(self, leaves: Sequence[Any]) -> list[Any]:
        """Leaves back in the containers of the differentiated arguments."""
        out, at = [], 0
        for structure in self.structures:
            n = structure.leaves
            out.append(tree.unflatten(structure, leaves[at:at + n]))
            at += n
        return out


def finished(leaves: Sequence[Any]) -> list[Any]:
    """Tracers as the caller should see them: concrete if nothing that is still being recorded leads to them."""
    if not still_open([x.node for x in leaves if isinstance(x, Traced)]):
        return [_concrete(x) if isinstance(x, Traced) else x for x in leaves]
    return [_concrete(x) if isinstance(x, Traced) and not still_open([x.node]) else x for x in leaves]


def still_open(nodes: Sequence[Node]) -> bool:
    """Whether any of the nodes has no value, or depends on an input whose recording goes on."""
    seen, stack = set(nodes), list(nodes)
    while stack:
        node = stack.pop()
        if node.value is None or (node.op is INPUT and "closed" not in node.params):
            return True
        for i in node.inputs:
            if i not in seen:
                seen.add(i)
                stack.append(i)
    return False


def _concrete(x: Traced) -> Any:
    # a copy: the value may be a read-only broadcast, or an array that belongs to the user
    value = np.asarray(x.node.value)
    return value.copy() if value.shape else value[()]


def _fresh(leaf: Any, position: int) -> Tracer:
    array = as_array(leaf)
    if not dtypes.is_float(array.dtype):
        raise ChainruleTypeError.of(f"cannot differentiate with respect to argument {position} of dtype {array.dtype}",
                                    "floating-point values", "x = np.asarray(x, dtype=float)")
    fresh = ew.copy(leaf) if isinstance(leaf, Traced) else Tracer(input_node(array.shape, array.dtype, array))
    fresh.node.weak, fresh.node.open = is_weak(leaf), True
    return fresh


def positions(argnums: int | Sequence[int], count: int) -> tuple[int, ...]:
    """``argnums`` as positions from 0 on."""
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for p in chosen:
        if not -count <= p < count:
            raise ArgumentError.of(f"argnums={argnums} for a call with {count} positional argument{'s' * (count != 1)}",
                                   f"positions from 0 to {count - 1}", "cr.grad(f, argnums=0)")
    return tuple(p % count for p in chosen)


def named(run: Callable[..., Any], function: Callable[..., Any], prefix: str) -> Callable[..., Any]:
    """``run`` as users call it: with a name that says what it was made from."""
    outer = public(run)
    outer.__name__ = f"{prefix}({getattr(function, '__name__', 'function')})"
    outer.__wrapped__ = function  # type: ignore[attr-defined]
    return outer
