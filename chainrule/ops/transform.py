"""How transformations walk recorded nodes: tangents forward, cotangents backward, batches forward.

Each walk starts at given nodes and touches only what depends on them, with one rule per operation: ``Op.jvp`` (or
``Op.linearize``), ``Op.transpose``, ``Op.batch``. An operation with several results has a list of tangents,
cotangents or batched values, None for a zero; ``project`` picks from it.

Source: the linearize-then-transpose formulation of Radul, Paszke, Frostig, Johnson and Maclaurin,
"You Only Linearize Once", POPL 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ChainruleTypeError
from chainrule.graph import BACKWARD, FORWARD, Graph, Node, derived, params_key, topological
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import (
    INPUT,
    REGISTRY,
    TRACER,
    Linear,
    Traced,
    batch_leading,
    bind,
    constant_node,
    expand,
    input_node,
    leading,
    make,
)

_COMPARED = 4096  # elements of a constant that is compared with others


def wrap(node: Node) -> Any:
    """A node as what user code computes with."""
    return TRACER[0](node)


def node_of(x: Any) -> Node:
    return x.node if isinstance(x, Traced) else constant_node(x)


def zeros(like: Any) -> Any:
    """The zero tangent or cotangent of a node or array: a scalar broadcast, so that nothing is stored for it."""
    return expand(np.zeros((), like.dtype), like.shape)


def floating(node: Node) -> bool:
    """Whether a tangent of any of the node's results exists."""
    return any(dtypes.is_inexact(d) for d in (node.dtype if isinstance(node.dtype, tuple) else (node.dtype,)))


# ---------------------------------------------------------------- tangents


def push_forward(outputs: Sequence[Node], tangents: Mapping[Node, Any], separate: bool = False,
                 linear: bool = False) -> dict[Node, Any]:
    """The tangent of every node that depends on the keys of ``tangents`` (a node of zero tangent is left out).

    For reverse mode nodes that compute the same are one node first (then not all nodes, but ``outputs`` are sure to be
    keys): a network that was recorded for its value, and again for its derivative by the input, is transposed once.

    Args:
        outputs: where the walk ends.
        tangents: where it begins.
        separate: make every node's tangent a node of its own, so that its cotangent can be told apart.
        linear: the tangents are placeholders, and what is recorded for them will be transposed or applied often:
            operations with bodies then keep what is linear apart.
    """
    known: dict[Node, Any] = dict(tangents)
    given, one = outputs, {}
    if linear and not separate:
        one = _merged(outputs, tangents)
        outputs = [one[o] for o in outputs]
    moving = dependent(outputs, list(tangents))
    joins = _Joins(outputs, moving, tangents) if linear and not separate else None
    with derived() as origin:
        for node in moving:
            origin.book(node, BACKWARD if linear else FORWARD)
            tangent = joins.tangent(node, known) if joins is not None else _tangent(node, known, linear)
            if tangent is not None and not (isinstance(tangent, list) and all(t is None for t in tangent)):
                known[node] = ew.copy(tangent) if separate and not isinstance(tangent, list) else tangent
    return known | {o: known[one[o]] for o in given if o in one and one[o] in known}


def _merged(outputs: Sequence[Node], roots: Mapping[Node, Any]) -> dict[Node, Node]:
    """For every node up to ``outputs`` the one that stands for all that compute the same.

    Roots stand for themselves, those of transformations around this one as well: paths through them must stay apart.
    """
    first: dict[Any, Node] = {}
    one: dict[Node, Node] = {}
    for node in topological(outputs, stop=roots):
        if node in roots or node.open or node.op is INPUT or not node.inputs and node.size > _COMPARED:
            one[node] = node
            continue
        inputs = tuple(one[i] for i in node.inputs)
        if node.op.name == "copy":  # the root of a transformation that has ended
            one[node] = inputs[0]
        else:
            key = id(node) if node.bodies else (node.op.name, inputs, params_key(node.params), node.shape, node.dtype,
                                                node.weak)
            if key not in first:
                first[key] = node if inputs == node.inputs else node.over(inputs)
            one[node] = first[key]
    return one


def _tangent(node: Node, known: Mapping[Node, Any], linear: bool) -> Any:
    if known.keys().isdisjoint(node.inputs):
        return None
    rule = node.op.linearize if linear and node.op.linearize is not None else node.op.jvp
    if rule is None:
        if floating(node):
            raise ChainruleTypeError.of(f"{node.op.name} has no derivative rule (recorded at {node.source})",
                                        "operations with one, or a constant", "cr.stop_gradient(x)")
        return None
    inputs = [wrap(i) for i in node.inputs]
    return rule([known.get(i) for i in node.inputs], inputs, wrap(node), **node.params)


class _Joins:
    """Elementwise paths that part at one node, their *root*, and meet again, as those of x do in ``x * tanh(x)``.

    The tangent where they meet is the root's times one coefficient that depends on values only, d(x tanh x)/dx. So
    reverse mode keeps that one array, and the cotangent goes back in one product instead of along every path.
    Coefficients follow from the operations' own rules, with those of the inputs in place of their tangents.
    """

    def __init__(self, outputs: Sequence[Node], moving: Sequence[Node], tangents: Mapping[Node, Any]) -> None:
        self.root: dict[Node, Node] = {}  # of elementwise nodes, whose tangent is a multiple of the root's
        self.coefficients: dict[Node, Any] = {}
        active = {*tangents, *moving}
        varying = {n: list(dict.fromkeys(i for i in n.inputs if i in active and floating(i))) for n in moving}
        for node in moving:
            roots = {self.root.get(i, i) for i in varying[node]}
            if node.op.kind == "elementwise" and len(roots) == 1 and dtypes.is_float(node.dtype):
                if all(i.dtype == node.dtype for i in varying[node]):
                    self.root[node] = roots.pop()
        self.meeting = {n for n in self.root if len(varying[n]) > 1}
        self.needed, self.weighed = set(outputs), set[Node]()  # nodes whose tangent, whose coefficient is of use
        for node in reversed(moving):
            if node in self.needed and node in self.meeting:
                self.needed.add(self.root[node])
                self.weighed.add(node)
            elif node in self.needed:
                self.needed.update(varying[node])
            if node in self.weighed:
                self.weighed.update(i for i in varying[node] if i is not self.root[node])

    def tangent(self, node: Node, known: Mapping[Node, Any]) -> Any:
        """The tangent of a node, None if it is of no use; notes its coefficient if that is."""
        if node in self.weighed:
            root = self.root[node]
            known_here = {i: self.coefficients[i] for i in node.inputs if self.coefficients.get(i) is not None}
            if root in node.inputs:
                known_here[root] = expand(np.ones((), root.dtype), root.shape)
            self.coefficients[node] = _tangent(node, known_here, True)
        if node not in self.needed:
            return None
        if node not in self.meeting:
            return _tangent(node, known, True)
        coefficient, direction = self.coefficients[node], known.get(self.root[node])
        return None if coefficient is None or direction is None else ew.mul(coefficient, direction)


# ---------------------------------------------------------------- cotangents


def pull_back(tangents: Sequence[Any], cotangents: Sequence[Any], placeholders: Sequence[Node]) -> dict[Node, Any]:
    """Transpose the linear program from ``placeholders`` to ``tangents``: the cotangent of each of its nodes."""
    total: dict[Node, Any] = {}

    def accumulate(node: Node, ct: Any) -> None:
        if node.op.kind == "project":
            whole = node.inputs[0]
            parts = total.setdefault(whole, [None] * len(whole.shape))
            k = node.params["index"]
            parts[k] = ct if parts[k] is None else ew.add(parts[k], ct)
        else:
            total[node] = ew.add(total[node], ct) if node in total else ct

    roots = [(t.node, ct) for t, ct in zip(tangents, cotangents, strict=True) if isinstance(t, Traced)]
    order = dependent([node for node, _ in roots], placeholders)
    linear = {*placeholders, *order}
    for node, ct in roots:
        if node in linear:
            accumulate(node, ct)
    with derived() as origin:
        for node in reversed(order):
            if node not in total:
                continue
            origin.book(node, BACKWARD)
            inputs = [Linear(i.shape, i.dtype) if i in linear else wrap(i) for i in node.inputs]
            for i, ct in zip(node.inputs, _transposed(node, total[node], inputs), strict=True):
                if ct is not None and i in linear:
                    accumulate(i, ct)
    return total


def dependent(outputs: Sequence[Node], roots: Sequence[Node]) -> list[Node]:
    """The nodes on the way from ``roots`` to ``outputs``, inputs before users; without the roots."""
    reached = set(roots)
    order = []
    for node in topological(outputs, stop=roots):
        if not reached.isdisjoint(node.inputs) and node not in reached:
            reached.add(node)
            order.append(node)
    return order


def _transposed(node: Node, ct: Any, inputs: list[Any]) -> list[Any]:
    if node.op.transpose is None:
        raise ChainruleTypeError.of(f"{node.op.name} has no transpose rule", "forward mode (cr.jvp)", "")
    return node.op.transpose(ct, inputs, **node.params)


# ---------------------------------------------------------------- batches


def push_batch(outputs: Sequence[Node], batched: Mapping[Node, Any], size: int) -> dict[Node, Any]:
    """The value, with a leading axis of extent ``size``, of every node that depends on the keys of ``batched``."""
    known: dict[Node, Any] = dict(batched)
    with derived() as origin:
        for node in topological(outputs, stop=batched):
            if node not in known and not known.keys().isdisjoint(node.inputs):
                origin.source = node.source
                flags = [i in known for i in node.inputs]
                args = [known[i] if flag else wrap(i) for i, flag in zip(node.inputs, flags, strict=True)]
                known[node] = _batch_rule(node)(args, flags, size, **node.params)
    return known


def _batch_rule(node: Node) -> Callable[..., Any]:
    if node.op.batch is not None:
        return node.op.batch
    return batch_leading(node.op) if node.op.kind == "elementwise" else _one_by_one(node)


def _one_by_one(node: Node) -> Callable[..., Any]:
    """The batch rule of an operation that has none of its own: a loop over the batch."""
    def batch(args: Sequence[Any], batched: Sequence[bool], size: int, **params: Any) -> Any:
        inputs = [f.node for f in fresh(node.inputs)]
        one = make(node.op, inputs, params)
        several = isinstance(one.shape, tuple) and isinstance(one.dtype, tuple)
        project = REGISTRY["project"]
        outputs = [make(project, [one], {"index": k}) for k in range(len(one.shape))] if several else [one]
        order = sorted(range(len(args)), key=lambda i: not batched[i])
        body = Graph([inputs[i] for i in order], outputs)
        out = bind(REGISTRY["scan"], *(args[i] for i in order), body=body, carries=0, sliced=sum(batched), length=size,
                   until=None)
        rows = results(out, len(outputs), project)
        return rows if several else rows[0]
    return batch


# ---------------------------------------------------------------- programs again on other inputs


def replay(outputs: Sequence[Node], given: Mapping[Node, Any]) -> list[Any]:
    """The outputs computed anew with other values for some nodes; what does not depend on those is taken as it is."""
    known: dict[Node, Any] = dict(given)
    with derived() as origin:
        for node in dependent(outputs, list(given)):
            origin.source = node.source
            args = [known[i] if i in known else wrap(i) for i in node.inputs]
            several = node.op.kind == "project" and isinstance(args[0], tuple)
            known[node] = args[0][node.params["index"]] if several else bind(node.op, *args, **node.params)
    return [known[o] if o in known else wrap(o) for o in outputs]


def close(inputs: Sequence[Node], outputs: Sequence[Node], since: int | None = None) -> tuple[Graph, list[Node]]:
    """The graph from ``inputs`` to ``outputs`` with everything else that it uses turned into further inputs.

    What does not depend on the inputs is computed once, outside: it becomes an input as a whole. With ``since``
    only what was recorded before that count does: for graphs that may not run at all, or run late.
    """
    order = topological(outputs, inputs)
    own = set(inputs)
    inside, outside = set(inputs), set()
    for node in order:
        before = since is None or node.order < since
        if node.op.name == "poll" or any(i in inside for i in node.inputs):
            inside.add(node)
        elif node.op is INPUT and node not in own:
            outside.add(node)
        elif any(i in outside for i in node.inputs):
            (outside if before else inside).add(node)
    used = {*outputs, *(i for node in order if node in inside for i in node.inputs)}
    captured = [n for n in order if n in outside and n in used]
    replacement = {c: input_node(c.shape, c.dtype) for c in captured}
    for c, inner in replacement.items():
        inner.name = c.name
    new: dict[Node, Node] = {}
    for node in order:
        if node in replacement:
            new[node] = replacement[node]
        elif node.inputs and node not in own:
            new[node] = Node(node.op, tuple(new[i] for i in node.inputs), node.params, node.shape, node.dtype, None,
                             node.source)
        else:
            new[node] = node
    return Graph([*inputs, *replacement.values()], [new[o] for o in outputs]), captured


def results(out: Any, count: int, project: Any) -> list[Any]:
    """The several results of an operation, recorded or computed."""
    return [project(out, index=k) for k in range(count)] if isinstance(out, Traced) else list(out)


def fresh(nodes: Sequence[Node], size: int | None = None) -> list[Any]:
    """New inputs like ``nodes``; with ``size`` they have a batch axis in front."""
    lead = () if size is None else (size,)
    made = [input_node((*lead, *n.shape), n.dtype) for n in nodes]
    for new, node in zip(made, nodes, strict=True):
        new.weak = node.weak
    return list(map(wrap, made))


# ---------------------------------------------------------------- graphs over the same inputs (branches, calls)


def tangent_graphs(graphs: Sequence[Graph], moving: Sequence[bool],
                   linear: bool) -> tuple[list[Graph], list[int]]:
    """Graphs of tangents from (inputs, tangents of the ``moving`` ones); and which results have a tangent."""
    inputs = graphs[0].inputs
    chosen = [i for i, m in zip(inputs, moving, strict=True) if m]
    found = []
    for graph in graphs:
        own = [i for i, m in zip(graph.inputs, moving, strict=True) if m]
        placeholders = dict(zip(own, fresh(chosen), strict=True))
        found.append((graph, placeholders, push_forward(graph.outputs, placeholders, linear=linear)))
    have = [k for k in range(len(graphs[0].outputs)) if any(g.outputs[k] in known for g, _, known in found)]
    return [Graph([*g.inputs, *(p.node for p in placeholders.values())],
                  [node_of(known[g.outputs[k]] if g.outputs[k] in known else zeros(g.outputs[k])) for k in have])
            for g, placeholders, known in found], have


def transposed_graphs(graphs: Sequence[Graph], linear: Sequence[bool], cts: Sequence[int]) -> list[Graph]:
    """Graphs of cotangents from (inputs that are not linear, cotangents of the results ``cts``) to those that are."""
    out = []
    for graph in graphs:
        placeholders = [i for i, flag in zip(graph.inputs, linear, strict=True) if flag]
        rest = [i for i, flag in zip(graph.inputs, linear, strict=True) if not flag]
        seeds = fresh([graph.outputs[k] for k in cts])
        total = pull_back([wrap(graph.outputs[k]) for k in cts], seeds, placeholders)
        out.append(Graph([*rest, *(s.node for s in seeds)],
                         [node_of(total[p] if p in total else zeros(p)) for p in placeholders]))
    return out


def batched_graphs(graphs: Sequence[Graph], batched: Sequence[bool], size: int) -> list[Graph]:
    """Graphs over inputs of which those flagged have a batch axis, to results that all have one."""
    out = []
    for graph in graphs:
        own = [i for i, flag in zip(graph.inputs, batched, strict=True) if flag]
        placeholders = dict(zip(own, fresh(own, size), strict=True))
        known = push_batch(graph.outputs, placeholders, size)
        inputs = [placeholders[i].node if i in placeholders else i for i in graph.inputs]
        out.append(Graph(inputs, [node_of(known[o] if o in known else leading(wrap(o), False, size))
                                  for o in graph.outputs]))
    return out
