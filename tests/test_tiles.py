"""Sums over windows that lie side by side, which are no sums: gradients of pooling, of patches, of strided slices."""

import numpy as np
import pytest
from support import assert_same
from test_rows import program

import chainrule as cr
from chainrule import nn
from chainrule.compiler.loops import Contract, Loop, writes
from chainrule.runtime import jit

RNG = np.random.default_rng(11)


def numbers(*shape):
    return np.round(RNG.normal(size=shape), 1)  # many equal elements


def pulled(f):
    """The gradient for a cotangent of the result."""
    return lambda x, back: cr.vjp(f, x)[1](back)[0]


def same(f, *args):
    """Compiled as recorded operation by operation."""
    back = numbers(*np.shape(f(*args)))
    assert_same(jit(pulled(f))(*args, back), pulled(f)(*args, back), scale=16)


POOLS = [((8,), (2,)), ((9,), (4,)), ((6, 8), (2, 2)), ((7, 9), (2, 3)), ((5, 4), (5, 4)), ((6, 4), (1, 2)),
         ((4, 5, 7), (2, 2, 3))]  # extents, windows; some leave a remainder


@pytest.mark.parametrize("case", POOLS, ids=str)
@pytest.mark.parametrize("pool", [nn.max_pool, nn.avg_pool])
def test_gradients_of_pools(pool, case):
    extents, window = case
    x = numbers(2, *extents, 3)
    for f in (lambda x: pool(x, window), lambda x: pool(np.moveaxis(x, -1, 1), window, data_format="channels_first"),
              lambda x: pool(nn.relu(x), window), lambda x: np.tanh(pool(np.sin(x) * x, window)),
              lambda x: pool(x, window, padding="same"), lambda x: pool(pool(nn.relu(x), window) + 1, 1) ** 2):
        same(f, x)


@pytest.mark.parametrize("extents", [(8, 12), (11, 13)], ids=str)
def test_what_follows_a_fold(extents):
    """Of the fold and of what its windows see; of other arrays; where zeros around it are changed, and where not."""
    x, y = numbers(2, *extents, 5), numbers(2, *extents, 5)

    def f(how):
        def g(x, y):
            slope = cr.grad(lambda x: np.sum(nn.max_pool(x, (2, 3)) ** 2))(x)
            return how(slope, x, y)
        return g
    for how in (lambda s, x, y: np.where(x > 0, s, 0), lambda s, x, y: np.where(x > 0, s, 1),
                lambda s, x, y: np.where(x > 0, 0.0, s), lambda s, x, y: np.where(s > 0, 0, s), lambda s, x, y: s + 1,
                lambda s, x, y: s * x, lambda s, x, y: s * y + s, lambda s, x, y: np.exp(s) * np.maximum(s, x),
                lambda s, x, y: (s, s * 2, np.sum(s, axis=(0, 1))), lambda s, x, y: np.where(x > y, s, x[:, ::-1])):
        got, expected = (cr.tree.flatten(h(x, y))[0] for h in (jit(f(how)), f(how)))
        for a, b in zip(got, expected, strict=True):
            assert_same(a, b, scale=64)


@pytest.mark.parametrize("case", [((8, 8), (2, 2)), ((9, 7), (3, 2)), ((6,), (3,))], ids=str)
def test_convolutions_of_patches(case):
    """Their input's gradient is one product; places that no patch sees are zero."""
    extents, window = case
    x, kernel = numbers(3, *extents, 4), numbers(*window, 4, 6)
    same(lambda x: nn.conv(x, kernel, window), x)
    same(lambda k: nn.conv(x, k, window), kernel)
    made = program(pulled(lambda x: nn.conv(x, kernel, window)), x, numbers(*nn.conv(x, kernel, window).shape))
    assert sum(isinstance(s, Contract) for s in every(made.statements)) == 1


def test_second_derivatives():
    x, direction = RNG.normal(size=(1, 6, 6, 2)), RNG.normal(size=(1, 6, 6, 2))

    def loss(x):
        return np.sum(nn.avg_pool(nn.max_pool(np.sin(x), 2), (1, 3)) ** 3)
    assert_same(jit(lambda x, v: cr.hvp(loss, x, v))(x, direction), cr.hvp(loss, x, direction), scale=16)


def every(statements):
    for s in statements:
        yield s
        if isinstance(s, Loop):
            yield from every(s.body)


@pytest.mark.parametrize("extent", [24, 25])
def test_a_relu_and_its_pool_are_pulled_back_in_one_pass(extent):
    """Nothing as large as the input is made but the result: no mask, no windows, nothing that is only reordered."""
    x, back = RNG.normal(size=(8, extent, extent, 32)).astype("f4"), RNG.normal(size=(8, 12, 12, 32)).astype("f4")

    def f(x, back):
        y = np.sin(x)
        return cr.vjp(lambda y: nn.max_pool(nn.relu(y), 2), y)[1](back)[0]
    made = program(f, x, back)
    large = {w.buffer.home for s in every(made.statements) for w in writes(s) if w.buffer.home.size > 0.9 * x.size}
    assert len(large - set(made.outputs)) <= 2 and made.arena < 3.3 * x.nbytes  # sin and relu
    assert_same(jit(f)(x, back), f(x, back), scale=16)
