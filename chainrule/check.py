"""Checking derivatives against finite differences, to any order and in both modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import dtypes, tree
from chainrule.autodiff import jvp, vjp
from chainrule.errors import ArgumentError, ChainruleError, ChainruleTypeError
from chainrule.tracebacks import public

_MODES = ("forward", "reverse")


class WrongDerivative(ChainruleError, AssertionError):
    """A derivative that is not what finite differences give."""


@public
def check_grads(f: Callable[..., Any], args: Sequence[Any], order: int = 2, modes: Sequence[str] = _MODES,
                rtol: float = 1e-5, atol: float = 1e-6, seed: int = 0) -> None:
    """Compare the derivatives of ``f`` at ``args`` with finite differences along random directions.

    Forward mode gives the directional derivative J·v, which central differences give too:
    (f(x + h·v) - f(x - h·v)) / 2h. Reverse mode gives cᵀ·J, and (cᵀ·J)·v must equal c·(J·v). For higher orders the
    derivatives themselves are checked in the same way.

    Args:
        f: a function of arrays, or of nested containers of them, with such a result. Smooth at ``args``.
        args: its arguments, in float64: finite differences of float32 are good for three digits only.
        order: 1 checks the first derivatives, 2 those of the derivatives as well, and so on.
        modes: "forward", "reverse" or both; with both, higher orders mix them.
        rtol: the relative tolerance, scaled by the largest derivative in the result.
        atol: the absolute tolerance.
        seed: chooses the random directions.

    Raises:
        WrongDerivative: an ``AssertionError`` that names the mode, the order and the largest difference.

    Example:
        >>> import chainrule as cr, numpy as np
        >>> cr.check_grads(lambda x: np.sum(np.sin(x) * x), (np.array([0.5, 2.0]),), order=3)
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    for mode in modes:
        if mode not in _MODES:
            raise ArgumentError.of(f"unknown mode {mode!r}", "'forward' and 'reverse'", "modes=('forward', 'reverse')")
    args = tuple(tree.map_leaves(_as_float, a) for a in args)
    _check(f, args, order, modes, rtol, atol, np.random.default_rng(seed), ())


def _check(f: Callable[..., Any], args: tuple[Any, ...], order: int, modes: tuple[str, ...], rtol: float, atol: float,
           random: np.random.Generator, path: tuple[str, ...]) -> None:
    direction = _directions(args, random)
    numeric = _numeric(f, args, direction)
    for mode in modes:
        step = (*path, mode)
        if mode == "forward":
            derivative: Callable[..., Any] = _Pushed(f, direction)
            _compare(tree.flatten(derivative(*args))[0], numeric, rtol, atol, step)
        else:
            weights = tree.map_leaves(lambda r: random.normal(size=np.shape(r)), f(*args))
            derivative = _Pulled(f, weights)
            expected = _dot(weights, numeric)
            _compare([_dot(derivative(*args), direction)], [expected], rtol, atol, step)
        if order > 1:
            _check(derivative, args, order - 1, modes, rtol, atol, random, step)


class _Pushed:
    """x ↦ the directional derivative of f at x."""

    def __init__(self, f: Callable[..., Any], direction: tuple[Any, ...]) -> None:
        self.f, self.direction = f, direction

    def __call__(self, *args: Any) -> Any:
        return jvp(self.f, args, self.direction)[1]


class _Pulled:
    """x ↦ the weighted sum of the rows of f's Jacobian at x."""

    def __init__(self, f: Callable[..., Any], weights: Any) -> None:
        self.f, self.weights = f, weights

    def __call__(self, *args: Any) -> Any:
        return vjp(self.f, *args)[1](self.weights)


def _as_float(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    if not dtypes.is_float(array.dtype):
        raise ChainruleTypeError.of(f"check_grads got an argument of dtype {array.dtype}", "floating-point arrays",
                                    "check_grads(lambda x: f(x, labels), (x,))")
    return array


def _directions(args: tuple[Any, ...], random: np.random.Generator) -> tuple[Any, ...]:
    return tuple(tree.map_leaves(lambda a: random.normal(size=a.shape).astype(a.dtype), arg) for arg in args)


def _dot(x: Any, y: Any) -> np.ndarray:
    """The inner product over corresponding leaves."""
    return np.asarray(sum(np.sum(a * b) for a, b in zip(tree.flatten(x)[0], tree.flatten(y)[0], strict=True)))


def _numeric(f: Callable[..., Any], args: tuple[Any, ...], direction: tuple[Any, ...]) -> list[np.ndarray]:
    """Central differences along the direction, improved to fourth order by two step sizes (Richardson)."""
    leaves = tree.flatten(args)[0]
    size = max((float(np.max(np.abs(a), initial=1.0)) for a in leaves), default=1.0)
    eps = max((float(dtypes.finfo(a.dtype).eps) for a in leaves), default=1e-16)
    h = size * eps ** (1 / 5) / 4
    near, far = (_central(f, args, direction, step) for step in (h, 2 * h))
    return [(4 * n - w) / 3 for n, w in zip(near, far, strict=True)]


def _central(f: Callable[..., Any], args: tuple[Any, ...], direction: tuple[Any, ...], h: float) -> list[np.ndarray]:
    def at(step: float) -> list[np.ndarray]:
        moved = tree.map_leaves(lambda a, v: a + a.dtype.type(step) * v, args, direction)
        with np.errstate(all="ignore"):
            return [np.asarray(r, dtype=np.float64) for r in tree.flatten(f(*moved))[0]]
    return [(up - down) / (2 * h) for up, down in zip(at(h), at(-h), strict=True)]


def _compare(exact: Sequence[Any], numeric: Sequence[np.ndarray], rtol: float, atol: float,
             path: tuple[str, ...]) -> None:
    for i, (e, n) in enumerate(zip(exact, numeric, strict=True)):
        e = np.asarray(e)
        if e.shape != n.shape:
            raise WrongDerivative.of(f"the {' over '.join(path)} derivative of result {i} has shape {e.shape}",
                                     f"the shape of the result, {n.shape}")
        allowed = atol + rtol * float(np.max(np.abs(n), initial=0.0))
        wrong = ~(np.abs(e - n) <= allowed)
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise WrongDerivative.of(
                f"the {' over '.join(path)} derivative (order {len(path)}) of result {i} is wrong in "
                f"{int(wrong.sum())} of {e.size} elements: {float(e[at]):.8g} at {list(at)}",
                f"{float(n[at]):.8g} by finite differences (tolerance {allowed:.2g})")
