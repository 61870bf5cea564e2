"""What Chainrule, PyTorch and JAX are asked alike: functions of a namespace ``xp``, and the arrays they are given.

``xp`` has NumPy's names, and a few of neural networks (``relu``, ``softmax``, ``huber`` …). Every case is run with
float32 and float64, plainly and compiled; its value and a random cotangent times its Jacobian are compared.
The ``Different`` entries of a peer say where it gives something else, and why; the test wants exactly those places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import activations, losses
from chainrule.numpy import logsumexp
from chainrule.ops import elementwise as ew

INF, NAN = np.inf, np.nan
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Case:
    """One question: ``f(xp, *args)``. The kinds of its places: ``e`` an element, ``r`` a row (along the last axis)."""

    name: str
    f: Callable[..., Any]
    args: tuple[np.ndarray, ...]
    places: str = ""
    lacks: tuple[str, ...] = ()  # peers that have no such function

    def arrays(self, dtype: str) -> list[np.ndarray]:
        return [a.astype(dtype) if a.dtype.kind == "f" else a for a in self.args]


@dataclass(frozen=True)
class Different:
    """Where a peer differs: ``what`` is "value" or the number of the argument whose gradient it is."""

    cases: str
    what: str | int
    where: Callable[..., Any]
    reason: str


# ---------------------------------------------------------------- inputs

rng = np.random.default_rng(2026)
POINTS = np.array(
    [0.0, -0.0, 1, -1, 0.5, -0.5, 2.5, -2.5, 3, 30, -30, 200, -200, 1e4, -1e4, 1e-5, -1e-5, INF, -INF, NAN])
EITHER = np.array([0.0, -0.0, 1, -1, 0.5, -2.5, 3, 2, 40, INF, -INF, NAN])
PAIRS = tuple(a.reshape(-1) for a in np.meshgrid(EITHER, EITHER, indexing="ij"))
# rows to combine: all different, ties of the largest and smallest, zeros, infinities, NaN
ROWS = np.array([[1.5, -2.0, 0.5, 3.0], [2.0, 2.0, -1.0, 2.0], [-3.0, 1.0, -3.0, 0.5], [0.0, 2.0, 3.0, -1.0],
                 [0.0, 0.0, 3.0, 2.0], [0.0, -0.0, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0], [INF, 1.0, 2.0, 3.0],
                 [INF, INF, 1.0, 0.0], [-INF, 1.0, 2.0, -1.0], [-INF, -INF, -INF, -INF], [INF, -INF, 0.0, 1.0],
                 [NAN, 1.0, 2.0, 3.0], [1e3, 1e3, -1e3, 0.0]])
(ORDINARY, TOP_TIE, LOW_TIE, ONE_ZERO, TWO_ZEROS, ZEROS, EQUAL, ONE_INF, TWO_INF, ONE_MINUS, ALL_MINUS, BOTH_INF,
 ONE_NAN, LARGE) = range(14)
V, M, T, S = rng.normal(size=7), rng.normal(size=(5, 4)), rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 4))
N = rng.normal(size=(4, 6))
P = np.abs(rng.normal(size=(5, 4))) + 0.3
EMPTY, THIN = np.zeros((0,)), np.zeros((3, 0))
LABELS = np.array([2, 0, 3, 1, 0])
INDEX = np.array([[0, 3, 1], [2, 2, 0], [1, 0, 3], [3, 3, 3], [0, 1, 2]])


def on(name: str, f: Callable[..., Any], *args: Any, **options: Any) -> Case:
    return Case(name, f, tuple(np.asarray(a) for a in args), **options)


def named(name: str, **options: Any) -> Callable[..., Any]:
    return lambda xp, *args: getattr(xp, name)(*args, **options)




class Namespace:
    """The names of a module, with some added or replaced."""

    def __init__(self, module: Any, **own: Any) -> None:
        self._module, self._own = module, own

    def __getattr__(self, name: str) -> Any:
        return self._own[name] if name in self._own else getattr(self._module, name)


def _log_softmax(x: Any) -> Any:
    below = x - cr.stop_gradient(np.max(x, axis=-1, keepdims=True))
    return below - np.log(np.sum(np.exp(below), axis=-1, keepdims=True))


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def _binary_cross_entropy(logits: Any, targets: Any) -> Any:
    return losses.binary_crossentropy(targets, logits, from_logits=True)


OURS = Namespace(
    np, **{name: getattr(activations, name) for name in (
        "relu", "leaky_relu", "sigmoid", "softplus", "elu", "silu", "gelu", "softmax")},
    erf=ew.erf, logsumexp=logsumexp, scan=cr.scan, stop_gradient=cr.stop_gradient, huber=losses.huber,
    mse=losses.mean_squared_error, mae=losses.mean_absolute_error, cross_entropy=_cross_entropy,
    binary_cross_entropy=_binary_cross_entropy, log_softmax=_log_softmax)

# ---------------------------------------------------------------- elements

UNARY = """abs negative sign sqrt square reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan
sinh cosh tanh arcsinh arccosh arctanh floor ceil trunc rint sinc cbrt degrees radians nan_to_num relu leaky_relu
sigmoid softplus elu silu gelu erf""".split()
BINARY = """add subtract multiply divide maximum minimum fmax fmin hypot arctan2 logaddexp logaddexp2 power
remainder fmod copysign""".split()
LACKING = {"cbrt": ("torch",)}  # PyTorch has no cube root

ELEMENTS = [
    *(on(name, named(name), POINTS, places="e", lacks=LACKING.get(name, ())) for name in UNARY),
    *(on(name, named(name), *PAIRS, places="e") for name in BINARY),
    *(on(f"x ** {p}", lambda xp, x, p=p: x**p, POINTS, places="e") for p in (0, 1, 2, 3, 5, -1, -2, -3, 1.5, -0.5)),
    on("x ** 0.5", lambda xp, x: x**0.5, POINTS, places="e"),
    on("2 ** x", lambda xp, x: 2.0**x, POINTS, places="e"),
    on("1 / (1 + exp(-x))", lambda xp, x: 1 / (1 + xp.exp(-x)), POINTS[(POINTS != INF) & (POINTS > -700)], places="e"),
    on("gelu of tanh", lambda xp, x: xp.gelu(x, approximate=True), POINTS, places="e"),
    on("clip", lambda xp, x: xp.clip(x, -0.5, 1.0), POINTS, places="e"),
    on("where", lambda xp, x, y: xp.where(x > y, x * y, x - y), *PAIRS, places="e"),
    on("safe log", lambda xp, x: xp.where(x > 0, xp.log(xp.where(x > 0, x, 1.0)), 0.0), POINTS, places="e"),
    on("safe root", lambda xp, x: xp.where(x > 0, xp.sqrt(xp.where(x > 0, x, 1.0)), 0.0), POINTS, places="e"),
    on("stop_gradient", lambda xp, x: x * xp.stop_gradient(x), POINTS, places="e"),
    *(on(f"{name}, broadcast", named(name), M, V[:4]) for name in BINARY if "power" not in name),
    *(on(f"{name}, broadcast both", named(name), P[1:, :1], P[:1]) for name in BINARY),
    *(on(f"{name} of nothing", named(name), EMPTY) for name in ("exp", "relu", "gelu", "sqrt")),
    on("a product of nothing", lambda xp, x, y: x * y, THIN, np.zeros((3, 1))),
    on("a chain", lambda xp, x: xp.tanh(xp.sin(x) * xp.exp(-x * x)) / (1 + x * x), M),
    on("a ratio", lambda xp, x, y: xp.sqrt(x * x + 1) / (xp.log1p(y * y) + 0.5), M, M[::-1].copy()),
]

# ---------------------------------------------------------------- rows


def rows(name: str, f: Callable[..., Any], **options: Any) -> list[Case]:
    """A reduction of rows, with ties and special numbers, and of other axes of ordinary numbers."""
    return [on(name, lambda xp, x: f(xp, x, -1), ROWS, places="r", **options),
            on(f"{name} of columns", lambda xp, x: f(xp, x, 0), M, **options),
            on(f"{name} of a middle axis", lambda xp, x: f(xp, x, 1), T, **options)]


ROWWISE = [
    *rows("sum", lambda xp, x, a: xp.sum(x, axis=a)), *rows("mean", lambda xp, x, a: xp.mean(x, axis=a)),
    *rows("prod", lambda xp, x, a: xp.prod(x, axis=a)), *rows("max", lambda xp, x, a: xp.max(x, axis=a)),
    *rows("min", lambda xp, x, a: xp.min(x, axis=a)), *rows("var", lambda xp, x, a: xp.var(x, axis=a)),
    *rows("var of a sample", lambda xp, x, a: xp.var(x, axis=a, ddof=1)),
    *rows("std", lambda xp, x, a: xp.std(x, axis=a)), *rows("logsumexp", lambda xp, x, a: xp.logsumexp(x, axis=a)),
    *rows("cumsum", lambda xp, x, a: xp.cumsum(x, axis=a)), *rows("cumprod", lambda xp, x, a: xp.cumprod(x, axis=a)),
    *rows("softmax", lambda xp, x, a: xp.softmax(x, axis=a)), *rows("norm", lambda xp, x, a: xp.linalg.norm(x, axis=a)),
    *rows("norm of order 1", lambda xp, x, a: xp.linalg.norm(x, ord=1, axis=a)),
    *rows("norm of order inf", lambda xp, x, a: xp.linalg.norm(x, ord=INF, axis=a)),
    on("log_softmax", lambda xp, x: xp.log_softmax(x), ROWS, places="r"),
    on("norm of order 3", lambda xp, x: xp.linalg.norm(x, ord=3, axis=-1), M),
    on("norm of a matrix", lambda xp, x: xp.linalg.norm(x), M),
    on("sum of all", lambda xp, x: xp.sum(x), T), on("mean of two axes", lambda xp, x: xp.mean(x, axis=(0, 2)), T),
    on("max of all, ties", lambda xp, x: xp.max(x, axis=(0, 1)), np.ones((3, 2))),
    on("sum of nothing", lambda xp, x: xp.sum(x, axis=1), THIN), on("prod of nothing", lambda xp, x: xp.prod(x), EMPTY),
    on("keepdims", lambda xp, x: x / xp.sum(x, axis=1, keepdims=True), P),
    on("normalized", lambda xp, x: (x - xp.mean(x, axis=-1, keepdims=True)) / xp.sqrt(
        xp.var(x, axis=-1, keepdims=True) + 1e-5), M),
]

# ---------------------------------------------------------------- shapes, indices, products

SHAPES = [
    on("reshape", lambda xp, x: xp.reshape(x, (4, 6)) * 2, T),
    on("transpose", lambda xp, x: xp.transpose(x, (2, 0, 1)) ** 2, T),
    on("swapaxes", lambda xp, x: xp.swapaxes(x, 0, 2) ** 2, T), on("moveaxis", lambda xp, x: xp.moveaxis(x, 0, -1), T),
    on("concatenate", lambda xp, x, y: xp.concatenate([x, y * 2, x], axis=0), M, S),
    on("stack", lambda xp, x: xp.stack([x, x * x], axis=1), M), on("flip", lambda xp, x: xp.flip(x, (0, 1)) * x, S),
    on("roll", lambda xp, x: xp.roll(x, 2, 1) * x, M), on("tile", lambda xp, x: xp.tile(x, (2, 3)), M),
    on("repeat", lambda xp, x: xp.repeat(x, 3, axis=1) ** 2, M),
    on("pad", lambda xp, x: xp.pad(x, ((1, 2), (0, 3))), M),
    on("pad, reflected", lambda xp, x: xp.pad(x, ((0, 0), (2, 3)), mode="reflect") ** 2, M),
    on("broadcast_to", lambda xp, x: xp.broadcast_to(x, (3, 5, 4)) * 1.0, M),
    on("squeeze", lambda xp, x: xp.squeeze(x[:, None]) ** 2, M), on("diff", lambda xp, x: xp.diff(x, axis=1) ** 2, M),
    on("split", lambda xp, x: xp.split(x, 2, axis=1)[1] * 3, M), on("tril", lambda xp, x: xp.tril(x, -1) ** 2, S),
    on("triu", lambda xp, x: xp.triu(x, 1) ** 2, S), on("diagonal", lambda xp, x: xp.diagonal(x, 1) ** 2, S),
    on("diag", lambda xp, x: xp.diag(x) @ x, V), on("trace", lambda xp, x: xp.trace(x @ x), S),
    on("meshgrid", lambda xp, x, y: xp.meshgrid(x, y, indexing="ij")[0] * y, V, M[0]),
]
INDEXING = [
    on("x[1]", lambda xp, x: x[1] ** 2, M), on("x[::2, 1:]", lambda xp, x: x[::2, 1:] ** 2, M),
    on("x[..., None, 0]", lambda xp, x: x[..., None, 0] ** 2, T), on("x[-1, -2]", lambda xp, x: x[-1, -2] ** 2, M),
    on("x[[2, 0, 2]]", lambda xp, x: x[xp.asarray([2, 0, 2])] ** 2, M),
    on("x[i, j]", lambda xp, x: x[xp.asarray([0, 4, 0]), xp.asarray([1, -1, 1])] ** 2, M),
    on("x[:, j]", lambda xp, x: x[:, xp.asarray([1, 1, 3])] ** 2, M),
    on("take", lambda xp, x: xp.take(x, xp.asarray(INDEX), axis=1) ** 2, M[:, :4]),
    on("take_along_axis", lambda xp, x: xp.take_along_axis(x, xp.asarray(INDEX), 1) ** 2, M),
    on("the largest by its position", lambda xp, x: xp.take_along_axis(x, xp.argmax(x, axis=1)[:, None], 1), M),
    on("where of a mask", lambda xp, x: xp.where(xp.asarray(INDEX) > 1, x[:, :3], 0.0), M),
]
PRODUCTS = [
    on("matmul", lambda xp, a, b: a @ b, M, N), on("matrix times vector", lambda xp, a, b: a @ b, M, V[:4]),
    on("vector times matrix", lambda xp, a, b: a @ b, V[:4], N), on("dot", lambda xp, a, b: a @ b, V, V[::-1].copy()),
    on("batched matmul", lambda xp, a, b: xp.matmul(a, b), T, N),
    on("batches of both", lambda xp, a, b: xp.matmul(a, xp.swapaxes(b, 1, 2)), T, T[:, :2]),
    on("matmul of nothing", lambda xp, a, b: a @ b, THIN, np.zeros((0, 2))), on("outer", named("outer"), V, M[0]),
    on("tensordot", lambda xp, a, b: xp.tensordot(a, b, 1), T, N), on("kron", named("kron"), M[:2], S[:2, :3]),
    on("cross", lambda xp, a, b: xp.cross(a, b), M[:, :3], M[:, 1:]), on("a @ a.T", lambda xp, a: a @ a.T, M),
    *(on(f"einsum {s}", lambda xp, *args, s=s: xp.einsum(s, *args), *args) for s, *args in (
        ("ij,jk->ik", M, N), ("ij,jk->ki", M, N), ("bij,kj->bik", T, M), ("bij,bij->b", T, T), ("i,j->ji", V, M[0]),
        ("ij,ij->", M, M), ("ij->ji", M), ("ij->j", M), ("ii->i", S), ("ii->", S), ("...ij,jk->...ik", T, N),
        ("ij,jk,kl->il", M, S, N), ("i,i,i->i", V, V, V), ("bhi,bhj->bij", T, T))),
]

# ---------------------------------------------------------------- losses, loops, small programs

TARGETS = rng.normal(size=(5, 4))
SHARES = rng.random(size=(5, 4))


def _recurrent(xp: Any, w: Any, xs: Any) -> Any:
    h = xp.zeros_like(w[0])
    for i in range(5):
        h = xp.tanh(w @ h + xs[i])
    return h


def _attention(xp: Any, q: Any, k: Any) -> Any:
    return xp.softmax(q @ xp.swapaxes(k, -1, -2) / 2.0, axis=-1) @ k


def _scanned(xp: Any, w: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = xp.tanh(w @ h + x)
        return h, h * x
    last, products = xp.scan(step, w[0], xs)
    return xp.sum(products, axis=0) + last


def _network(xp: Any, x: Any, w: Any, b: Any) -> Any:
    hidden = xp.relu(x @ w + b)
    return xp.mean(xp.cross_entropy(hidden, LABELS))


PROGRAMS = [
    on("huber", named("huber"), TARGETS, M), on("mse", named("mse"), TARGETS, M),
    on("huber, ties", named("huber"), np.zeros((1, 4)), np.array([[1.0, -1.0, 0.0, 3.0]])),
    on("mae", named("mae"), TARGETS, M),
    on("cross_entropy", lambda xp, x: xp.cross_entropy(x, LABELS), M),
    on("cross_entropy of large logits", lambda xp, x: xp.cross_entropy(x, LABELS), 1e4 * M),
    on("binary_cross_entropy", named("binary_cross_entropy"), M, SHARES),
    on("binary_cross_entropy of large logits", named("binary_cross_entropy"), 1e3 * M, SHARES),
    on("a network", _network, M, S, V[:4]), on("attention", _attention, T, T[:, :2]),
    on("recurrent", _recurrent, S, M),
    on("scan", _scanned, S, M), on("scan of one", _scanned, S, M[:1]),
    on("logistic map", lambda xp, x: _iterated(x, 12), np.array([0.2, 0.5, 0.77])),
    on("rosenbrock", lambda xp, x: xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), V),
    on("softmax of large rows", lambda xp, x: xp.softmax(x, axis=-1), 1e4 * M),
]


def _iterated(x: Any, n: int) -> Any:
    for _ in range(n):
        x = 3.7 * x * (1 - x)
    return x


CASES = [*ELEMENTS, *ROWWISE, *SHAPES, *INDEXING, *PRODUCTS, *PROGRAMS]

# ---------------------------------------------------------------- places


def at_nan(x: Any, y: Any = 0.0) -> Any:
    return np.isnan(x) | np.isnan(y)


def origin(x: Any, y: Any) -> Any:
    return (x == 0) & (y == 0)


def tie(x: Any, y: Any) -> Any:
    return (x == y) | (np.isnan(x) & np.isnan(y))


def same_infinity(x: Any, y: Any) -> Any:
    return (x == y) & np.isinf(x)


def whole_power_of_negative(x: Any, y: Any) -> Any:
    """Where x ** y exists, but only at whole numbers y (or x is NaN and y 0)."""
    with np.errstate(all="ignore"):
        return ~(x >= 0) & np.isfinite(x**y)


def fmod_without_value(x: Any, y: Any) -> Any:
    return ((y == 0) & (x != 0) & ~np.isnan(x)) | (np.isinf(x) & np.isfinite(y))


def near_zero(x: Any) -> Any:
    return (x != 0) & (np.abs(x) < 1e-3)


def minus_infinity(x: Any) -> Any:
    return x == -INF


# ---------------------------------------------------------------- asking and comparing


def weights(case: Case, dtype: str) -> np.ndarray:
    """The cotangent: random, between 1 and 2, so that no term of a sum vanishes."""
    with np.errstate(all="ignore"):
        result = np.shape(case.f(OURS, *case.arrays(dtype)))
    return (1 + np.random.default_rng(len(case.name)).random(result)).astype(dtype)


def ours(case: Case, dtype: str, compiled: bool) -> list[np.ndarray]:
    """The value and the gradient of each argument."""
    cotangent = weights(case, dtype)

    def run(*args: Any) -> Any:
        value, pull = cr.vjp(lambda *a: case.f(OURS, *a), *args)
        return [value, *pull(cotangent)]
    with np.errstate(all="ignore"):
        return [np.asarray(a) for a in (cr.jit(run) if compiled else run)(*case.arrays(dtype))]


def places(case: Case, got: np.ndarray, wanted: np.ndarray, dtype: str) -> np.ndarray:
    """True where two answers differ by more than rounding: by element, or by row."""
    assert got.shape == wanted.shape, f"{case.name}: shapes {got.shape} and {wanted.shape}"
    assert got.dtype == wanted.dtype == dtype, f"{case.name}: {got.dtype} and {wanted.dtype}"
    eps = float(np.finfo(dtype).eps)
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = 1.0 if case.places else max(1.0, float(finite.max(initial=0)))
    with np.errstate(all="ignore"):
        same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
        near = np.abs(got - wanted) <= 64 * eps * np.abs(wanted) + 16 * eps * scale
    wrong = ~(same | near)
    return np.any(wrong, axis=tuple(range(1, wrong.ndim))) if case.places == "r" else wrong


def check(case: Case, dtype: str, peer: list[np.ndarray], differences: list[Different]) -> None:
    """Our answers are the peer's, but exactly where the differences are stated."""
    for compiled in (False, True):
        for k, (got, wanted) in enumerate(zip(ours(case, dtype, compiled), peer, strict=True)):
            what = "value" if k == 0 else k - 1
            wrong = places(case, got, wanted, dtype)
            stated = np.zeros(wrong.shape, bool)
            for d in differences:
                if case.name in d.cases.split(", ") and d.what == what:
                    stated |= d.where(*case.arrays(dtype)) if case.places == "e" else np.isin(np.arange(len(ROWS)),
                                                                                              d.where)
            unexpected = wrong != stated
            assert not unexpected.any(), "\n".join(
                [f"{case.name}, {dtype}, {'compiled' if compiled else 'plain'}, {what}: differs and is not stated "
                 "to, or the other way round"] + [
                f"  at {tuple(map(int, i))}: args {[a[tuple(i)] for a in case.arrays(dtype)] if case.places else ''} "
                f"ours {got[tuple(i)]} theirs {wanted[tuple(i)]}" for i in np.argwhere(unexpected)[:12]])
