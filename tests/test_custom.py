"""Derivative rules of the user's own, checkpoints, implicit differentiation."""

import numpy as np
import pytest
from support import assert_same

import chainrule as cr
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError

rng = np.random.default_rng(0)
X = rng.normal(size=(4, 3))


@cr.custom_jvp
def softplus(x):
    return np.log(1 + np.exp(x))


@softplus.defjvp
def softplus_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return softplus(x), t / (1 + np.exp(-x))


@cr.custom_vjp
def product(x, w):
    return {"y": x @ w}


def product_forward(x, w):
    return product(x, w), (x, w)


def product_backward(kept, ct):
    x, w = kept
    return ct["y"] @ w.T, x.T @ ct["y"]


product.defvjp(product_forward, product_backward)


@pytest.mark.parametrize("transform", [
    lambda f: f, cr.grad, lambda f: cr.jit(cr.grad(f)), lambda f: cr.grad(cr.jit(f)),
    lambda f: lambda x: cr.jvp(f, (x,), (np.ones_like(x),))[1], cr.hessian, lambda f: cr.jit(cr.hessian(f)),
    lambda f: lambda x: cr.vmap(cr.grad(f))(x), lambda f: cr.grad(lambda x: np.sum(cr.vmap(f)(x))),
    lambda f: cr.jit(lambda x: cr.vmap(cr.grad(f))(x)),
    lambda f: cr.grad(lambda x: cr.scan(lambda c, v: (c + f(v), None), 0.0, x)[0])])
def test_custom_jvp_in_every_transformation(transform):
    plain = lambda x: np.sum(np.log(1 + np.exp(x)) ** 2)
    ruled = lambda x: np.sum(softplus(x) ** 2)
    assert_same(transform(ruled)(X), np.asarray(transform(plain)(X)), 64, scale=64)


def test_the_rule_is_used():
    assert cr.grad(softplus)(1000.0) == 1.0  # exp overflows; the rule's formula does not
    assert cr.jit(cr.grad(softplus))(1000.0) == 1.0
    assert cr.vmap(cr.grad(softplus))(np.array([1000.0]))[0] == 1.0
    assert cr.grad(lambda x: np.sum(cr.vmap(softplus)(x)))(np.array([1000.0]))[0] == 1.0


@pytest.mark.parametrize("transform", [
    lambda f: f, cr.grad, lambda f: cr.jit(cr.grad(f, (0, 1))), lambda f: cr.grad(cr.grad(lambda x, w: f(x, w)) and f),
    lambda f: lambda x, w: cr.vmap(cr.grad(f), (0, None))(x[None], w),
    lambda f: cr.grad(lambda x, w: np.sum(cr.vmap(f, (0, None))(x[None], w))),
    lambda f: cr.jacobian(f, mode="reverse")])
def test_custom_vjp_in_every_transformation(transform):
    w = rng.normal(size=(3, 2))
    plain, ruled = (lambda x, w, p=p: np.sum(np.sin(p(x, w)["y"])) for p in (lambda x, w: {"y": x @ w}, product))
    for got, wanted in zip(cr.tree.flatten(transform(ruled)(X, w))[0], cr.tree.flatten(transform(plain)(X, w))[0],
                           strict=True):
        assert_same(got, np.asarray(wanted), 64, scale=64)


def test_custom_vjp_has_no_forward_mode():
    with pytest.raises(ChainruleTypeError, match="reverse"):
        cr.jvp(lambda x: product(x, x.T)["y"], (X,), (X,))


def test_other_arguments_are_left_alone():
    @cr.custom_jvp
    def power(x, n, how="plain"):
        return x ** n
    power.defjvp(lambda primals, tangents: (power(*primals), primals[1] * primals[0] ** (primals[1] - 1) * tangents[0]))
    assert cr.grad(lambda x: power(x, 3))(2.0) == 12.0
    assert cr.vmap(cr.grad(lambda x: power(x, 3)))(np.array([2.0]))[0] == 12.0
    assert cr.grad(lambda x: np.sum(cr.vmap(lambda v: power(v, 3))(x)))(np.array([2.0]))[0] == 12.0


@pytest.mark.parametrize(("run", "error", "message"), [
    (lambda: cr.grad(cr.custom_jvp(lambda x: x))(1.0), ArgumentError, "no derivative rule"),
    (lambda: cr.grad(cr.custom_vjp(lambda x: x))(1.0), ArgumentError, "no derivative rule")])
def test_missing_rule(run, error, message):
    with pytest.raises(error, match=message):
        run()


@pytest.mark.parametrize(("rule", "error", "message"), [
    (lambda p, t: t[0], ArgumentError, "pair"), (lambda p, t: (p[0], [t[0]]), ShapeError, "structure"),
    (lambda p, t: (p[0], t[0][:1]), ShapeError, "shape")])
def test_wrong_rules(rule, error, message):
    f = cr.custom_jvp(lambda x: x * 2.0)
    f.defjvp(rule)
    with pytest.raises(error, match=message):
        cr.grad(lambda x: np.sum(f(x)))(X[0])


def test_closing_over_a_differentiated_value():
    @cr.custom_jvp
    def scaled(x):
        return x
    scaled.defjvp(lambda p, t: (scaled(*p), t[0]))

    def f(w):
        g = cr.custom_jvp(lambda x: x * w)
        g.defjvp(lambda p, t: (g(*p), t[0]))
        return g(w)
    with pytest.raises(ChainruleTypeError, match="not among its arguments"):
        cr.grad(f)(2.0)


# ---------------------------------------------------------------- checkpoint


WEIGHTS = rng.normal(size=(50, 50)) / 7


def layers(wrap, x, count=12):
    n = x.shape[-1]
    layer = wrap(lambda x: np.tanh(np.sin(x @ WEIGHTS[:n, :n]) @ WEIGHTS[:n, :n] + np.cos(x)))
    for _ in range(count):
        x = layer(x)
    return np.sum(x)


def test_checkpoint_gives_the_same_with_less_memory():
    x = rng.normal(size=(64, 50))
    plain, ruled = (cr.jit(cr.grad(lambda x, w=w: layers(w, x))) for w in (lambda f: f, cr.checkpoint))
    assert_same(ruled(x), plain(x), 64, scale=64)
    memory = [f.compile(x).executable.arena_bytes for f in (plain, ruled)]
    assert memory[1] < 0.7 * memory[0], memory


def test_checkpoint_derivatives():
    f = lambda x: layers(cr.checkpoint, x, 2)
    cr.check_grads(f, (X,), order=2)
    g = lambda x: layers(lambda h: h, x, 2)
    for t in (cr.grad, cr.hessian, lambda f: cr.vmap(cr.grad(f)), lambda f: lambda x: cr.jvp(f, (x,), (x,)),
              lambda f: cr.grad(lambda x: cr.scan(lambda c, v: (c * f(v), None), 1.0, x)[0])):
        for h in (t(f), cr.jit(t(f))):
            for got, wanted in zip(cr.tree.flatten(h(X))[0], cr.tree.flatten(t(g)(X))[0], strict=True):
                assert_same(got, np.asarray(wanted), 64, scale=256)


def test_checkpoint_uses_what_it_closes_over():
    w = rng.normal(size=(3, 3))
    loss = lambda w, x: np.sum(cr.checkpoint(lambda x: np.tanh(x @ w))(x))
    assert_same(cr.jit(cr.grad(loss))(w, X), cr.grad(lambda w, x: np.sum(np.tanh(x @ w)))(w, X), 64, scale=64)


# ---------------------------------------------------------------- implicit differentiation


def test_implicit_derivative_of_a_fixed_point():
    @cr.custom_vjp
    def root(a):
        return cr.while_loop(lambda x: abs(x * x - a) > 1e-12 * a, lambda x: (x + a / x) / 2, a)
    root.defvjp(lambda a: ((x := root(a)), x), lambda x, ct: (ct / (2 * x),))  # x² = a, so 2x dx = da
    assert_same(cr.grad(root)(9.0), np.float64(1 / 6), 8)
    assert_same(cr.jit(cr.grad(cr.grad(root)))(9.0), np.float64(-1 / 108), 64)
    assert_same(cr.vmap(cr.grad(root))(np.array([4.0, 9.0])), np.array([1 / 4, 1 / 6]), 8)
