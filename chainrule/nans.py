"""Finding the operation that made the first NaN or infinity.

The rule. *NaN* is an error where an operation makes one, or where an argument or constant holds one. *Infinity* is an
error only where an operation makes it of finite operands, as in 1/0, log(0) or exp(1000); infinities that the program
was given, such as the -inf of an attention mask, go where they like, until they make a NaN. Where one position of an
array is concerned, the same position of the operands decides, if the operation works element by element.

What is recorded with data is looked at operation by operation (:meth:`Watch.observe`). A compiled program runs as
always; only if one of its results is bad, its graph is evaluated again with NumPy, and what is bad is followed back
from the results to where it was made. So a NaN that ``np.where`` drops is no error there.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import NotFiniteError
from chainrule.graph import Graph, Node, Source, short, type_name
from chainrule.ops.declare import CONSTANT, INPUT, OBSERVER

_ONCE = ("switch", "call")  # operations that hold graphs, but do not repeat them
_LONG = 60  # characters of an operand's values
_REMEDIES = {
    "log": "np.log(np.maximum(x, 1e-12))   # or np.log1p(x) near 0",
    "div": "x / np.where(y == 0, 1.0, y)",
    "sqrt": "np.sqrt(np.maximum(x, 1e-12))   # its derivative at 0 is infinite",
    "exp": "np.exp(x - np.max(x))   # as softmax does",
    "pow": "np.maximum(x, 1e-12) ** y",
}


class debug_nans:  # noqa: N801 (used like a function)
    """Raise an error where the first NaN or infinity appears: for a ``with`` block, or from this call on.

    The error names the operation, your line, and the operands. It is raised at once by what is computed step by step
    (gradients without ``jit``, :func:`~chainrule.variables`, forward and backward), so that a debugger stops in that
    line. What is compiled (``jit``, ``fit``, ``minimize``) is looked into when a result is bad: the error then also
    names the turn of a loop, and in ``fit`` epoch, step and layer; arrays that were to be overwritten keep what they
    held before.

    Infinities are an error only where they are made of finite numbers: 1/0, but not the -inf of a mask. See
    ``docs/debugging.md``.

    Args:
        on: False switches it off.
        infs: whether an infinity is an error by itself; if not, only what makes a NaN is.

    Raises:
        NotFiniteError: a ``FloatingPointError``, by what runs while it is on.

    It costs nothing while it is off, and holds for the calling thread (more exactly, for the context of
    :mod:`contextvars`).

    Example:
        >>> import chainrule as cr, numpy as np
        >>> with cr.debug_nans():
        ...     cr.grad(lambda x: np.sum(np.log(x)))(np.array([1.0, 0.0]))
        Traceback (most recent call last):
        ...
        chainrule.errors.NotFiniteError: The operation log made -inf at [1] of float64[2] from finite operands.
          <doctest chainrule.nans.debug_nans[1]>:2: cr.grad(lambda x: np.sum(np.log(x)))(np.array([1.0, 0.0]))
          x: float64[2] = [1., 0.], at [1]: 0.0
          Corrected: np.log(np.maximum(x, 1e-12))   # or np.log1p(x) near 0
    """

    def __init__(self, on: bool = True, *, infs: bool = True) -> None:
        self._before = OBSERVER.get()
        OBSERVER.set(Watch(infs) if on else None)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: Any) -> None:
        OBSERVER.set(self._before)


@dataclass(frozen=True)
class Watch:
    """What to look for; see :func:`debug_nans`."""

    infs: bool

    def observe(self, node: Node) -> None:
        """Raise if the value of ``node``, which was computed just now, is the first bad one."""
        mask = self.bad(node.value)
        if not _any(mask):
            return
        values = {i: i.value for i in node.inputs}
        values[node] = node.value
        if any(isinstance(p, Graph) for p in _flat(node.params)):
            _Search(self).apply(node, values, [])  # raises inside
        step = _Step(node, values, mask)
        for made in (step.made, step.born):
            if made is not None:
                raise _error(node, values, made, [], step.made is None)
        for i, came in zip(node.inputs, step.follow, strict=True):
            if _any(came) and _any(_nan(i.value)):
                raise _given(i, i.value, node)

    def bad(self, value: Any) -> Any:
        """Where ``value`` is what may be an error: a mask, or one for each of several results."""
        if isinstance(value, tuple):
            return [self.bad(v) for v in value]
        return _bad(value) if self.infs else _nan(value)

    def run(self, graph: Graph, inputs: Sequence[np.ndarray], overwritten: Sequence[int], outputs: Sequence[np.ndarray],
            program: Callable[[], None]) -> None:
        """Run the compiled ``program`` of ``graph``; find the culprit if an output is bad.

        Args:
            graph: what was compiled.
            inputs: the arrays it reads.
            overwritten: which of them it overwrites; they get their values back before an error is raised.
            outputs: the arrays it writes.
            program: does it.
        """
        before = [x.copy() if k in overwritten else x for k, x in enumerate(inputs)]
        program()
        wrong = [(k, out, self.bad(out)) for k, out in enumerate(outputs) if _any(self.bad(out))]
        if not wrong:
            return
        results = [np.array(out) for _, out, _ in wrong]
        for k in overwritten:
            inputs[k][...] = before[k]
        if _Search(self).finds_nothing(graph, before):
            k, _, mask = wrong[0]
            at = _first(mask)
            raise NotFiniteError(
                f"the compiled program gave {results[0][at]}{_at(at)} of result {k}, but evaluated by NumPy it gives "
                "finite numbers",
                ["Native code rounds in another way (a multiply and an add at once, sums in another order): some "
                 "operation is at the edge of what its dtype holds, or of where it is defined.",
                 "To see more: call the function without jit, or on float64 arrays, under cr.debug_nans()"])


class _Search:
    """One evaluation of a graph by NumPy that ends at the first culprit."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.pending: NotFiniteError | None = None  # a NaN made in a loop of an infinity from outside of it

    def finds_nothing(self, graph: Graph, arguments: Sequence[Any]) -> bool:
        """Raise the error of the first culprit; without one, whether all results are finite.

        If they are not, they only pass on infinities that were given.
        """
        outputs = self.evaluate(graph, arguments, [], outermost=True)
        if self.pending is not None:
            raise self.pending
        return not any(_any(self.watch.bad(o)) for o in outputs)

    def evaluate(self, graph: Graph, arguments: Sequence[Any], loops: list[tuple[str, int]],
                 outermost: bool = False) -> list[Any]:
        """The outputs; raises if one of them is bad by the doing of an operation in this graph."""
        values: dict[Node, Any] = {n: np.asarray(v) for n, v in zip(graph.inputs, arguments, strict=True)}
        for node in graph.nodes[len(graph.inputs):]:
            values[node] = self.apply(node, values, loops)
        self._blame(graph, values, loops, outermost)
        return [values[o] for o in graph.outputs]

    def apply(self, node: Node, values: dict[Node, Any], loops: list[tuple[str, int]]) -> Any:
        """The value of one node, its graphs evaluated in our way as well."""
        params = {k: self._framed(v, node, loops) for k, v in node.params.items()}
        with np.errstate(all="ignore"):
            return node.op.evaluate(*(values[i] for i in node.inputs), **params)

    def _framed(self, param: Any, node: Node, loops: list[tuple[str, int]]) -> Any:
        if isinstance(param, Graph):
            return _Body(self, param, node, loops)
        return type(param)(self._framed(p, node, loops) for p in param) if type(param) in (tuple, list) else param

    def _blame(self, graph: Graph, values: dict[Node, Any], loops: list[tuple[str, int]], outermost: bool) -> None:
        """Raise for the first node that made what is bad in the outputs.

        What a body got from outside is left to the graph around it: it is not evaluated to its end yet.
        """
        masks: dict[Node, Any] = {}
        for o in graph.outputs:
            _join(masks, o, self.watch.bad(values[o]))
        if not any(_any(m) for m in masks.values()):
            return
        own = set(graph.inputs)
        steps: dict[Node, _Step] = {}
        for node in reversed(graph.nodes):
            if node in own or node.op is CONSTANT or not _any(masks.get(node)):
                continue
            step = steps[node] = _Step(node, values, masks[node])
            for i, came in zip(node.inputs, step.follow, strict=True):
                _join(masks, i, came)
        born = next((n for n in graph.nodes if n in steps and steps[n].born is not None), None)
        for node in graph.nodes:
            if node in own or node.op is CONSTANT:
                nan = _any(masks.get(node)) and _any(_nan(values[node]))
                if nan and (outermost or node not in own):
                    users = [n for n in graph.nodes if n in steps and node in n.inputs]
                    raise _given(node, values[node], users[0] if users else None, graph)
            elif node in steps and steps[node].made is not None:
                error = _error(node, values, steps[node].made, loops, False)
                if born is not None and born is not node:
                    error.facts.append(f"From it {born.op.name} made nan: {_line(born.source)}")
                raise error
        if born is None:
            return
        error = _error(born, values, steps[born].born, loops, True)
        if not outermost and any(_any(masks.get(i)) for i in graph.inputs):
            self.pending = self.pending or error
            return
        given = [n for n in graph.nodes if (n in own or n.op is CONSTANT) and _any(masks.get(n))]
        error.facts += [f"The infinity came in with {_name(n, graph)}: {_text(values[n], masks[n])}" for n in given]
        raise error


class _Body(Graph):
    """A graph that an operation evaluates, turn by turn, looked at in each."""

    def __init__(self, search: _Search, graph: Graph, node: Node, loops: list[tuple[str, int]]) -> None:
        super().__init__(graph.inputs, graph.outputs)
        self.__dict__["nodes"] = graph.nodes  # put in order once
        self.search, self.node, self.loops, self.turn = search, node, loops, 0

    def evaluate(self, *arguments: Any) -> list[Any]:
        what = self.node.op.name + (f" ({self.node.source})" if self.node.source else "")
        turn = [] if self.node.op.name in _ONCE else [(what, self.turn)]
        self.turn += 1
        return self.search.evaluate(self, arguments, [*self.loops, *turn])


class _Step:
    """Where the bad elements of one result come from.

    ``made``: those of finite operands; ``born``: the NaNs of infinite ones; None if there are none.
    ``follow``: for each operand, the elements that are to blame for the others.
    """

    def __init__(self, node: Node, values: dict[Node, Any], mask: Any) -> None:
        out, operands = values[node], [values[i] for i in node.inputs]
        self.made: Any = None
        self.born: Any = None
        self.follow: list[Any]
        if node.op.kind == "project":
            self.follow = [[mask if k == node.params["index"] else None for k in range(len(operands[0]))]]
        elif node.op.kind == "view":
            self.follow = [_seen_through(node, operands, mask), *(None for _ in operands[1:])]
        elif node.op.kind == "elementwise":
            nans, infs = [_nan(v) & mask for v in operands], [_bad(v) & ~_nan(v) & mask for v in operands]
            if node.op.name == "select":
                for parts in (nans, infs):
                    parts[1], parts[2] = parts[1] & operands[0], parts[2] & ~operands[0]
            self._split(mask & _nan(out), mask & ~_nan(out), nans, infs,
                        np.logical_or.reduce(nans), np.logical_or.reduce(infs))
        else:
            outs = out if isinstance(out, tuple) else (out,)
            masks = mask if isinstance(mask, list) else [mask]
            nans, infs = [_nan(v) for v in operands], [_bad(v) & ~_nan(v) for v in operands]
            shown = [np.zeros(np.shape(o), bool) if m is None else m for m, o in zip(masks, outs, strict=True)]
            k = next(k for k, m in enumerate(shown) if _any(m))  # which of several results is shown
            self._split(shown[k] & _nan(outs[k]), shown[k] & ~_nan(outs[k]), nans, infs, _any(nans), _any(infs))

    def _split(self, nan: Any, inf: Any, nans: list[Any], infs: list[Any], any_nan: Any, any_inf: Any) -> None:
        """Assign the bad elements, NaNs and infinities, to the operands or to this operation."""
        bad = nan | inf
        made, born = bad & np.logical_not(any_nan | any_inf), nan & np.logical_not(any_nan) & any_inf
        self.made, self.born = made if _any(made) else None, born if _any(born) else None
        # an operand's NaN explains what is bad; only where there is none, an infinity does
        self.follow = [n | (i & np.logical_not(any_nan)) for n, i in zip(nans, infs, strict=True)]


def _seen_through(node: Node, operands: list[Any], mask: Any) -> np.ndarray:
    """The elements of its first operand that a view shows where ``mask`` is set."""
    shape = operands[0].shape
    places = np.arange(operands[0].size).reshape(shape)
    out = np.zeros(places.size, bool)
    out[np.asarray(node.op.evaluate(places, *operands[1:], **node.params))[mask]] = True
    return out.reshape(shape)


def _join(masks: dict[Node, Any], node: Node, mask: Any) -> None:
    before = masks.get(node)
    if mask is None:
        return
    if isinstance(mask, list):
        before = before or [None] * len(mask)
        masks[node] = [m if b is None else b if m is None else b | m for b, m in zip(before, mask, strict=True)]
    else:
        masks[node] = mask if before is None else before | mask


def _floating(value: Any) -> bool:
    dtype = np.asarray(value).dtype
    return dtype.kind == "c" or dtypes.is_float(dtype)


def _bad(value: Any) -> np.ndarray:
    return ~np.isfinite(value) if _floating(value) else np.zeros(np.shape(value), bool)


def _nan(value: Any) -> np.ndarray:
    return np.isnan(value) if _floating(value) else np.zeros(np.shape(value), bool)


def _any(mask: Any) -> bool:
    return any(_any(m) for m in mask) if isinstance(mask, list) else mask is not None and bool(np.any(mask))


def _flat(params: dict[str, Any]) -> list[Any]:
    return [p for v in params.values() for p in (v if type(v) in (tuple, list) else (v,))]


# ---------------------------------------------------------------- what is said


def _error(node: Node, values: dict[Node, Any], mask: np.ndarray, loops: list[tuple[str, int]],
           infinite: bool) -> NotFiniteError:
    """The error for elements that ``node`` made of finite operands, or NaNs of infinite ones."""
    out = values[node]
    if isinstance(out, tuple):
        out = next(o for o in out if o.shape == mask.shape and _any(mask & _bad(o)))
    at, count = _first(mask), int(np.sum(mask))
    more = f", and {count - 1:,} more," if count > 1 else ""
    facts = _place(node.source)
    for i in node.inputs:
        value = values[i]
        if isinstance(value, tuple):
            continue
        there = f", at {list(at)}: {value[at]}" if at and node.op.kind == "elementwise" else _range(value)
        facts.append(f"{_name(i)}: {type_name(i)} = {_shortened(value)}{there}")
    remedy = _REMEDIES.get(node.source.of if node.source and node.source.of else node.op.name)
    if remedy:
        facts.append(f"Corrected: {remedy}")
    how = " from infinite operands" if infinite else " from finite operands"
    return NotFiniteError(f"the operation {node.op.name} made {out[at]}{_at(at)}{more} of {type_name(node)}{how}",
                          facts, loops, node.op.name, node.source)


def _given(node: Node, value: Any, user: Node | None, graph: Graph | None = None) -> NotFiniteError:
    """The error for a NaN that was there before anything was computed."""
    facts = [] if user is None or user.source is None else [f"First used by {user.op.name}: {_line(user.source)}"]
    what = f"argument {node.name}" if node.op is INPUT and node.name else _name(node, graph)
    return NotFiniteError(f"{what} already holds {_text(value, _nan(value))}", facts,
                          source=user.source if user else None)


def _place(source: Source | None) -> list[str]:
    """The line, the layer, and what it is a derivative of."""
    if source is None:
        return []
    facts = [_line(source)]
    if source.scope:
        facts.append(f"In {source.scope}.")
    if source.of:
        facts.append(f"It belongs to the {source.part}: to the derivative of {source.of}, recorded in this line.")
    return facts


def _line(source: Source | None) -> str:
    if source is None:
        return "unknown line"
    text = linecache.getline(source.file, source.line).strip()
    return f"{source.file}:{source.line}" + (f": {text}" if text else "")


def _name(node: Node, graph: Graph | None = None) -> str:
    """What an operand is called: by the user, or by what made it."""
    if node.name or node.op is not INPUT:
        return node.name or (node.op.name if node.op is CONSTANT else f"{node.op.name}(…)")
    return f"argument {graph.inputs.index(node)}" if graph is not None else "argument"


def _shortened(value: np.ndarray) -> str:
    text = short(value)
    return text if len(text) <= _LONG else f"{text[:_LONG].rsplit(',', 1)[0]}, …"


def _range(value: np.ndarray) -> str:
    if value.size < 2 or value.dtype.kind == "b":
        return ""
    return f", from {short(np.min(value))} to {short(np.max(value))}"


def _text(value: Any, mask: Any) -> str:
    at = _first(mask)
    return f"{value[at]}{_at(at)}"


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(k) for k in np.argwhere(mask)[0])


def _at(position: tuple[int, ...]) -> str:
    return f" at {list(position)}" if position else ""


__all__ = ["Watch", "debug_nans"]
