"""Random programs: compiled gives what the reference gives, and gradients are finite differences."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import assert_same, reference

import chainrule.numpy  # noqa: F401
from chainrule import runtime
from chainrule.autodiff import grad
from chainrule.check import check_grads

EXTENTS = st.sampled_from([1, 2, 3, 5, 8, 17])
UNARY = {"sin": np.sin, "tanh": np.tanh, "exp": lambda x: np.exp(np.tanh(x)), "neg": np.negative, "square": np.square,
         "root": lambda x: np.sqrt(1 + x * x), "log": lambda x: np.log1p(x * x), "scale": lambda x: 0.7 * x + 0.1}
KINKED = {"abs": np.abs, "relu": lambda x: np.maximum(x, 0), "clip": lambda x: np.clip(x, -0.8, 0.8),
          "where": lambda x: np.where(x > 0.3, x * x, -x)}
BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": lambda x, y: x / (1 + y * y),
          "maximum": np.maximum, "mean": lambda x, y: (x + y) / 2}
REDUCE = {"sum": lambda x, axis: np.sum(x, axis=axis) / np.sqrt(x.shape[axis]), "mean": lambda x,
          axis: np.mean(x, axis=axis),
          "max": lambda x, axis: np.max(x, axis=axis), "var": lambda x, axis: np.var(x, axis=axis)}
MOVE = {"T": lambda x: x.T, "ravel": lambda x: x.reshape(-1), "flip": lambda x: x[::-1],
        "tail": lambda x: x[1:] if x.shape[0] > 1 else x,
        "stride": lambda x: x[..., ::2], "roll": lambda x: np.roll(x, 1, axis=0),
        "twice": lambda x: np.concatenate([x, x])}


@st.composite
def programs(draw, smooth=False):
    """Input shapes, and instructions on a growing list of values. Positions are taken modulo what there is.

    Smooth ones have no kinks, which finite differences would step over.
    """
    unary, kinks = (UNARY, {"maximum", "max"}) if smooth else (UNARY | KINKED, set())
    rows, columns = draw(EXTENTS), draw(EXTENTS)
    shapes = [(rows, columns), (columns,), (columns, draw(EXTENTS))]
    step = st.one_of(
        st.tuples(st.just("unary"), st.sampled_from(sorted(unary)), st.integers(0, 9)),
        st.tuples(st.just("binary"), st.sampled_from(sorted(set(BINARY) - kinks)), st.integers(0, 9),
                  st.integers(0, 9)),
        st.tuples(st.just("reduce"), st.sampled_from(sorted(set(REDUCE) - kinks)), st.integers(0, 9),
                  st.integers(0, 1)),
        st.tuples(st.just("move"), st.sampled_from(sorted(MOVE)), st.integers(0, 9)),
        st.tuples(st.just("matmul"), st.integers(0, 9), st.integers(0, 9)),
        st.tuples(st.just("centred" if smooth else "lowered"), st.integers(0, 9)))
    return shapes, draw(st.lists(step, min_size=2, max_size=12)), draw(st.integers(0, 2**31))


def run(steps, *inputs):
    """Carry the instructions out; what does not fit the shapes at hand is skipped."""
    values = list(inputs)
    for kind, *rest in steps:
        pick = lambda i: values[-1 - i % len(values)]
        if kind == "unary":
            values.append((UNARY | KINKED)[rest[0]](pick(rest[1])))
        elif kind == "binary":
            x, y = pick(rest[1]), pick(rest[2])
            if fits(x.shape, y.shape):
                values.append(BINARY[rest[0]](x, y))
        elif kind == "reduce":
            x = pick(rest[1])
            if x.ndim > rest[2]:
                values.append(REDUCE[rest[0]](x, rest[2]))
        elif kind == "move" and pick(rest[1]).ndim and pick(rest[1]).size < 2000:
            values.append(MOVE[rest[0]](pick(rest[1])))
        elif kind == "matmul":
            x, y = pick(rest[0]), pick(rest[1])
            if x.ndim and y.ndim and x.shape[-1] == y.shape[-2 if y.ndim > 1 else 0]:
                values.append((x @ y) / x.shape[-1])
        elif kind in ("centred", "lowered") and pick(rest[0]).ndim:
            x = pick(rest[0])
            values.append(x - (np.mean if kind == "centred" else np.max)(x, axis=-1, keepdims=True))
    return values[len(inputs):] or values


def fits(a, b):
    try:
        return np.prod(np.broadcast_shapes(a, b)) < 5000
    except ValueError:
        return False


def loss(steps, *inputs):
    values = run(steps, *inputs)
    return sum(np.mean(np.tanh(v)) * (i + 1) for i, v in enumerate(values[-4:]))


def arrays(shapes, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


SLOW = dict(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@settings(max_examples=80, **SLOW)
@given(programs(), st.sampled_from([np.float32, np.float64]))
def test_compiled_is_reference(program, dtype):
    shapes, steps, seed = program
    inputs = arrays(shapes, seed, dtype)
    function = lambda *args: run(steps, *args)
    for got, wanted in zip(runtime.jit(function)(*inputs), reference(function, *inputs), strict=True):
        assert_same(got, wanted, limit=64, scale=256)


@settings(max_examples=60, **SLOW)
@given(programs())
def test_compiled_gradients_are_reference(program):
    shapes, steps, seed = program
    inputs = arrays(shapes, seed)
    function = grad(lambda *args: loss(steps, *args), (0, 1, 2))
    at_once = function(*inputs)
    for got, wanted in zip(runtime.jit(function)(*inputs), at_once, strict=True):
        assert_same(got, wanted, limit=1e4, scale=1e4)


@settings(max_examples=60, **SLOW)
@given(programs(smooth=True))
def test_gradients_are_finite_differences(program):
    shapes, steps, seed = program
    check_grads(lambda *args: loss(steps, *args), arrays(shapes, seed), order=1, rtol=1e-4, atol=1e-5)
