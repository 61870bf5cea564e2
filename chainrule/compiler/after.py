"""Sums that a loop adds up and does not read: one contraction or reduction of stacked rows after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule import dtypes
from chainrule.compiler.pads import is_zero
from chainrule.graph import Graph, Node
from chainrule.ops.declare import REGISTRY
from chainrule.ops.scan import project


def sums_after_loops(graph: Graph) -> Graph:
    """A carry that only adds up products, or sums, of rows becomes one product or sum after the loop.

    So it is with the weights of a recurrent network in reverse mode: an outer product for each step is one large
    contraction for all of them. What is not a row of the loop yet is stacked, if that takes no more memory than its
    rows do already.

    Before: ``repeat: w ← w + aᵢ · bᵢ; …``. After: ``repeat: …``, then ``w + a · b``.
    """
    found = {n: sums for n in graph.nodes if n.op.kind == "scan" and (sums := _sums(n))}
    if not found:
        return graph
    changed: dict[Node, tuple[Node, dict[int, Node]]] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node in found:
            changed[node] = _without(node, inputs, found[node])
            return changed[node][0]
        if node.op.kind == "project" and node.inputs[0] in changed:
            scan, results = changed[node.inputs[0]]
            return results[node.params["index"]]
        return node if inputs == node.inputs else Node(node.op, inputs, node.params, node.shape, node.dtype, None,
                                                       node.source)
    return graph.rewrite(rule)


@dataclass(frozen=True)
class _Sum:
    """Carry ``index`` adds up ``term``, an operation on ``operands`` (nodes of the body) in every turn."""

    index: int
    term: Node
    operands: tuple[Node, ...]


def _sums(scan: Node) -> list[_Sum]:
    p = scan.params
    body, n = p["body"], p["carries"]
    if p["until"] is not None or p["length"] < 2:
        return []
    users = Counter(i for node in body.nodes for i in node.inputs) + Counter(body.outputs)
    varying = _varying(body, n + p["sliced"])
    free = {*body.inputs[n:n + p["sliced"]], *body.outputs[n:]}
    spare = sum(x.size for x in free)
    out = []
    for k, (carry, after) in enumerate(zip(body.inputs[:n], body.outputs[:n], strict=True)):
        if after.op.name != "add" or carry not in after.inputs or users[carry] != 1 or users[after] != 1 or not (
                dtypes.is_float(after.dtype) and after.dtype.itemsize >= 4):  # half types round in every turn
            continue
        term = after.inputs[1] if after.inputs[0] is carry else after.inputs[0]
        if users[term] != 1 or term.op.kind != "contract" and term.op.name != "sum" or any(
                i not in varying for i in term.inputs):
            continue
        extra = {i for i in term.inputs if i not in free}
        if sum(i.size for i in extra) <= spare:
            spare -= sum(i.size for i in extra)
            free |= extra
            out.append(_Sum(k, term, term.inputs))
    return out


def _varying(body: Graph, count: int) -> set[Node]:
    """What changes from turn to turn: the first ``count`` inputs, and what depends on them."""
    varying = set(body.inputs[:count])
    for node in body.nodes:
        if not varying.isdisjoint(node.inputs):
            varying.add(node)
    return varying


def _without(scan: Node, inputs: Sequence[Node], sums: Sequence[_Sum]) -> tuple[Node, dict[int, Node]]:
    """The loop without these carries, and what stands for each of its results."""
    p, body, n = scan.params, scan.params["body"], scan.params["carries"]
    dropped = {s.index for s in sums}
    rows = list(body.inputs[n:n + p["sliced"]])
    kept = [k for k in range(n) if k not in dropped]
    stacked = list(body.outputs[n:])
    stacked += dict.fromkeys(x for s in sums for x in s.operands if x not in rows and x not in stacked)
    outputs = [*(body.outputs[k] for k in kept), *stacked]
    turns = Graph([x for k, x in enumerate(body.inputs) if k not in dropped], outputs)
    shape = (*(body.outputs[k].shape for k in kept), *((p["length"], *x.shape) for x in stacked))
    loop = Node(scan.op, tuple(x for k, x in enumerate(inputs) if k not in dropped),
                {**p, "body": turns, "carries": len(kept)}, shape, tuple(o.dtype for o in outputs), None, scan.source)

    picked = [Node(project, (loop,), {"index": k}, loop.shape[k], loop.dtype[k], None, scan.source)
              for k in range(len(outputs))]
    results = {k: picked[place] for place, k in enumerate(kept)}
    results |= {k: picked[len(kept) + k - n] for k in range(n, len(body.outputs))}
    for s in sums:
        whole = [inputs[n + rows.index(x)] if x in rows else picked[len(kept) + stacked.index(x)] for x in s.operands]
        results[s.index] = _total(s.term, whole, inputs[s.index])
    return loop, results


def _total(term: Node, stacks: Sequence[Node], begin: Node) -> Node:
    """``begin`` and the terms of all turns."""
    if term.op.kind == "contract":
        axes = {k: tuple(term.params[k]) for k in ("a_axes", "b_axes", "out_axes")}
        turn = 1 + max(label for labels in axes.values() for label in labels)
        params = {**axes, "a_axes": (turn, *axes["a_axes"]), "b_axes": (turn, *axes["b_axes"])}
    else:
        params = {"axes": (0, *(a + 1 for a in term.params["axes"]))}
    total = Node(term.op, tuple(stacks), params, term.shape, term.dtype, None, term.source)
    if is_zero(begin):
        return total
    return Node(REGISTRY["add"], (begin, total), {}, term.shape, term.dtype, None, term.source)
