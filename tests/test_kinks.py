"""Derivatives at kinks and edges are what docs/kinks.md says, in every mode; no NaN comes out of the safe forms."""

import numpy as np
import pytest
from kink_table import KINKS, NAMES, assert_stated
from peer_cases import OURS

import chainrule as cr
from chainrule import activations

ALL = pytest.mark.parametrize("kink", KINKS, ids=NAMES)
WITH_SECOND = [k for k in KINKS if k.second is not None]


def unit_vectors(x):
    return np.eye(x.size).reshape(x.size, *x.shape)


def test_the_table_is_read():
    assert len(KINKS) > 50 and len(WITH_SECOND) > 35


@ALL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reverse(kink, dtype):
    gradient = cr.grad(kink.function(OURS))
    x = kink.at.astype(dtype)
    for result in (gradient(x), cr.jit(gradient)(x)):
        assert result.dtype == dtype
        assert_stated(result, kink.derivative)


@ALL
def test_forward(kink):
    def columns(x):
        return np.stack([cr.jvp(kink.function(OURS), (x,), (v,))[1] for v in unit_vectors(kink.at)])
    for result in (columns(kink.at), cr.jit(columns)(kink.at)):
        assert_stated(result.reshape(kink.at.shape), kink.derivative)


@pytest.mark.parametrize("kink", WITH_SECOND, ids=[f"{k.code} at {k.at}" for k in WITH_SECOND])
def test_second_derivatives(kink):
    f, one = kink.function(OURS), np.ones_like(kink.at)
    forward_over_reverse = lambda x: cr.jvp(cr.grad(f), (x,), (one,))[1]
    reverse_over_reverse = cr.grad(lambda x: np.sum(cr.grad(f)(x)))
    for way in (forward_over_reverse, reverse_over_reverse):
        for result in (way(kink.at), cr.jit(way)(kink.at)):
            assert_stated(result, kink.second)


# ---------------------------------------------------------------- beyond one number

FINITE = np.array([-1e300, -1e4, -30.0, -1.0, -0.0, 0.0, 1.0, 30.0, 1e4, 1e300])
SAFE = {
    "log": lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), 0.0),
    "sqrt": lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1.0)), 0.0),
    "quotient": lambda x: np.where(x == 0, 0.0, 1 / np.where(x == 0, 1.0, x)),
    "power": lambda x: np.where(x > 0, np.where(x > 0, x, 1.0) ** 0.3, 0.0),
    "x log x": lambda x: np.where(x > 0, x, 0.0) * np.log(np.where(x > 0, x, 1.0)),
    "arcsin": lambda x: np.where(abs(x) < 1, np.arcsin(np.where(abs(x) < 1, x, 0.0)), 0.0),
}


@pytest.mark.parametrize("name", SAFE)
def test_safe_forms_give_no_nan(name):
    for f in (SAFE[name], lambda x: np.sum(SAFE[name](x) * 2)):
        total = lambda x, f=f: np.sum(f(x))
        gradient = cr.grad(total)
        curvature = lambda x, g=gradient: cr.jvp(g, (x,), (np.ones_like(x),))[1]
        for way in (gradient, curvature):
            for result in (way(FINITE), cr.jit(way)(FINITE)):
                assert np.isfinite(result).all()


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh", "softplus", "elu", "gelu", "silu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_have_finite_derivatives_at_every_finite_number(name, dtype):
    f = getattr(activations, name)
    x = np.clip(FINITE, -1e38, 1e38).astype(dtype)
    gradient = cr.grad(lambda x: np.sum(f(x)))
    for result in (gradient(x), cr.jit(gradient)(x)):
        assert np.isfinite(result).all() and (np.abs(result) <= 1.2).all()


def test_gelu_of_very_negative_numbers_is_zero():
    x = np.array([-6.0, -30.0, -1e4, -1e38], np.float32)
    assert np.abs(cr.jit(activations.gelu)(x)).max() < 2e-7
    assert (cr.jit(activations.gelu)(x)[1:] == 0).all()


def test_clip_with_bounds_that_are_arrays_or_nan():
    x, low, high = np.array([-1.0, 0.0, 0.5, 2.0, 1.0]), np.zeros(5), np.ones(5)
    by_x, by_low, by_high = cr.grad(lambda x, a, b: np.sum(np.clip(x, a, b)), (0, 1, 2))(x, low, high)
    np.testing.assert_array_equal(by_x, [0, 1, 1, 0, 1])
    np.testing.assert_array_equal(by_low, [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(by_high, [0, 0, 0, 1, 0])
    bound = np.array([np.nan, 0.0, np.nan])
    values = np.array([1.0, np.nan, np.nan])
    for run in (cr.jit(lambda x, b: np.clip(x, b, 5.0)), lambda x, b: cr.vjp(lambda x: np.clip(x, b, 5.0), x)[0]):
        np.testing.assert_array_equal(run(values, bound), [np.nan] * 3)
    assert cr.jit(lambda x: np.clip(x, 3.0, 1.0))(np.array([0.0, 2.0, 9.0])).tolist() == [1.0] * 3  # as NumPy


def test_mixed_second_derivative_of_a_power_at_exponent_zero():
    # ∂/∂y (y · x ** (y - 1)) = 1/x at y = 0
    f = lambda x, y: np.power(x, y)
    mixed = cr.grad(lambda y: cr.grad(f)(np.float64(2.0), y))(np.float64(0.0))
    assert mixed == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (3, 4), (0,), (2, 0)])
def test_products_with_zeros_to_second_order(shape):
    x = np.random.default_rng(0).normal(size=shape)
    x.reshape(-1)[:2] = 0.0
    for axes in (None, 0, -1):
        f = lambda x, axes=axes: np.sum(np.prod(x, axis=axes))
        hessian_row = lambda x, f=f: cr.jvp(cr.grad(f), (x,), (np.ones_like(x),))[1]
        cr.check_grads(f, (x,), order=2)
        np.testing.assert_allclose(cr.jit(hessian_row)(x), hessian_row(x), rtol=1e-12, atol=1e-15)


def test_a_masked_row_of_attention_gives_no_nan():
    scores = np.array([[0.0, -np.inf, 1.0], [-np.inf, -np.inf, 2.0]])
    loss = lambda s: np.sum(activations.softmax(s) * np.arange(3.0))
    for result in (cr.grad(loss)(scores), cr.jit(cr.grad(loss))(scores)):
        assert np.isfinite(result).all() and (result[~np.isfinite(scores)] == 0).all()
