"""Loops and branches: derivatives in both modes, compiled as by reference."""

import numpy as np
import pytest
from support import assert_same

import chainrule as cr
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError

rng = np.random.default_rng(0)
W, X = rng.normal(size=(3, 3)) / 2, rng.normal(size=(6, 3))


def both(function, *args, limit=64, scale=256):
    """The function at once and compiled agree; its result."""
    at_once, compiled = function(*args), cr.jit(function)(*args)
    for a, b in zip(cr.tree.flatten(at_once)[0], cr.tree.flatten(compiled)[0], strict=True):
        assert_same(b, np.asarray(a), limit, scale=scale)
    return at_once


def recurrent(w, x):
    h, ys = cr.scan(lambda h, row: ((k := np.tanh(row + h @ w)), np.sum(k * k)), np.zeros(3), x)
    return np.sum(h) + np.sum(ys * np.arange(len(x)))


def unrolled(w, x):
    h, total = np.zeros(3), 0.0
    for i in range(len(x)):
        h = np.tanh(x[i] + h @ w)
        total = total + i * np.sum(h * h)
    return np.sum(h) + total


def test_scan_derivatives():
    cr.check_grads(recurrent, (W, X), order=2)
    for got, wanted in zip(both(cr.grad(recurrent, (0, 1)), W, X), cr.grad(unrolled, (0, 1))(W, X), strict=True):
        assert_same(got, wanted, 64, scale=256)
    assert_same(both(cr.hessian(recurrent), W, X), cr.hessian(unrolled)(W, X), 256, scale=1024)


def test_scan_makes_one_forward_loop():
    text = cr.jit(cr.value_and_grad(recurrent)).stage("loops", W, X)
    assert text.count("repeat") == 2  # forward with what it keeps, and backward


@pytest.mark.parametrize("f", [
    lambda x: cr.scan(lambda c, v: (c * v, c), 1.5, x, reverse=True),
    lambda x: cr.scan(lambda c, _: (np.sin(c) * x[0], None), x[1], length=4)[0],
    lambda x: cr.scan(lambda c, v: ({"a": c["b"], "b": c["a"] * v}, [c["a"], v]), {"a": x[0], "b": x[1]}, x),
    lambda x: cr.scan(lambda c, v: (c, cr.scan(lambda d, u: (d * u + c, d), v, x)[0]), x[2], x)[1],
    lambda x: cr.fori_loop(1, 4, lambda i, c: c * x[0] + i, x[1]),
    lambda x: cr.map(lambda v: np.sin(v) * x[0], x),
    lambda x: cr.associative_scan(np.multiply, x),
    lambda x: cr.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), (x, x * x), reverse=True),
    lambda x: cr.cond(x[0] > 0, lambda v: np.sin(v) * x[1], lambda v: v * v, x),
    lambda x: cr.cond(x[0] < 0, lambda: np.sin(x) * x[1], lambda: x * x),
    lambda x: cr.switch(np.argmax(x), [np.sin, np.cos, np.tanh], x),
    lambda x: cr.scan(lambda c, v: (cr.cond(v > 0, lambda: c * v, lambda: c - v), c), x[0], x),
    lambda x: cr.cond(x[0] > 9, lambda: x, lambda: cr.scan(lambda c, v: (c * v, c), x[0], x)[1]),
    lambda x: cr.scan(lambda c, _: ((c[0] * x[0], c[0] > 2.0), c[0]), (x[1], np.False_), length=6,
                      until=lambda c: c[1]),
    lambda x: cr.scan(lambda c, v: (np.tanh(c * v + x[0]), c), x[1], x, recompute=2),
    lambda x: cr.scan(lambda c, v: (np.tanh(c * v + x[0]), c), x[1], x, recompute=3, reverse=True),
])
@pytest.mark.parametrize("n", [4, 7])
def test_derivatives(f, n):
    x = np.linspace(0.4, 1.7, n)
    tree = lambda x: [np.sin(leaf) for leaf in cr.tree.flatten(f(x))[0]]
    cr.check_grads(tree, (x,), order=2)
    loss = lambda x: sum(np.sum(leaf) for leaf in tree(x))
    both(f, x)
    both(cr.grad(loss), x)
    both(cr.hessian(loss), x)
    both(lambda x: cr.jvp(f, (x,), (np.cos(x),)), x)


def test_recomputing_gives_the_same_with_less_memory():
    x = rng.normal(size=(100, 3))
    loss = lambda recompute: cr.grad(lambda w: np.sum(cr.scan(
        lambda h, row: (np.tanh(np.sin(row) + h @ w), None), np.zeros(3), x, recompute=recompute)[0]))
    kept, again = (cr.jit(loss(n)) for n in (None, 10))
    assert_same(again(W), kept(W), 64, scale=256)
    assert again.compile(W).executable.arena_bytes < kept.compile(W).executable.arena_bytes / 2


def test_while_loop():
    f = lambda x: cr.while_loop(lambda c: np.sum(c) < 50, lambda c: c * 2, x)
    x = abs(X[0])
    assert_same(both(f, x), x * 2.0 ** np.ceil(np.log2(50 / x.sum())))
    both(lambda x: cr.jvp(f, (x,), (np.ones(3),)), x)
    assert_same(f(x + 99), x + 99)  # no turn at all
    assert_same(both(f, x + 99), x + 99)
    with pytest.raises(ChainruleTypeError, match="cr.scan"):
        cr.grad(lambda x: np.sum(f(x)))(x)


def test_computed_bounds():
    f = lambda n, x: cr.fori_loop(0, n, lambda i, c: c + i * x, x)
    assert_same(both(f, np.int64(4), X[0]), 7 * X[0], 4)
    assert_same(both(f, np.int64(-1), X[0]), X[0])


def test_only_the_chosen_branch_runs():
    heavy = cr.jit(lambda x: cr.cond(x > 0, lambda: x, lambda: np.sum(np.sin(x * np.arange(50.0)))))
    text = heavy.stage("loops", 1.0)
    assert text.index("case 0") < text.index("sin") < text.index("case 1")
    assert heavy(2.0) == 2.0


def test_python_values_choose_at_once():
    assert cr.cond(True, lambda: 1, lambda: 1 / 0) == 1
    assert cr.switch(5, [lambda: 1, lambda: 2]) == 2


def test_integers_and_bools_are_carried():
    f = lambda x: cr.scan(lambda c, v: ((c[0] + 1, ~c[1], c[2] * v), c[0]), (np.int32(0), np.True_, np.float64(1)), x)
    both(f, X[:, 0])
    both(cr.grad(lambda x: f(x)[0][2]), X[:, 0])


@pytest.mark.parametrize(("run", "error", "message"), [
    (lambda: cr.jit(lambda x: cr.cond(x > 0, lambda: x, lambda: np.int64(0)))(1.0), ShapeError, "branches of cond"),
    (lambda: cr.jit(lambda x: cr.cond(x, lambda: x, lambda: x))(1.0), ChainruleTypeError, "one bool"),
    (lambda: cr.jit(lambda x: cr.switch(x, [lambda: x]))(1.0), ChainruleTypeError, "whole number"),
    (lambda: cr.switch(0, []), ArgumentError, "without branches"),
    (lambda: cr.while_loop(lambda c: c, lambda c: c, 1.0), ChainruleTypeError, "one bool"),
    (lambda: cr.while_loop(lambda c: c < 1, lambda c: (c, c), 1.0), ShapeError, "another structure"),
    (lambda: cr.scan(lambda c, x: (c, x), 0.0, np.ones(3), recompute=0), ArgumentError, "(?i)recompute=0"),
    (lambda: cr.associative_scan(np.add, [np.ones(3), np.ones(4)]), ShapeError, "extents")])
def test_wrong_use(run, error, message):
    with pytest.raises(error, match=message):
        run()
