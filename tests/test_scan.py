"""Loops as operations, forward: the same as a Python loop, compiled and by reference."""

import numpy as np
import pytest
from support import assert_same, reference

import chainrule.numpy  # noqa: F401
from chainrule import runtime, tree
from chainrule.autodiff import grad, value_and_grad
from chainrule.control import scan
from chainrule.errors import ArgumentError, ShapeError
from chainrule.trace import trace

rng = np.random.default_rng(1)
X = rng.normal(size=(6, 3))
W = rng.normal(size=(3, 3)) / 2


def python_scan(function, init, xs=None, length=None):
    carry, ys = init, []
    for i in range(len(tree.flatten(xs)[0][0]) if length is None else length):
        carry, y = function(carry, None if xs is None else tree.map_leaves(lambda x, i=i: x[i], xs))
        ys.append(y)
    return carry, None if ys[0] is None else tree.map_leaves(lambda *rows: np.stack(rows), *ys)


def check(function, *args, limit=8):
    """``function(scan, *args)`` gives the same with a Python loop, at once, by reference and compiled."""
    expected, structure = tree.flatten(function(python_scan, *args))
    for run in (lambda *a: function(scan, *a), runtime.jit(lambda *a: function(scan, *a))):
        for got, wanted in zip(tree.flatten(run(*args))[0], expected, strict=True):
            assert_same(got, np.asarray(wanted), limit, scale=16)
    by_reference, found = tree.flatten(reference(lambda *a: function(scan, *a), *args))
    assert found == structure
    for got, wanted in zip(by_reference, expected, strict=True):
        assert_same(got, np.asarray(wanted), limit, scale=16)


def test_running_sums():
    check(lambda scan, x: scan(lambda c, row: (c + row, c), np.zeros(3), x), X)


def test_recurrent_network_with_closed_over_weights():
    check(lambda scan, x, w: scan(lambda h, row: ((h := np.tanh(row @ w + h @ w.T)), np.sum(h)), np.zeros(3), x), X, W)


def test_nested_containers():
    def step(carry, x):
        total, (count, flag) = carry["total"], carry["rest"]
        new = {"total": total + x["a"] * x["b"], "rest": (count + 1, ~flag)}
        return new, [total, {"n": count}]
    init = {"total": np.float64(0.5), "rest": (np.int64(0), np.True_)}
    check(lambda scan, a, b: scan(step, init, {"a": a, "b": b}), X[:, 0], X[:, 1])


def test_without_input():
    check(lambda scan, x: scan(lambda c, _: (c * 0.5 + 1, None), x, length=9), X)


def test_no_steps():
    carry, ys = runtime.jit(lambda x: scan(lambda c, row: (c + row, c), np.zeros(3), x))(X[:0])
    assert_same(carry, np.zeros(3))
    assert ys.shape == (0, 3)


def test_loops_within_loops():
    def inner(scan, row, scale):
        return scan(lambda c, v: (c + v * scale, c * v), np.float64(0.0), row)

    def f(scan, x):
        return scan(lambda c, row: (inner(scan, row, c)[0], inner(scan, row, c)[1]), np.float64(1.0), x)
    check(f, X)


def test_outer_values_are_computed_once():
    graph = trace(lambda x, w: scan(lambda c, row: (c + row @ np.exp(w), None), np.zeros(3), x)[0], X, W)
    loop = next(n for n in graph.nodes if n.op.name == "scan")
    inside = [n.op.name for n in loop.params["body"].nodes]
    assert "exp" not in inside and "exp" in [n.op.name for n in graph.nodes]


def test_gradient_descent_inside_a_loop():
    def loss(w, x):
        return np.mean((x @ w - 1.0) ** 2)

    def train(scan, w, x):
        def step(w, _):
            value, gradient = value_and_grad(loss)(w, x)
            return w - 0.1 * gradient, value
        return scan(step, w, length=40)
    check(train, np.zeros(3), X)
    w, losses = runtime.jit(lambda w, x: train(scan, w, x))(np.zeros(3), X)
    assert (np.diff(losses) < 0).all() and np.abs(grad(loss)(w, X)).max() < np.abs(grad(loss)(np.zeros(3), X)).max() / 5


@pytest.mark.parametrize("stop", [0, 3, 5, 99])
def test_until(stop):
    def f(x):
        def step(carry, row):
            total, done, n = carry
            return (total + row, n >= stop, n + 1), total
        return scan(step, (np.zeros(3), np.False_, np.int64(0)), x, until=lambda carry: carry[1])
    made = min(stop + 1, len(X))
    expected = np.concatenate([np.zeros((1, 3)), np.cumsum(X, axis=0)])
    for run in (f, lambda x: reference(f, x), runtime.jit(f)):
        (total, done, n), ys = run(X)
        assert n == made and done == (stop < len(X))
        np.testing.assert_allclose(total, expected[made], rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(ys[:made], expected[:made], rtol=1e-14, atol=1e-15)
        np.testing.assert_array_equal(ys[made:], 0)


def test_endless_loop_that_a_condition_ends():
    def collatz(n):
        def step(carry, _):
            n, steps, _ = carry
            n = np.where(n % 2 == 0, n // 2, 3 * n + 1)
            return (n, steps + 1, n == 1), None
        return scan(step, (n, np.int64(0), np.False_), length=2**31 - 1, until=lambda carry: carry[2])[0][1]
    assert runtime.jit(collatz)(27) == 111


@pytest.mark.parametrize(("run", "error", "message"), [
    (lambda x: scan(lambda c, r: c, 0.0, x), ArgumentError, "a pair"),
    (lambda x: scan(lambda c, r: (c, None), np.zeros(3)), ShapeError, "length="),
    (lambda x: scan(lambda c, r: (c, None), np.zeros(3), (x, x[1:])), ShapeError, "leading extents"),
    (lambda x: scan(lambda c, r: (c, None), np.zeros(3), x, length=5), ShapeError, "leading extents"),
    (lambda x: scan(lambda c, r: (c[:2], None), np.zeros(3), x), ShapeError, r"float64\[3\] to float64\[2\]"),
    (lambda x: scan(lambda c, r: (c + r, None), np.zeros(3, np.float32), x), ShapeError, "float32"),
    (lambda x: scan(lambda c, r: ((c, c), None), np.zeros(3), x), ShapeError, "another structure"),
])
def test_wrong_use(run, error, message):
    with pytest.raises(error, match=f"(?i){message}"):
        run(X)


def test_rows_of_a_transposed_array_may_be_reshaped_and_sorted():
    x = np.arange(24.0).reshape(4, 3, 2)

    def f(x):
        return scan(lambda c, row: (c, np.sort(np.reshape(row, (2, 4)).sum(axis=1))), (), np.transpose(x, (1, 0, 2)))[1]
    np.testing.assert_array_equal(runtime.jit(f)(x), f(x))
    g = lambda x: scan(lambda c, row: (c, np.sort(row)), (), np.transpose(x, (1, 2, 0)))[1]
    np.testing.assert_array_equal(runtime.jit(g)(-x), g(-x))
