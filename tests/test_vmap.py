"""Batching: every rule, and every composition, is a loop over the examples."""

import numpy as np
import pytest
from samples import OF_KIND, WITHIN, dtypes_of, samples
from support import assert_same

import chainrule as cr
from chainrule import tree
from chainrule.autodiff.recording import finished
from chainrule.errors import ArgumentError, ShapeError
from chainrule.ops.declare import REGISTRY
from chainrule.ops.transform import push_batch
from chainrule.trace import Tracer, input_node

OPS = [op for op in REGISTRY.values() if op.name not in WITHIN and op.arity != 0 and op.kind != "custom"]
rng = np.random.default_rng(3)
W, X = rng.normal(size=(3, 4)), rng.normal(size=(5, 4))


def looped(function, *args):
    """The function of each example, stacked."""
    rows = [function(*(a[i] for a in args)) for i in range(len(args[0]))]
    return tree.map_leaves(lambda *r: np.stack(r), *rows)


def check(function, *args, limit=16, scale=64):
    """A batched function is a loop: at once, and compiled."""
    expected = tree.flatten(looped(function, *args))[0]
    for run in (cr.vmap(function), cr.jit(cr.vmap(function))):
        for got, wanted in zip(tree.flatten(run(*args))[0], expected, strict=True):
            assert_same(got, wanted, limit, scale=scale)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_rules_are_loops(op):
    size = 3
    for dtype in [d for d in dtypes_of(op) if d in (*OF_KIND["f"], "int32", "bool", "uint32")][:3]:
        for sample in samples(op, dtype, (0, 1, 5)):
            for chosen in range(1, 2**len(sample.args)):
                flags = [bool(chosen >> k & 1) for k in range(len(sample.args))]
                args = [np.stack([np.roll(a, i, -1) if a.ndim else a for i in range(size)]) if flag else a
                        for a, flag in zip(sample.args, flags, strict=True)]
                nodes = [input_node(a.shape, a.dtype) for a in sample.args]
                one = op(*(Tracer(n) if flag else a for n, a, flag in zip(nodes, args, flags, strict=True)),
                         **sample.params)
                batched = {n: a for n, a, flag in zip(nodes, args, flags, strict=True) if flag}
                got = push_batch([one.node], batched, size)[one.node]
                wanted = [op(*(a[i] if flag else a for a, flag in zip(args, flags, strict=True)), **sample.params)
                          for i in range(size)]
                for g, w in zip(finished(got if isinstance(got, list) else [got]),
                                zip(*wanted, strict=True) if isinstance(got, list) else [wanted], strict=True):
                    assert_same(g, np.stack(w), 4, scale=16, what=f"{op.name} {sample.params} {flags}")


def test_axes():
    f = lambda w, x: w @ x
    np.testing.assert_allclose(cr.vmap(f, in_axes=(None, 0))(W, X), X @ W.T)
    np.testing.assert_allclose(cr.vmap(f, in_axes=(None, 1), out_axes=1)(W, X.T), W @ X.T)
    np.testing.assert_allclose(cr.vmap(f, in_axes=(None, -1), out_axes=-1)(W, X.T), W @ X.T)
    out = cr.vmap(lambda p, x: {"y": p["w"] @ x, "w": p["w"]}, in_axes=({"w": None, "b": None}, 0),
                  out_axes={"y": 1, "w": None})({"w": W, "b": 1.0}, X)
    np.testing.assert_allclose(out["y"], W @ X.T)
    assert out["w"].shape == W.shape


def test_nested():
    pairs = cr.vmap(cr.vmap(lambda a, b: np.sum((a - b) ** 2), (None, 0)), (0, None))(X, X)
    np.testing.assert_allclose(pairs, ((X[:, None] - X[None]) ** 2).sum(-1))


@pytest.mark.parametrize("f", [
    lambda x: np.sum(np.tanh(W @ x)), lambda x: np.max(x) * x[1], lambda x: np.prod(x), lambda x: x[1:3] @ x[:2],
    lambda x: np.sum(np.where(x > 0, x * x, -x)), lambda x: np.sum(np.cumsum(x)[::2]),
    lambda x: np.sum(x[np.array([0, 2, 2])] ** 3)])
def test_composes_with_derivatives(f):
    check(cr.grad(f), X)
    check(cr.hessian(f), X)
    check(lambda x: cr.jvp(f, (x,), (np.ones(4),))[1], X)
    batched_loss = lambda x: np.sum(np.sin(cr.vmap(f)(x)))
    expected = cr.grad(lambda x: sum(np.sin(f(row)) for row in x))(X)
    assert_same(cr.grad(batched_loss)(X), expected, 16, scale=64)
    assert_same(cr.jit(cr.grad(batched_loss))(X), expected, 16, scale=64)


def test_indices_that_differ_between_examples():
    table, picks = rng.normal(size=(5, 6, 2)), rng.integers(0, 6, (5, 3))
    check(lambda t, i: t[i], table, picks)
    check(lambda t, i: t[:, i[0] % 2], table, picks)
    check(cr.grad(lambda t, i: np.sum(np.sin(t[i]))), table, picks)
    check(lambda i: REGISTRY["take"](W, i % 3, axis=0), picks)


def test_loops_and_branches():
    steps = rng.normal(size=(5, 7))
    check(lambda x: cr.scan(lambda c, v: (np.tanh(c + v), c * v), 0.5, x), steps)
    check(cr.grad(lambda x: cr.scan(lambda c, v: (np.tanh(c + v), None), 0.5, x)[0]), steps)
    check(lambda x: cr.while_loop(lambda c: np.sum(c) < 9.0, lambda c: c * 2.0, x), abs(X))
    check(lambda x: cr.cond(x[0] > 0, lambda x: np.sin(x), lambda x: x * 2.0, x), X)
    check(lambda x: cr.cond(x[0] > 0, lambda: W[0] * x, lambda: x), X)
    check(lambda x: cr.scan(lambda c, _: ((c[0] * 2.0, c[0] > 3.0), c[0]), (x, np.False_), length=9,
                            until=lambda c: c[1]), abs(X[:, 0]))
    until = lambda x: np.sum(cr.scan(lambda c, _: ((c[0] * 2.0, c[0] > 3.0), c[0]), (x, np.False_), length=9,
                                     until=lambda c: c[1])[1])
    check(cr.grad(until), abs(X[:, 0]))


def test_random_numbers():
    keys = np.stack([cr.random.key(i) for i in range(4)])
    check(lambda k: cr.random.uniform(k, (3,)), keys)
    check(lambda k: cr.random.permutation(k, 7), keys)


@pytest.mark.parametrize(("run", "error", "message"), [
    (lambda: cr.vmap(lambda x, y: x)(np.ones(3), np.ones(4)), ShapeError, r"extents \[3, 4\]"),
    (lambda: cr.vmap(lambda x: x)(1.0), ShapeError, "Batch axis 0"),
    (lambda: cr.vmap(lambda x: x, in_axes=None)(np.ones(3)), ShapeError, "No batch axis"),
    (lambda: cr.vmap(lambda x: x, in_axes=(0, 0))(np.ones(3)), ArgumentError, "in_axes"),
    (lambda: cr.vmap(lambda x: x, out_axes=None)(np.ones(3)), ArgumentError, "out_axes"),
    (lambda: cr.vmap(lambda x: x["a"], in_axes=({"b": 0},))({"a": np.ones(3)}), ArgumentError, "axes")])
def test_wrong_use(run, error, message):
    with pytest.raises(error, match=message):
        run()
