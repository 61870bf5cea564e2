"""Recorded graphs applied to operands: ``call`` (checkpoints, custom rules) and ``switch`` (one of several)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.graph import Graph
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Op, bind, is_linear, leading
from chainrule.ops.scan import project, spread_flag
from chainrule.ops.transform import batched_graphs, results, tangent_graphs, transposed_graphs


def _several(graph: Graph) -> Any:
    return tuple(o.shape for o in graph.outputs), tuple(o.dtype for o in graph.outputs)


after: Op = Op(
    "after", "The first array; it is there only when the second one is. Keeps what is computed again from being "
    "computed early.", "view", infer=lambda x, token: x, reference=lambda x, token: np.array(x), arity=2,
    jvp=lambda t, x, out: t[0], transpose=lambda ct, x: [ct if is_linear(x[0]) else None, None],
    batch=lambda args, batched, size: after(leading(args[0], batched[0], size), args[1]),
    view=lambda index, x_shape: index)

# ---------------------------------------------------------------- call


def call_graph(body: Graph, operands: Sequence[Any], rule: Any = None, again: bool = False) -> list[Any]:
    """The results of ``body`` for ``operands``."""
    return results(bind(call, *operands, body=body, rule=rule, again=again), len(body.outputs), project)


def _call_tangents(t: Sequence[Any], x: Sequence[Any], body: Graph, again: bool, linear: bool) -> list[Any]:
    (graph,), have = tangent_graphs([body], [v is not None for v in t], linear)
    if not have:
        return []
    found = dict(zip(have, call_graph(graph, [*x, *(v for v in t if v is not None)], None, again), strict=True))
    return [found.get(k) for k in range(len(body.outputs))]


def _call_jvp(t: Sequence[Any], x: Sequence[Any], out: Any, body: Graph, rule: Any, again: bool) -> list[Any]:
    return _call_tangents(t, x, body, False, False) if rule is None else rule.jvp(t, x)


def _call_linearize(t: Sequence[Any], x: Sequence[Any], out: Any, body: Graph, rule: Any, again: bool) -> list[Any]:
    return _call_tangents(t, x, body, again, True) if rule is None else rule.linearize(t, x)


def _call_transpose(ct: Sequence[Any], x: Sequence[Any], body: Graph, rule: Any, again: bool) -> list[Any]:
    given = [k for k, v in enumerate(ct) if v is not None]
    linear = [is_linear(v) for v in x]
    (graph,) = transposed_graphs([body], linear, given)
    rest, cts = [v for v, line in zip(x, linear, strict=True) if not line], [ct[k] for k in given]
    if again:
        rest = [after(v, cts[0]) for v in rest]
    found = iter(call_graph(graph, [*rest, *cts]))
    return [next(found) if line else None for line in linear]


def _call_batch(args: Sequence[Any], batched: Sequence[bool], size: int, body: Graph, rule: Any,
                again: bool) -> list[Any]:
    if rule is not None:  # a rule of the user's is batched as a whole
        args, batched = [leading(v, b, size) for v, b in zip(args, batched, strict=True)], [True] * len(args)
        rule = rule.batched(size)
    (graph,) = batched_graphs([body], batched, size)
    return call_graph(graph, args, rule, again)


call: Op = Op(
    "call", "The results of a graph. ``rule`` holds derivative rules of the user's; with ``again`` the graph is "
    "computed again where its derivative is transposed, and only its inputs are kept.", "call",
    infer=lambda *x, body, rule, again: _several(body),
    reference=lambda *x, body, rule, again: tuple(map(np.asarray, body.evaluate(*x))),
    jvp=_call_jvp, linearize=_call_linearize, transpose=_call_transpose, batch=_call_batch, arity=-1)

# ---------------------------------------------------------------- switch


def switch_graphs(index: Any, branches: Sequence[Graph], operands: Sequence[Any]) -> list[Any]:
    """The results of the branch that ``index`` (an int32 scalar in range) names."""
    return results(bind(switch, index, *operands, branches=tuple(branches)), len(branches[0].outputs), project)


def _switch_tangents(t: Sequence[Any], x: Sequence[Any], branches: Sequence[Graph], linear: bool) -> list[Any]:
    graphs, have = tangent_graphs(branches, [v is not None for v in t[1:]], linear)
    if not have:
        return []
    found = dict(zip(have, switch_graphs(x[0], graphs, [*x[1:], *(v for v in t[1:] if v is not None)]), strict=True))
    return [found.get(k) for k in range(len(branches[0].outputs))]


def _switch_transpose(ct: Sequence[Any], x: Sequence[Any], branches: Sequence[Graph]) -> list[Any]:
    given = [k for k, v in enumerate(ct) if v is not None]
    linear = [is_linear(v) for v in x]
    graphs = transposed_graphs(branches, linear[1:], given)
    rest = [v for v, line in zip(x[1:], linear[1:], strict=True) if not line]
    found = iter(switch_graphs(x[0], graphs, [*rest, *(ct[k] for k in given)]))
    return [next(found) if line else None for line in linear]


def _switch_batch(args: Sequence[Any], batched: Sequence[bool], size: int, branches: Sequence[Graph]) -> list[Any]:
    """A batch of choices needs all branches, and picks."""
    graphs = batched_graphs(branches, batched[1:], size)
    if not batched[0]:
        return switch_graphs(args[0], graphs, args[1:])
    every = [call_graph(g, args[1:]) for g in graphs]
    chosen = every[-1]
    for k in range(len(every) - 2, -1, -1):
        here = ew.eq(args[0], np.int32(k))
        chosen = [ew.select(spread_flag(here, a), a, b) for a, b in zip(every[k], chosen, strict=True)]
    return chosen


def _switch_reference(index: Any, *x: Any, branches: Sequence[Graph]) -> Any:
    return tuple(map(np.asarray, branches[int(index)].evaluate(*x)))


switch: Op = Op(
    "switch", "The results of the one of several graphs over the same operands that the first input names.", "switch",
    infer=lambda index, *x, branches: _several(branches[0]), reference=_switch_reference,
    jvp=lambda t, x, out, branches: _switch_tangents(t, x, branches, False),
    linearize=lambda t, x, out, branches: _switch_tangents(t, x, branches, True),
    transpose=_switch_transpose, batch=_switch_batch, arity=-1)
