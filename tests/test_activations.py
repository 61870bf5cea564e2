"""Activations and initializers: against formulas, recorded and eager, and their names."""

import math

import numpy as np
import pytest

from chainrule import activations, initializers, random
from chainrule.autodiff import finite_difference, grad
from chainrule.errors import ArgumentError
from chainrule.runtime import jit
from chainrule.trace import trace

X = np.linspace(-4, 4, 24).reshape(4, 6)
_erf = np.vectorize(math.erf)


def _nearest_probabilities(row):
    """By bisection for the level that is taken away."""
    low, high = row.min() - 1, row.max()
    for _ in range(100):
        level = (low + high) / 2
        low, high = (level, high) if np.maximum(row - level, 0).sum() > 1 else (low, level)
    return np.maximum(row - low, 0)


FORMULAS = {
    "linear": lambda x: x,
    "relu": lambda x: np.where(x > 0, x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / np.sqrt(2))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "log_softmax": lambda x: x - np.log(np.exp(x).sum(axis=-1, keepdims=True)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "log_sigmoid": lambda x: -np.log(1 + np.exp(-x)),
    "exponential": np.exp,
    "relu6": lambda x: np.clip(x, 0, 6),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_silu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
    "celu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "glu": lambda x: x[:, :3] / (1 + np.exp(-x[:, 3:])),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "sparse_plus": lambda x: np.where(x < 1, np.maximum(x + 1, 0) ** 2 / 4, x),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "sparsemax": lambda x: np.array([_nearest_probabilities(row) for row in x]),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name):
    function = activations.get(name)
    np.testing.assert_allclose(function(X), FORMULAS[name](X), rtol=1e-12, atol=1e-15)
    assert function(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(jit(function)(X), FORMULAS[name](X), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", FORMULAS)
def test_gradient(name):
    def f(x):
        return np.sum(activations.get(name)(x) * np.cos(X)[:, :3 if name == "glu" else 6])
    np.testing.assert_allclose(grad(f)(X), finite_difference(f, (X,)), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", FORMULAS)
def test_gradient_of_large_arguments_is_finite(name):
    x = np.array([[-1000.0, -100.0, 100.0, 1000.0 if name != "exponential" else 700.0]])
    assert np.isfinite(activations.get(name)(x)).all()
    assert np.isfinite(grad(lambda x: np.sum(activations.get(name)(x)))(x)).all()


def test_options():
    np.testing.assert_allclose(activations.gelu(X, approximate=True), FORMULAS["gelu"](X), atol=5e-4)
    np.testing.assert_allclose(activations.leaky_relu(X, 0.5), np.where(X > 0, X, 0.5 * X))
    np.testing.assert_allclose(activations.elu(X, 2.0), np.where(X > 0, X, 2 * (np.exp(X) - 1)))
    np.testing.assert_allclose(activations.celu(X, 2.0), np.where(X > 0, X, 2 * (np.exp(X / 2) - 1)))
    np.testing.assert_allclose(activations.squareplus(X, 1.0), (X + np.sqrt(X * X + 1)) / 2)
    np.testing.assert_allclose(activations.glu(X, axis=0), X[:2] / (1 + np.exp(-X[2:])))
    np.testing.assert_allclose(activations.softmax(X, axis=0), np.exp(X) / np.exp(X).sum(axis=0))
    with pytest.raises(ArgumentError, match="axis 2"):
        activations.softmax(X, axis=2)


def test_logits_are_found_behind_sigmoid_and_softmax_only():
    def check(x):
        assert activations.logits_of(activations.sigmoid(x), "sigmoid").node is x.node
        assert activations.logits_of(activations.softmax(x), "softmax").node is x.node
        for other in (x, activations.tanh(x), activations.softmax(x, axis=0), np.exp(x) / np.sum(np.exp(x))):
            assert activations.logits_of(other, "softmax") is None
            assert activations.logits_of(other, "sigmoid") is None
        return x
    trace(check, X)
    assert activations.logits_of(X, "softmax") is None


def test_names():
    assert activations.get(None) is activations.linear and activations.get(np.tanh) is np.tanh
    assert activations.get("swish") is activations.silu
    with pytest.raises(ArgumentError, match=r"Unknown activation 'rleu'[\s\S]*activation='relu'"):
        activations.get("rleu")
    with pytest.raises(ArgumentError):
        activations.get(3)


# ---------------------------------------------------------------- initializers

SHAPE = (300, 200)
SPREAD = {  # standard deviation and largest absolute value
    "glorot_uniform": (math.sqrt(2 / 500), math.sqrt(6 / 500)), "glorot_normal": (math.sqrt(2 / 500), None),
    "he_uniform": (math.sqrt(2 / 300), math.sqrt(6 / 300)), "he_normal": (math.sqrt(2 / 300), None),
    "lecun_uniform": (math.sqrt(1 / 300), math.sqrt(3 / 300)), "lecun_normal": (math.sqrt(1 / 300), None),
    "random_normal": (0.05, None), "random_uniform": (0.1 / math.sqrt(12), 0.05),
    "truncated_normal": (0.05 * 0.8796, 0.1), "zeros": (0, 0), "ones": (0, 1),
    "variance_scaling": (math.sqrt(1 / 300), None),
}


@pytest.mark.parametrize("name", SPREAD)
def test_initializer(name):
    random.set_seed(5)
    values = initializers.get(name)(SHAPE)
    deviation, limit = SPREAD[name]
    assert values.shape == SHAPE and values.dtype == np.float32
    assert values.std() == pytest.approx(deviation, rel=0.02, abs=1e-12)
    assert values.mean() == pytest.approx(float(name == "ones"), abs=4 * deviation / math.sqrt(values.size) + 1e-12)
    if limit is not None:
        assert np.abs(values).max() <= limit * (1 + 1e-6)
    random.set_seed(5)
    np.testing.assert_array_equal(values, initializers.get(name)(SHAPE))


def test_own_seed_gives_the_same_numbers_whatever_was_drawn_before():
    first = initializers.HeNormal(seed=3)((4, 5))
    random.generator().normal(size=10)
    np.testing.assert_array_equal(first, initializers.HeNormal(seed=3)((4, 5)))


def test_orthogonal_and_fans():
    for shape in ((5, 3), (3, 5), (2, 3, 4)):
        q = initializers.Orthogonal(seed=1)(shape, np.float64).reshape(-1, shape[-1])
        product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)
    assert initializers.fans((3, 3, 8, 16)) == (72, 144) and initializers.fans((7,)) == (7, 7)


def test_initializer_names_and_arguments():
    assert repr(initializers.get("Zeros")) == "Zeros(value=0.0)"
    with pytest.raises(ArgumentError, match="glorot_uniform"):
        initializers.get("glorot_unifrm")
    with pytest.raises(ArgumentError):
        initializers.RandomNormal(stddev=-1)
    with pytest.raises(ArgumentError):
        initializers.RandomUniform(1, 0)
