"""The computational graph: immutable nodes, graphs of them, printing and reference evaluation.

A :class:`Node` is one application of an operation; edges are its ``inputs``. The same structure is
run, differentiated, compiled, drawn and exported.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule import dtypes, tree
from chainrule.cost import Cost, measure
from chainrule.tracebacks import OWN_FILE, is_own

_UNIFORM_UP_TO = 4096  # elements of a constant that is looked at for its print
_WIDEST, _WIDEST_HEADER = 72, 110  # characters: what is longer does not move the column of types, or gets lines


ORDER = itertools.count()
INSPECT: list[Any] = []  # what draws and explains graphs; chainrule/inspect, which stands above, is put here


class Source(NamedTuple):
    """Where in the user's program a node was recorded, and what it belongs to.

    ``scope`` is the layer, loss, metric or optimizer that recorded it. ``of`` is the operation that it was derived
    from by differentiation, ``part`` whether for the backward pass or for forward mode; both empty for what the user's
    program computes itself.
    """

    file: str
    line: int
    scope: str = ""
    of: str = ""
    part: str = ""

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}" if self.file else ""

    def described(self) -> str:
        """``model.py:12, layer 'dense', backward pass of tanh``, as far as it applies."""
        belongs = f"{self.part} of {self.of}" if self.of else ""
        return ", ".join(filter(None, [str(self), self.scope, belongs]))


BACKWARD, FORWARD = "backward pass", "forward-mode derivative"


class _Origin(threading.local):
    """What nodes are booked under while they are recorded, apart from the calling line."""

    source: Source | None = None  # of derivatives: that of what they are derived from
    scope: str = ""

    def book(self, node: Node, part: str) -> None:
        """What is recorded from here on is a derivative of ``node``."""
        s = node.source
        if s is not None and not (s.of and s.part == part):  # called for every node: most need no new source
            s = Source(s.file, s.line, s.scope, s.of or node.op.name, part)
        self.source = s


_ORIGIN = _Origin()


@contextmanager
def derived() -> Iterator[_Origin]:
    """Book what is recorded under the node that it is derived from (``book``), instead of the calling line."""
    before = _ORIGIN.source
    try:
        yield _ORIGIN
    finally:
        _ORIGIN.source = before


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Note that what is recorded belongs to ``name``: a layer, a loss, a metric, an optimizer."""
    before = _ORIGIN.scope
    _ORIGIN.scope = f"{before} / {name}" if before else name
    try:
        yield
    finally:
        _ORIGIN.scope = before


def user_source() -> Source | None:
    """The innermost line outside the package that led here."""
    if _ORIGIN.source is not None:
        return _ORIGIN.source
    frame: Any = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        own = OWN_FILE.get(file)
        if own is None:
            own = is_own(file)
        if not own:
            return Source(file, frame.f_lineno, _ORIGIN.scope)
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
    that of arrays (``ops/declare.py``); ``open`` says that a transformation is by this node, and still being recorded.
    """

    __slots__ = ("op", "inputs", "params", "shape", "dtype", "source", "value", "grad", "name", "order", "weak",
                 "open", "__weakref__")

    def __init__(self, op: Any, inputs: tuple[Node, ...], params: dict[str, Any], shape: tuple[Any, ...],
                 dtype: Any, value: Any = None, source: Source | None = None) -> None:
        self.op, self.inputs, self.params = op, inputs, params
        self.shape, self.dtype, self.value, self.source = shape, dtype, value, source
        self.grad: Any = None
        self.name: str | None = None
        self.order = next(ORDER)
        self.weak = self.open = False

    @property
    def size(self) -> int:
        n = 1
        for extent in self.shape:
            n *= extent
        return n

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def over(self, inputs: tuple[Node, ...]) -> Node:
        """The same node on other inputs that have the same meaning."""
        new = Node(self.op, inputs, self.params, self.shape, self.dtype, self.value, self.source)
        new.name, new.order, new.weak = self.name, self.order, self.weak
        return new

    @property
    def bodies(self) -> list[tuple[str, Graph]]:
        """The graphs that the operation evaluates, each with the name of the parameter that it is."""
        return [(name, graph) for name, param in self.params.items() for graph in graphs_in(param)]

    def __repr__(self) -> str:
        return f"<{self.op.name} {type_name(self)}>"


@cache
def _dtype_name(dtype: np.dtype) -> str:
    return dtype.name  # NumPy makes the text anew every time


def type_name(node: Node) -> str:
    """``float32[3, 4]``; several results are listed."""
    if isinstance(node.dtype, tuple):
        return "(" + ", ".join(f"{_dtype_name(d)}{list(s)}" for d, s in zip(node.dtype, node.shape, strict=True)) + ")"
    return f"{_dtype_name(node.dtype)}{list(node.shape)}"


def name_inputs(nodes: Sequence[Node], function: Callable[..., Any], args: Sequence[Any]) -> None:
    """Call inputs what ``function`` calls them: ``nodes`` stand for the leaves of its arguments."""
    for node, name in zip(nodes, tree.argument_paths(function, args), strict=True):
        node.name = name


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
        graph(x: float64[3])
          %1 = mul(x, x)          float64[3]
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
        """What each node is called in print: its own name, the number if it is one, or where it stands."""
        named = Counter(node.name for node in self.nodes)
        labels: dict[Node, str] = {}
        count = 0
        for node in self.nodes:
            inline = _uniform(node)
            if node.name and named[node.name] == 1:
                labels[node] = node.name
            elif inline is not None:
                labels[node] = inline
            else:
                count += 1
                labels[node] = f"%{count}"
        return labels

    def text(self, indent: str = "", sources: bool = False) -> str:
        """The graph, a node a line; with values and gradients if it was recorded with values.

        Inputs have the names of the function's parameters, such as ``params['w'][0]``. Constants of one value stand
        where they are used.

        Args:
            indent: stands before every line.
            sources: add the user's line to each node, and which layer and whose derivative it is.
        """
        label, concrete = self.label, any(i.value is not None for i in self.inputs)
        lines = _header([f"{label[i]}: {type_name(i)}" for i in self.inputs], indent)
        if concrete:
            lines += [f"{indent}  {label[i]}{_annotations(i)}" for i in self.inputs]
        shown = [n for n in self.nodes[len(self.inputs):] if _uniform(n) is None]
        applied = [f"{label[n]} = {_applied(n, label)}" for n in shown]
        wide = max((len(a) for a in applied if len(a) <= _WIDEST), default=0)
        for node, what in zip(shown, applied, strict=True):
            known = _annotations(node) if concrete and node.inputs else ""
            line = f"{indent}  {what:<{wide}}  {type_name(node)}{known}"
            lines.append(f"{line}  # {node.source.described()}" if sources and node.source else line)
            for name, body in node.bodies:
                lines += [f"{indent}    {name}:", body.text(indent + "      ", sources)]
        lines.append(f"{indent}  return " + ", ".join(label[o] for o in self.outputs))
        return "\n".join(lines)

    def cost(self, parameters: int | None = None) -> Cost:
        """Floating-point operations, bytes moved and parameters, by kind of operation.

        Args:
            parameters: how many of the inputs, from the first on, are parameters; by default those that belong to the
                function's first argument.

        Returns:
            A :class:`~chainrule.cost.Cost`; :mod:`chainrule.cost` says what is counted how.

        Example:
            >>> import chainrule as cr, numpy as np
            >>> graph = cr.trace(lambda w, x: np.tanh(x @ w), np.ones((4, 3)), np.ones((5, 4)))
            >>> cost = graph.cost()
            >>> cost.flops, cost.special, cost.parameters  # 2 * 5 * 3 * 4, one tanh for each of 5 * 3, 4 * 3
            (120, 15, 12)
        """
        if parameters is None:
            first = [(i.name or "").partition("[")[0] for i in self.inputs]
            parameters = next((k for k, name in enumerate(first) if name != first[0]), len(first))
            if first and not first[0]:
                parameters = 1
        return measure(self, sum(i.size for i in self.inputs[:parameters]))

    def show(self, *values: Any, title: str = "", lang: str = "") -> Path | None:
        """Show the graph with the value and the gradient at every node: in a notebook there, else in the browser.

        The page steps through both passes, unfolds layers and loops, and needs no network; :meth:`save` writes it.

        Args:
            values: the arguments, as they were given to :func:`~chainrule.trace`; by default those that the graph was
                recorded with.
            title: of the page.
            lang: ``"en"`` or ``"es"``; by default what the browser prefers.

        Returns:
            The file; in a notebook None.

        Example:
            >>> import chainrule as cr
            >>> x, y, z = cr.variables(x=1.0, y=3.0, z=-3.0)
            >>> f = (x + y) * z
            >>> f.graph.show()   # doctest: +SKIP
        """
        return INSPECT[0].show(self, values, title, lang)

    def save(self, path: str | Path, *values: Any, title: str = "", lang: str = "en", unfold: bool = False) -> Path:
        """Write a picture of the graph: ``.html`` (the page of :meth:`show`), ``.svg``, ``.png`` or ``.dot``.

        Args:
            path: the file.
            values: as for :meth:`show`.
            title: of the picture; by default the formula of the result, where it is short.
            lang: ``"en"`` or ``"es"``.
            unfold: draw layers and loops unfolded, in ``.svg`` and ``.png``; the page unfolds what you point at.

        Raises:
            ArgumentError: for other endings.
            MissingExtra: for ``.svg`` and ``.png`` without ``pip install 'chainrule[pictures]'``.

        Example:
            >>> import chainrule as cr, numpy as np
            >>> graph = cr.trace(lambda w, x: np.sum(np.tanh(x @ w)), np.ones((3, 2)), np.ones(3))
            >>> graph.save("graph.html", np.ones((3, 2)), np.ones(3))   # doctest: +SKIP
        """
        return INSPECT[0].save(self, path, values, title, lang, unfold)

    def backward(self) -> Graph:
        """The graph with its own backward pass: to its one result come the derivatives by all floating inputs.

        Example:
            >>> import chainrule as cr, numpy as np
            >>> print(cr.trace(lambda x: np.sum(np.sin(x)), np.ones(2)).backward())
            graph(x: float64[2])
              %1 = sin(x)             float64[2]
              %2 = sum(%1) axes=(0,)  float64[]
              %3 = cos(x)             float64[2]
              %4 = mul(%3, 1.0)       float64[2]
              return %2, %4
        """
        return INSPECT[0].backward(self)

    def _repr_html_(self) -> str:
        return INSPECT[0].notebook(self)

    def _repr_svg_(self) -> str | None:
        return INSPECT[0].notebook_svg(self)

    @cached_property
    def key(self) -> str:
        """A digest of everything that the graph means: equal keys, equal functions."""
        return hashlib.sha256(b"\0".join(self._signature())).hexdigest()

    def _signature(self) -> Iterable[bytes]:
        name = self.number
        yield str([type_name(i) for i in self.inputs]).encode()
        for node in self.nodes:
            yield f"{node.op.name}{[name[i] for i in node.inputs]}{type_name(node)}".encode()
            for k, v in node.params.items():
                if isinstance(v, np.ndarray):
                    yield v.tobytes()
                else:
                    yield f"{k}={[g.key for g in graphs_in(v)] or v!r}".encode()
        yield str([name[o] for o in self.outputs]).encode()

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
def _header(inputs: list[str], indent: str) -> list[str]:
    line = f"{indent}graph({', '.join(inputs)})"
    if len(line) <= _WIDEST_HEADER:
        return [line]
    return [f"{indent}graph(", *(f"{indent}  {i}," for i in inputs), f"{indent})"]


def _applied(node: Node, label: Mapping[Node, str]) -> str:
    """``sum(x) axes=(0,)``."""
    if not node.inputs and "value" in node.params:
        return f"{node.op.name} {short(node.params['value'])}"
    if node.op.kind == "contract":
        letters: dict[int, str] = {}
        labels = [node.params[k] for k in ("a_axes", "b_axes", "out_axes")]
        a, b, out = ("".join(letters.setdefault(x, chr(ord("a") + len(letters))) for x in axes) for axes in labels)
        return f"{node.op.name}({', '.join(label[i] for i in node.inputs)}) {a},{b}->{out}"
    params = [f" {k}={short(v)}" for k, v in node.params.items() if v is not None and not graphs_in(v)]
    return f"{node.op.name}({', '.join(label[i] for i in node.inputs)})" + "".join(params)


def _uniform(node: Node) -> str | None:
    """The number that a constant, or one that is spread out, consists of; None for constants of several or none."""
    if node.op.name == "broadcast":
        node = node.inputs[0]
    value = node.params.get("value") if not node.inputs else None
    if not isinstance(value, np.ndarray) or not 0 < value.size <= _UNIFORM_UP_TO and any(value.strides):
        return None
    first = value.reshape(-1)[0] if value.size else None
    return short(first) if value.size and (value == first).all() else None


def _annotations(node: Node) -> str:
    """``= 4.0, grad -3.0`` as far as they are known."""
    value = "" if node.value is None else f" = {short(node.value)}"
    return value + ("" if node.grad is None else f", grad {short(node.grad)}")


def short(value: Any) -> str:
    """A value as a few characters: six digits of a number, the first and last elements of an array."""
    if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 and dtypes.is_float(value.dtype):
        return str(float(f"{value:.6g}"))
    if isinstance(value, np.ndarray):
        return np.array2string(value, threshold=6, edgeitems=2, precision=4, separator=", ").replace("\n", "")
    return str(value)
