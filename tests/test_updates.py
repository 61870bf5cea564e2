"""Products that make the gradient of a large layer, in blocks that the update follows."""

import numpy as np
import pytest
from test_rows import agrees, labelled, normal, program

import chainrule as cr
from chainrule import runtime
from chainrule.compiler import updates
from chainrule.compiler.loops import Contract, Loop, Nest
from chainrule.layers import Dense
from chainrule.models import Sequential
from chainrule.runtime import Counters

SIZES = 30, 320, 256, 3  # the second layer is large


@pytest.fixture(autouse=True)
def as_before():
    yield
    cr.set_threads(None)


def apart(vector, sizes=SIZES):
    """The weights and biases that lie one behind another."""
    at = 0
    for n, units in zip(sizes[:-1], sizes[1:], strict=True):
        yield vector[at:at + n * units].reshape(n, units), vector[at + n * units:at + (n + 1) * units]
        at += (n + 1) * units


def count(sizes=SIZES):
    return sum((n + 1) * units for n, units in zip(sizes[:-1], sizes[1:], strict=True))


def gradient(vector, x, sizes=SIZES):
    def loss(layers):
        h = x
        for w, b in layers:
            h = np.tanh(h @ w + b)
        return np.mean(h * h)
    return np.concatenate([part.ravel() for pair in cr.grad(loss)(list(apart(vector, sizes))) for part in pair])


def steps(update):
    """Some steps, whose state is carried."""
    def train(vector, state, x):
        def step(carry, rows):
            vector, state = update(carry[0], carry[1], gradient(carry[0], rows))
            return (vector, state), np.sum(vector)
        return cr.scan(step, (vector, state), x)
    return train


def momentum(vector, velocity, slope):
    velocity = 0.9 * velocity - 0.1 * slope
    return vector + velocity, velocity


def rmsprop(vector, mean, slope):
    mean = 0.9 * mean + 0.1 * slope * slope
    return vector - 0.01 * slope / (np.sqrt(np.abs(mean)) + 1e-3), mean


def loops(statements):
    return labelled(statements, "update")


def given(*shape):
    return normal(count()) / 8, normal(count()) / 8, normal(*shape, SIZES[0])


def test_a_large_layer_is_updated_block_by_block():
    made = agrees(steps(rmsprop), *given(2, 33), rtol=1e-3, atol=1e-3)
    loop, = loops(made.statements)
    product, update = loop.body
    assert loop.parallel and isinstance(product, Contract) and isinstance(update, Nest)
    assert loop.axis.extent * update.axes[0].extent == 320 * 256 and loop.axis.extent % 2 == 0
    assert product.stores[0].access.buffer.size == update.axes[0].extent <= 1 << 15
    assert {soon.begin.buffer.home for soon in product.soon} == {s.access.buffer.home for s in update.stores}
    assert all(soon.length == update.axes[0].extent for soon in product.soon)


@pytest.mark.parametrize("rule", [momentum, lambda w, state, g: (w - 0.1 * g, state)], ids=["momentum", "sgd"])
def test_a_cheap_update_is_part_of_the_product(rule):
    """That of every layer which has rows of full vectors, and 4096 weights."""
    args = given(2, 33)
    made = agrees(steps(rule), *args, rtol=1e-3, atol=1e-5)
    scan, = (s for s in made.statements if isinstance(s, Loop))
    products = [s for s in scan.body if isinstance(s, Contract) and s.stores[-1].access.buffer.home in made.outputs]
    assert [tuple(a.extent for a in s.axes) for s in products] == [(30, 320), (320, 256)]
    nests = [s for s in scan.body if isinstance(s, Nest) and s.stores[0].access.buffer.home in made.outputs]
    rest = [s.axes[0].extent for s in nests if s.axes]
    assert sum(rest) == count() - 30 * 320 - 320 * 256
    changed = {s.access.buffer.home for x in products for s in x.stores}
    assert len(changed) == len(products[0].stores) == (2 if rule is momentum else 1)


def test_all_weights_are_updated_once():
    """Those before, between and after large layers too."""
    sizes = 260, 272, 5, 280, 256
    weights, x = normal(count(sizes)) / 8, normal(40, 260)
    made = agrees(lambda w, x: w - 0.1 * np.sqrt(np.abs(gradient(w, x, sizes))), weights, x, rtol=1e-3, atol=1e-3)
    blocks = list(loops(made.statements))
    done = [loop.axis.extent * loop.body[1].axes[0].extent for loop in blocks]
    assert done == [260 * 272, 280 * 256]
    rest = [s.axes[0].extent for s in made.statements if isinstance(s, Nest) and s.label == blocks[0].body[1].label]
    assert sum(done) + sum(rest) == count(sizes)


@pytest.mark.parametrize("other", [
    lambda w, g: w - 0.1 * g / np.sqrt(np.sum(g * g)),
    lambda w, g: w - 0.1 * g[::-1],
    lambda w, g: (w - 0.1 * g, g[5]),
    lambda w, g: w - 0.1 * np.roll(g, 1),
    lambda w, g: w - 0.1 * g + np.cumsum(g),
], ids=["norm", "reversed", "read again", "rolled", "summed"])
def test_gradients_that_are_read_otherwise_are_made_as_a_whole(other):
    w, _, x = given(33)
    made = agrees(lambda w, x: other(w, gradient(w, x)), w, x, rtol=1e-3, atol=1e-4)
    assert not list(loops(made.statements))
    assert not any(isinstance(s, Contract) and s.stores[0].access.buffer.home in made.outputs for s in made.statements)


def test_weights_that_are_read_elsewhere_in_the_update():
    def f(w, x):
        return cr.scan(lambda w, x: (0.5 * (w + np.roll(w, 3)) - 0.1 * gradient(w, x), ()), w, x)[0]
    w, _, x = given(2, 33)
    agrees(f, w, x, rtol=1e-3, atol=1e-5)


def test_small_layers_and_long_batches_stay():
    def step(w, x):
        return w - 0.1 / (1 + gradient(w, x))
    w, _, x = given(600)  # 600 rows of 256 would be read anew for each block
    assert not list(loops(program(step, w, x).statements))
    few = 30, 20, 10
    small = program(lambda w, x: w - 0.1 / (1 + gradient(w, x, few)), normal(count(few)), normal(9, 30))
    assert not list(loops(small.statements))


@pytest.mark.parametrize("rule", [momentum, rmsprop])
def test_the_same_bits_for_any_number_of_threads(rule):
    f, args = cr.jit(steps(rule)), given(3, 64)
    cr.set_threads(1)
    alone = cr.tree.flatten(f(*args))[0]
    for n in (2, 3, 4):
        cr.set_threads(n)
        for _ in range(3):
            for one, other in zip(alone, cr.tree.flatten(f(*args))[0], strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "nadam", "lion"])
def test_fit_of_a_wide_network_is_as_without_blocks(optimizer, monkeypatch, tmp_path):
    x, y = normal(128, 300), np.arange(128) % 5
    found = []
    for least in (updates.LEAST, 1 << 40):
        monkeypatch.setattr(updates, "LEAST", least)
        monkeypatch.setattr(updates, "LEAST_IN_PRODUCT", least)
        monkeypatch.setattr(runtime, "_executables", {})
        monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / str(least)))
        compiled = Counters.compiled
        cr.set_seed(0)
        model = Sequential([Dense(256, activation="relu", input_dim=300), Dense(5, activation="softmax")])
        model.compile(optimizer, "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=2, batch_size=32, verbose=0, shuffle=False)
        assert Counters.compiled > compiled
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
