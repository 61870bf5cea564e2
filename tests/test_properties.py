"""Random programs: compiled is reference is NumPy; derivatives are finite differences, and each other's transposes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import arrays, bounded, loss, programs, run, run_whole, whole_programs
from support import assert_same, reference

import chainrule as cr
from chainrule import runtime
from chainrule.autodiff import grad, jvp, vjp
from chainrule.check import check_grads

SLOW = dict(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def dot(xs, ys):
    return sum(float(np.sum(np.asarray(x) * np.asarray(y))) for x, y in zip(xs, ys, strict=True))


def size(xs):
    return np.sqrt(dot(xs, xs))


def assert_close(a, b, scale):
    """Two sums of the same products, added in another order."""
    assert abs(a - b) <= 1e-9 * scale + 1e-12, f"{a} and {b}, of terms of size {scale}"


@settings(max_examples=80, **SLOW)
@given(programs(), st.sampled_from([np.float32, np.float64]))
def test_compiled_is_reference(program, dtype):
    shapes, steps, seed = program
    inputs = arrays(shapes, seed, dtype)
    function = lambda *args: run(steps, *args)
    for got, wanted in zip(runtime.jit(function)(*inputs), reference(function, *inputs), strict=True):
        assert_same(got, wanted, limit=64, scale=256)


@settings(max_examples=100, **SLOW)
@given(programs(), st.sampled_from([np.float32, np.float64]))
def test_recorded_is_numpy(program, dtype):
    shapes, steps, seed = program
    inputs = arrays(shapes, seed, dtype)
    function = lambda *args: run(steps, *args)
    for got, wanted in zip(reference(function, *inputs), function(*inputs), strict=True):
        assert_same(got, np.asarray(wanted), limit=64, scale=256)


@settings(max_examples=80, **SLOW)
@given(whole_programs(), st.sampled_from(["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]))
def test_whole_numbers_are_numpys(program, dtype):
    shapes, steps, seed = program
    rng = np.random.default_rng(seed)
    inputs = [rng.integers(0 if dtype[0] == "u" else -9, 20, shape).astype(dtype) for shape in shapes]
    function = lambda *args: run_whole(steps, *args)
    with np.errstate(all="ignore"):
        wanted = function(*inputs)
    for way in (reference(function, *inputs), runtime.jit(function)(*inputs)):
        for got, w in zip(way, wanted, strict=True):
            assert_same(got, np.asarray(w))


@settings(max_examples=60, **SLOW)
@given(programs())
def test_compiled_gradients_are_reference(program):
    shapes, steps, seed = program
    inputs = arrays(shapes, seed)
    function = grad(lambda *args: loss(steps, *args), (0, 1, 2))
    at_once = function(*inputs)
    for got, wanted in zip(runtime.jit(function)(*inputs), at_once, strict=True):
        assert_same(got, wanted, limit=1e4, scale=1e4, absolute=1e-12)


@settings(max_examples=60, **SLOW)
@given(programs(smooth=True))
def test_gradients_are_finite_differences(program):
    shapes, steps, seed = program
    check_grads(lambda *args: loss(steps, *args), arrays(shapes, seed), order=1, rtol=1e-4, atol=1e-5)


@settings(max_examples=80, **SLOW)
@given(programs())
def test_reverse_is_forward_transposed(program):
    """⟨c, J v⟩ = ⟨Jᵀ c, v⟩."""
    shapes, steps, seed = program
    inputs, directions = arrays(shapes, seed), arrays(shapes, seed + 1)
    function = lambda *args: bounded(steps, *args)
    value, pushed = jvp(function, inputs, directions)
    weights = arrays([np.shape(v) for v in value], seed + 2)
    pulled = vjp(function, *inputs)[1](weights)
    scale = size(weights) * size(pushed) + size(pulled) * size(directions)
    assert_close(dot(weights, pushed), dot(pulled, directions), scale)


@settings(max_examples=40, **SLOW)
@given(programs(smooth=True))
def test_hessians_are_symmetric(program):
    """⟨u, H v⟩ = ⟨H u, v⟩, by forward over reverse, and reverse over reverse gives the same H v."""
    shapes, steps, seed = program
    inputs, u, v = (arrays(shapes, seed + k) for k in range(3))
    gradient = grad(lambda *args: loss(steps, *args), (0, 1, 2))
    hu, hv = (jvp(gradient, inputs, w)[1] for w in (u, v))
    scale = size(u) * size(hv) + size(hu) * size(v)
    assert_close(dot(u, hv), dot(hu, v), scale)
    back = grad(lambda *args: sum(np.sum(g * w) for g, w in zip(gradient(*args), v, strict=True)), (0, 1, 2))(*inputs)
    for got, wanted in zip(back, hv, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-9 * (1 + size(hv)))


@settings(max_examples=50, **SLOW)
@given(programs(), st.lists(st.booleans(), min_size=3, max_size=3).filter(any), st.booleans())
def test_vmap_is_a_loop(program, flags, compiled):
    """The function, and the gradient of every example, of a batch of some arguments with others shared."""
    shapes, steps, seed = program
    batch = 3
    inputs = [arrays([(batch, *s)], seed + k)[0] if flag else arrays([s], seed + k)[0]
              for k, (s, flag) in enumerate(zip(shapes, flags, strict=True))]
    axes = tuple(0 if flag else None for flag in flags)
    for function in (lambda *args: bounded(steps, *args), grad(lambda *args: loss(steps, *args), (0, 1, 2))):
        batched = cr.vmap(function, in_axes=axes)
        rows = [function(*(x[i] if flag else x for x, flag in zip(inputs, flags, strict=True))) for i in range(batch)]
        for got, *wanted in zip((runtime.jit(batched) if compiled else batched)(*inputs), *rows, strict=True):
            assert_same(got, np.stack(wanted), limit=1e4, scale=1e4, absolute=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@settings(max_examples=20, **SLOW)
@given(programs(smooth=True))
def test_jacobians_both_ways(reverse, program):
    """Column by column and row by row it is the same matrix."""
    shapes, steps, seed = program
    inputs = [x[:3, :3] if x.ndim > 1 else x[:3] for x in arrays(shapes, seed)]
    function = lambda x: np.concatenate([np.ravel(v)[:5] for v in bounded(steps, x, *inputs[1:])])
    rows = [vjp(function, inputs[0])[1](c)[0] for c in np.eye(len(function(inputs[0])))]
    columns = [jvp(function, (inputs[0],), (v.reshape(inputs[0].shape),))[1] for v in np.eye(inputs[0].size)]
    by_rows, by_columns = np.stack(rows).reshape(len(rows), -1), np.stack(columns, axis=1)
    np.testing.assert_allclose(by_rows, by_columns, rtol=1e-8, atol=1e-11)
    mode = "reverse" if reverse else "forward"
    jacobian = cr.jacobian(function, mode=mode)(inputs[0])
    np.testing.assert_allclose(jacobian.reshape(by_rows.shape), by_rows, rtol=1e-8, atol=1e-11)
