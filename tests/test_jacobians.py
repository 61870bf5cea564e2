"""Jacobians, Hessians, products with them, and linear programs."""

import numpy as np
import pytest
from support import assert_same

import chainrule as cr
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError

rng = np.random.default_rng(0)
W, X = rng.normal(size=(2, 3)), rng.normal(size=3)


def f(w, x):
    return {"y": np.tanh(w @ x), "n": [np.sum(x * x), w[0]]}


def numeric(function, x):
    """The Jacobian by central differences."""
    columns = []
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-6
        columns.append((function(x + step) - function(x - step)) / 2e-6)
    return np.moveaxis(np.array(columns), 0, -1).reshape(*np.shape(function(x)), *x.shape)


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
@pytest.mark.parametrize("compiled", [False, True])
def test_jacobian(mode, compiled):
    jacobian = cr.jacobian(f, (0, 1), mode)
    found = (cr.jit(jacobian) if compiled else jacobian)(W, X)
    for pick in (lambda r: r["y"], lambda r: r["n"][0], lambda r: r["n"][1]):
        by_w, by_x = pick(found)
        np.testing.assert_allclose(by_w, numeric(lambda w, pick=pick: pick(f(w, X)), W), atol=1e-8)
        np.testing.assert_allclose(by_x, numeric(lambda x, pick=pick: pick(f(W, x)), X), atol=1e-8)


def test_mode_is_picked_by_shape():
    wide = cr.trace(cr.jacobian(lambda x: np.sum(np.sin(x))), np.ones(50))
    tall = cr.trace(cr.jacobian(lambda x: np.sin(x * np.ones(50))), 1.0)
    assert all(n.size <= 50 for g in (wide, tall) for n in g.nodes)


def test_hessian_of_containers():
    loss = lambda p: np.sum(np.tanh(p["w"] @ p["x"]) ** 2)
    p = {"w": W, "x": X}
    for h in (cr.hessian(loss)(p), cr.jit(cr.hessian(loss))(p)):
        assert h["w"]["x"].shape == (2, 3, 3)
        np.testing.assert_allclose(h["w"]["x"], np.moveaxis(h["x"]["w"], 0, -1), atol=1e-12)
        np.testing.assert_allclose(h["x"]["x"], numeric(lambda x: cr.grad(loss)({"w": W, "x": x})["x"], X), atol=1e-7)


def test_hvp_is_the_hessian_times_a_vector():
    loss = lambda x: np.sum(np.sin(x) * x[0] ** 3)
    v = rng.normal(size=3)
    for run in (lambda: cr.hvp(loss, X, v), lambda: cr.jit(lambda x, v: cr.hvp(loss, x, v))(X, v)):
        np.testing.assert_allclose(run(), cr.hessian(loss)(X) @ v, atol=1e-12)
    both = cr.hvp(lambda x, y: np.sum(x * y), (X, X), (v, 2 * v))
    np.testing.assert_allclose(both, [2 * v, v])


def test_third_order():
    third = cr.jacobian(cr.hessian(lambda x: np.sum(x ** 4)))(X)
    np.testing.assert_allclose(third, np.einsum("i,ij,ik->ijk", 24 * X, np.eye(3), np.eye(3)), atol=1e-12)


def test_linearize():
    value, push = cr.linearize(f, W, X)
    dw, dx = rng.normal(size=(2, 3)), rng.normal(size=3)
    for got, wanted in zip(cr.tree.flatten((value, push(dw, dx)))[0],
                           cr.tree.flatten(cr.jvp(f, (W, X), (dw, dx)))[0], strict=True):
        assert_same(got, np.asarray(wanted), 4, scale=8)
    compiled = cr.jit(lambda w, x, dw, dx: cr.linearize(f, w, x)[1](dw, dx))(W, X, dw, dx)
    np.testing.assert_allclose(compiled["y"], push(dw, dx)["y"])
    with pytest.raises(ShapeError, match="tangent of shape"):
        push(dx, dx)


def test_linearize_through_a_loop():
    run = lambda x: cr.scan(lambda c, v: (np.tanh(c + v), c), x[0], x)
    value, push = cr.linearize(run, X)
    for got, wanted in zip(push(X), cr.jvp(run, (X,), (X,))[1], strict=True):
        assert_same(got, wanted, 8, scale=8)
    del value


def test_per_example_gradients_within_compiled_training():
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    loss = lambda w, x, y: (np.tanh(x @ w) - y) ** 2

    def step(w, _):
        each = cr.vmap(cr.grad(loss), (None, 0, 0))(w, x, y)
        norms = np.sqrt(np.sum(each ** 2, axis=1, keepdims=True))
        return w - 0.1 * np.mean(each / np.maximum(norms, 1.0), axis=0), np.mean(loss(w, x, y))
    w, losses = cr.jit(lambda w: cr.scan(step, w, length=50))(np.zeros(3))
    assert losses[-1] < losses[0]
    expected = np.zeros(3)
    for _ in range(50):
        each = np.stack([cr.grad(loss)(expected, a, b) for a, b in zip(x, y, strict=True)])
        expected -= 0.1 * np.mean(each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1.0), axis=0)
    np.testing.assert_allclose(w, expected, atol=1e-12)


@pytest.mark.parametrize(("run", "error", "message"), [
    (lambda: cr.jacobian(f, mode="sideways"), ArgumentError, "sideways"),
    (lambda: cr.jacobian(lambda x: x > 0)(X), ChainruleTypeError, "bool"),
    (lambda: cr.jacobian(f, argnums=5)(W, X), ArgumentError, "Argnums=5")])
def test_wrong_use(run, error, message):
    with pytest.raises(error, match=message):
        run()
