"""Minimize any function of arrays by gradient descent, compiled: the whole loop is one native call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import dtypes, optimizers, runtime, tree
from chainrule.arguments import whole
from chainrule.autodiff import value_and_grad
from chainrule.control import scan
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.ops import elementwise as ew
from chainrule.optimizers import Optimizer
from chainrule.optimizers.base import Search
from chainrule.optimizers.layout import Layout
from chainrule.trace import Tracer
from chainrule.tracebacks import public

_ENDLESS = 2**31 - 1  # steps of a loop that a condition ends
_CHUNK = 1024  # steps of a native call at first; Ctrl-C waits for its end
_PATIENCE = 0.05  # seconds: while a call takes less, the next makes more steps

State = dict[str, Any]


@dataclass(frozen=True, repr=False)
class MinimizeResult:
    """Where :func:`minimize` stopped, and why.

    Attributes:
        x: the point, in the containers of ``x0``.
        fun: the function's value there.
        grad_norm: the Euclidean norm of the gradient there.
        steps: how many steps were made.
        reason: "gradient tolerance", "target value", "step limit", "callback" or "not finite".
        converged: whether the gradient tolerance or the target value was reached.
        message: the reason in a sentence.
        values: with ``record_path`` the function's value at each point of the path, else None.
        path: with ``record_path`` all points from x0 on, stacked along a first axis, in the containers of ``x0``.
    """

    x: Any
    fun: float
    grad_norm: float
    steps: int
    reason: str
    converged: bool
    message: str
    values: np.ndarray | None = field(default=None)
    path: Any = field(default=None)

    def __repr__(self) -> str:
        shown = [np.array2string(np.asarray(leaf), threshold=12, precision=6, separator=", ")
                 for leaf in tree.flatten(self.x)[0]]
        x = "\n".join(shown).replace("\n", "\n     ")
        return (f"{'Converged' if self.converged else 'Stopped'}: {self.message}\n"
                f"  x: {x}\n  f(x): {self.fun:.8g}\n  gradient norm: {self.grad_norm:.3g}\n  steps: {self.steps:,}")


@public
def minimize(f: Callable[..., Any], x0: Any, optimizer: str | Optimizer | None = None, max_steps: int = 1000,
             tolerance: float = 1e-6, target: float | None = None,
             callback: Callable[[int, Any, float], Any] | None = None, args: Sequence[Any] = (), *,
             callback_every: int = 1, record_path: bool = False, jit: bool = True) -> MinimizeResult:
    """Minimize ``f(x, *args)`` over ``x`` by the steps of an optimizer.

    It stops at the first point where the gradient's norm is at most ``tolerance`` or the value is at most ``target``,
    and otherwise after ``max_steps`` steps. NaN or infinity as a value or gradient stops it too.

    Args:
        f: a NumPy-style function with a scalar result.
        x0: the start: a float, an array, or lists, tuples and dicts of such. ``x`` keeps containers, shapes, dtypes.
        optimizer: a name or an optimizer, such as ``SGD(0.1)`` for plain gradient descent or
            ``SGD(0.1, momentum=0.9)``; ``Adam(0.1)`` if none is given.
        max_steps: the step limit.
        tolerance: the gradient's norm at which the point counts as a minimum; 0 for never.
        target: a value that is low enough; None for none.
        callback: ``callback(step, x, value)``, called at x0 and after each step; True ends the search.
        args: further arguments of ``f``. Unlike values that ``f`` closes over, changing them compiles nothing.
        callback_every: call back at every so many steps only; the steps between are one native call.
        record_path: keep all points and values.
        jit: compile. Without, Python runs every step, and ``f`` may use ``if`` and ``while`` on values.

    Example:
        >>> import chainrule as cr
        >>> def rosenbrock(x):
        ...     return (1 - x[0])**2 + 100 * (x[1] - x[0]**2)**2
        >>> result = cr.minimize(rosenbrock, [-1.0, 2.0], cr.optimizers.Adam(0.1), max_steps=20_000)
        >>> result.reason, [round(float(v), 4) for v in result.x]
        ('gradient tolerance', [1.0, 1.0])
    """
    problem = _Problem(f, x0, optimizers.get(optimizers.Adam(0.1) if optimizer is None else optimizer), tuple(args))
    max_steps, every = whole("max_steps", max_steps, 0), whole("callback_every", callback_every)
    for name, value in (("tolerance", tolerance), ("target", target)):
        if value is not None and not (np.ndim(value) == 0 and np.isreal(value) and not np.isnan(value)):
            raise ArgumentError.of(f"{name}={value!r}", "a number", f"{name}=1e-6")
    if tolerance < 0:
        raise ArgumentError.of(f"tolerance={tolerance!r}", "0 or more", "tolerance=1e-6")
    if callback is not None and not callable(callback):
        raise ArgumentError.of(f"callback={callback!r}", "a function of (step, x, value)",
                               "callback=lambda step, x, value: None")
    limits = {"tolerance": np.float64(tolerance), "target": np.float64(-np.inf if target is None else target)}
    chunk = every if callback is not None else min(max_steps + 1, _CHUNK)
    run = problem.loop(jit, chunk if record_path else None)
    state, called, stopped = problem.start(), False, False
    points: list[np.ndarray] = []
    values: list[np.ndarray] = []
    until = 0 if callback is not None else chunk - 1
    while not (called or stopped):
        before, began = int(state["step"]), time.perf_counter()
        state, (path, value) = run(state, {**limits, "last": np.int64(min(until, max_steps))}, problem.args)
        step = int(state["step"])
        if record_path:
            points.append(path[:step - before])
            values.append(value[:step - before])
        called = callback is not None and bool(callback(step, problem.unflatten(state["x"]), float(state["value"])))
        stopped = bool(state["tiny"] | state["low"] | state["broken"]) or step >= max_steps
        if callback is None and not record_path and time.perf_counter() - began < _PATIENCE:
            chunk *= 4
        until = step + chunk
    return problem.result(state, called and not stopped, tolerance, target, points, values)


class _Problem:
    """The function on one flat vector, and the loop over steps."""

    def __init__(self, f: Callable[..., Any], x0: Any, optimizer: Optimizer, args: tuple[Any, ...]) -> None:
        if not callable(f):
            raise ArgumentError.of(f"minimize got a {type(f).__name__} as f", "a function", "cr.minimize(f, x0)")
        leaves, self.structure = tree.flatten(x0)
        arrays = [_checked(leaf) for leaf in leaves]
        if not arrays:
            raise ArgumentError.of(f"x0={x0!r} holds no numbers", "at least one", "x0 = np.zeros(3)")
        self.f, self.optimizer, self.args = f, optimizer, args
        self.shapes, self.dtypes = [a.shape for a in arrays], [a.dtype for a in arrays]
        self.dtype = np.result_type(*self.dtypes)
        self.layout = Layout(tree.paths(self.structure, "x"), self.shapes)
        self.x0 = np.concatenate([a.reshape(-1).astype(self.dtype) for a in arrays])

    def unflatten(self, x: Any) -> Any:
        """The flat vector in the containers of x0."""
        leaves, at = [], 0
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            n = int(np.prod(shape))
            leaf = x[at:at + n].reshape(shape).astype(dtype)
            leaves.append(leaf if shape or isinstance(leaf, Tracer) else leaf[()])
            at += n
        return tree.unflatten(self.structure, leaves)

    def start(self) -> State:
        """The state before the first evaluation: step -1."""
        return {"x": self.x0, "grad": np.zeros_like(self.x0), "optimizer": self.optimizer.init(self.x0, self.layout),
                "step": np.int64(-1), "value": self.dtype.type(0), "norm": self.dtype.type(0), "rate": self.rate(),
                "tiny": np.False_, "low": np.False_, "broken": np.False_, "end": np.False_}

    def rate(self) -> Any:
        """The learning rate as an input of what is compiled."""
        return self.dtype.type(self.optimizer.learning_rate)

    def step(self, state: State, limits: dict[str, Any], args: tuple[Any, ...]) -> State:
        """Move, then evaluate: value, gradient and norm always belong to ``x``. The first time nothing moves."""
        first, made = ew.lt(state["step"], 0), ew.maximum(state["step"], 0)
        evaluate = value_and_grad(lambda flat: self.scalar(flat, args))
        x, memory = self.moved(evaluate, state, made)
        x = ew.select(first, state["x"], x)
        memory = tree.map_leaves(lambda old, new: ew.select(first, old, new), state["optimizer"], memory)
        value, gradient = evaluate(x)
        norm = np.sqrt(np.sum(gradient * gradient))
        step = ew.add(state["step"], 1)
        tiny, low = ew.le(norm, limits["tolerance"]), ew.le(value, limits["target"])
        broken = ew.bit_not(ew.bit_and(ew.is_finite(value), ew.is_finite(norm)))
        end = ew.bit_or(ew.bit_or(tiny, low), ew.bit_or(broken, ew.ge(step, limits["last"])))
        return {"x": x, "grad": gradient, "optimizer": memory, "step": step, "value": value, "norm": norm,
                "rate": state["rate"], "tiny": tiny, "low": low, "broken": broken, "end": end}

    def moved(self, evaluate: Callable[[Any], tuple[Any, Any]], state: State, made: Any) -> tuple[Any, Any]:
        """The optimizer's step from ``x``: the next point and the optimizer's state."""
        optimizer, layout = self.optimizer, self.layout
        if isinstance(optimizer, Search):
            return optimizer.searched(evaluate, state["x"], state["value"], state["grad"], state["optimizer"],
                                      state["rate"], made)
        return optimizer.update(state["x"], state["grad"], state["optimizer"], state["rate"], made, layout)

    def scalar(self, flat: Any, args: tuple[Any, ...]) -> Any:
        """The value as a scalar of our dtype."""
        value = self.f(self.unflatten(flat), *args)
        shape, dtype = np.shape(value), getattr(value, "dtype", np.dtype(float))
        if shape != () or not isinstance(value, Tracer | np.ndarray | np.generic | float | int):
            raise ShapeError.of(f"minimize needs a function with a scalar result, and this one returned "
                                f"{f'an array of shape {shape}' if shape else f'a {type(value).__name__}'}",
                                "one number", "cr.minimize(lambda x: np.sum(f(x)), x0)")
        if not dtypes.is_float(dtype):
            raise ChainruleTypeError.of(f"the function returned a number of dtype {dtype}", "a floating-point number",
                                        "")
        return ew.cast(value, dtype=self.dtype) if isinstance(value, Tracer) else self.dtype.type(value)

    def loop(self, compiled: bool, recorded: int | None) -> Callable[..., Any]:
        """``run(state, limits, args) -> (state, (points, values))``, until ``limits`` end it."""
        def keep(state: State) -> tuple[Any, Any]:
            return (state["x"], state["value"]) if recorded is not None else (None, None)

        def run(state: State, limits: dict[str, Any], args: tuple[Any, ...]) -> Any:
            def body(carry: State, _: Any) -> Any:
                carry = self.step(carry, limits, args)
                return carry, keep(carry)
            return scan(body, state, length=recorded or _ENDLESS, until=lambda carry: carry["end"])

        def run_in_python(state: State, limits: dict[str, Any], args: tuple[Any, ...]) -> Any:
            kept = []
            while True:
                state = self.step(state, limits, args)
                kept.append(keep(state))
                if state["end"]:
                    points, values = zip(*kept, strict=True)
                    return state, (np.array(points), np.array(values)) if recorded is not None else (None, None)
        return runtime.jit(run) if compiled else run_in_python

    def result(self, state: State, called: bool, tolerance: float, target: float | None, points: list[np.ndarray],
               values: list[np.ndarray]) -> MinimizeResult:
        """The last state, and why it is the last."""
        step, value, norm = int(state["step"]), float(state["value"]), float(state["norm"])
        at = f"at step {step:,}" if step else "at x0"
        if state["broken"]:
            what = f"f is {value}" if not np.isfinite(value) else f"the gradient's norm is {norm}"
            hint = "a smaller learning_rate may help" if step else "start where f and its gradient are finite"
            reason, message = "not finite", f"{what} {at}: {hint}"
        elif state["low"]:
            reason, message = "target value", f"f reached the target {target:g} {at}"
        elif state["tiny"]:
            reason, message = "gradient tolerance", f"the gradient's norm fell to the tolerance {tolerance:g} {at}"
        elif called:
            reason, message = "callback", f"the callback asked to stop {at}"
        else:
            reason, message = "step limit", f"max_steps={step:,} steps were made"
        path = None
        if points:
            stacked, n = np.concatenate(points), 0
            leaves = []
            for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
                size = int(np.prod(shape))
                leaves.append(stacked[:, n:n + size].reshape(-1, *shape).astype(dtype))
                n += size
            path = tree.unflatten(self.structure, leaves)
        return MinimizeResult(self.unflatten(state["x"]), value, norm, step, reason,
                              reason in ("gradient tolerance", "target value"), message,
                              np.concatenate(values) if values else None, path)


def _checked(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    if isinstance(leaf, int) and not isinstance(leaf, bool):
        array = array.astype(np.float64)
    if array.dtype not in (np.float32, np.float64):
        raise ChainruleTypeError.of(f"x0 holds a {type(leaf).__name__} of dtype {array.dtype}",
                                    "floating-point numbers and arrays",
                                    "x0 = np.asarray(x0, dtype=float)")
    if not np.isfinite(array).all():
        raise ArgumentError.of("x0 holds NaN or infinity", "finite numbers", "x0 = np.zeros(3)")
    return array


__all__ = ["MinimizeResult", "minimize"]
