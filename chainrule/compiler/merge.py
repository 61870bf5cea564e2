"""Graph → graph of the same meaning: called graphs written out, loops that repeat another loop's work dropped."""

from __future__ import annotations

from typing import Any

from chainrule.graph import Graph, Node, params_key, rebuilt, topological
from chainrule.ops.scan import project


def inline_calls(graph: Graph) -> Graph:
    """Every ``call`` replaced by the nodes of its graph.

    Before: ``%2 = call(%1) graph(%0) …``. After: the nodes of that graph, on ``%1``.
    """
    if all(n.op.kind != "call" for n in graph.nodes):
        return graph
    new: dict[Node, Any] = {i: i for i in graph.inputs}
    for node in graph.nodes[len(graph.inputs):]:
        inputs = tuple(new[i] for i in node.inputs)
        if node.op.kind == "call":
            body = inline_calls(node.params["body"])
            new[node] = rebuilt(body.outputs, dict(zip(body.inputs, inputs, strict=True)))
        elif node.op.kind == "project" and isinstance(inputs[0], list):
            new[node] = inputs[0][node.params["index"]]
        elif all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            new[node] = node
        else:
            new[node] = Node(node.op, inputs, node.params, node.shape, node.dtype, None, node.source)
    return Graph(graph.inputs, [new[o] for o in graph.outputs])


def merge_loops(graph: Graph) -> Graph:
    """A ``scan`` whose results another one gives as well is dropped.

    Reverse mode makes a second loop that does all that the first one does and stacks residuals besides.
    Needs equal nodes to be one node.
    """
    scans = [n for n in graph.nodes if n.op.kind == "scan"]
    numbers: dict[Any, int] = {}
    replacement: dict[Node, Node] = {}
    picks = {(n.inputs[0], n.params["index"]): n for n in graph.nodes if n.op.kind == "project"}
    kept = list(scans)
    for small in scans:
        for large in kept:
            where = None if large is small else _found(small, large, numbers)
            if where is not None and small not in topological([large]):
                for n in graph.nodes:
                    if n.op.kind == "project" and n.inputs[0] is small:
                        picked = (large, where[n.params["index"]])
                        replacement[n] = picks.setdefault(picked, _picked(*picked))
                kept.remove(small)
                break
    return Graph(graph.inputs, rebuilt(graph.outputs, replacement)) if replacement else graph


def drop_unused_rows(graph: Graph) -> Graph:
    """Loops stack only the rows that something reads, each kind once."""
    used: dict[Node, set[int]] = {}
    for n in graph.nodes:
        if n.op.kind == "project" and n.inputs[0].op.kind == "scan":
            used.setdefault(n.inputs[0], set()).add(n.params["index"])
    kept: dict[Node, list[Node]] = {}
    for scan, picks in used.items():
        outputs, n = scan.params["body"].outputs, scan.params["carries"]
        rows = list(dict.fromkeys(outputs[k] for k in sorted(picks) if k >= n))
        if len(rows) < len(outputs) - n:
            kept[scan] = [*outputs[:n], *rows]
    picked: dict[tuple[Node, int], Node] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node in kept:
            return _with_results(node, inputs, kept[node])
        if node.op.kind == "project" and node.inputs[0] in kept:
            k, old = node.params["index"], node.inputs[0].params["body"].outputs
            k = k if k < node.inputs[0].params["carries"] else \
                kept[node.inputs[0]].index(old[k], node.inputs[0].params["carries"])
            return picked.setdefault((inputs[0], k), _picked(inputs[0], k))
        return node if inputs == node.inputs else Node(node.op, inputs, node.params, node.shape, node.dtype, None,
                                                       node.source)
    return graph.rewrite(rule) if kept else graph


def _with_results(scan: Node, inputs: tuple[Node, ...], outputs: list[Node]) -> Node:
    """The loop with other rows."""
    n, length = scan.params["carries"], scan.params["length"]
    params = {**scan.params, "body": Graph(scan.params["body"].inputs, outputs)}
    return Node(scan.op, inputs, params, scan.shape[:n] + tuple((length, *o.shape) for o in outputs[n:]),
                scan.dtype[:n] + tuple(o.dtype for o in outputs[n:]), None, scan.source)


def _picked(scan: Node, index: int) -> Node:
    return Node(project, (scan,), {"index": index}, scan.shape[index], scan.dtype[index], None, scan.source)


def _found(small: Node, large: Node, numbers: dict[Any, int]) -> list[int] | None:
    """Where the results of one loop are among those of another; None if some are not."""
    a, b = small.params, large.params
    n = a["carries"]
    if (a["length"], a["until"]) != (b["length"], b["until"]) or small.inputs[:n] != large.inputs[:n] or \
            n > b["carries"]:
        return None
    ours, theirs = _numbered(small, numbers), _numbered(large, numbers)
    if ours[:n] != theirs[:n]:
        return None
    rows = {number: k for k, number in enumerate(theirs) if k >= b["carries"]}
    where = [*range(n), *(rows.get(number, -1) for number in ours[n:])]
    return None if -1 in where else where


def _numbered(scan: Node, numbers: dict[Any, int]) -> list[int]:
    """A number for each result of the loop's body: equal for equal computations on equal inputs."""
    body, n, m = scan.params["body"], scan.params["carries"], scan.params["sliced"]
    roles = ["carry" if k < n else "row" if k < n + m else "constant" for k in range(len(body.inputs))]
    number: dict[Node, int] = {
        i: numbers.setdefault((role, k if role == "carry" else outer, i.dtype), len(numbers))
        for k, (i, role, outer) in enumerate(zip(body.inputs, roles, scan.inputs, strict=True))}
    for node in body.nodes[len(body.inputs):]:
        key = node.op.name, tuple(number[i] for i in node.inputs), params_key(node.params), node.shape, node.dtype
        number[node] = numbers.setdefault(key, len(numbers))
    return [number[o] for o in body.outputs]
