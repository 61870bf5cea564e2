"""``scan``: a recorded body repeated over carried values, as one operation.

Inputs are the first carries, the arrays whose rows each turn takes, and constants; results are the last carries and
the stacked rows that the turns give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.cost import COSTLY
from chainrule.errors import ChainruleTypeError
from chainrule.graph import Graph, Node, rebuilt
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import REGISTRY, Op, bind, constant_node, is_linear, leading
from chainrule.ops.reduce import all_
from chainrule.ops.structure import flip, transpose
from chainrule.ops.transform import (
    dependent,
    fresh,
    node_of,
    pull_back,
    push_batch,
    push_forward,
    replay,
    results,
    wrap,
    zeros,
)

project: Op = Op(
    "project", "One of the results of an operation that has several.", "project",
    infer=lambda x, index: (x[0][index], x[1][index]), reference=lambda x, index: x[index],
    jvp=lambda t, x, out, index: t[0][index], batch=lambda args, batched, size, index: args[0][index])

poll: Op = Op(
    "poll", "The array as it is now: read again in every turn of a loop, for a flag that another thread may set.",
    "elementwise", infer=lambda x: x, reference=lambda x: np.array(x), lower=lambda e, x: x)

_AGAIN = 8  # cheap operations that reverse mode would rather make again than stack their result


def _infer(*inputs: Any, body: Graph, carries: int, sliced: int, length: int, until: int | None) -> Any:
    outputs = body.outputs
    shapes = [o.shape for o in outputs[:carries]] + [(length, *o.shape) for o in outputs[carries:]]
    return tuple(shapes), tuple(o.dtype for o in outputs)


def _reference(*values: Any, body: Graph, carries: int, sliced: int, length: int, until: int | None) -> Any:
    carry, xs, constants = list(values[:carries]), values[carries:carries + sliced], values[carries + sliced:]
    stacked = [np.zeros((length, *o.shape), o.dtype) for o in body.outputs[carries:]]
    for i in range(length):
        out = body.evaluate(*carry, *(x[i] for x in xs), *constants)
        carry = out[:carries]
        for rows, y in zip(stacked, out[carries:], strict=True):
            rows[i] = y
        if until is not None and carry[until]:
            break
    return (*(np.asarray(c) for c in carry), *stacked)


def run(inputs: Sequence[Sequence[Any]], body: Graph, length: int, until: int | None = None) -> list[Any]:
    """The results of a scan over (carries, sliced arrays, constants)."""
    carries, xs, constants = inputs
    out = bind(scan, *carries, *xs, *constants, body=body, carries=len(carries), sliced=len(xs), length=length,
               until=until)
    return results(out, len(body.outputs), project)


def _parts(items: Sequence[Any], carries: int, sliced: int) -> tuple[list[Any], list[Any], list[Any]]:
    return list(items[:carries]), list(items[carries:carries + sliced]), list(items[carries + sliced:])


# ---------------------------------------------------------------- tangents


def _tangents(body: Graph, t: Sequence[Any], carries: int, linear: bool) -> tuple[dict[Node, Any], dict[Node, Any]]:
    """Placeholders for the tangents of the body's inputs, as many as come to move, and the tangents of its nodes."""
    moving = [v is not None for v in t]
    while True:
        chosen = [i for i, m in zip(body.inputs, moving, strict=True) if m]
        placeholders = dict(zip(chosen, fresh(chosen), strict=True))
        known = push_forward(body.outputs, placeholders, linear=linear)
        grown = [m or o in known for m, o in zip(moving[:carries], body.outputs[:carries], strict=True)]
        if grown == moving[:carries]:
            return placeholders, known
        moving[:carries] = grown


def _given(items: Sequence[Node], t: Sequence[Any], x: Sequence[Any], placeholders: dict[Node, Any]) -> list[Any]:
    """The tangents that the loop is given for those of its inputs that have one."""
    return [zeros(v) if tangent is None else tangent
            for i, tangent, v in zip(items, t, x, strict=True) if i in placeholders]


def _jvp(t: Sequence[Any], x: Sequence[Any], out: Any, body: Graph, carries: int, sliced: int, length: int,
         until: int | None) -> list[Any]:
    """One loop over values and tangents together: nothing is stacked for it."""
    placeholders, known = _tangents(body, t, carries, False)
    c, xs, k = _parts(body.inputs, carries, sliced)
    tangent = {o: node_of(known[o] if o in known else zeros(o)) for o in body.outputs}
    moving = [i in placeholders for i in c]
    later = [o for o in body.outputs[carries:] if o in known]
    inputs = [[*part, *(placeholders[i].node for i in part if i in placeholders)] for part in (c, xs, k)]
    outputs = [*body.outputs[:carries], *(tangent[o] for o, m in zip(body.outputs, moving, strict=False) if m),
               *body.outputs[carries:], *(tangent[o] for o in later)]
    given = [[*v, *_given(i, d, v, placeholders)] for i, d, v in
             zip((c, xs, k), _parts(t, carries, sliced), _parts(x, carries, sliced), strict=True)]
    flat = [n for part in inputs for n in part]
    parts = run(given, Graph(flat, outputs), length, until)
    n, m, ys = carries, sum(moving), len(body.outputs) - carries
    carried, stacked = iter(parts[n:n + m]), iter(parts[n + m + ys:])
    return [next(carried) if moving_one else None for moving_one in moving] + \
        [next(stacked) if o in known else None for o in body.outputs[carries:]]


def _linearize(t: Sequence[Any], x: Sequence[Any], out: Any, body: Graph, carries: int, sliced: int, length: int,
               until: int | None) -> list[Any]:
    """A loop that is linear in the tangents, over residuals which another loop over the values stacks for it.

    That other loop does all that the first one did, and the simplifier makes one of the two.
    """
    placeholders, known = _tangents(body, t, carries, True)
    c, xs, k = _parts(body.inputs, carries, sliced)
    moving = [i in placeholders for i in c]
    moved = [o for o, m in zip(body.outputs, moving, strict=False) if m]
    later = [o for o in body.outputs[carries:] if o in known]
    ends = [node_of(known[o] if o in known else zeros(o)) for o in (*moved, *later)]
    reached = constant_node(np.True_)  # stacked, it stays False in the rows of turns that were not made
    if until is not None:
        before = [*(placeholders[i] for i, m in zip(c, moving, strict=True) if m), *(zeros(o) for o in later)]
        ends = [node_of(ew.select(wrap(reached), wrap(e), b)) for e, b in zip(ends, before, strict=True)]
    lines = [[placeholders[i].node for i in part if i in placeholders] for part in (c, xs, k)]
    split = _Split((c, xs, k), [n for part in lines for n in part], ends, reached)
    values = _parts(x, carries, sliced)
    rows = run(values, Graph(body.inputs, [*body.outputs, *split.stacked]), length, until)[len(body.outputs):]
    given = [_given(*part, placeholders) for part in zip((c, xs, k), _parts(t, carries, sliced), values, strict=True)]
    fixed = replay(split.fixed, dict(zip(k, values[2], strict=True)))
    taken = [[v for i, v in zip(part, value, strict=True) if i in split.kept]
             for part, value in zip((xs, k), values[1:], strict=True)]
    linear = split.linear_body(lines, (xs, k), ends)
    parts = run((given[0], [*rows, *taken[0], *given[1]], [*fixed, *taken[1], *given[2]]), linear, length)
    carried, stacked = iter(parts[:sum(moving)]), iter(parts[sum(moving):])
    return [next(carried) if m else None for m in moving] + \
        [next(stacked) if o in known else None for o in body.outputs[carries:]]


class _Split:
    """What a linear loop body needs of the values: ``stacked`` changes from turn to turn, ``fixed`` does not and is
    computed outside, ``kept`` are the body's own inputs.
    """

    def __init__(self, parts: Sequence[Sequence[Node]], placeholders: Sequence[Node], ends: Sequence[Node],
                 reached: Node) -> None:
        carries, xs, constants = parts
        order = dependent(ends, placeholders)
        linear = {*placeholders, *order}
        needed = dict.fromkeys(i for n in order for i in n.inputs if i not in linear)
        needed |= dict.fromkeys(e for e in ends if e not in linear)
        changing = dependent(list(needed), [*carries, *xs])
        varying = {reached, *carries, *changing}
        again, taken = _computed_again([n for n in (*carries, *changing) if n in needed], xs, constants)
        self.kept = {n for n in needed if n in xs or n in constants} | taken
        self.stacked = [n for n in needed if n in varying and n not in again]
        self.fixed = [n for n in dependent(list(needed), constants) if n in needed and n not in varying]

    def linear_body(self, lines: Sequence[Sequence[Node]], own: Sequence[Sequence[Node]],
                    ends: Sequence[Node]) -> Graph:
        """The linear body over (tangents of carries; stacked, rows, their tangents; fixed, constants, theirs)."""
        stacked, fixed = ([f.node for f in fresh(nodes)] for nodes in (self.stacked, self.fixed))
        outputs = rebuilt(ends, dict(zip([*self.stacked, *self.fixed], [*stacked, *fixed], strict=True)))
        rows, constants = ([i for i in part if i in self.kept] for part in own)
        return Graph([*lines[0], *stacked, *rows, *lines[1], *fixed, *constants, *lines[2]], outputs)


def _computed_again(varying: Sequence[Node], rows: Sequence[Node], constants: Sequence[Node]) -> tuple[
        set[Node], set[Node]]:
    """Which of the values need not be stacked: a few cheap operations make them of the others, as s·(1 - s) of a
    sigmoid s. And the body's inputs which that takes. ``varying`` is in the order of computation.
    """
    stacked = {n for n in varying if not _is_cheap(n)}
    again: set[Node] = set()
    taken: set[Node] = set()
    for node in varying:
        if node in stacked:
            continue
        found: set[Node] = set()
        rest, steps = [node], 0
        while rest and steps <= _AGAIN:
            n = rest.pop()
            if n in stacked or n.op.kind in ("constant", "iota"):
                continue
            if n in constants or n in rows and n.size <= node.size:
                found.add(n)
            elif _is_cheap(n):
                steps += n.op.kind == "elementwise"
                rest += n.inputs
            else:
                break
        else:
            if steps <= _AGAIN:
                again.add(node)
                taken |= found
                continue
        stacked.add(node)
    return again, taken


def _is_cheap(node: Node) -> bool:
    return node.op.kind in ("view", "reshape") or (
        node.op.kind == "elementwise" and node.op.name not in COSTLY and node.op is not poll)


# ---------------------------------------------------------------- cotangents


def _transpose(ct: Sequence[Any], x: Sequence[Any], body: Graph, carries: int, sliced: int, length: int,
               until: int | None) -> list[Any]:
    """The turns in reverse order, each transposed; cotangents of constants add up in further carries."""
    if until is not None or not all(is_linear(v) or _is_zero(v.node) for v in x[:carries]):
        raise ChainruleTypeError.of("a loop whose carries are not linear in what is differentiated has no transpose",
                                    "derivatives by cr.grad, cr.vjp or cr.linearize", "")
    line = {i for n, (i, v) in enumerate(zip(body.inputs, x, strict=True)) if n < carries or is_linear(v)}
    c, xs, k = _parts(body.inputs, carries, sliced)
    (line_x, rest_x), (line_k, rest_k) = (([i for i in part if i in line], [i for i in part if i not in line])
                                          for part in (xs, k))
    given = [v for v in ct[carries:] if v is not None]
    ends = [*body.outputs[:carries],
            *(o for o, v in zip(body.outputs[carries:], ct[carries:], strict=True) if v is not None)]
    seeds, sums = fresh(ends), fresh(line_k)
    total = pull_back([wrap(o) for o in ends], seeds, [*c, *line_x, *line_k])
    back = {i: total[i] if i in total else zeros(i) for i in line}
    turned = Graph([s.node for s in (*seeds[:carries], *sums)] + rest_x + [s.node for s in seeds[carries:]] + rest_k,
                   [node_of(v) for v in (*(back[i] for i in c), *(ew.add(s, back[i]) if i in total else s
                                                                  for s, i in zip(sums, line_k, strict=True)),
                                         *(back[i] for i in line_x))])
    value = dict(zip(body.inputs, x, strict=True))
    begin = [zeros(o) if v is None else v for o, v in zip(body.outputs, ct[:carries], strict=False)]
    parts = run(([*begin, *(zeros(i) for i in line_k)], [flip(v, axes=(0,)) for v in (*(value[i] for i in rest_x),
                                                                                      *given)],
                 [value[i] for i in rest_k]), turned, length)
    found = dict(zip([*c, *line_k], parts, strict=False))
    found |= {i: flip(rows, axes=(0,)) for i, rows in zip(line_x, parts[carries + len(line_k):], strict=True)}
    return [found.get(i) if is_linear(v) else None for i, v in zip(body.inputs, x, strict=True)]


def _is_zero(node: Node) -> bool:
    """Whether a carry begins as a zero tangent."""
    while node.value is None and node.op.kind in ("view", "reshape"):
        node = node.inputs[0]
    return node.value is not None and not np.any(node.value)


# ---------------------------------------------------------------- batches


def _batch(args: Sequence[Any], batched: Sequence[bool], size: int, body: Graph, carries: int, sliced: int,
           length: int, until: int | None) -> list[Any]:
    """The body over a batch; a batch of loops that end on their own goes on until the last of them has ended."""
    flags = list(batched)
    while True:
        chosen = [i for i, flag in zip(body.inputs, flags, strict=True) if flag]
        placeholders = dict(zip(chosen, fresh(chosen, size), strict=True))
        known = push_batch(body.outputs, placeholders, size)
        grown = [flag or o in known for flag, o in zip(flags[:carries], body.outputs[:carries], strict=True)]
        if until is not None and grown[until]:
            grown = [True] * carries
        if grown == flags[:carries]:
            break
        flags[:carries] = grown
    inputs = [placeholders[i].node if i in placeholders else i for i in body.inputs]
    wide = [*flags[:carries], *[True] * (len(body.outputs) - carries)]
    outputs = [known[o] if o in known else leading(wrap(o), False, size) if w else wrap(o)
               for o, w in zip(body.outputs, wide, strict=True)]
    c, xs, k = _parts([leading(v, b, size) if f and n < carries else v
                       for n, (v, b, f) in enumerate(zip(args, batched, flags, strict=True))], carries, sliced)
    xs = [_swapped(v) if b else v for v, b in zip(xs, batched[carries:], strict=False)]
    if until is not None and flags[until]:
        parts = _each_to_its_end((c, xs, k), inputs, outputs, length, until, size)
    else:
        parts = run((c, xs, k), Graph(inputs, [node_of(o) for o in outputs]), length, until)
    return [leading(p, f, size) for p, f in zip(parts[:carries], flags, strict=False)] + \
        [_swapped(p) for p in parts[carries:]]


def _each_to_its_end(values: Sequence[Sequence[Any]], inputs: Sequence[Node], outputs: Sequence[Any], length: int,
                     until: int, size: int) -> list[Any]:
    n = len(values[0])
    ended, over = fresh([constant_node(np.zeros(size, bool)), constant_node(np.False_)])

    def unless_ended(old: Any, new: Any) -> Any:
        return ew.select(spread_flag(ended, new), old, new)
    turned = [unless_ended(wrap(i), o) for i, o in zip(inputs, outputs[:n], strict=False)]
    rows = [unless_ended(zeros(o), o) for o in outputs[n:]]
    now = ew.bit_or(ended, outputs[until])
    body = Graph([*inputs[:n], ended.node, over.node, *inputs[n:]],
                 [node_of(o) for o in (*turned, now, all_(now, axes=(0,)), *rows)])
    parts = run(([*values[0], np.zeros(size, bool), np.False_], *values[1:]), body, length, n + 1)
    return [*parts[:n], *parts[n + 2:]]


def spread_flag(flag: Any, like: Any) -> Any:
    """A bool for each element of the batch, spread over the axes of ``like``."""
    return REGISTRY["broadcast"](flag, shape=like.shape, dims=(0,))


def _swapped(x: Any) -> Any:
    """The first two axes exchanged: the loop's and the batch's."""
    return transpose(x, axes=(1, 0, *range(2, len(x.shape))))


scan: Op = Op(
    "scan", "Repeat ``body(carry…, x[i]…, constant…) -> (carry…, y…)`` for i = 0 … length-1; the ys are stacked. With "
    "``until`` the loop ends after a step that makes that carry True (the rows not reached stay 0).",
    "scan", infer=_infer, reference=_reference, jvp=_jvp, linearize=_linearize, transpose=_transpose, batch=_batch,
    arity=-1)
