"""The two passes over a flat graph, kept: the value of every node, the derivative along every edge.

Backward the rules of each operation are applied at its own node: its derivative is linearized at its operands and
transposed (``Op.linearize``, ``Op.transpose``), so what is shown here is what ``grad`` computes. Each rule is recorded,
and with it the formula of the derivative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ChainruleTypeError, ShapeError
from chainrule.graph import Node, type_name
from chainrule.inspect.unfold import Flat
from chainrule.ops.declare import INPUT, Traced, input_node
from chainrule.ops.transform import pull_back, push_forward
from chainrule.trace import Tracer

_SMALL = 64  # elements of arrays whose local derivatives are computed: of larger ones nobody reads the numbers


@dataclass(eq=False)
class Edge:
    """One use of a value: operand ``slot`` of ``target``.

    Attributes:
        outgoing: what the cotangent of ``target`` contributes to that of ``source``; None where there is no derivative.
        factor: whether there is a local derivative, one number for every element.
        local: ∂target/∂source, where it is such a factor and the arrays are small; else None.
        rule: the recorded contribution, for formulas: see :class:`Rule`.
    """

    source: Node
    target: Node
    slot: int
    outgoing: Any = None
    factor: bool = False
    local: Any = None
    rule: Rule | None = None


@dataclass(eq=False)
class Rule:
    """A derivative as it was recorded.

    Attributes:
        result: the node of what goes to the operand.
        seed: the node that stands for the cotangent that came in.
        names: what recorded nodes stand for: operands and results of the operation.
    """

    result: Node
    seed: Node
    names: dict[Node, Node]


class Passes:
    """Values and derivatives of ``flat``, for one scalar result.

    Attributes:
        output: the scalar result whose derivatives they are; None where there is none.
        edges: all uses, those of one target together, in the order of the forward pass.
        grad: ∂output/∂node of every node that has one.
        backward: the edges that carry a derivative, in the order of the backward pass.
    """

    def __init__(self, flat: Flat, output: Node | None) -> None:
        self.flat, self.output = flat, output
        self.edges = [Edge(i, n, k) for n in flat.nodes for k, i in enumerate(n.inputs)]
        self.into: dict[Node, list[Edge]] = {n: [] for n in flat.nodes}
        self.out_of: dict[Node, list[Edge]] = {n: [] for n in flat.nodes}
        for edge in self.edges:
            self.into[edge.target].append(edge)
            self.out_of[edge.source].append(edge)
        self.grad: dict[Node, Any] = {}
        self.backward: list[Edge] = []
        if output is not None:
            self._run(output)

    def _run(self, output: Node) -> None:
        moving = active(self.flat)
        cotangent: dict[Node, Any] = {output: np.ones(output.shape, output.dtype)}
        for node in reversed(self.flat.nodes):
            if node not in cotangent or node not in moving:
                continue
            ct = cotangent[node]
            edges = [e for e in self.into[node] if e.source in moving]
            if node.op.kind == "project":
                whole = node.inputs[0]
                parts = cotangent.setdefault(whole, [None] * len(whole.shape))
                k = node.params["index"]
                parts[k] = ct if parts[k] is None else parts[k] + ct
                edges[0].outgoing = ct
                self.backward += edges
                continue
            rules = contributions(node, ct, [e.slot for e in edges])
            plain = not isinstance(ct, list) and (node.op.kind == "elementwise" or node.shape == ())
            small = plain and all(e.source.size <= _SMALL for e in edges)
            locals_ = contributions(node, np.ones(node.shape, node.dtype), [e.slot for e in edges]) if small else {}
            for edge in edges:
                found = rules.get(edge.slot)
                if found is None:
                    continue
                edge.outgoing, edge.rule = found
                edge.factor = plain
                edge.local = locals_[edge.slot][0] if edge.slot in locals_ else None
                before = cotangent.get(edge.source)
                cotangent[edge.source] = edge.outgoing if before is None else before + edge.outgoing
                self.backward.append(edge)
        self.grad = {n: ct for n, ct in cotangent.items() if not isinstance(ct, list)}


def result_of(flat: Flat, needed: bool = False) -> Node | None:
    """The scalar whose derivatives are shown: the only floating result, if the graph carries values."""
    scalars = [o for o in flat.outputs if o.shape == () and dtypes.is_float(o.dtype)]
    if flat.valued and len(flat.outputs) == 1 and scalars:
        return scalars[0]
    if needed:
        o = flat.outputs[0] if flat.outputs else None
        raise ShapeError.of(f"the result is {'nothing' if o is None else type_name(o)}", "one floating-point number",
                            "cr.explain(lambda x: np.sum(f(x)), (x,))")
    return None


def active(flat: Flat) -> set[Node]:
    """The nodes with a derivative: floating ones that depend on a floating input."""
    moving: set[Node] = set()
    for node in flat.nodes:
        float_ = any(map(dtypes.is_inexact, node.dtype if isinstance(node.dtype, tuple) else (node.dtype,)))
        if float_ and (node.op is INPUT or not moving.isdisjoint(node.inputs)):
            moving.add(node)
    return moving


def contributions(node: Node, cotangent: Any, slots: Sequence[int]) -> dict[int, tuple[Any, Rule | None]]:
    """What ``cotangent`` of ``node`` gives to its operands in ``slots``: number and rule, without those of none.

    Args:
        node: one operation, with values.
        cotangent: of its result, in its shape; a list for several results, None for a zero.
        slots: which operands.
    """
    fresh, clone = _apart(node)
    lines = {k: Tracer(input_node(fresh[k].shape, fresh[k].dtype)) for k in slots}
    try:
        tangents = push_forward([clone], {fresh[k]: line for k, line in lines.items()}, linear=True)
    except ChainruleTypeError as error:
        error.add_note(f"  In the backward pass at {node.op.name}.")
        raise
    tangent = tangents.get(clone)
    if tangent is None:
        return {}
    several = isinstance(tangent, list)
    pairs = [(t, ct) for t, ct in zip(tangent, cotangent, strict=True) if t is not None and ct is not None] \
        if several else [(tangent, cotangent)]
    seed = input_node(node.shape, node.dtype, np.asarray(cotangent)) if not several else None
    given = [Tracer(seed)] if seed is not None else [ct for _, ct in pairs]
    total = pull_back([t for t, _ in pairs], given, [line.node for line in lines.values()])
    names = {**dict(zip(fresh, node.inputs, strict=True)), clone: node}
    found: dict[int, tuple[Any, Rule | None]] = {}
    for k, line in lines.items():
        ct = total.get(line.node)
        if ct is not None:
            recorded = seed is not None and isinstance(ct, Traced)
            found[k] = concrete(ct), Rule(ct.node, seed, names) if recorded and seed is not None else None
    return found


def pushed(node: Node, tangents: Mapping[int, Any]) -> Any:
    """The tangent of ``node`` for those of its operands, by slot: an array, a list for several results, or None."""
    fresh, clone = _apart(node)
    given = {fresh[k]: np.asarray(t, fresh[k].dtype) for k, t in tangents.items()}
    out = push_forward([clone], given).get(clone)
    if isinstance(out, list):
        return [None if t is None else concrete(t) for t in out]
    return None if out is None else concrete(out)


def _apart(node: Node) -> tuple[list[Node], Node]:
    """The operation on operands of its own: each use of a value is a node, and what it was made from is left out."""
    fresh = [input_node(i.shape, i.dtype, i.value) if not isinstance(i.dtype, tuple) else i for i in node.inputs]
    return fresh, Node(node.op, tuple(fresh), node.params, node.shape, node.dtype, node.value, node.source)


def concrete(x: Any) -> np.ndarray:
    """The number behind what was recorded with values."""
    return np.array(x.node.value if isinstance(x, Traced) else x)


__all__ = ["Edge", "Passes", "Rule", "active", "concrete", "contributions", "pushed", "result_of"]
