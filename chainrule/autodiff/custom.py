"""Derivative rules of the user's own, and values computed again instead of kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.autodiff.recording import named
from chainrule.autodiff.vmap import vmap
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.graph import ORDER, Node
from chainrule.ops.call import call_graph
from chainrule.ops.declare import Op, Traced, bind, is_linear
from chainrule.ops.scan import project
from chainrule.ops.transform import close, fresh, node_of, results, wrap, zeros


class _Recorded:
    """A function recorded on inputs like its array arguments; other arguments are taken as they are."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        leaves, self.structure = tree.flatten(args)
        self.leaves = leaves
        self.places = [k for k, x in enumerate(leaves) if isinstance(x, Traced | np.ndarray | np.generic)]
        since = next(ORDER)
        inside = fresh([node_of(leaves[k]) for k in self.places])
        outputs, self.out_structure = tree.flatten(function(*self.arguments(inside)))
        self.graph, captured = close([t.node for t in inside], [node_of(o) for o in outputs], since)
        self.operands = [*(leaves[k] for k in self.places), *(wrap(c) for c in captured)]

    def arguments(self, arrays: Sequence[Any]) -> Any:
        """The arguments with other arrays in their places."""
        filled = list(self.leaves)
        for k, x in zip(self.places, arrays, strict=True):
            filled[k] = x
        return tree.unflatten(self.structure, filled)

    def axes(self) -> Any:
        """Batch axes for the arguments: 0 for arrays, None for everything else."""
        return tree.unflatten(self.structure, [0 if k in self.places else None for k in range(len(self.leaves))])

    def call(self, rule: Any = None, again: bool = False) -> Any:
        return tree.unflatten(self.out_structure, call_graph(self.graph, self.operands, rule, again))


def _any_traced(args: tuple[Any, ...]) -> bool:
    return any(isinstance(x, Traced) for x in tree.flatten(args)[0])


# ---------------------------------------------------------------- checkpoint


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, of which reverse mode keeps only the arguments: the rest is computed again when it is needed.

    Memory falls by what is not kept, for the price of one more forward pass through ``function``.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> layer = cr.checkpoint(lambda x: np.tanh(np.sin(x)))
        >>> round(float(cr.grad(lambda x: layer(layer(x)))(0.0)), 3)
        1.0

    Source: Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory cost", 2016.
    """
    def run(*args: Any) -> Any:
        return _Recorded(function, args).call(again=True) if _any_traced(args) else function(*args)
    return named(run, function, "checkpoint")


# ---------------------------------------------------------------- custom rules


class custom_jvp:  # noqa: N801 (a decorator)
    """A function with a forward derivative of the user's; reverse mode transposes it.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> @cr.custom_jvp
        ... def log1pexp(x):
        ...     return np.log(1.0 + np.exp(x))
        >>> @log1pexp.defjvp
        ... def log1pexp_jvp(primals, tangents):
        ...     (x,), (t,) = primals, tangents
        ...     return log1pexp(x), t * (1.0 - 1.0 / (1.0 + np.exp(x)))
        >>> cr.grad(log1pexp)(100.0)
        np.float64(1.0)
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.rule: Callable[..., Any] | None = None
        self.__wrapped__, self.__doc__ = function, function.__doc__
        self.__name__ = getattr(function, "__name__", "function")

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set ``rule(primals, tangents) -> (result, tangent of the result)``, linear in the tangents."""
        self.rule = rule
        return rule

    def __call__(self, *args: Any) -> Any:
        """The function's result."""
        if not _any_traced(args):
            return self.function(*args)
        if self.rule is None:
            raise ArgumentError.of(f"{self.__name__} has no derivative rule yet", "one", f"@{self.__name__}.defjvp")
        recorded = _Recorded(self.function, args)
        return recorded.call(_JvpRule(self.__name__, self.rule, recorded))


class _Rule:
    """What the two kinds of rules share: the containers, and the check that nothing traced was closed over."""

    def __init__(self, name: str, recorded: _Recorded) -> None:
        self.name, self.recorded = name, recorded

    def __repr__(self) -> str:  # part of a graph's key: the same for equal graphs
        return f"rule of {self.name}"

    def primals(self, t: Sequence[Any], x: Sequence[Any]) -> tuple[Any, ...]:
        n = len(self.recorded.places)
        if any(v is not None for v in t[n:]):
            raise ChainruleTypeError.of(f"{self.name}, which has a derivative rule of its own, uses a differentiated "
                                        "value that is not among its arguments", "all of them as arguments",
                                        "f(x, w)   # not lambda x: … w …")
        return self.recorded.arguments(x[:n])

    def leaves(self, value: Any, what: str) -> list[Any]:
        leaves, structure = tree.flatten(value)
        if structure != self.recorded.out_structure:
            raise ShapeError.of(f"{what} of {self.name} of structure {structure}",
                                f"that of the result, {self.recorded.out_structure}", "")
        for leaf, o in zip(leaves, self.recorded.graph.outputs, strict=True):
            if np.shape(leaf)[-len(o.shape):] != o.shape and o.shape:
                raise ShapeError.of(f"{what} of {self.name} of shape {np.shape(leaf)}",
                                    f"that of the result, {o.shape}", "")
        return leaves


class _JvpRule(_Rule):
    def __init__(self, name: str, rule: Callable[..., Any], recorded: _Recorded) -> None:
        super().__init__(name, recorded)
        self.rule = rule

    def jvp(self, t: Sequence[Any], x: Sequence[Any]) -> list[Any]:
        n = len(self.recorded.places)
        primals = self.primals(t, x)
        filled = [zeros(v) if d is None else d for v, d in zip(x[:n], t[:n], strict=True)]
        result = self.rule(primals, self.recorded.arguments(filled))
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ArgumentError.of(f"the rule of {self.name} returned {type(result).__name__}",
                                   "a pair (result, tangent)", "return f(x), t * df(x)")
        return self.leaves(result[1], "a tangent")

    linearize = jvp

    def batched(self, size: int) -> _JvpRule:
        axes = self.recorded.axes()
        return _JvpRule(self.name, vmap(self.rule, (axes, axes)), self.recorded)


class custom_vjp:  # noqa: N801 (a decorator)
    """A function with a reverse derivative of the user's. It has no forward mode.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> @cr.custom_vjp
        ... def clipped_gradient(x):
        ...     return x
        >>> clipped_gradient.defvjp(lambda x: (x, None), lambda kept, ct: (np.clip(ct, -1.0, 1.0),))
        >>> cr.grad(lambda x: 7.0 * clipped_gradient(x))(2.0)
        np.float64(1.0)
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.rules: tuple[Callable[..., Any], Callable[..., Any]] | None = None
        self.__wrapped__, self.__doc__ = function, function.__doc__
        self.__name__ = getattr(function, "__name__", "function")

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Set ``forward(*args) -> (result, kept)`` and ``backward(kept, cotangent) -> cotangents of the args``."""
        self.rules = forward, backward

    def __call__(self, *args: Any) -> Any:
        """The function's result."""
        if not _any_traced(args):
            return self.function(*args)
        if self.rules is None:
            raise ArgumentError.of(f"{self.__name__} has no derivative rule yet", "one",
                                   f"{self.__name__}.defvjp(forward, backward)")
        recorded = _Recorded(self.function, args)
        return recorded.call(_VjpRule(self.__name__, *self.rules, recorded))


class _VjpRule(_Rule):
    def __init__(self, name: str, forward: Callable[..., Any], backward: Callable[..., Any],
                 recorded: _Recorded) -> None:
        super().__init__(name, recorded)
        self.forward, self.backward = forward, backward

    def jvp(self, t: Sequence[Any], x: Sequence[Any]) -> list[Any]:
        raise ChainruleTypeError.of(f"{self.name} has a reverse rule only (custom_vjp), and forward mode was asked for",
                                    "reverse mode, or custom_jvp", "cr.grad(f), cr.jacobian(f, mode='reverse')")

    def linearize(self, t: Sequence[Any], x: Sequence[Any]) -> list[Any]:
        result = self.forward(*self.primals(t, x))
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ArgumentError.of(f"the forward rule of {self.name} returned {type(result).__name__}",
                                   "a pair (result, kept)", "return f(x), (x,)")
        outputs = [node_of(v) for v in self.leaves(result[0], "a result")]
        kept, structure = tree.flatten(result[1])
        places = [k for k, v in enumerate(t) if v is not None]
        out = bind(pulled, *kept, *(t[k] for k in places), rule=_Pull(self, kept, structure, places, len(t), outputs))
        return results(out, len(outputs), project)

    def batched(self, size: int) -> _VjpRule:
        return _VjpRule(self.name, vmap(self.forward, self.recorded.axes()), vmap(self.backward), self.recorded)


@dataclass(frozen=True)
class _Place:
    """Stands for an array argument."""

    number: int


class _Pull:
    """The linear function whose transpose the user gave."""

    def __init__(self, rule: _VjpRule, kept: Sequence[Any], structure: tree.Structure, places: Sequence[int],
                 count: int, outputs: Sequence[Node]) -> None:
        self.rule, self.structure, self.places, self.count = rule, structure, places, count
        self.kept, self.outputs = len(kept), outputs

    def __repr__(self) -> str:
        return repr(self.rule)

    def transpose(self, ct: Sequence[Any], x: Sequence[Any]) -> list[Any]:
        cts = [zeros(o) if v is None else v for v, o in zip(ct, self.outputs, strict=True)]
        kept = tree.unflatten(self.structure, list(x[:self.kept]))
        result = self.rule.backward(kept, tree.unflatten(self.rule.recorded.out_structure, cts))
        result = result if isinstance(result, tuple) else (result,)
        recorded = self.rule.recorded
        count = len(recorded.places)
        leaves = _matched(result, recorded.arguments([_Place(k) for k in range(count)]), count)
        if leaves is None:
            raise ShapeError.of(f"the backward rule of {self.rule.name} returned {len(result)} cotangents",
                                "one for each argument, in its containers", "return (ct_x, ct_w)")
        return [None] * self.kept + [leaves[k] if is_linear(v) else None
                                     for k, v in zip(self.places, x[self.kept:], strict=True)]


def _matched(cotangents: Any, places: Any, count: int) -> list[Any] | None:
    """The cotangent for each array argument; None in place of a whole container is zero for all of it."""
    out: list[Any] = [None] * count

    def walk(ct: Any, at: Any) -> bool:
        if ct is None:
            return True
        if isinstance(at, dict):
            return isinstance(ct, dict) and ct.keys() == at.keys() and all(walk(ct[k], at[k]) for k in at)
        if isinstance(at, list | tuple):
            return isinstance(ct, list | tuple) and len(ct) == len(at) and all(map(walk, ct, at))
        if isinstance(at, _Place):
            out[at.number] = ct
        return True
    return out if walk(tuple(cotangents), tuple(places)) else None


def _no_forward(*x: Any, rule: Any) -> Any:
    return rule.rule.jvp((), ())


pulled: Op = Op(
    "pulled", "A linear function of which only the transpose is known: what a custom_vjp becomes.", "pulled",
    infer=lambda *x, rule: (tuple(o.shape for o in rule.outputs), tuple(o.dtype for o in rule.outputs)),
    reference=_no_forward, transpose=lambda ct, x, rule: rule.transpose(ct, x), arity=-1)
