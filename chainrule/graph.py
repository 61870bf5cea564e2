"""The computational graph: immutable nodes, graphs of them, printing and reference evaluation.

A :class:`Node` is one application of an operation; edges are its ``inputs``. The same structure is
run, differentiated, compiled, drawn and exported.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule import dtypes

_PACKAGE = str(Path(__file__).parent)
_OWN_FILE: dict[str, bool] = {}  # file name -> whether it belongs to the package


ORDER = itertools.count()


class Source(NamedTuple):
    """Where in the user's program a node was recorded."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}"


class _Origin(threading.local):
    """The line that derivatives are booked under while they are recorded: that of what they are derived from."""

    source: Source | None = None


_ORIGIN = _Origin()


@contextmanager
def derived() -> Iterator[_Origin]:
    """Book what is recorded under the ``source`` that is set, instead of the calling line."""
    before = _ORIGIN.source
    try:
        yield _ORIGIN
    finally:
        _ORIGIN.source = before


def user_source() -> Source | None:
    """The innermost line outside the package that led here."""
    if _ORIGIN.source is not None:
        return _ORIGIN.source
    frame: Any = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        own = _OWN_FILE.get(file)
        if own is None:
            own = _OWN_FILE[file] = file.startswith(_PACKAGE)
        if not own:
            return Source(file, frame.f_lineno)
        frame = frame.f_back
    return None


class Node:
    """One operation applied to inputs. Never changed after it is made.

    ``shape`` and ``dtype`` describe the result; an operation with several results (``scan``) has
    tuples of them, and ``project`` nodes pick one.

    Annotations, which are no part of the node's meaning: ``source`` is the user's line; ``value`` the concrete
    result when the node was recorded with concrete data; ``grad`` the derivative of some result with respect to
    this node, once it was computed; ``name`` what the user calls it; ``order`` grows with every node that is made;
    ``weak`` says, while a program is recorded, that the node stands for a plain Python number, whose dtype gives way to
    that of arrays (``ops/declare.py``).
    """

    __slots__ = ("op", "inputs", "params", "shape", "dtype", "source", "value", "grad", "name", "order", "weak",
                 "__weakref__")

    def __init__(self, op: Any, inputs: tuple[Node, ...], params: dict[str, Any], shape: tuple[Any, ...],
                 dtype: Any, value: Any = None, source: Source | None = None) -> None:
        self.op, self.inputs, self.params = op, inputs, params
        self.shape, self.dtype, self.value, self.source = shape, dtype, value, source
        self.grad: Any = None
        self.name: str | None = None
        self.order = next(ORDER)
        self.weak = False

    @property
    def size(self) -> int:
        n = 1
        for extent in self.shape:
            n *= extent
        return n

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<{self.op.name} {type_name(self)}>"


def type_name(node: Node) -> str:
    """``float32[3, 4]``; several results are listed."""
    if isinstance(node.dtype, tuple):
        return "(" + ", ".join(f"{d.name}{list(s)}" for d, s in zip(node.dtype, node.shape, strict=True)) + ")"
    return f"{node.dtype.name}{list(node.shape)}"


def topological(outputs: Iterable[Node], stop: Iterable[Node] = ()) -> list[Node]:
    """Every node that the outputs need, inputs before users; the walk does not pass below ``stop``."""
    seen: set[Node] = set()
    finished: set[Node] = set()
    order: list[Node] = []
    barrier = set(stop)
    stack = list(outputs)[::-1]
    while stack:
        node = stack[-1]
        if node not in seen:
            seen.add(node)
            if node.inputs and node not in barrier:
                stack += [i for i in node.inputs[::-1] if i not in seen]
                continue
        stack.pop()
        if node not in finished:
            finished.add(node)
            order.append(node)
    return order


def rebuilt(outputs: Sequence[Node], replacement: Mapping[Node, Node]) -> list[Node]:
    """The outputs with some nodes replaced: what depends on those is made anew, without values."""
    new = dict(replacement)
    for node in topological(outputs, stop=replacement):
        if node not in new and not new.keys().isdisjoint(node.inputs):
            new[node] = Node(node.op, tuple(new.get(i, i) for i in node.inputs), node.params, node.shape, node.dtype,
                             None, node.source)
    return [new.get(o, o) for o in outputs]


class Graph:
    """A function as a graph: ordered ``inputs``, ordered ``outputs``, everything between.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> print(cr.trace(lambda x: np.sum(x * x), np.ones(3)))
        graph(%0: float64[3])
          %1 = mul(%0, %0)  float64[3]
          %2 = sum(%1) axes=(0,)  float64[]
          return %2
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node]) -> None:
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)

    @cached_property
    def nodes(self) -> list[Node]:
        """All nodes in topological order, the inputs first (also those that nothing uses)."""
        own = set(self.inputs)
        return [*self.inputs, *(n for n in topological(self.outputs, self.inputs) if n not in own)]

    @cached_property
    def number(self) -> dict[Node, int]:
        return {node: i for i, node in enumerate(self.nodes)}

    def __str__(self) -> str:
        return self.text()

    @cached_property
    def label(self) -> dict[Node, str]:
        """What each node is called in print: its own name, or its number."""
        names = [node.name for node in self.nodes]
        return {node: node.name if node.name and names.count(node.name) == 1 else f"%{i}"
                for i, node in enumerate(self.nodes)}

    def text(self, indent: str = "", sources: bool = False) -> str:
        """The graph, a node a line; with values and gradients if it was recorded with values."""
        label, concrete = self.label, any(i.value is not None for i in self.inputs)
        lines = [f"{indent}graph({', '.join(f'{label[i]}: {type_name(i)}' for i in self.inputs)})"]
        if concrete:
            lines += [f"{indent}  {label[i]}{_annotations(i)}" for i in self.inputs]
        for node in self.nodes[len(self.inputs):]:
            args = ", ".join(label[i] for i in node.inputs)
            params = "".join(f" {k}={_show(v)}" for k, v in node.params.items() if not graphs_in(v))
            known = _annotations(node) if concrete and node.inputs else ""
            where = f"  # {node.source}" if sources and node.source else ""
            lines.append(f"{indent}  {label[node]} = {node.op.name}({args}){params}  {type_name(node)}{known}{where}")
            lines += [g.text(indent + "    ", sources) for v in node.params.values() for g in graphs_in(v)]
        lines.append(f"{indent}  return " + ", ".join(label[o] for o in self.outputs))
        return "\n".join(lines)

    @cached_property
    def key(self) -> str:
        """A digest of everything that the graph means: equal keys, equal functions."""
        digest = hashlib.sha256()
        for text in self._signature():
            digest.update(text if isinstance(text, bytes) else text.encode())
            digest.update(b"\0")
        return digest.hexdigest()

    def _signature(self) -> Iterable[str | bytes]:
        name = self.number
        yield str([type_name(i) for i in self.inputs])
        for node in self.nodes:
            yield f"{node.op.name}{[name[i] for i in node.inputs]}{type_name(node)}"
            for k, v in node.params.items():
                if isinstance(v, np.ndarray):
                    yield v.tobytes()
                else:
                    yield f"{k}={[g.key for g in graphs_in(v)] or v!r}"
        yield str([name[o] for o in self.outputs])

    def evaluate(self, *arguments: Any) -> list[Any]:
        """The outputs by walking the graph with NumPy: the reference that compiled code must agree with."""
        value: dict[Node, Any] = dict(zip(self.inputs, arguments, strict=True))
        for node in self.nodes[len(self.inputs):]:
            value[node] = node.op.evaluate(*(value[i] for i in node.inputs), **node.params)
        return [value[o] for o in self.outputs]

    def rewrite(self, rule: Callable[[Node, tuple[Node, ...]], Node]) -> Graph:
        """Rebuild the graph from the inputs up: ``rule(node, new_inputs)`` gives the node's replacement."""
        new: dict[Node, Node] = {i: i for i in self.inputs}
        for node in self.nodes[len(self.inputs):]:
            new[node] = rule(node, tuple(new[i] for i in node.inputs))
        return Graph(self.inputs, [new[o] for o in self.outputs])


def graphs_in(value: Any) -> tuple[Graph, ...]:
    """The graphs that a parameter holds: itself, or several of them."""
    if isinstance(value, Graph):
        return (value,)
    return value if isinstance(value, tuple) and value and isinstance(value[0], Graph) else ()


def map_graphs(function: Callable[[Graph], Graph], value: Any) -> Any:
    """A parameter with ``function`` applied to the graphs that it holds."""
    if isinstance(value, Graph):
        return function(value)
    return tuple(function(g) for g in value) if graphs_in(value) else value


def params_key(params: Mapping[str, Any]) -> tuple[Any, ...]:
    """Equal and hashable for equal parameters."""
    return tuple((k, v.tobytes() if isinstance(v, np.ndarray) else tuple(g.key for g in graphs_in(v)) or v)
                 for k, v in sorted(params.items()))


def _annotations(node: Node) -> str:
    """``= 4.0, grad -3.0`` as far as they are known."""
    value = "" if node.value is None else f" = {_show(node.value)}"
    return value + ("" if node.grad is None else f", grad {_show(node.grad)}")


def _show(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 and dtypes.is_float(value.dtype):
        return str(float(f"{value:.6g}"))
    if isinstance(value, np.ndarray):
        return np.array2string(value, threshold=6, edgeitems=2, precision=4, separator=", ").replace("\n", "")
    return str(value)
