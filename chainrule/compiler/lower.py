"""Fusion plan → statements: every group becomes a nest, every stored node an array in a buffer.

Needs: a simplified graph. Gives: a :class:`Program` whose temporaries have no place in memory yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.compiler.fuse import SEVERAL, Group, Plan, plan_fusion
from chainrule.compiler.layout import (
    View,
    as_stored,
    dense,
    input_index,
    is_dense,
    layout,
    reads_through,
    regroups,
    row_major,
)
from chainrule.compiler.loops import (
    Access,
    Affine,
    Apply,
    Axis,
    Branch,
    Buffer,
    Clamp,
    Const,
    Contract,
    Custom,
    Load,
    Loop,
    Nest,
    Position,
    Program,
    Reduced,
    Statement,
    Store,
    Whole,
)
from chainrule.dtypes import INT64
from chainrule.graph import Graph, Node
from chainrule.ops.declare import CONSTANT

ENDLESS = 2**62  # turns of a loop that ends by its test
SMALL = 4096  # elements of a padded array that are all zeroed at once, and not the margins alone


@dataclass
class _Memory:
    """The buffers of a program as they are asked for."""

    temps: list[Buffer] = field(default_factory=list)
    constants: dict[Any, tuple[Buffer, np.ndarray]] = field(default_factory=dict)
    axes: int = 0

    def temp(self, size: int, dtype: np.dtype, name: str = "t") -> Buffer:
        buffer = Buffer(f"{name}{len(self.temps)}", size, dtype, "temp")
        self.temps.append(buffer)
        return buffer

    def constant(self, value: np.ndarray) -> Buffer:
        key = (value.dtype.str, value.tobytes())
        if key not in self.constants:
            buffer = Buffer(f"c{len(self.constants)}", value.size, value.dtype, "constant")
            self.constants[key] = (buffer, value)
        return self.constants[key][0]

    def axis(self, name: str, extent: int) -> Axis:
        self.axes += 1
        return Axis(f"{name}{self.axes}", extent)


def lower(graph: Graph) -> Program:
    """The statements that compute ``graph`` from input buffers into output buffers."""
    memory = _Memory()
    inputs = [Buffer(f"in{k}", n.size, n.dtype, "input") for k, n in enumerate(graph.inputs)]
    outputs = [Buffer(f"out{k}", n.size, n.dtype, "output") for k, n in enumerate(graph.outputs)]
    bound = {n: dense(b, n.shape) for n, b in zip(graph.inputs, inputs, strict=True)}
    targets = [dense(b, n.shape) for n, b in zip(graph.outputs, outputs, strict=True)]
    statements = _Block(graph, bound, targets, memory).run()
    return Program(statements, inputs, outputs, list(memory.constants.values()), memory.temps)


class _Block:
    """Lowers one graph: the program, or the body of a loop."""

    def __init__(self, graph: Graph, bound: dict[Node, View], targets: Sequence[View], memory: _Memory) -> None:
        self.graph, self.targets, self.memory = graph, targets, memory
        self.statements: list[Statement] = []
        for node, view in list(bound.items()):  # rows of something transposed, say
            if not is_dense(node.shape, view.strides) and _must_be_dense(graph, node):
                bound[node] = dense(memory.temp(node.size, node.dtype), node.shape)
                self.statements.append(copy_nest(memory, view, bound[node], node.shape, node.dtype))
        self.plan: Plan = plan_fusion(graph, {n: v.strides for n, v in bound.items()})
        self.inputs = frozenset(graph.inputs)
        self.views: dict[Node, View] = dict(bound)
        self.registers: dict[Node, Any] = {}
        self.current: Group | None = None
        self.exprs: dict[Any, Any] = {}

    def run(self) -> list[Statement]:
        copies = self._place_outputs()
        for node, target in copies:
            if node in self.inputs:  # before what follows may be written over it
                self._copy(node, target)
        self._place_parts()
        for group in self.plan.groups:
            for node in group.nodes:
                if node in self.plan.stored and node not in self.views and node.op.kind not in SEVERAL | {"project"}:
                    self.views[node] = dense(self.memory.temp(node.size, node.dtype), node.shape)
        for group in self.plan.groups:
            self._emit(group)
        for node, target in copies:
            if node not in self.inputs:
                self._copy(node, target)
        return self.statements

    # -- destinations

    def _flat_base(self, node: Node) -> Node:
        """The node whose dense memory ``node`` is, through reshapes."""
        while node.op.kind == "reshape" and node not in self.plan.group and node not in self.views:
            node = node.inputs[0]
        return node

    def _place(self, node: Node, target: View) -> bool:
        """Let ``node`` (through reshapes) be computed right into ``target``, if it has no place yet."""
        base = self._flat_base(node)
        if base in self.views or base not in self.plan.group or base.op.kind in SEVERAL:
            return False
        if base not in self.plan.stored and base.op.kind != "project":
            return False
        if base is not node and not is_dense(node.shape, target.strides):
            return False
        strides = target.strides if base is node else row_major(base.shape)
        self.views[base] = View(target.buffer, target.base, strides)
        return True

    def _place_outputs(self) -> list[tuple[Node, View]]:
        return [(node, target) for node, target in zip(self.graph.outputs, self.targets, strict=True)
                if not self._place(node, target)]

    def _place_parts(self) -> None:
        """What is concatenated or padded is computed right into its part of the result, from the last one made on."""
        self.leftover: dict[Node, list[tuple[Node, View]]] = {}
        for group in reversed(self.plan.groups):
            node = group.lead
            if node is None or node.op.kind not in ("concatenate", "pad"):
                continue
            if node not in self.views:
                self.views[node] = dense(self.memory.temp(node.size, node.dtype), node.shape)
            self.leftover[node] = []
            spread = max(node.params.get("step", ()), default=1) > 1  # the zeros between must come first
            for operand, part in self._parts(node, self.views[node]):
                if spread or not self._fits(operand, part) or not self._place(operand, part):
                    self.leftover[node].append((operand, part))

    def _parts(self, node: Node, whole: View) -> Iterator[tuple[Node, View]]:
        """The operands of a concatenation or of padding, and where they lie."""
        if node.op.kind == "pad":
            strides = tuple(w * s for w, s in zip(whole.strides, node.params["step"], strict=True))
            at = sum(w * a for w, a in zip(whole.strides, node.params["start"], strict=True))
            yield node.inputs[0], View(whole.buffer, whole.base.affine(1, at), strides)
            return
        axis, first = node.params["axis"], 0
        for operand in node.inputs:
            yield operand, View(whole.buffer, whole.base.affine(1, first * whole.strides[axis]), whole.strides)
            first += operand.shape[axis]

    def _fits(self, operand: Node, part: View) -> bool:
        """Whether ``operand`` may lie there: in dense memory, or in rows apart where all who read it can."""
        if is_dense(operand.shape, part.strides):
            return True
        if operand.op.kind in ("custom", "project"):  # kernels write dense arrays, and so do loops
            return False
        steps = [abs(s) for n, s in zip(operand.shape, part.strides, strict=True) if n > 1]
        return min(steps) == steps[-1] == 1 and self._takes_strides(operand)

    def _takes_strides(self, node: Node) -> bool:
        """Whether all who read ``node`` find their way if it is no dense memory."""
        if node.ndim == 0 or node.op.kind == "reshape":
            return False
        return all(not (u.op.kind == "reshape" and regroups(u)) and u.op.kind not in SEVERAL and u.op.kind != "custom"
                   and (u.op.kind not in ("view", "reshape") or self._takes_strides(u)) for u in self.plan.users[node])

    # -- statements

    def _emit(self, group: Group) -> None:
        self.current, self.registers, self.exprs = group, {}, {}
        lead = group.lead
        kind = "map" if lead is None else lead.op.kind
        getattr(self, f"_emit_{kind}")(group)
        self.current, self.registers = None, {}

    def _emit_map(self, group: Group) -> None:
        axes, index = self._axes(group.nodes[0].shape)
        self.statements.append(Nest(axes, self._stores(group, index), label=_label(group)))

    def _emit_reduce(self, group: Group) -> None:
        node = group.lead
        assert node is not None
        source, reduced = node.inputs[0], node.params["axes"]
        _, full = self._axes(source.shape)
        index = [i for d, i in enumerate(full) if d not in reduced]
        body = self.read(source, full)
        self.registers[node] = Reduced(node.dtype)
        self.exprs = {}
        stores = self._stores(group, index)
        self.statements.append(Nest(_used(index), stores, _used([full[d] for d in reduced]), node.op.combine, body,
                                    _label(group)))

    def _emit_contract(self, group: Group) -> None:
        node = group.lead
        assert node is not None
        p = node.params
        extents = dict(zip(p["a_axes"] + p["b_axes"], node.inputs[0].shape + node.inputs[1].shape, strict=True))
        labels = {label: self.memory.axis("i" if label in p["out_axes"] else "r", n) for label, n in extents.items()}
        at = {label: Affine(0, ((axis, 1),)) for label, axis in labels.items()}
        a, b = (self._memory_of(as_stored(i)).access([at[x] for x in p[axes]])
                for i, axes in zip(node.inputs, ("a_axes", "b_axes"), strict=True))
        self.registers[node] = Reduced(node.dtype)
        stores = self._stores(group, [at[x] for x in p["out_axes"]])
        out_axes = tuple(labels[x] for x in p["out_axes"])
        summed = tuple(axis for label, axis in labels.items() if label not in p["out_axes"])
        self.statements.append(Contract(out_axes, summed, a, b, node.dtype, stores, _label(group)))

    def _emit_concatenate(self, group: Group) -> None:
        assert group.lead is not None
        for operand, part in self.leftover[group.lead]:
            self._copy(operand, part)

    def _emit_pad(self, group: Group) -> None:
        node = group.lead
        assert node is not None
        placed, spread = not self.leftover[node], max(node.params["step"], default=1) > 1
        if placed or node.size > SMALL and not spread:
            self._margins(node)
        else:
            self._fill(node)
        for operand, part in self.leftover[node]:
            self._copy(operand, part, "pad")

    def _margins(self, node: Node) -> None:
        """Zeros around what has been computed in its place."""
        view, zero = self.views[node], Const(node.dtype.type(0), node.dtype)
        start, shape = node.params["start"], list(node.shape)
        first = [0] * len(shape)
        for k, (a, n) in enumerate(zip(start, node.inputs[0].shape, strict=True)):
            for low, high in ((0, a), (a + n, node.shape[k])):
                if high > low:
                    axes, index = self._axes([*shape[:k], high - low, *shape[k + 1:]])
                    at = [i.affine(1, f) for i, f in zip(index, [*first[:k], low, *first[k + 1:]], strict=True)]
                    self.statements.append(Nest(axes, [Store(view.access(at), zero)], label="zeros"))
            first[k], shape[k] = a, n

    def _emit_scatter_add(self, group: Group) -> None:
        node = group.lead
        assert node is not None
        self._fill(node)
        source, indices = node.inputs
        axis, extent = node.params["axis"], node.params["extent"]
        axes, index = self._axes(source.shape)
        picked = index[axis:axis + indices.ndim]
        where = Clamp((self.read(indices, picked),), extent, INT64)
        target = [*index[:axis], Affine(0, (), ((1, where),)), *index[axis + indices.ndim:]]
        self.statements.append(Nest(axes, [Store(self.views[node].access(target), self.read(source, index), True)],
                                    label="scatter_add"))

    def _emit_custom(self, group: Group) -> None:
        node = group.lead
        assert node is not None
        if isinstance(node.dtype, tuple):
            outputs = [_whole(view, shape) for view, shape in zip(self._results(node), node.shape, strict=True)]
        else:
            outputs = [_whole(self.views[node], node.shape)]
        inputs = [_whole(self._memory_of(i), i.shape) for i in node.inputs]
        self.statements.append(Custom(node.op, node.params, inputs, outputs, node.op.name))

    def _emit_scan(self, group: Group) -> None:
        node = group.lead
        assert node is not None
        p, body = node.params, node.params["body"]
        n, sliced = p["carries"], p["sliced"]
        results = self._results(node)
        for init, view in zip(node.inputs[:n], results[:n], strict=True):
            self._copy(init, view)
        axis = self.memory.axis("step", p["length"])
        along = Affine(0, ((axis, 1),))
        bound = dict(zip(body.inputs[:n], results[:n], strict=True))
        for inner, outer in zip(body.inputs[n:n + sliced], node.inputs[n:n + sliced], strict=True):
            v = self._memory_of(outer)
            bound[inner] = View(v.buffer, v.base.plus(along.affine(v.strides[0], 0)), v.strides[1:])
        for inner, outer in zip(body.inputs[n + sliced:], node.inputs[n + sliced:], strict=True):
            bound[inner] = self._memory_of(outer)
        fresh = [dense(self.memory.temp(o.size, o.dtype, "next"), o.shape) for o in body.outputs[:n]]
        rows = [View(v.buffer, v.base.plus(along.affine(v.strides[0], 0)), v.strides[1:]) for v in results[n:]]
        block = _Block(body, bound, [*fresh, *rows], self.memory)
        statements = block.run()
        for new, old, o in zip(fresh, results[:n], body.outputs[:n], strict=True):
            statements.append(copy_nest(self.memory, new, old, o.shape, o.dtype))
        until = None if p["until"] is None else Access(results[p["until"]].buffer, results[p["until"]].base)
        self.statements.append(Loop(axis, statements, until, "scan"))

    def _emit_while(self, group: Group) -> None:
        node = group.lead
        assert node is not None
        p, body, test = node.params, node.params["body"], node.params["test"]
        n = p["carries"]
        results = self._results(node)
        for init, view in zip(node.inputs[:n], results, strict=True):
            self._copy(init, view)
        constants = [self._memory_of(x) for x in node.inputs[n:]]
        fresh = [dense(self.memory.temp(o.size, o.dtype, "next"), o.shape) for o in body.outputs]
        flag = dense(self.memory.temp(1, test.outputs[0].dtype, "holds"), ())

        def tested(carries: Sequence[View]) -> list[Statement]:
            bound = dict(zip(test.inputs, [*carries, *constants], strict=True))
            return _Block(test, bound, [flag], self.memory).run()
        self.statements += tested(results)
        bound = dict(zip(body.inputs, [*results, *constants], strict=True))
        statements = _Block(body, bound, fresh, self.memory).run() + tested(fresh)
        for new, old, o in zip(fresh, results, body.outputs, strict=True):
            statements.append(copy_nest(self.memory, new, old, o.shape, o.dtype))
        self.statements.append(Loop(self.memory.axis("turn", ENDLESS), statements, None, "while",
                                    Access(flag.buffer, flag.base)))

    def _emit_switch(self, group: Group) -> None:
        node = group.lead
        assert node is not None
        index, *operands = map(self._memory_of, node.inputs)
        results = self._results(node)
        bodies = [_Block(graph, dict(zip(graph.inputs, operands, strict=True)), results, self.memory).run()
                  for graph in node.params["branches"]]
        self.statements.append(Branch(Access(index.buffer, index.base), bodies, "switch"))

    def _results(self, node: Node) -> list[View]:
        projected = {u.params["index"]: u for u in self.plan.users[node]}
        return [self._result(node, k, projected.get(k)) for k in range(len(node.shape))]

    def _result(self, node: Node, k: int, projected: Node | None) -> View:
        """Where result k lies; results that nobody uses need memory all the same."""
        shape, dtype = node.shape[k], node.dtype[k]
        view = self.views.get(projected) if projected is not None else None
        if view is None:
            view = dense(self.memory.temp(int(np.prod(shape)), dtype, "part"), shape)
        if projected is not None:
            self.views[projected] = view
        if node.op.kind == "scan" and k >= node.params["carries"] and node.params["until"] is not None:
            self.statements.append(self._filled(view, shape, dtype))
        return view

    def _fill(self, node: Node) -> None:
        self.statements.append(self._filled(self.views[node], node.shape, node.dtype))

    def _filled(self, view: View, shape: tuple[int, ...], dtype: np.dtype) -> Nest:
        axes, index = self._axes(shape)
        return Nest(axes, [Store(view.access(index), Const(dtype.type(0), dtype))], label="zeros")

    def _copy(self, node: Node, target: View, label: str = "copy") -> None:
        axes, index = self._axes(node.shape)
        self.exprs = {}
        self.statements.append(Nest(axes, [Store(target.access(index), self.read(node, index))], label=label))

    def _stores(self, group: Group, index: list[Affine]) -> list[Store]:
        values = {node: self.read(node, index) for node in group.nodes}
        return [Store(self.views[n].access(index), values[n]) for n in group.nodes if n in self.plan.stored]

    # -- reading

    def _axes(self, shape: Sequence[int]) -> tuple[tuple[Axis, ...], list[Affine]]:
        """Fresh axes for a space, and the index of its points; an extent of 1 needs no axis."""
        axes = [self.memory.axis("i", n) for n in shape]
        index = [Affine() if a.extent == 1 else Affine(0, ((a, 1),)) for a in axes]
        return tuple(a for a in axes if a.extent != 1), index

    def _memory_of(self, node: Node) -> View:
        """A node's elements as a strided view of memory."""
        where = layout(node, self.views.keys(), self._strides)
        assert where is not None, f"{node.op.name} is no view of memory"
        base = self.views.get(where.base)
        if base is None:
            base = dense(self.memory.constant(where.base.params["value"]), where.base.shape)
        return View(base.buffer, base.base.affine(1, where.offset), where.strides)

    def _strides(self, node: Node) -> tuple[int, ...]:
        view = self.views.get(node)
        return row_major(node.shape) if view is None else view.strides

    def read(self, node: Node, index: list[Affine]) -> Any:
        """The expression for one element of ``node``."""
        key = (node, tuple(i.key for i in index))
        if key not in self.exprs:
            self.exprs[key] = self._read(node, index)
        return self.exprs[key]

    def _read(self, node: Node, index: list[Affine]) -> Any:
        if node in self.registers:
            return self.registers[node]
        if node in self.views and (node in self.inputs or self.plan.group.get(node) is not self.current):
            return Load(self.views[node].access(index), node.dtype)
        if node.op is CONSTANT:
            return self._read_constant(node, index)
        kind = node.op.kind
        if node.op.name == "poll":
            self._memory_of(node.inputs[0]).buffer.volatile = True
        if kind == "elementwise":
            return Apply(node.op, tuple(self.read(i, index) for i in node.inputs), node.params, node.dtype)
        if kind == "iota":
            return Position(index[node.params["axis"]], node.dtype)
        if kind == "take":
            return self._read_taken(node, index)
        if reads_through(node):
            return self.read(node.inputs[0], input_index(node, index))
        assert kind == "reshape" and regroups(node), f"{node.op.name} has no value in this place"
        flat = Affine()
        for i, stride in zip(index, row_major(node.shape), strict=True):
            flat = flat.plus(i.affine(stride, 0))
        source = self._memory_of(node.inputs[0])
        return Load(Access(source.buffer, source.base.plus(flat)), node.dtype)

    def _read_constant(self, node: Node, index: list[Affine]) -> Any:
        value = node.params["value"]
        if value.size == 1:
            return Const(value.reshape(())[()], node.dtype)
        return Load(dense(self.memory.constant(value), node.shape).access(index), node.dtype)

    def _read_taken(self, node: Node, index: list[Affine]) -> Any:
        source, indices = node.inputs
        axis = node.params["axis"]
        where = Clamp((self.read(indices, index[axis:axis + indices.ndim]),), source.shape[axis], INT64)
        return self.read(source, [*index[:axis], Affine(0, (), ((1, where),)), *index[axis + indices.ndim:]])


def _must_be_dense(graph: Graph, node: Node) -> bool:
    """Whether an input, seen through views, is regrouped or goes to a kernel that takes whole arrays."""
    seen = {node}
    for n in graph.nodes:
        if not seen.isdisjoint(n.inputs):
            if n.op.kind == "custom" or (n.op.kind == "reshape" and regroups(n)):
                return True
            if reads_through(n):
                seen.add(n)
    return False


def copy_nest(memory: _Memory, source: View, target: View, shape: tuple[int, ...], dtype: np.dtype) -> Nest:
    axes = [memory.axis("i", n) for n in shape]
    index = [Affine(0, ((a, 1),)) for a in axes]
    return Nest(tuple(axes), [Store(target.access(index), Load(source.access(index), dtype))], label="copy")


def _whole(view: View, shape: tuple[int, ...]) -> Whole:
    return Whole(Access(view.buffer, view.base), shape)


def _used(index: Sequence[Affine]) -> tuple[Axis, ...]:
    return tuple(a for i in index for a, _ in i.terms)


def _label(group: Group) -> str:
    return " ".join(dict.fromkeys(n.op.name for n in group.nodes))
