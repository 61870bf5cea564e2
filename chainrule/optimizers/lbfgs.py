"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from chainrule.arguments import share, whole
from chainrule.control import while_loop
from chainrule.ops import elementwise as ew
from chainrule.optimizers.base import Options, Rate, Search, State, as_dtype
from chainrule.optimizers.layout import Layout


class LBFGS(Search):
    """A quasi-Newton method: steps by an estimate of the curvature, made of the last changes of x and of the gradient.

    Each step searches along its direction for a point that lowers the loss enough and where the slope has risen enough
    (the weak conditions of Wolfe), by bisection. It wants the loss to be one function: the whole data as one batch, no
    dropout. Then it needs far fewer steps than the others.

    Args:
        learning_rate: where the search begins: 1 is the full step.
        history_size: how many changes are remembered.
        max_evaluations: the most points that one step tries.
        sufficient_decrease: the share of the predicted decrease that is enough.
        curvature: the share of the slope that may be left.
        options: ``name``, ``use_ema`` and the like of every :class:`Optimizer`; gradients are not clipped.

    Example:
        >>> import chainrule as cr
        >>> def rosenbrock(x):
        ...     return (1 - x[0])**2 + 100 * (x[1] - x[0]**2)**2
        >>> result = cr.minimize(rosenbrock, [-1.2, 1.0], LBFGS())
        >>> result.converged, result.steps < 60
        (True, True)

    Source: Nocedal and Wright, "Numerical optimization", 2006, algorithms 7.4 and 7.5; Lewis and Overton, "Nonsmooth
    optimization via quasi-Newton methods", 2013, for the search.
    """

    whole_data = True

    def __init__(self, learning_rate: Rate = 1.0, history_size: int = 10, max_evaluations: int = 25,
                 sufficient_decrease: float = 1e-4, curvature: float = 0.9, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, None, **options)
        self.history_size = whole("history_size", history_size)
        self.max_evaluations = whole("max_evaluations", max_evaluations)
        self.sufficient_decrease = share("sufficient_decrease", sufficient_decrease)
        self.curvature = share("curvature", curvature)

    def start(self, params: Any, layout: Layout) -> State:
        """An empty memory."""
        n = int(np.prod(params.shape))
        memory = np.zeros((self.history_size, n), params.dtype)
        return {"moves": memory, "changes": memory.copy(), "weights": np.zeros(self.history_size, params.dtype),
                "curvature": np.ones((), params.dtype)}

    def search(self, evaluate: Callable[[Any], tuple[Any, Any]], params: Any, value: Any, grads: Any, state: State,
               learning_rate: Any, step: Any) -> tuple[Any, State]:
        """One step: a direction, a search along it, one more change to remember."""
        direction = self._direction(grads, state)
        slope = np.sum(direction * grads)
        wrong = ew.bit_not(ew.lt(slope, 0))  # only by rounding, or at a minimum
        direction = ew.select(wrong, -grads, direction)
        slope = ew.select(wrong, -np.sum(grads * grads), slope)
        # without a memory the direction has no scale of its own: the first step is at most 1 long
        known = ew.gt(np.sum(state["weights"]), 0)
        begin = ew.select(known, as_dtype(np.float64(1.0), params), 1.0 / np.maximum(np.sum(np.abs(grads)), 1.0))
        found, there = self._line_search(evaluate, params, value, grads, direction, slope,
                                         begin * as_dtype(learning_rate, params))
        return found, self._remembered(state, found - params, there - grads)

    def _direction(self, grads: Any, state: State) -> Any:
        """The negative gradient times the estimate of the inverse Hessian: the two loops over the memory."""
        moves, changes, weights = state["moves"], state["changes"], state["weights"]
        rest, factors = grads, []
        for i in reversed(range(self.history_size)):  # the last is the newest; empty places have weight 0
            factor = weights[i] * np.sum(moves[i] * rest)
            rest = rest - changes[i] * factor
            factors.append(factor)
        out = rest * state["curvature"]
        for i, factor in zip(range(self.history_size), reversed(factors), strict=True):
            out = out + moves[i] * (factor - weights[i] * np.sum(changes[i] * out))
        return -out

    def _line_search(self, evaluate: Callable[[Any], tuple[Any, Any]], params: Any, value: Any, grads: Any,
                     direction: Any, slope: Any, begin: Any) -> tuple[Any, Any]:
        """The point found and its gradient; the old ones if no point was better."""
        infinite = np.asarray(np.inf, params.dtype)
        init = {"t": begin, "low": begin * 0, "high": begin * 0 + infinite, "tries": np.zeros((), np.int32),
                "done": np.zeros((), np.bool_), "x": params, "value": value, "grads": grads}

        def attempt(carry: State) -> State:
            t = carry["t"]
            x = params + direction * t
            new, there = evaluate(x)
            enough = ew.le(new, value + slope * t * self.sufficient_decrease)
            flat = ew.ge(np.sum(there * direction), slope * self.curvature)
            low, high = ew.select(enough, t, carry["low"]), ew.select(enough, carry["high"], t)
            between = ew.select(ew.lt(high, infinite), (low + high) * 0.5, t * 2)
            better = ew.bit_and(enough, ew.le(new, carry["value"]))
            keep = ew.bit_or(better, ew.bit_and(enough, flat))
            return {"t": between, "low": low, "high": high, "tries": carry["tries"] + 1,
                    "done": ew.bit_and(enough, flat), "x": ew.select(keep, x, carry["x"]),
                    "value": ew.select(keep, new, carry["value"]), "grads": ew.select(keep, there, carry["grads"])}

        def unfinished(carry: State) -> Any:
            return ew.bit_and(ew.bit_not(carry["done"]), ew.lt(carry["tries"], self.max_evaluations))
        last = while_loop(unfinished, attempt, init)
        return last["x"], last["grads"]

    def _remembered(self, state: State, move: Any, change: Any) -> State:
        """The memory with one more entry, where it says something of the curvature; the oldest one goes."""
        product, square = np.sum(move * change), np.sum(change * change)
        useful = ew.gt(product, np.finfo(move.dtype).eps * square)
        one = np.ones((), move.dtype)
        safe, squares = ew.select(useful, product, one), ew.select(useful, square, one)
        entries = {"moves": move, "changes": change, "weights": 1.0 / safe}
        new = {name: ew.select(useful, np.concatenate([state[name][1:], entry[None]]), state[name])
               for name, entry in entries.items()}
        return {**new, "curvature": ew.select(useful, safe / squares, state["curvature"])}


__all__ = ["LBFGS"]
