"""Formulas of recorded nodes: terms built from operations, written as plain text or as LaTeX.

A :class:`Term` is a small tree. :class:`Terms` builds it from nodes, down to those that have a name. Views of one
array (broadcast, reshape, casts, copies) are left out: the formula has the values, not the shapes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.graph import Node, short

Index = tuple[int, ...]
_SEEN_THROUGH = frozenset(("broadcast", "reshape", "copy", "cast", "stop_gradient", "after"))
_INFIX = {"add": "+", "sub": "-", "mul": "·", "div": "/", "eq": "=", "ne": "≠", "lt": "<", "le": "≤", "gt": ">",
          "ge": "≥", "bit_and": "∧", "bit_or": "∨"}
_STRENGTH = {"=": 0, "≠": 0, "<": 0, "≤": 0, ">": 0, "≥": 0, "∧": 0, "∨": 0, "+": 1, "-": 1, "·": 2, "⊙": 2, "/": 2,
             "@": 3, "⊗": 3}
_FUNCTIONS = {"sum": "Σ", "prod": "Π", "maximum": "max", "minimum": "min", "integer_power": "power", "bit_not": "not"}
_WHOLE = 36  # elements of an array that is written out
_LONGEST = 4  # parts of a concatenation that are written out


@dataclass(frozen=True)
class Term:
    """``kind`` is ``name``, ``number``, ``infix``, ``neg``, ``power``, ``root``, ``T``, ``at``, ``call``, ``select``,
    ``list`` or ``partial``; ``text`` a name, number, operator or function.
    """

    kind: str
    text: str
    parts: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return plain(self)


def name(text: str) -> Term:
    """A name."""
    return Term("name", text)


def partial(of: Term, by: Term) -> Term:
    """∂of/∂by."""
    return Term("partial", "", (of, by))


def indexed(term: Term, at: Index | None) -> Term:
    """One element of a term; a number is the same everywhere."""
    return Term("at", ", ".join(map(str, at)), (term,)) if at and term.kind != "number" else term


ONE = Term("number", "1")


def product(a: Term, b: Term, sign: str = "·") -> Term:
    """A times b: a factor 1 is left out, numbers are multiplied and come first."""
    if a == ONE:
        return b
    if b == ONE:
        return a
    if b.kind == "number" and a.kind != "number":
        a, b = b, a
    if a.kind == "number":
        sign = "·"
    if a.kind == "number" and b.kind == "infix" and b.text in "·⊙" and b.parts[0].kind == "number":
        a, b = _folded("·", a, b.parts[0]), b.parts[1]
        return product(a, b)
    if a.kind == b.kind == "number":
        return _folded("·", a, b)
    return Term("power", "", (a, Term("number", "2"))) if a == b else Term("infix", sign, (a, b))


def total(a: Term | None, b: Term) -> Term:
    """The sum of both; twice the same is written as such."""
    if a is None:
        return b
    return product(Term("number", "2"), a) if a == b else Term("infix", "+", (a, b))


_FOLDS: dict[str, Callable[[float, float], Any]] = {
    "·": operator.mul, "/": lambda x, y: x / y if y else np.nan, "+": operator.add, "-": operator.sub, "=": operator.eq,
    "≠": operator.ne, "<": operator.lt, "≤": operator.le, ">": operator.gt, "≥": operator.ge}
_TRUE, _FALSE = Term("number", "True"), Term("number", "False")


def _folded(sign: str, a: Term, b: Term) -> Term:
    """What an operation makes of two numbers."""
    value = _FOLDS[sign](float(a.text), float(b.text))
    return (_TRUE if value else _FALSE) if isinstance(value, bool) else Term("number", figure(np.float64(value)))


def _is_number(term: Term) -> bool:
    return term.kind == "number" and term not in (_TRUE, _FALSE)


class Terms:
    """Builds the terms of nodes.

    Args:
        names: what has a name: formulas end there.
        same: nodes that stand for other nodes.
        unit: a node that stands for 1: factors of it are left out.
        deepest: how many operations within each other are written; what is deeper is "…".
    """

    def __init__(self, names: Mapping[Node, Term], same: Mapping[Node, Node] | None = None,
                 unit: Node | None = None, deepest: int = 100) -> None:
        self.names, self.same, self.unit, self.deepest = names, same or {}, unit, deepest

    def of(self, node: Node, at: Index | None = None, apply: bool = False) -> Term:
        """The term of ``node``, or of its element ``at``; with ``apply`` what it does even if it has a name."""
        node = self.same.get(node, node)
        if node is self.unit:
            return ONE
        if node in self.names and not apply:
            return indexed(self.names[node], at)
        if self.deepest == 0:
            return name("…")
        self.deepest -= 1
        try:
            return self._applied(node, at)
        finally:
            self.deepest += 1

    def _applied(self, node: Node, at: Index | None) -> Term:
        op = node.op.name
        if op in _SEEN_THROUGH:
            return self.of(node.inputs[0], None if at is None else seen(node, at))
        if at is not None and (node.op.kind == "view" or op == "pad"):
            place = seen(node, at)
            return Term("number", "0") if place is None else self.of(node.inputs[0], place)
        if node.op.kind == "elementwise":
            return self._elementwise(node, at)
        rule: Callable[[Node], Term] | None = getattr(self, f"_{op}", None)
        return indexed(self._called(node) if rule is None else rule(node), at)

    def _elementwise(self, node: Node, at: Index | None) -> Term:
        op, parts = node.op.name, [self.of(i, at) for i in node.inputs]
        if op == "mul":
            arrays = all(i.ndim and i.op.name != "broadcast" for i in node.inputs) and at is None
            return product(parts[0], parts[1], "⊙" if arrays else "·")
        if op == "add":
            return total(*parts)
        if op in _INFIX and _INFIX[op] in _FOLDS and all(_is_number(p) for p in parts):
            return _folded(_INFIX[op], *parts)
        if op == "div" and _is_number(parts[1]) and parts[0].kind == "infix" and parts[0].text in "·⊙" and \
                _is_number(parts[0].parts[0]):
            return product(_folded("/", parts[0].parts[0], parts[1]), parts[0].parts[1])
        if op == "bit_and" and _FALSE in parts:
            return _FALSE
        if op == "select" and parts[0] in (_TRUE, _FALSE):
            return parts[1] if parts[0] == _TRUE else parts[2]
        if op in _INFIX:
            return Term("infix", _INFIX[op], tuple(parts))
        if op == "neg":
            return parts[0] if parts[0] == Term("number", "0.0") else Term("neg", "", tuple(parts))
        if op == "pow":
            return Term("power", "", tuple(parts))
        if op == "sqrt":
            return Term("root", "", tuple(parts))
        if op == "select":
            return Term("select", "", tuple(parts))
        return Term("call", _FUNCTIONS.get(op, op), tuple(parts))

    def _called(self, node: Node) -> Term:
        return Term("call", _FUNCTIONS.get(node.op.name, node.op.name), tuple(self.of(i) for i in node.inputs))

    def _input(self, node: Node) -> Term:
        return name(node.name or "input")

    def _constant(self, node: Node) -> Term:
        value = node.params["value"]
        if value.size and (value == value.reshape(-1)[0]).all():
            return Term("number", short(value.reshape(-1)[0]))
        return name("constant")

    def _sum(self, node: Node) -> Term:
        axes = node.params["axes"]
        some = "" if len(axes) == node.inputs[0].ndim else "_" + ",".join(map(str, axes))
        inner = self.of(node.inputs[0])
        return Term("call", f"{_FUNCTIONS[node.op.name]}{some}", (inner,))

    _prod = _sum

    def _transpose(self, node: Node) -> Term:
        inner = self.of(node.inputs[0])
        if node.params["axes"] == (1, 0):
            return inner.parts[0] if inner.kind == "T" else Term("T", "", (inner,))
        return Term("call", "transpose", (inner,))

    def _slice(self, node: Node) -> Term:
        p, shape = node.params, node.inputs[0].shape
        parts = []
        for a, b, s, n in zip(p["start"], p["stop"], p["step"], shape, strict=True):
            whole = (a, s) == (0, 1) and b == n
            parts.append(":" if whole else str(a) if b - a == 1 else f"{a}:{b}" + (f":{s}" if s != 1 else ""))
        while parts and parts[-1] == ":":
            parts.pop()
        inner = self.of(node.inputs[0])
        return Term("at", ", ".join(parts), (inner,)) if parts else inner

    def _take(self, node: Node) -> Term:
        return Term("at", str(self.of(node.inputs[1])), (self.of(node.inputs[0]),))

    def _concatenate(self, node: Node) -> Term:
        parts = [self.of(i) for i in node.inputs[:_LONGEST]]
        return Term("list", "", (*parts, name("…")) if len(node.inputs) > _LONGEST else tuple(parts))

    def _project(self, node: Node) -> Term:
        return Term("at", str(node.params["index"]), (self.of(node.inputs[0]),))

    def _contract(self, node: Node) -> Term:
        a, b = (self.of(i) for i in node.inputs)
        if ONE in (a, b):
            return a if b == ONE else b
        a_axes, b_axes, out = (tuple(node.params[k]) for k in ("a_axes", "b_axes", "out_axes"))
        summed = [x for x in a_axes if x not in out]
        if len(summed) == 1 and len(a_axes) + len(b_axes) - 2 == len(out):
            found = _matrix_product((a, a_axes), (b, b_axes), summed[0], out)
            if found is not None:
                return found
        if not summed and len(a_axes) == len(b_axes) == 1 and len(out) == 2:
            return Term("infix", "⊗", (a, b) if out == (*a_axes, *b_axes) else (b, a))
        letters: dict[int, str] = {}
        x, y, z = ("".join(letters.setdefault(n, chr(ord("a") + len(letters))) for n in axes)
                   for axes in (a_axes, b_axes, out))
        return Term("call", f"einsum {x},{y}→{z}", (a, b))


def _matrix_product(a: tuple[Term, Index], b: tuple[Term, Index], k: int, out: Index) -> Term | None:
    """``a @ b`` with the transposes that make it so, in the order that gives ``out``; None if none does."""
    for (left, left_axes), (right, right_axes) in ((a, b), (b, a)):
        rows, columns = tuple(x for x in left_axes if x != k), tuple(x for x in right_axes if x != k)
        if out != (*rows, *columns) or len(columns) > 1 or (len(rows) > 1 and left_axes[-1] != k):
            continue
        if left_axes[-1] != k:
            left = Term("T", "", (left,))
        if right_axes[0] != k:
            right = Term("T", "", (right,))
        return Term("infix", "@" if rows or columns else "·", (_untransposed(left), _untransposed(right)))
    return None


def _untransposed(term: Term) -> Term:
    inner = term.parts[0] if term.kind == "T" else term
    return inner.parts[0] if term.kind == "T" and inner.kind == "T" else term


def seen(node: Node, at: Index) -> Index | None:
    """The element of its operand that an operation that only moves elements has at ``at``; None for another one."""
    if node.op.name == "pad":
        places = [divmod(k - a, s) for k, a, s in zip(at, node.params["start"], node.params["step"], strict=True)]
        inside = all(rest == 0 and 0 <= k < n for (k, rest), n in zip(places, node.inputs[0].shape, strict=True))
        return tuple(k for k, _ in places) if inside else None
    if node.op.kind not in ("view", "reshape") and node.op.name not in _SEEN_THROUGH:
        return None
    x = node.inputs[0]
    numbers = np.arange(x.size).reshape(x.shape)
    flat = int(node.op.evaluate(numbers, *(i.value for i in node.inputs[1:]), **_moving(node))[at])
    return tuple(int(k) for k in np.unravel_index(flat, x.shape)) if x.shape else ()


def _moving(node: Node) -> dict[str, Any]:
    return {k: v for k, v in node.params.items() if k != "dtype"} if node.op.name != "cast" else {"dtype": np.int64}


# ---------------------------------------------------------------- as plain text


def plain(term: Term) -> str:
    """``1 - a ⊙ a``."""
    return _written(term, _PLAIN)


def latex(term: Term) -> str:
    r"""``1 - a \odot a``."""
    return _written(term, _LATEX)


def _written(term: Term, style: Mapping[str, Callable[..., str]]) -> str:
    """The term in a style; brackets where an operand binds less than its operator."""
    bare = term.kind in ("call", "select", "list", "partial", "root") or (style is _LATEX and term.text == "/")
    if bare or not term.parts:
        return style[term.kind](term.text, *[_written(part, style) for part in term.parts])
    strength, parts = _strength(term), []
    for k, part in enumerate(term.parts):
        text, binds = _written(part, style), _strength(part)
        if term.kind == "power" and k == 0 and part.kind == "name" and part.text[-1] in _RAISABLE:
            binds = 0  # the square of a³ is (a³)²
        loose = binds < strength or (binds == strength and k == 1 and term.text in "-/")
        parts.append(style["brackets"](text) if loose else text)
    return style[term.kind](term.text, *parts)


_BINDS = {"select": -1, "neg": 2, "power": 5, "T": 5, "at": 6}


def _strength(term: Term) -> int:
    if term.kind == "infix":
        return _STRENGTH[term.text]
    if term.kind == "number":
        return 1 if term.text.startswith("-") else 9
    return _BINDS.get(term.kind, 9)


_SIGNS = {"·": r"\cdot", "⊙": r"\odot", "@": r"\,", "⊗": r"\otimes", "≠": r"\neq", "≤": r"\leq", "≥": r"\geq",
          "∧": r"\wedge", "∨": r"\vee"}
_RAISABLE = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_RAISED = str.maketrans(_RAISABLE, "0123456789")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_GREEK = frozenset("alpha beta gamma delta epsilon zeta eta theta iota kappa mu nu xi pi rho sigma tau phi chi psi "
                   "omega".split())
_KNOWN = frozenset("exp log sin cos tan tanh sinh cosh max min arcsin arccos arctan".split())


def escaped(text: str) -> str:
    """Text that LaTeX takes as it is."""
    return re.sub(r"([_#%&$\\{}])", r"\\\1", text)


def _latex_name(kind: str, *_: str) -> str:
    """``z²`` as z^{2}, ``w_1`` and ``w1`` as w_{1}; other long names upright."""
    match = re.fullmatch(r"([^\W\d_⁰¹²³⁴-⁹₀-₉]+)_?(\d*)([₀-₉₍₎]*)([⁰¹²³⁴-⁹]*)", kind)
    if " " in kind:
        return rf"\text{{{escaped(kind)}}}"
    if match is None:
        return rf"\mathtt{{{escaped(kind)}}}"
    stem, digits, low, high = match.groups()
    if stem == "δ" or stem in _GREEK:
        stem = "\\" + stem.replace("δ", "delta")
    elif len(stem) > 1:
        stem = rf"\mathit{{{stem}}}"
    low = digits + low.translate(_LOWERED).replace("₍", "(").replace("₎", ")")
    return stem + (f"_{{{low}}}" if low else "") + (f"^{{{high.translate(_RAISED)}}}" if high else "")


def _latex_call(f: str, *x: str) -> str:
    head, _, axes = f.partition("_")
    if head in ("Σ", "Π"):
        return {"Σ": r"\sum", "Π": r"\prod"}[head] + (f"_{{{axes}}}" if axes else "") + rf"\left({', '.join(x)}\right)"
    return (f"\\{f}" if f in _KNOWN else rf"\operatorname{{{escaped(f)}}}") + rf"\left({', '.join(x)}\right)"


_PLAIN: dict[str, Callable[..., str]] = {
    "brackets": lambda x: f"({x})", "name": lambda t: t, "number": lambda t: _trimmed(t),
    "infix": lambda t, x, y: f"{x} {t} {y}", "neg": lambda t, x: f"-{x}",
    "power": lambda t, x, y: f"{x}²" if y == "2" and not x.endswith("²") else f"{x}^{y}",
    "root": lambda t, x: f"√({x})", "T": lambda t, x: f"{x}ᵀ", "at": lambda t, x: f"{x}[{t}]",
    "call": lambda t, *x: f"{t}({', '.join(x)})", "select": lambda t, c, x, y: f"{x} if {c} else {y}",
    "list": lambda t, *x: f"[{', '.join(x)}]", "partial": lambda t, x, y: f"∂{x}/∂{y}"}
_LATEX: dict[str, Callable[..., str]] = {
    "brackets": lambda x: rf"\left({x}\right)", "name": _latex_name, "number": lambda t: _latex_number(t),
    "infix": lambda t, x, y: rf"\frac{{{x}}}{{{y}}}" if t == "/" else f"{x} {_SIGNS.get(t, t)} {y}",
    "neg": lambda t, x: f"-{x}", "power": lambda t, x, y: f"{{{x}}}^{{{y}}}", "root": lambda t, x: rf"\sqrt{{{x}}}",
    "T": lambda t, x: f"{{{x}}}^{{\\top}}", "at": lambda t, x: rf"{x}[{escaped(t)}]", "call": _latex_call,
    "select": lambda t, c, x, y: rf"\begin{{cases}} {x} & {c} \\ {y} & \text{{else}} \end{{cases}}",
    "list": lambda t, *x: rf"\left[{', '.join(x)}\right]",
    "partial": lambda t, x, y: rf"\frac{{\partial {x}}}{{\partial {y}}}"}


def _trimmed(number: str) -> str:
    return number[:-2] if number.endswith(".0") else number


def _latex_number(number: str) -> str:
    mantissa, _, exponent = _trimmed(number).partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def figure(value: Any) -> str:
    """A number in six significant digits, as formulas write it; an array in five, a large one shortened."""
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{float(array) + 0.0:.6g}" if dtypes.is_float(array.dtype) else str(array)
    if array.size > _WHOLE:
        return short(array)
    return "[" + ", ".join(figure(row) if array.ndim > 1 else _element(row) for row in array) + "]"


def _element(x: Any) -> str:
    return f"{float(x) + 0.0:.5g}" if dtypes.is_float(x.dtype) else str(x)


__all__ = ["ONE", "Index", "Term", "Terms", "escaped", "figure", "indexed", "latex", "name", "partial", "plain",
           "product", "seen", "total"]
