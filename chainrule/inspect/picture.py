"""What a picture of a graph shows, as plain data: nodes, edges, groups, values, gradients, the order of the passes.

The page, SVG and PNG are drawn from this by one program (``assets/picture.js``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.graph import Graph, Node, type_name
from chainrule.inspect.groups import grouped, is_weight
from chainrule.inspect.names import found_names, terms_of
from chainrule.inspect.notation import Term, Terms, name, partial, plain
from chainrule.inspect.passes import Edge, Passes, result_of
from chainrule.inspect.unfold import Flat
from chainrule.ops.declare import CONSTANT, INPUT

_FEW, _WHOLE = 6, 36  # elements of an array that is written out beside a line, and in the details
_LONG = 24  # characters of an operand's formula
_BINS = 16
_WHOLE_FORMULA, _GIVEN = 12, 5  # in a title: nodes of a formula that is written out, else inputs that are listed
_SYMBOLS = {"add": "+", "sub": "−", "mul": "×", "div": "÷", "neg": "−", "pow": "xʸ", "sqrt": "√", "sum": "Σ",
            "prod": "Π", "contract": "@", "exp": "eˣ", "eq": "=", "ne": "≠", "lt": "<", "le": "≤", "gt": ">", "ge": "≥",
            "maximum": "max", "minimum": "min", "select": "if", "concatenate": "[ , ]", "slice": "[ : ]",
            "transpose": "ᵀ", "take": "[ i ]"}

Data = dict[str, Any]


def picture(graph: Graph, arguments: Sequence[Any] = (), title: str = "", result: str = "") -> Data:
    """The data of a graph's picture.

    Args:
        graph: what is drawn.
        arguments: values of its inputs; by default those that it was recorded with.
        title: stands above the picture.
        result: what the result is called; by default as the program calls it, else ``f``.
    """
    flat = Flat(graph, arguments)
    passes = Passes(flat, result_of(flat))
    names = found_names(flat)
    for k, output in enumerate(flat.outputs):
        if output.op is not INPUT:
            names.setdefault(output, (result or "f") + ("" if len(flat.outputs) == 1 else str(k + 1)))
    return _Drawing(flat, passes, names).data(title)


class _Drawing:
    def __init__(self, flat: Flat, passes: Passes, names: dict[Node, str]) -> None:
        self.flat, self.passes, self.names = flat, passes, names
        self.terms: dict[Node, Term] = terms_of(names)
        self.shown = [n for n in flat.nodes if n in flat.outputs or not _inlined(n)]
        self.number = {n: k for k, n in enumerate(self.shown)}
        self.groups, self.of = grouped(flat, self.shown)
        self.place = {g.number: k for k, g in enumerate(self.groups)}

    def data(self, title: str) -> Data:
        edges = [e for e in self.passes.edges if e.source in self.number]
        at = {e: k for k, e in enumerate(edges)}
        output = self.passes.output
        return {"title": title or self._title(), "nodes": [self._node(n) for n in self.shown],
                "edges": [self._edge(e) for e in edges],
                "groups": [{"p": -1 if g.parent is None else self.place[g.parent.number], "kind": g.place.kind,
                            "name": _title(g.place.name), "n": g.place.number} for g in self.groups],
                "backward": [at[e] for e in self.passes.backward if e in at],
                "output": -1 if output is None else self.number[output],
                "outputs": [self.number[o] for o in self.flat.outputs if o in self.number]}

    def _title(self) -> str:
        """The results with their formulas, or, of larger graphs, with their inputs."""
        results = [o for o in self.flat.outputs if o in self.names]
        if len(self.shown) <= _WHOLE_FORMULA:
            return ", ".join(self.names[o] if o.op is INPUT else f"{self.names[o]} = {plain(self._formula(o))}"
                             for o in results)
        given = [self.names[i] for i in self.flat.inputs if i in self.names and not is_weight(i)]
        given = [*given[:_GIVEN], "…"] if len(given) > _GIVEN else given
        return ", ".join(f"{self.names[o]}({', '.join(given)})" for o in results)

    def _formula(self, node: Node) -> Term:
        return Terms(_without(self.terms, node)).of(node, apply=True)

    def _node(self, node: Node) -> Data:
        group = self.of[node]
        called = self.names.get(node, "")
        kind = "input" if node.op is INPUT else "constant" if node.op is CONSTANT else \
            "output" if node in self.flat.outputs else "op"
        found: Data = {"op": node.op.name, "name": called, "kind": kind, "type": type_name(node),
                       "symbol": _symbol(node), "group": -1 if group is None else self.place[group.number]}
        if kind in ("op", "output"):
            found |= {"formula": plain(self._short(node)), "doc": node.op.doc}
            if self.flat.valued and node.shape == () and all(i.shape == () for i in node.inputs):
                numbers = {i: name(_number(i.value.item())) for i in node.inputs}
                numbers = {i: name(f"({t.text})") if t.text.startswith("−") else t for i, t in numbers.items()}
                found["filled"] = plain(Terms(numbers).of(node, apply=True))
        if node.source is not None:
            found["source"] = node.source.described()
        if node.value is not None and not isinstance(node.value, tuple):
            found["value"] = statistics(node.value)
        gradient = self.passes.grad.get(node)
        if gradient is not None:
            found["grad"] = statistics(gradient)
        return found

    def _short(self, node: Node) -> Term:
        """The operation on its operands, those without a name by their symbols."""
        names = {i: self.terms.get(i) or Terms(self.terms, deepest=6).of(i) for i in node.inputs}
        long = {i: name(f"({_symbol(i)})") for i, t in names.items()
                if i not in self.terms and (len(plain(t)) > _LONG or "…" in plain(t))}
        return Terms({**names, **long}).of(node, apply=True)

    def _edge(self, edge: Edge) -> Data:
        found: Data = {"from": self.number[edge.source], "to": self.number[edge.target]}
        if edge.outgoing is None:
            return found
        found["out"] = figure_of(edge.outgoing)
        found["in"] = figure_of(self.passes.grad[edge.target]) if edge.target in self.passes.grad else ""
        if edge.factor:
            found["local"] = type_name(edge.target) if edge.local is None else figure_of(edge.local)
        if edge.rule is not None:
            rule, cost = edge.rule, name(self.names.get(self.passes.output, "f"))  # type: ignore[arg-type]
            operands = {n: self.terms.get(n) or name(_symbol(n)) for n in (*edge.target.inputs, edge.target)}
            if edge.factor:
                found["rule"] = plain(Terms(operands, rule.names, rule.seed).of(rule.result))
            else:
                ct = partial(cost, operands[edge.target])
                found["rule"] = plain(Terms({**operands, rule.seed: ct}, rule.names).of(rule.result))
        return found


def _without(terms: dict[Node, Term], node: Node) -> dict[Node, Term]:
    return {n: t for n, t in terms.items() if n is not node}


def _title(text: str) -> str:
    """``layer 'dense'`` without its quotes."""
    return text.removeprefix("layer ").replace("'", "")


def _inlined(node: Node) -> bool:
    """Whether a node stands in the formulas of its users only: a number, alone or spread out."""
    if node.op.name == "broadcast":
        return _inlined(node.inputs[0])
    value = node.params.get("value")
    return node.op is CONSTANT and value is not None and value.size > 0 and bool((value == value.reshape(-1)[0]).all())


def _symbol(node: Node) -> str:
    if node.op is INPUT:
        return node.name or "input"
    text = _SYMBOLS.get(node.op.name, node.op.name)
    constants = [Terms({}).of(i) for i in node.inputs if _inlined(i)]
    if node.op.name in ("mul", "div", "add", "sub") and len(constants) == 1:
        first = _inlined(node.inputs[0])
        return f"{plain(constants[0])} {text}" if first and text in "−÷" else f"{text} {plain(constants[0])}"
    return text


def figure_of(value: Any) -> str:
    """A number, or an array in a few characters."""
    array = np.asarray(value)
    return _written(array, _FEW) or f"{array.dtype.name}{list(array.shape)}"


def _written(array: np.ndarray, most: int, apart: str = ", ") -> str:
    """Numbers in brackets, axis by axis, without NumPy's printing, which is slow; nothing if they are too many."""
    if array.size > most:
        return ""
    if not array.ndim:
        return _number(array.item())
    return "[" + apart.join(_written(row, most) for row in array) + "]"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value + 0.0:.6g}".replace("-", "−")
    return str(value).replace("-", "−")


def statistics(value: Any) -> Data:
    """A value as the page shows it: its text, and of an array mean, deviation, extremes and a histogram."""
    array = np.asarray(value)
    found: Data = {"text": figure_of(array), "shape": list(array.shape)}
    if array.ndim == 0 or not array.size or array.dtype.kind not in "fiub" and not dtypes.is_float(array.dtype):
        return found
    if _FEW < array.size <= _WHOLE:
        found["all"] = _written(array, _WHOLE, ",\n " if array.ndim > 1 else ", ")
    numbers = array.astype(np.float64).reshape(-1)
    finite = numbers if np.isfinite(numbers).all() else numbers[np.isfinite(numbers)]
    if finite.size < numbers.size:
        found["odd"] = numbers.size - finite.size
    if finite.size:
        with np.errstate(over="ignore"):
            found |= {name: _number(float(getattr(finite, name)())) for name in ("mean", "std", "min", "max")}
            low, extent = float(finite.min()), float(finite.max()) - float(finite.min())
        if 0 < extent < np.inf:
            places = np.minimum((finite - low) * (_BINS / extent), _BINS - 1).astype(np.int64)
            found["bins"] = np.bincount(places, minlength=_BINS).tolist()
    return found


__all__ = ["figure_of", "picture", "statistics"]
