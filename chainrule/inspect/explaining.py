"""``explain``: a derivative by the chain rule, from two recorded passes to equations with numbers."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from chainrule import dtypes, tree
from chainrule.arguments import whole
from chainrule.errors import ArgumentError, unknown_name
from chainrule.graph import Node, user_source
from chainrule.inspect.chain import Chain, Way
from chainrule.inspect.explanation import Explanation, Row, Section
from chainrule.inspect.names import forget_line, found_names, terms_of
from chainrule.inspect.notation import ONE, Index, Term, Terms, figure, indexed, name, partial, total
from chainrule.inspect.passes import Passes, result_of
from chainrule.inspect.unfold import Flat
from chainrule.ops.declare import CONSTANT, INPUT
from chainrule.trace import record
from chainrule.tracebacks import public

_TRANSPARENT = frozenset(("broadcast", "reshape", "copy", "cast", "stop_gradient", "after", "project", "constant",
                          "input", "iota", "transpose", "slice"))
_LONG = 10  # operations of a formula from which on parts of it get a name


@public
def explain(f: Callable[..., Any], args: Sequence[Any], wrt: str | int = 0, *, paths: int = 8,
            names: Mapping[str, str] | None = None) -> Explanation:
    """∂C/∂w by the chain rule, every factor with its formula and its number; C is the scalar ``f(*args)``.

    The explanation has the equations of the forward pass, those of the backward pass (the local gradients), the
    derivative as a sum over the paths from w to C, and a check by finite differences. What ``f`` assigns to a variable
    is called by that variable; other operations are numbered v₁, v₂, ….

    Args:
        f: a NumPy-style function with one number as its result.
        args: its arguments: a tuple.
        wrt: what to differentiate by, as ``f`` writes it: ``"x"``, ``"x[0, 2]"``, ``"params['w'][1][0, 2]"``; or the
            number of the argument. Of an array the paths of the element with the largest derivative are shown.
        paths: how many paths are written out; the others are added up.
        names: other names for variables and arguments: ``{"z2": "z²"}``.

    Returns:
        An :class:`~chainrule.inspect.explanation.Explanation`: print it, or see its ``markdown``, ``latex``, ``html``.

    Raises:
        ShapeError: where the result is not one number.
        ArgumentError: where there is nothing called ``wrt``.

    Example:
        >>> import chainrule as cr
        >>> print(cr.explain(lambda x, y, z: (x + y) * z, (1.0, 3.0, -3.0), wrt="x"))
        Forward pass
        ------------
          x  = 1
          y  = 3
          z  = -3
          v₁ = x + y = 4
          C  = v₁ · z = -12
        <BLANKLINE>
        Backward pass
        -------------
          ∂C/∂v₁ = z = -3
          ∂C/∂x  = ∂C/∂v₁ = -3
        <BLANKLINE>
        The chain rule
        --------------
          ∂C/∂x = ∂C/∂v₁ · ∂v₁/∂x = z · 1 = (-3) · 1 = -3
        <BLANKLINE>
        Check
        -----
          ∂C/∂x = -3   (backpropagation)
          ∂C/∂x = -3   (finite differences, float64)
        <BLANKLINE>
    """
    graph, _ = record(f, tuple(args), values=True)
    forget_line(graph, user_source())
    flat = Flat(graph)
    return explained(flat, _wanted(flat, args, wrt), paths, names)


def explained(flat: Flat, wanted: tuple[Node, Index | None], paths: int = 8,
              names: Mapping[str, str] | None = None) -> Explanation:
    """The explanation of the derivative of a flat graph's result by one input, or one element of it."""
    paths = whole("paths", paths)
    wrt, at = wanted
    passes = Passes(flat, result_of(flat, needed=True))
    gradient = passes.grad.get(wrt, np.zeros(wrt.shape, wrt.dtype))
    foundarray = at is None and wrt.ndim > 0
    element: Index = at if at is not None else \
        tuple(int(k) for k in np.unravel_index(int(np.argmax(np.abs(gradient))), wrt.shape)) if wrt.ndim else ()
    story = _Story(passes, wrt, names or {})
    ways, complete = story.chain.ways(wrt, element, paths)
    rest = 0.0 if complete else float(gradient[element]) - sum(w.value for w in ways)
    numeric = finite_difference(flat, wrt, element)
    sections = (Section("Forward pass", story.forward()), Section("Backward pass", story.backward()),
                story.paths(element, ways, rest, complete), story.check(element, gradient, numeric))
    return Explanation(float(passes.output.value), gradient if foundarray else float(gradient[element]),  # type: ignore[union-attr]
                       element, tuple(ways), rest, numeric, sections)


class _Story:
    """The equations of two passes."""

    def __init__(self, passes: Passes, wrt: Node, names: Mapping[str, str]) -> None:
        assert passes.output is not None
        self.passes, self.wrt, self.output = passes, wrt, passes.output
        self.needed = _needed(passes)
        found = found_names(passes.flat, names)
        found = {n: t for n, t in found.items() if n in self.needed or n is wrt}
        found.setdefault(self.output, names.get("C", "C"))
        self.kept = self._kept(found)
        self.terms = terms_of(found)
        self.cost = self.terms[self.output]
        self.chain = Chain(passes, [n for n in self.kept if n in passes.grad], self.terms)
        self._ct: dict[Node, Term] = {}
        self.seen = self._touched()

    def _kept(self, found: dict[Node, str]) -> list[Node]:
        """The nodes that get an equation each: those with a name, and of the others those that need one."""
        assigned = any(n.op not in (INPUT, CONSTANT) and n is not self.output for n in found)
        size: dict[Node, int] = {}
        count = 0
        kept = []
        for node in self.needed:
            if node not in found:
                size[node] = 1 + sum(size.get(i, 0) for i in set(node.inputs) if i not in found)
                users = {e.target for e in self.passes.out_of[node] if e.target in self.needed}
                moving = node in self.passes.grad and node.op.name not in _TRANSPARENT
                if moving and (not assigned or len(users) > 1 or size[node] > _LONG):
                    count += 1
                    found[node] = "v" + str(count).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
            if node in found:
                kept.append(node)
        return kept

    def _touched(self) -> set[Node]:
        """The kept nodes on the way from what is differentiated by to the result."""
        touched = {self.wrt}
        for node in self.passes.flat.nodes:
            if any(e.outgoing is not None and e.source in touched for e in self.passes.into[node]):
                touched.add(node)
        return {n for n in self.kept if n in touched and n in self.chain.reaches} | {self.wrt}

    def forward(self) -> tuple[Row, ...]:
        """An equation for each kept node."""
        terms = Terms(self.terms)
        return tuple(Row(self.terms[n], () if n.op is INPUT else (terms.of(n, apply=True),), n.value)
                     for n in self.kept)

    # -- cotangents

    def cotangent(self, node: Node) -> Term:
        """∂C/∂node: named if the node is kept, else by what it consists of."""
        if node is self.output:
            return ONE
        if node not in self.terms:
            if node not in self._ct:
                self._ct[node] = self.pulled(node)
            return self._ct[node]
        return partial(self.cost, self.terms[node])

    def pulled(self, node: Node) -> Term:
        """∂C/∂node as the sum over the uses of the node."""
        found: Term | None = None
        for edge in self.passes.out_of[node]:
            if edge.outgoing is None:
                continue
            ct = self.cotangent(edge.target)
            if edge.rule is None:
                term = ct
            else:
                rule = edge.rule
                terms = Terms({**self.terms, rule.seed: ct}, rule.names, rule.seed if ct == ONE else None)
                term = terms.of(rule.result)
            found = total(found, term)
        return Term("number", "0") if found is None else found

    def backward(self) -> tuple[Row, ...]:
        """An equation for each kept node on the way, from the result back."""
        rows = []
        for node in sorted(self.seen, key=lambda n: -self.chain.number[n]):
            if node is not self.output and node in self.passes.grad:
                rows.append(Row(partial(self.cost, self.terms[node]), (self.pulled(node),), self.passes.grad[node],
                                _local(self.terms[node])))
        return tuple(rows)

    # -- paths

    def paths(self, element: Index, ways: Sequence[Way], rest: float, complete: bool) -> Section:
        """The sum over paths."""
        left = partial(self.cost, indexed(self.terms[self.wrt], element))
        rows: list[Row] = []
        for way in ways:
            symbols: list[Term] = []
            formulas: list[Term] = []
            numbers: list[Term] = []
            for step in reversed(way.steps):
                symbol = partial(indexed(self.terms[step.target], step.to), indexed(self.terms[step.source], step.at))
                symbols.append(symbol)
                formulas.append(step.formula or symbol)
                numbers.append(Term("number", figure(step.value)))
            steps = [_product(parts) for parts in (symbols, formulas) if parts]
            if formulas == symbols:
                steps = steps[:1]
            if len(numbers) > 1:
                steps.append(_product(numbers))
            rows.append(Row(left if len(ways) == 1 and complete else name(f"path {len(rows) + 1}"), tuple(steps),
                            way.value))
        if not complete:
            rows.append(Row(name("all other paths"), (), rest))
        text = ""
        if len(rows) != 1:
            summed = sum(w.value for w in ways) + rest
            split = self.chain.by_node(self.wrt, element)
            if len(split) > 1:
                over = ", ".join(str(self.terms[n]) for n, _ in split)
                parts = [Term("number", figure(v)) for _, v in split]
                rows.append(Row(name(f"by where they go first: {over}"), (_sum(parts),), summed))
            rows.append(Row(left, (), summed, "the sum over all paths"))
            text = "There is no path." if len(rows) == 1 else ""
        return Section("The chain rule", tuple(rows), text)

    def check(self, element: Index, gradient: Any, numeric: float) -> Section:
        """Both derivatives."""
        left = partial(self.cost, indexed(self.terms[self.wrt], element))
        return Section("Check", (Row(left, (), float(gradient[element]), "backpropagation"),
                                 Row(left, (), numeric, "finite differences, float64")))


def _local(term: Term) -> str:
    """``δ³`` for z³."""
    match = re.fullmatch(r"z([⁰¹²³⁴-⁹\d]+)", str(term))
    return f"the local gradient δ{match[1]}" if match else ""


def _product(factors: Sequence[Term]) -> Term:
    return reduce(lambda a, b: Term("infix", "·", (a, b)), factors)


def _sum(parts: Sequence[Term]) -> Term:
    return reduce(lambda a, b: Term("infix", "+", (a, b)), parts)


def _needed(passes: Passes) -> list[Node]:
    """What the result depends on, in the order of the program."""
    wanted = {passes.output}
    for node in reversed(passes.flat.nodes):
        if node in wanted:
            wanted.update(node.inputs)
    return [n for n in passes.flat.nodes if n in wanted]




def _wanted(flat: Flat, args: Sequence[Any], wrt: str | int) -> tuple[Node, Index | None]:
    """The input, and the element of it, that ``wrt`` names."""
    label = {n.name or "": n for n in flat.inputs}
    if isinstance(wrt, int):
        counts = [len(tree.flatten(a)[0]) for a in args]
        if not 0 <= wrt < len(counts) or counts[wrt] != 1:
            raise ArgumentError.of(f"wrt={wrt}", "the number of an argument that is one array, or a name: "
                                   + ", ".join(label), f"wrt={next(iter(label), 'x')!r}")
        return _checked(flat.inputs[sum(counts[:wrt])], None)
    return named_element(label, wrt)


def named_element(label: Mapping[str, Node], wrt: str) -> tuple[Node, Index | None]:
    """The node of a name such as ``w``, or with an index of one of its elements: ``w[1, 2]``."""
    if wrt in label:
        return _checked(label[wrt], None)
    start = max((text for text in label if wrt.startswith(text + "[")), key=len, default="")
    if not start:
        raise unknown_name("input", wrt, label, "wrt")
    try:
        found = ast.literal_eval(wrt[len(start):].strip()[1:-1] + ",")
        index = tuple(int(k) for k in found)
        node = label[start]
        np.zeros(node.shape, bool)[index] = True
        if len(index) != node.ndim:
            raise IndexError
    except (ValueError, SyntaxError, IndexError, TypeError):
        raise ArgumentError.of(f"the element {wrt!r}", f"{label[start].ndim} whole numbers within the shape "
                               f"{list(label[start].shape)}", f"wrt={start + str([0] * label[start].ndim)!r}") from None
    return _checked(node, tuple(k % n for k, n in zip(index, node.shape, strict=True)))


def _checked(node: Node, at: Index | None) -> tuple[Node, Index | None]:
    if not dtypes.is_float(node.dtype):
        raise ArgumentError.of(f"{node.name} is of dtype {node.dtype}", "a floating-point input", "")
    return node, at


def finite_difference(flat: Flat, wrt: Node, at: Index) -> float:
    """The derivative of the result by one element, by central differences of the program evaluated in float64."""
    x = float(wrt.value[at])
    h = float(np.finfo(np.float64).eps) ** (1 / 3) * max(1.0, abs(x))
    results = []
    for moved in (x + h, x - h):
        value = {n: _double(n.value) for n in flat.inputs}
        value[wrt] = value[wrt].copy()
        value[wrt][at] = moved
        results.append(float(_evaluated(flat, value)))
    return (results[0] - results[1]) / ((x + h) - (x - h))


def _evaluated(flat: Flat, value: dict[Node, Any]) -> Any:
    for node in flat.nodes:
        if node in value:
            continue
        if node.op is CONSTANT:
            value[node] = _double(node.params["value"])
            continue
        params = dict(node.params)
        if "dtype" in params and dtypes.is_float(np.dtype(params["dtype"])):
            params["dtype"] = np.dtype(np.float64)
        value[node] = node.op.evaluate(*(value[i] for i in node.inputs), **params)
    return value[flat.outputs[0]]


def _double(x: Any) -> np.ndarray:
    array = np.asarray(x)
    return array.astype(np.float64) if dtypes.is_float(array.dtype) else array


__all__ = ["explain", "explained", "finite_difference", "named_element"]
