"""``while``: a recorded body repeated as long as a recorded test holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ChainruleTypeError
from chainrule.graph import Graph
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Op, bind, leading
from chainrule.ops.reduce import any_
from chainrule.ops.scan import project, spread_flag
from chainrule.ops.transform import fresh, node_of, push_batch, push_forward, results, wrap, zeros


def _infer(*inputs: Any, body: Graph, test: Graph, carries: int) -> Any:
    return tuple(o.shape for o in body.outputs), tuple(o.dtype for o in body.outputs)


def _reference(*values: Any, body: Graph, test: Graph, carries: int) -> Any:
    carry, constants = list(values[:carries]), values[carries:]
    while test.evaluate(*carry, *constants)[0]:
        carry = body.evaluate(*carry, *constants)
    return tuple(np.asarray(c) for c in carry)


def run(carries: Sequence[Any], constants: Sequence[Any], body: Graph, test: Graph) -> list[Any]:
    """The last carries."""
    out = bind(while_, *carries, *constants, body=body, test=test, carries=len(carries))
    return results(out, len(carries), project)


def _jvp(t: Sequence[Any], x: Sequence[Any], out: Any, body: Graph, test: Graph, carries: int) -> list[Any]:
    """One loop over values and tangents together."""
    moving = [v is not None for v in t]
    while True:
        chosen = [i for i, m in zip(body.inputs, moving, strict=True) if m]
        line = dict(zip(chosen, fresh(chosen), strict=True))
        known = push_forward(body.outputs, line)
        grown = [m or o in known for m, o in zip(moving, body.outputs, strict=False)]
        if grown == moving[:carries]:
            break
        moving[:carries] = grown
    parts = [body.inputs[:carries], body.inputs[carries:]]
    inputs = [n for part in parts for n in (*part, *(line[i].node for i in part if i in line))]
    given = {i: zeros(v) if d is None else d for i, d, v in zip(body.inputs, t, x, strict=True)}
    first, constants = ([*v, *(given[i] for i in part if i in line)]
                        for part, v in zip(parts, (x[:carries], x[carries:]), strict=True))
    moved = [node_of(known[o] if o in known else zeros(o)) for i, o in zip(parts[0], body.outputs, strict=True)
             if i in line]
    rest = iter(run(first, constants, Graph(inputs, [*body.outputs, *moved]), Graph(inputs, test.outputs))[carries:])
    return [next(rest) if i in line else None for i in parts[0]]


def _transpose(ct: Any, x: Sequence[Any], **params: Any) -> list[Any]:
    raise ChainruleTypeError.of(
        "while_loop has no reverse mode: how many turns there are, and so how much to keep, is not known beforehand",
        "forward mode (cr.jvp), or cr.scan with a length", "cr.scan(step, init, length=100, until=lambda c: c[1])")


def _batch(args: Sequence[Any], batched: Sequence[bool], size: int, body: Graph, test: Graph,
           carries: int) -> list[Any]:
    """As long as one of the batch goes on; those that have ended stay as they are."""
    flags = list(batched)
    while True:
        chosen = [i for i, flag in zip(body.inputs, flags, strict=True) if flag]
        wide = dict(zip(chosen, fresh(chosen, size), strict=True))
        known = push_batch([*body.outputs, *test.outputs], wide, size)
        separate = test.outputs[0] in known
        grown = [separate or flag or o in known for flag, o in zip(flags, body.outputs, strict=False)]
        if grown == flags[:carries]:
            break
        flags[:carries] = grown
    inputs = [wide[i].node if i in wide else i for i in body.inputs]
    outputs = [known[o] if o in known else leading(wrap(o), False, size) if f else wrap(o)
               for o, f in zip(body.outputs, flags, strict=False)]
    going = known[test.outputs[0]] if separate else wrap(test.outputs[0])
    if separate:
        outputs = [ew.select(spread_flag(going, o), o, wrap(i)) for i, o in zip(inputs, outputs, strict=False)]
        going = any_(going, axes=(0,))
    given = [leading(v, b, size) if f else v for v, b, f in zip(args, batched, flags, strict=True)]
    parts = run(given[:carries], given[carries:], Graph(inputs, [node_of(o) for o in outputs]),
                Graph(inputs, [node_of(going)]))
    return [leading(p, f, size) for p, f in zip(parts, flags, strict=False)]


while_: Op = Op(
    "while", "Repeat ``body(carry…, constant…) -> carry…`` as long as ``test(carry…, constant…)`` holds; both graphs "
    "are over the same input nodes.", "while", infer=_infer, reference=_reference, jvp=_jvp, transpose=_transpose,
    batch=_batch, arity=-1)
