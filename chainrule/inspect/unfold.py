"""A graph made flat, with the value of every node: loops unrolled in time, branches taken, calls entered.

What is drawn and explained are single operations on single arrays. So a ``scan`` or ``while`` becomes the operations
of all its turns (up to a number of nodes; beyond it stays one node), a ``switch`` those of the branch that its values
choose, a ``call`` those of its body. Every node keeps where it stands: a path of :class:`Place`, the outermost first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.errors import ShapeError
from chainrule.graph import Graph, Node, derived, type_name
from chainrule.ops.declare import CONSTANT, INPUT, constant_node, input_node, make
from chainrule.ops.structure import concatenate, reshape
from chainrule.trace import Tracer

MOST = 4000  # nodes that loops are unrolled to


@dataclass(frozen=True)
class Place:
    """One level of where a node stands.

    Attributes:
        kind: ``scope`` (a layer, a loss, …), ``loop``, ``step`` of a loop, ``branch`` or ``call``.
        name: what it is called.
        unique: tells apart two of the same name.
        number: of a step, from 0; of a loop, how many steps it has.
    """

    kind: str
    name: str
    unique: int = 0
    number: int = 0


Path = tuple[Place, ...]


class Flat:
    """A graph without bodies.

    Attributes:
        inputs, outputs: in the order of the graph's own.
        nodes: all nodes in the order in which the program computes them, inputs first.
        path: where each node stands.
        valued: whether the nodes carry values.
    """

    def __init__(self, graph: Graph, arguments: Sequence[Any] = (), most: int = MOST) -> None:
        self.path: dict[Node, Path] = {}
        self.nodes: list[Node] = []
        self.most, self._loops = most, 0
        known: dict[Node, Any] = {}
        for node, value in zip(graph.inputs, _values(graph, arguments), strict=True):
            new = input_node(node.shape, node.dtype, value)
            new.name, new.source = node.name, node.source
            known[node] = self._added(new, ())
        self.inputs = [known[i] for i in graph.inputs]
        self.valued = all(i.value is not None for i in self.inputs)
        self._enter(graph, known, ())
        self.outputs = [known[o] for o in graph.outputs]

    def _added(self, node: Node, path: Path) -> Node:
        self.path[node] = path
        self.nodes.append(node)
        return node

    def _enter(self, graph: Graph, known: dict[Node, Any], path: Path) -> None:
        """Add the nodes of ``graph``, whose inputs are ``known``: a node, or a list of them for several results."""
        with derived() as origin:
            for node in sorted(graph.nodes, key=lambda n: n.order):
                if node in known:
                    continue
                origin.source = node.source
                here = _within(node, path)
                if node.op.kind == "project" and isinstance(known[node.inputs[0]], list):
                    known[node] = known[node.inputs[0]][node.params["index"]]
                    continue
                inputs = [known[i] for i in node.inputs]
                opened = self._opened(node, inputs, here)
                known[node] = self._applied(node, inputs, here) if opened is None else opened

    def _applied(self, node: Node, inputs: list[Node], path: Path) -> Node:
        if node.op in (INPUT, CONSTANT):
            new = Node(node.op, (), node.params, node.shape, node.dtype, node.params.get("value"), node.source)
        else:
            new = make(node.op, inputs, node.params)
            if not node.inputs:
                new.value = node.op.evaluate(**node.params)
        new.name = node.name
        return self._added(new, path)

    # -- operations with bodies

    def _opened(self, node: Node, inputs: list[Node], path: Path) -> list[Node] | None:
        """The results of a node with bodies, its operations added here; None where it stays one node."""
        rule = {"scan": self._scan, "while": self._while, "switch": self._switch, "call": self._call}.get(node.op.name)
        return None if rule is None else rule(node, inputs, path)

    def _body(self, graph: Graph, inputs: Sequence[Node], path: Path) -> list[Node]:
        known: dict[Node, Any] = dict(zip(graph.inputs, inputs, strict=True))
        self._enter(graph, known, path)
        return [known[o] for o in graph.outputs]

    def _loop(self, node: Node, steps: int, path: Path) -> Path:
        self._loops += 1
        name = f"{node.op.name} ({node.source})" if node.source is not None and node.source.file else node.op.name
        return (*path, Place("loop", name, self._loops, steps))

    def _scan(self, node: Node, inputs: list[Node], path: Path) -> list[Node] | None:
        p = node.params
        body, carries, length, until = p["body"], p["carries"], p["length"], p["until"]
        valued = all(i.value is not None for i in inputs)
        if until is not None and not valued or len(self.nodes) + length * len(body.nodes) > self.most:
            return None
        path, (carry, xs, constants) = self._loop(node, length, path), _split(inputs, carries, p["sliced"])
        rows: list[list[Node]] = []
        for t in range(length):
            step = (*path, Place("step", f"{t + 1} / {length}", t, t))
            taken = [self._recorded(Tracer(x)[t], step) for x in xs]
            out = self._body(body, [*carry, *taken, *constants], step)
            carry = out[:carries]
            rows.append([self._recorded(reshape(Tracer(y), shape=(1, *y.shape)), step) for y in out[carries:]])
            if until is not None and carry[until].value:
                break
        stacked = [self._stacked([row[k] for row in rows], (length, *o.shape), o.dtype, path)
                   for k, o in enumerate(body.outputs[carries:])]
        return [*carry, *stacked]

    def _stacked(self, rows: list[Node], shape: tuple[int, ...], dtype: Any, path: Path) -> Node:
        """The rows along a first axis; those not reached are 0."""
        missing = shape[0] - len(rows)
        parts: list[Any] = [Tracer(r) for r in rows]
        if missing or not rows:
            parts.append(Tracer(constant_node(np.zeros((missing, *shape[1:]), dtype))))
        return self._recorded(concatenate(*parts, axis=0), path)

    def _recorded(self, result: Any, path: Path) -> Node:
        """The node of ``result``, added with all that was recorded for it."""
        fresh: list[Node] = []
        stack = [result.node]
        while stack:
            node = stack.pop()
            if node not in self.path and node not in fresh:
                fresh.append(node)
                stack += node.inputs
        for node in sorted(fresh, key=lambda n: n.order):
            self._added(node, path)
        return result.node

    def _while(self, node: Node, inputs: list[Node], path: Path) -> list[Node] | None:
        carries, body, test = node.params["carries"], node.params["body"], node.params["test"]
        if any(i.value is None for i in inputs):
            return None
        carry, constants = inputs[:carries], inputs[carries:]
        values, turns = [i.value for i in inputs], 0
        while test.evaluate(*values)[0]:
            turns += 1
            if len(self.nodes) + turns * len(body.nodes) > self.most:
                return None
            values = [*body.evaluate(*values), *values[carries:]]
        path = self._loop(node, turns, path)
        for t in range(turns):
            carry = self._body(body, [*carry, *constants], (*path, Place("step", f"{t + 1} / {turns}", t, t)))
        return carry

    def _switch(self, node: Node, inputs: list[Node], path: Path) -> list[Node] | None:
        chosen = inputs[0].value
        if chosen is None:
            return None
        self._loops += 1
        branches = node.params["branches"]
        place = Place("branch", f"{int(chosen) + 1} / {len(branches)}", self._loops)
        return self._body(branches[int(chosen)], inputs[1:], (*path, place))

    def _call(self, node: Node, inputs: list[Node], path: Path) -> list[Node] | None:
        if node.params["rule"] is not None:  # derivatives of the user's own: what is inside has none
            return None
        self._loops += 1
        return self._body(node.params["body"], inputs, (*path, Place("call", node.op.name, self._loops)))


def _split(items: list[Node], carries: int, sliced: int) -> tuple[list[Node], list[Node], list[Node]]:
    return items[:carries], items[carries:carries + sliced], items[carries + sliced:]


def _within(node: Node, path: Path) -> Path:
    """Where a node of a body at ``path`` stands: under its own scopes, those that the path has already left out."""
    names = node.source.scope.split(" / ") if node.source and node.source.scope else []
    if node.source is not None and node.source.part:
        names = [f"{name} · {node.source.part}" for name in names] or [node.source.part]
    for place in path:
        if names and place.kind == "scope" and place.name == names[0]:
            names = names[1:]
    return (*path, *(Place("scope", name) for name in names))


def _values(graph: Graph, arguments: Sequence[Any]) -> list[Any]:
    """The concrete inputs: those given, or those that the graph was recorded with."""
    if not arguments:
        return [i.value for i in graph.inputs]
    label, arguments = graph.label, tree.flatten(tuple(arguments))[0]
    if len(arguments) != len(graph.inputs):
        raise ShapeError.of(f"{len(arguments)} values for a graph of {len(graph.inputs)} inputs",
                            "one for each of " + ", ".join(label[i] for i in graph.inputs), "graph.show(*arrays)")
    values = []
    for node, argument in zip(graph.inputs, arguments, strict=True):
        value = np.asarray(argument)
        if value.shape != tuple(node.shape) or not np.can_cast(value.dtype, node.dtype, "same_kind"):
            raise ShapeError.of(f"the value of {label[node]} is {value.dtype}{list(value.shape)}", type_name(node),
                                "graph.show(*arrays like those that were traced)")
        values.append(value.astype(node.dtype))
    return values


__all__ = ["Flat", "Path", "Place"]
