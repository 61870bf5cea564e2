"""Loops over sequences that go through blocks of rows: which do, that the numbers stay, and what memory they need."""

import numpy as np
import pytest
from samples import HALF
from test_rows import agrees, labelled, normal, program

import chainrule as cr
from chainrule import nn
from chainrule.compiler.loops import Contract, Loop

GATES = {nn.rnn: 1, nn.gru: 3, nn.lstm: 4}


@pytest.fixture(autouse=True)
def as_before():
    yield
    cr.set_threads(None)


def batches(statements):
    return labelled(statements, "batch")


def small(*shape):
    return normal(*shape) / 4


def weights(cell, features, units):
    wide = GATES[cell] * units
    return small(features, wide), small(units, wide), small(2, wide) if cell is nn.gru else small(wide)


def training(cell, **options):
    """A loss of all states and the last one, and its gradients."""
    def f(x, w):
        def loss(x, w):
            states, last = cell(x, *w, **options)
            return np.mean(states * states) + np.mean(last[0])
        return cr.value_and_grad(loss, argnums=(0, 1))(x, w)
    return f


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize(("rows", "time", "features", "units"), [
    (32, 9, 5, 48), (24, 17, 3, 40), (30, 11, 48, 33), (250, 6, 1, 17), (16, 12, 48, 48)])
def test_recurrent_networks_go_by_blocks(cell, rows, time, features, units):
    x, w = normal(rows, time, features), weights(cell, features, units)
    made = agrees(training(cell), x, w, rtol=1e-3, atol=1e-4)
    loops = list(batches(made.statements))
    assert len(loops) == 2
    for loop in loops:
        blocks, rest = loop.axis.extent, rows // loop.axis.extent
        assert loop.parallel and 1 < blocks <= 16 and blocks * rest == rows and rest >= 8


@pytest.mark.parametrize("options", [{"reverse": True}, {"time_major": True}, {"reverse": True, "time_major": True}])
@pytest.mark.parametrize("cell", GATES)
def test_whichever_way_the_sequence_lies(cell, options):
    x = normal(13, 24, 6) if "time_major" in options else normal(24, 13, 6)
    made = agrees(training(cell, **options), x, weights(cell, 6, 40), rtol=1e-3, atol=1e-4)
    assert len(list(batches(made.statements))) == 2


@pytest.mark.parametrize("cell", GATES)
def test_masks_and_scales_of_the_state(cell):
    x, w, mask = normal(24, 13, 6), weights(cell, 6, 40), np.random.default_rng(0).random((24, 13)) < 0.7

    def f(x, w, mask, scale):
        return training(cell, mask=mask, recurrent_scale=scale)(x, w)
    assert list(batches(agrees(f, x, w, mask, normal(24, 40), rtol=1e-3, atol=1e-4).statements))


def test_several_layers_in_both_directions():
    first, second, back = (weights(nn.lstm, n, 32) for n in (8, 64, 8))

    def f(x, *w):
        def loss(*w):
            ahead, _ = nn.lstm(x, *w[0])
            behind, _ = nn.lstm(x, *w[1], reverse=True)
            states, _ = nn.lstm(np.concatenate([ahead, behind], axis=2), *w[2])
            return np.mean(states * states)
        return cr.grad(loss, argnums=(0, 1, 2))(*w)
    made = agrees(f, normal(24, 10, 8), first, back, second, rtol=1e-3, atol=1e-5)
    assert len(list(batches(made.statements))) == 6  # each layer once forward, once backward


def test_a_turn_with_a_softmax_over_each_row():
    def f(x, w):
        def loss(w):
            _, states = cr.scan(lambda h, row: (2 * (new := nn.softmax(h @ w + row)), new), np.zeros_like(x[0]), x)
            return np.sum(states * states)
        return cr.value_and_grad(loss)(w)
    made = agrees(f, normal(7, 96, 192), normal(192, 192) / 14, rtol=1e-3)
    inside = [s for loop in batches(made.statements) for s in loop.body[0].body]
    assert any(isinstance(s, Loop) and s.label == "rows" for s in inside)


def test_inputs_are_projected_in_the_turn_that_reads_them():
    x, w = normal(32, 40, 8), weights(nn.lstm, 8, 64)
    made = program(lambda x, w: nn.lstm(x, *w)[1][0], x, w)
    loop, = batches(made.statements)
    assert sum(isinstance(s, Contract) for s in loop.body[0].body) == 2
    assert not any(isinstance(s, Contract) for s in made.statements)
    assert made.arena < 4 * 32 * 256 * 4  # a turn's gates, of 40
    agrees(lambda x, w: nn.lstm(x, *w)[1][0], x, w)


def test_what_is_read_elsewhere_too_is_made_before():
    def f(x, kernel, recurrent):
        inputs = np.swapaxes(x @ kernel, 0, 1)
        last, _ = cr.scan(lambda h, row: (np.tanh(h @ recurrent + row), np.max(h)), np.zeros((32, 64), np.float32),
                          inputs)
        states, _ = cr.scan(lambda h, row: (np.tanh(h @ recurrent + row), ()), last, inputs)
        return states, np.sum(inputs)
    made = agrees(f, normal(32, 12, 40), small(40, 64), small(64, 64))
    assert any(isinstance(s, Contract) for s in made.statements)


def test_rows_that_need_other_rows_stay_together():
    w = small(48, 48)
    for mix in (lambda h: np.roll(h, 1, axis=0), lambda h: h[::-1], lambda h: h - np.mean(h, axis=0),
                lambda h: h[np.arange(32) * 3 % 32]):
        def f(x, w, mix=mix):
            return cr.scan(lambda h, row: (np.tanh(mix(h) @ w + row), h), np.zeros_like(x[0]), x)
        assert not list(batches(agrees(f, normal(9, 32, 48), w).statements))
    turned = agrees(lambda x, w: cr.scan(lambda h, row: (np.tanh(h.T @ w + row), h), np.zeros_like(x[0]), x),
                    normal(9, 48, 48), w)
    assert not list(batches(turned.statements))


def test_loops_that_end_early_and_small_ones_stay():
    w = small(48, 48)

    def until(x, w):
        return cr.while_loop(lambda h: np.sum(h[1]) > 100, lambda h: (np.tanh(h[0] @ w), h[1] * 0.9), (x, x * x))
    made = agrees(until, normal(32, 48), w, rtol=1e-3, atol=1e-3)  # each turn makes differences larger
    assert not list(batches(made.statements))
    few = weights(nn.lstm, 3, 4)
    assert not list(batches(agrees(lambda x, w: nn.lstm(x, *w)[0], normal(16, 5, 3), few).statements))
    odd = weights(nn.lstm, 8, 48)
    assert not list(batches(agrees(lambda x, w: nn.lstm(x, *w)[0], normal(31, 9, 8), odd).statements))
    large = weights(nn.lstm, 8, 160)  # its kernel would be fetched anew for each block
    assert not list(batches(agrees(lambda x, w: nn.lstm(x, *w)[0], normal(16, 4, 8), large).statements))


def test_states_without_weights():
    def f(x, v):
        return cr.scan(lambda s, _: ((s[0] + 0.01 * s[1], s[1] - 0.01 * np.sin(s[0])), s[0]), (x, v), length=30)
    made = agrees(f, normal(16, 4096), normal(16, 4096))
    assert list(batches(made.statements))
    agrees(f, normal(30_000), normal(30_000))


@pytest.mark.parametrize("dtype", ["float64", *HALF])
def test_other_dtypes(dtype):
    x, w = normal(24, 9, 8).astype(dtype), tuple(v.astype(dtype) for v in weights(nn.lstm, 8, 48))
    made = program(lambda x, w: nn.lstm(x, *w)[0], x, w)
    assert list(batches(made.statements))
    single = nn.lstm(np.asarray(x, np.float32), *(np.asarray(v, np.float32) for v in w))[0]
    result = np.asarray(cr.jit(lambda x, w: nn.lstm(x, *w)[0])(x, w), np.float32)
    np.testing.assert_allclose(result, single, atol=1e-5 if dtype == "float64" else 3e-2)


@pytest.mark.parametrize("cell", GATES)
def test_the_same_bits_for_any_number_of_threads(cell):
    f, x, w = cr.jit(training(cell)), normal(48, 20, 8), weights(cell, 8, 40)
    cr.set_threads(1)
    alone = cr.tree.flatten(f(x, w))[0]
    for n in (2, 3, 5):
        cr.set_threads(n)
        for _ in range(5):
            for one, other in zip(alone, cr.tree.flatten(f(x, w))[0], strict=True):
                np.testing.assert_array_equal(one, other)


def test_kernels_are_packed_before_all_loops():
    """One that the loop around leaves as it is: packed once for all batches, and the numbers stay."""
    def f(x, w):
        return cr.scan(lambda total, part: (total + nn.lstm(part, *w)[1][0], ()), np.zeros((32, 64), np.float32), x)[0]
    agrees(f, normal(3, 32, 10, 8), weights(nn.lstm, 8, 64))
