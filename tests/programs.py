"""Random programs for the property tests: instructions on a growing list of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import chainrule as cr
from chainrule.numpy import logsumexp

EXTENTS = st.sampled_from([1, 2, 3, 5, 8, 17])
Named = dict[str, Callable[..., Any]]

UNARY: Named = {
    "sin": np.sin, "tanh": np.tanh, "exp": lambda x: np.exp(np.tanh(x)), "neg": np.negative, "square": np.square,
    "root": lambda x: np.sqrt(1 + x * x), "log": lambda x: np.log1p(x * x), "scale": lambda x: 0.7 * x + 0.1,
    "power": lambda x: (1 + x * x) ** 0.7, "cube": lambda x: np.tanh(x) ** 3,
    "inverse": lambda x: (2 + np.sin(x)) ** -2,
    "arctan": np.arctan, "sinc": np.sinc, "logaddexp": lambda x: np.logaddexp(x, 0.5)}
KINKED: Named = {
    "abs": np.abs, "relu": lambda x: np.maximum(x, 0), "clip": lambda x: np.clip(x, -0.8, 0.8),
    "where": lambda x: np.where(x > 0.3, x * x, -x), "sign": np.sign, "floor": lambda x: np.floor(3 * x),
    "sort of where": lambda x: np.where((x > -1) & ~(x > 0.5), x, 0.25)}
BINARY: Named = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": lambda x, y: x / (1 + y * y),
    "mean": lambda x, y: (x + y) / 2, "hypot": lambda x, y: np.hypot(x, 1 + y * y),
    "arctan2": lambda x, y: np.arctan2(x, 1 + y * y), "logaddexp": np.logaddexp,
    "power": lambda x, y: (1 + x * x) ** np.tanh(y)}
KINKED_BINARY: Named = {
    "maximum": np.maximum, "minimum": np.minimum, "where": lambda x, y: np.where(x > y, np.sin(x), y),
    "fmod": lambda x, y: np.fmod(x, 2 + y * y)}
# of an array and an axis; what is combined is scaled down, so that numbers stay small
REDUCE: Named = {
    "sum": lambda x, a: np.sum(x, axis=a) / x.shape[a]**0.5, "mean": lambda x, a: np.mean(x, axis=a),
    "var": lambda x, a: np.var(x, axis=a), "prod": lambda x, a: np.prod(1 + 0.1 * np.tanh(x), axis=a),
    "logsumexp": lambda x, a: logsumexp(x, axis=a), "norm": lambda x, a: np.linalg.norm(1.5 + np.tanh(x), axis=a),
    "cumsum": lambda x, a: np.cumsum(x, axis=a) / x.shape[a], "einsum": lambda x, a: np.einsum("...i,...i", x, x) / 9}
KINKED_REDUCE: Named = {
    "max": lambda x, a: np.max(x, axis=a), "min": lambda x, a: np.min(x, axis=a),
    "largest": lambda x, a: np.take_along_axis(x, np.argmax(x, axis=a, keepdims=True), axis=a)}
MOVE: Named = {
    "T": lambda x: x.T, "ravel": lambda x: x.reshape(-1), "flip": lambda x: x[::-1],
    "tail": lambda x: x[1:] if x.shape[0] > 1 else x, "stride": lambda x: x[..., ::2],
    "roll": lambda x: np.roll(x, 1, axis=0), "twice": lambda x: np.concatenate([x, x]), "pad": lambda x: np.pad(x, 1),
    "take": lambda x: np.take(x, np.arange(4) % x.shape[0], axis=0), "rows": lambda x: x[[0, -1, 0]],
    "tril": lambda x: np.tril(x) if x.ndim > 1 else x, "diff": lambda x: np.diff(x, axis=0) if x.shape[0] > 1 else x,
    "one": lambda x: x[-1], "stack": lambda x: np.stack([x, -x], axis=-1) if x.ndim < 3 else x,
    "repeat": lambda x: np.repeat(x, 2, axis=-1) if x.size < 200 else x}


def scanned(x: Any) -> Any:
    """A recurrence over the rows."""
    start = 0.1 * np.sin(x[0])
    return cr.scan(lambda carry, row: (np.tanh(0.5 * carry + row), carry * row), start, x)[1]


@st.composite
def programs(draw: Any, smooth: bool = False) -> tuple[list[tuple[int, ...]], list[Any], int]:
    """Input shapes, instructions, and a seed. Positions are taken modulo what there is.

    Smooth ones have no kinks, which finite differences would step over.
    """
    unary, binary, reduce = (UNARY, BINARY, REDUCE) if smooth else (
        UNARY | KINKED, BINARY | KINKED_BINARY, REDUCE | KINKED_REDUCE)
    rows, columns = draw(EXTENTS), draw(EXTENTS)
    shapes = [(rows, columns), (columns,), (columns, draw(EXTENTS))]
    which = st.integers(0, 9)
    step = st.one_of(
        st.tuples(st.just("unary"), st.sampled_from(sorted(unary)), which),
        st.tuples(st.just("binary"), st.sampled_from(sorted(binary)), which, which),
        st.tuples(st.just("reduce"), st.sampled_from(sorted(reduce)), which, st.integers(0, 1)),
        st.tuples(st.just("move"), st.sampled_from(sorted(MOVE)), which),
        st.tuples(st.just("matmul"), which, which), st.tuples(st.just("scan"), which),
        st.tuples(st.just("centred" if smooth else "lowered"), which))
    return shapes, draw(st.lists(step, min_size=2, max_size=12)), draw(st.integers(0, 2**31))


def run(steps: list[Any], *inputs: Any) -> list[Any]:
    """Carry the instructions out; what does not fit the shapes at hand is skipped."""
    values = list(inputs)
    for kind, *rest in steps:
        pick = lambda i: values[-1 - i % len(values)]
        if kind == "unary":
            values.append((UNARY | KINKED)[rest[0]](pick(rest[1])))
        elif kind == "binary":
            x, y = pick(rest[1]), pick(rest[2])
            if fits(x.shape, y.shape):
                values.append((BINARY | KINKED_BINARY)[rest[0]](x, y))
        elif kind == "reduce":
            x = pick(rest[1])
            if x.ndim > rest[2]:
                values.append((REDUCE | KINKED_REDUCE)[rest[0]](x, rest[2]))
        elif kind == "move" and pick(rest[1]).ndim and pick(rest[1]).size < 2000:
            values.append(MOVE[rest[0]](pick(rest[1])))
        elif kind == "matmul":
            x, y = pick(rest[0]), pick(rest[1])
            inner = x.ndim and y.ndim and x.shape[-1] == y.shape[-2 if y.ndim > 1 else 0]
            if inner and fits(x.shape[:-2], y.shape[:-2]):
                values.append((x @ y) / x.shape[-1])
        elif kind == "scan" and pick(rest[0]).ndim:
            values.append(scanned(pick(rest[0])))
        elif kind in ("centred", "lowered") and pick(rest[0]).ndim:
            x = pick(rest[0])
            values.append(x - (np.mean if kind == "centred" else np.max)(x, axis=-1, keepdims=True))
    return values[len(inputs):] or values


def fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        return bool(np.prod(np.broadcast_shapes(a, b)) < 5000)
    except ValueError:
        return False


def bounded(steps: list[Any], *inputs: Any) -> list[Any]:
    """The last results, each between -1 and 1."""
    return [np.tanh(v) for v in run(steps, *inputs)[-3:]]


def loss(steps: list[Any], *inputs: Any) -> Any:
    return sum(np.mean(np.tanh(v)) * (i + 1) for i, v in enumerate(run(steps, *inputs)[-4:]))


def arrays(shapes: list[tuple[int, ...]], seed: int, dtype: Any = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


# ---------------------------------------------------------------- whole numbers

WHOLE_UNARY: Named = {
    "neg": np.negative, "abs": np.abs, "not": np.invert, "square": np.square, "sign": np.sign,
    "shift": lambda x: x << 3, "half": lambda x: x >> 1, "parity": lambda x: np.where(x % 2 == 0, x, -x)}
WHOLE_BINARY: Named = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "floor_divide": lambda x, y: x // (y | 1),
    "remainder": lambda x, y: x % (y | 1), "maximum": np.maximum, "minimum": np.minimum, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "where": lambda x, y: np.where(x > y, x, y - x),
    "fmod": lambda x, y: np.fmod(x, y | 1)}
WHOLE_REDUCE: Named = {
    "sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min, "cumsum": np.cumsum, "argmax": np.argmax,
    "any": lambda x, axis: np.any(x > 3, axis=axis) * x.dtype.type(3),
    "count": lambda x, axis: np.count_nonzero(x, axis=axis)}


@st.composite
def whole_programs(draw: Any) -> tuple[list[tuple[int, ...]], list[Any], int]:
    """As ``programs``, of integers."""
    shape = (draw(EXTENTS), draw(EXTENTS))
    which = st.integers(0, 9)
    step = st.one_of(
        st.tuples(st.just("unary"), st.sampled_from(sorted(WHOLE_UNARY)), which),
        st.tuples(st.just("binary"), st.sampled_from(sorted(WHOLE_BINARY)), which, which),
        st.tuples(st.just("reduce"), st.sampled_from(sorted(WHOLE_REDUCE)), which, st.integers(0, 1)),
        st.tuples(st.just("move"), st.sampled_from(sorted(MOVE)), which))
    return [shape, shape[1:]], draw(st.lists(step, min_size=2, max_size=10)), draw(st.integers(0, 2**31))


def run_whole(steps: list[Any], *inputs: Any) -> list[Any]:
    values = list(inputs)
    for kind, name, *rest in steps:
        x = values[-1 - rest[0] % len(values)]
        if kind == "unary":
            values.append(WHOLE_UNARY[name](x))
        elif kind == "binary":
            y = values[-1 - rest[1] % len(values)]
            if fits(x.shape, y.shape):
                values.append(WHOLE_BINARY[name](x, y))
        elif kind == "reduce" and x.ndim > rest[1]:
            values.append(WHOLE_REDUCE[name](x, axis=rest[1]))
        elif kind == "move" and x.ndim and x.size < 2000:
            values.append(MOVE[name](x))
    return values[len(inputs):] or values
