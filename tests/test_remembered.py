"""Gradients of functions that are not compiled: a later call gives what the first one would have given."""

import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.autodiff import remembered as module

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(7, 5)), RNG.normal(size=(5, 3))


@pytest.fixture(autouse=True)
def nothing_known():
    module._programs.clear()


def attention(w, x):
    scores = x @ w @ w.T @ x.T
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.sum((e / e.sum(axis=1, keepdims=True)) @ x)


FUNCTIONS = {
    "network": lambda w, x: np.mean(np.tanh(x @ w) ** 2),
    "attention": attention,
    "pieces": lambda w, x: np.sum(np.where(x > 0, x, x / 9)) + np.sum(np.concatenate([w[1:], w[:1] ** 3]).ravel()[::2]),
    "norm": lambda w, x: np.sqrt(np.sum((x @ w) ** 2)) + np.max(w),
    "constant in w": lambda w, x: np.sum(x * 2.0),
    "dict": lambda w, x: np.prod(w[0]) + np.sum(np.sort(x, axis=0)[0] * np.cumsum(x, axis=1)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_later_calls_with_other_numbers(name):
    f = FUNCTIONS[name]
    first = cr.value_and_grad(f, argnums=(0, 1))(W, X)
    kept = len(module._programs)
    again = cr.value_and_grad(f, argnums=(0, 1))(W, X)
    other = cr.value_and_grad(f, argnums=(0, 1))(2 * W, X + 1)
    assert len(module._programs) == kept == 1
    module._programs.clear()
    fresh = cr.value_and_grad(f, argnums=(0, 1))(2 * W, X + 1)
    for a, b in ((first, again), (other, fresh)):
        for x, y in zip((a[0], *a[1]), (b[0], *b[1]), strict=True):
            np.testing.assert_array_equal(x, y, strict=True)


def test_results_belong_to_the_caller():
    gradient = cr.grad(lambda x: np.sum(x))
    first = gradient(np.ones(3))
    first[:] = 7
    np.testing.assert_array_equal(gradient(np.ones(3)), np.ones(3))
    square = cr.grad(lambda x: np.sum(x * 2.0 * np.ones(3)))
    square(np.ones(3))
    square(np.ones(3))[:] = 7
    np.testing.assert_array_equal(square(np.ones(3)), 2 * np.ones(3))


def test_a_function_that_changes_its_mind():
    state = {"power": 2, "scale": np.arange(3.0), "shift": 0.0}

    def f(x):
        y = x**state["power"] if x.sum() > 0 else -x
        return np.sum(y * state["scale"]) + np.sum(np.copysign(x, state["shift"]))
    x = np.array([1.0, 2.0, 3.0])
    gradient = cr.grad(f)
    for _ in range(2):
        np.testing.assert_allclose(gradient(x), 2 * x * np.arange(3.0) + 1)
        np.testing.assert_allclose(gradient(-x), -np.arange(3.0) - 1)
    state["power"] = 3
    np.testing.assert_allclose(gradient(x), 3 * x**2 * np.arange(3.0) + 1)
    state["scale"] = np.ones(3)
    np.testing.assert_allclose(gradient(x), 3 * x**2 + 1)
    state["shift"] = -0.0
    np.testing.assert_allclose(gradient(x), 3 * x**2 - 1)


def test_large_constants_are_not_kept():
    data = RNG.normal(size=(100, 100))
    f = cr.grad(lambda w: np.sum((data @ w) ** 2))
    w = RNG.normal(size=100)
    for _ in range(2):
        np.testing.assert_allclose(f(w), 2 * data.T @ (data @ w))
    held = [c for p in module._programs.values() for c in p.constants]
    assert all(c.size <= 4096 for c in held)
    before = data.copy()
    data = np.ones((100, 100))  # the closure's: other data of the same shape
    np.testing.assert_allclose(f(w), 2 * data.T @ (data @ w))
    assert not np.allclose(before, data)


def test_inside_of_other_transformations():
    f = lambda x: np.sum(np.sin(x) ** 2)  # noqa: E731
    x = np.array([0.3, -1.2])
    for _ in range(2):
        np.testing.assert_allclose(cr.grad(f)(x), np.sin(2 * x))
        np.testing.assert_allclose(cr.grad(lambda x: np.sum(cr.grad(f)(x)))(x), 2 * np.cos(2 * x))
        np.testing.assert_allclose(cr.hessian(f)(x), np.diag(2 * np.cos(2 * x)))
        np.testing.assert_allclose(cr.vmap(cr.grad(f))(np.stack([x, 2 * x])), np.sin(2 * np.stack([x, 2 * x])))
        np.testing.assert_allclose(cr.jit(cr.grad(f))(x), np.sin(2 * x))


def test_rules_of_the_users_own_run_every_time():
    factor = [1.0]

    @cr.custom_vjp
    def f(x):
        return x * 2.0

    f.defvjp(lambda x: (f(x), None), lambda _, ct: (ct * factor[0],))
    gradient = cr.grad(lambda x: f(x) * 3.0)
    assert gradient(1.0) == 3.0
    factor[0] = 5.0
    assert gradient(1.0) == 15.0


def test_debugging_sees_every_operation():
    f = cr.grad(lambda x: np.sum(np.sqrt(x)))
    f(np.ones(2))
    with cr.debug_nans(), pytest.raises(FloatingPointError, match="sqrt"):
        f(np.array([1.0, -1.0]))


def test_it_forgets_the_oldest(monkeypatch):
    monkeypatch.setattr(module, "_KEPT", 3)
    for n in range(1, 8):
        np.testing.assert_array_equal(cr.grad(lambda x: np.sum(x * x))(np.ones(n)), 2 * np.ones(n))
    assert len(module._programs) == 3


def test_from_several_threads():
    wrong = []

    def work(k):
        for n in range(1, 30):
            x = np.full(n, float(k + 1))
            if not np.array_equal(cr.grad(lambda x: np.sum(x**3))(x), 3 * x**2):
                wrong.append((k, n))
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
