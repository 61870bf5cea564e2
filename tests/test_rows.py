"""Loops over rows and over blocks of rows, gradients of paths that meet again, attention block by block."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.compiler.interpret import interpret
from chainrule.compiler.loops import Loop
from chainrule.compiler.pipeline import build
from chainrule.nn import attention
from chainrule.trace import record

RNG = np.random.default_rng(0)


def program(f, *args):
    return build(record(f, args)[0])


def agrees(f, *args, rtol=2e-4, atol=2e-5):
    """Native code, the interpreted loops and NumPy give the same; returns the program."""
    made, expected = program(f, *args), cr.tree.flatten(f(*args))[0]
    for results in (cr.tree.flatten(cr.jit(f)(*args))[0], interpret(made, cr.tree.flatten(args)[0])):
        for result, value in zip(results, expected, strict=True):
            np.testing.assert_allclose(np.reshape(result, np.shape(value)), value, rtol=rtol, atol=atol)
    return made


def labelled(statements, label):
    """The loops of a kind, wherever they are."""
    for s in statements:
        if isinstance(s, Loop):
            if s.label == label:
                yield s
            yield from labelled(s.body, label)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize("shape", [(300, 65), (5, 60, 64), (1025, 17)])
def test_a_softmax_is_one_loop_that_keeps_nothing_but_a_row(shape):
    made = agrees(nn.softmax, normal(*shape))
    assert len(made.statements) == 1 and made.statements[0].parallel
    assert made.arena <= 64 * 3 + 4 * (shape[-1] + 16)


def test_a_layer_norm_and_its_gradient_are_one_loop_and_two_sums():
    x, scale, offset, ct = normal(40, 16, 50), normal(50), normal(50), normal(40, 16, 50)

    def both(x, scale, offset, ct):
        y, pull = cr.vjp(nn.layer_norm, x, scale, offset)
        return y, pull(ct)
    made = agrees(both, x, scale, offset, ct, rtol=1e-3, atol=1e-3)
    assert sum(isinstance(s, Loop) and s.label == "rows" for s in made.statements) == 1
    assert made.arena < x.nbytes / 2


def test_rows_that_need_other_rows_stay_apart():
    agrees(lambda x: nn.softmax(x) + np.roll(nn.softmax(x), 1, axis=0), normal(300, 65))
    agrees(lambda x: nn.softmax(x, axis=0) + nn.softmax(x), normal(130, 130))
    agrees(lambda x: nn.softmax(x) @ nn.softmax(x).T, normal(130, 130))
    agrees(lambda x: np.cumsum(nn.softmax(x), axis=0) - np.max(x, axis=1, keepdims=True), normal(300, 65))


def test_rows_inside_of_a_scan():
    def f(x):
        return cr.scan(lambda c, row: (nn.softmax(c + row), np.max(c, axis=1)), x, np.arange(3.0, dtype=np.float32))
    agrees(f, normal(300, 65))


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize(("shape", "axes"), [
    ((33, 1000), 0), ((20, 30, 70), (0, 1)), ((3, 100, 530), 1), ((300, 70), 0)])
def test_reductions_down_columns(shape, axes):
    def f(x):
        ends = np.max(x, axis=axes), np.min(x * x, axis=axes), np.sum(np.sin(x), axis=axes) + 1.0
        return ends, np.mean(x, axis=axes), np.prod(1.0 + x * 0.01, axis=axes)
    agrees(f, normal(*shape))


def test_a_missing_number_goes_through_the_largest_and_smallest():
    x = normal(64, 600)
    x[5, 7] = x[63, 8] = x[0, 9] = np.nan
    with np.errstate(invalid="ignore"):
        for axis in (0, 1, None):
            for f in (np.max, np.min):
                np.testing.assert_array_equal(cr.jit(lambda x, f=f, axis=axis: f(x, axis=axis))(x), f(x, axis=axis))


def test_batch_norm_reads_its_input_three_times():
    x, scale, offset, ct = normal(8, 16, 16, 16), normal(16), normal(16), normal(8, 16, 16, 16)

    def both(x, scale, offset, ct):
        y, pull = cr.vjp(lambda *a: nn.batch_norm(a[0], *nn.moments(a[0], (0, 1, 2)), *a[1:]), x, scale, offset)
        return y, pull(ct)
    made = agrees(both, x, scale, offset, ct, rtol=1e-3, atol=1e-3)
    assert made.arena < 4096  # nothing of the size of x is kept
    assert sum("in0[" in line for line in str(made).splitlines()) <= 5


@pytest.mark.parametrize("f", [
    lambda x, s: nn.batch_norm(x, *nn.moments(x, (0, 1)), s), lambda x, s: nn.layer_norm(x, s),
    lambda x, s: nn.group_norm(x, 2, s)])
def test_norms_to_second_order(f):
    rng = np.random.default_rng(1)
    cr.check_grads(lambda x, s: np.sum(np.sin(f(x, s))), (rng.normal(size=(3, 5, 4)), rng.normal(size=4)), order=2)


# ---------------------------------------------------------------- paths that meet again


@pytest.mark.parametrize("f", [
    lambda x: x * np.tanh(x) / (1.0 + x * x), nn.gelu, lambda x: nn.gelu(x, approximate=True), nn.mish,
    lambda x: np.where(x > 0.3, np.sin(x) * x, np.exp(x) - x), lambda x: x * cr.stop_gradient(x) + np.floor(x) * x,
    lambda x: (x * np.exp(-x)) @ (x + np.sin(x)).T, lambda x: nn.softmax(x * np.sin(x)) * x])
def test_gradients_where_paths_meet(f):
    x = np.random.default_rng(2).normal(size=(3, 4))
    if f(x).shape == x.shape and "stop_gradient" in f.__code__.co_names:
        np.testing.assert_allclose(cr.grad(lambda x: np.sum(f(x)))(x), x + np.floor(x))
        return
    cr.check_grads(lambda x: np.sum(f(x) ** 2), (x,), order=2)


def test_a_gelu_keeps_one_array_for_the_way_back():
    x, w, c = normal(64, 128), normal(128, 256), normal(64, 128)

    def loss(w):
        return np.sum(nn.gelu(x @ w) @ w.T * c)
    agrees(cr.grad(loss), w, rtol=2e-3, atol=2e-2)
    labels = [s.label for s in program(cr.grad(loss), w).statements]
    assert "contract mul" in labels, labels  # the product with the coefficient rides on a contraction


def test_exp_of_numbers_that_underflow():
    x = np.array([-np.inf, -1e38, -104.1, -103.0, -87.5, 0.0, 88.0, np.inf, np.nan], np.float32)
    for dtype in (np.float32, np.float64):
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(cr.jit(np.exp)(x.astype(dtype)), np.exp(x.astype(dtype)), rtol=1e-6, atol=2e-45)


# ---------------------------------------------------------------- attention


def parts(batch, queries, keys, heads=2, d=8):
    return normal(batch, queries, heads, d), normal(batch, keys, heads, d), normal(batch, keys, heads, 5)


def with_gradients(large, monkeypatch, q, k, v, **options):
    monkeypatch.setattr(attention, "LARGE", large)
    monkeypatch.setattr(attention, "BLOCK", 16 * k.shape[1])

    def f(q, k, v):
        y, pull = cr.vjp(lambda *a: nn.dot_product_attention(*a, **options), q, k, v)
        return y, pull(np.cos(y))
    compiled = cr.jit(f).compile(q, k, v)
    return compiled([q, k, v]), compiled.executable.arena_bytes


@pytest.mark.parametrize(("sizes", "options"), [
    ((2, 64, 64), {"causal": True}),
    ((1, 75, 75), {"causal": True, "mask": RNG.random((1, 2, 1, 75)) < 0.7}),
    ((2, 33, 50), {"mask": RNG.random((2, 1, 33, 50)) < 0.5}),
    ((1, 50, 33), {"causal": True, "scale": 0.3})])
def test_attention_by_blocks_is_attention(sizes, options, monkeypatch):
    q, k, v = parts(*sizes)
    if "mask" in options:
        options["mask"][..., 0] = False
    whole, _ = with_gradients(10**9, monkeypatch, q, k, v, **options)
    blocks, _ = with_gradients(0, monkeypatch, q, k, v, **options)
    for a, b in zip(cr.tree.flatten(whole)[0], cr.tree.flatten(blocks)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_attention_by_blocks_does_not_keep_the_scores(monkeypatch):
    q, k, v = parts(1, 512, 512)
    _, whole = with_gradients(10**9, monkeypatch, q, k, v, causal=True)
    _, blocks = with_gradients(0, monkeypatch, q, k, v, causal=True)
    assert blocks < whole / 5 and blocks < 4 * 2 * 512 * 512


def test_attention_by_blocks_has_all_derivatives(monkeypatch):
    monkeypatch.setattr(attention, "LARGE", 0)
    q, k, v = (x.astype(np.float64) for x in parts(1, 6, 6, 1, 2))
    f = lambda q, k, v: np.sum(np.sin(nn.dot_product_attention(q, k, v, causal=True)))
    cr.check_grads(f, (q, k, v), order=2)
