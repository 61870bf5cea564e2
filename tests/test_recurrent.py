"""Recurrent networks: against steps written out, compiled, with masks; and what the compiler makes of them."""

import numpy as np
import pytest
from support import assert_same, reference

import chainrule as cr
from chainrule import nn
from chainrule.check import check_grads
from chainrule.compiler.loops import Contract, Loop
from chainrule.compiler.pipeline import build
from chainrule.errors import ChainruleTypeError, ShapeError
from chainrule.runtime import jit

RNG = np.random.default_rng(6)
GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def numbers(*shape):
    return RNG.normal(size=shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# ---------------------------------------------------------------- the steps, written out as Keras has them


def rnn_step(x, h, kernel, recurrent, bias, scale):
    return (np.tanh(x @ kernel + bias + (h[0] * scale) @ recurrent),)


def lstm_step(x, state, kernel, recurrent, bias, scale):
    h, c = state
    i, f, g, o = np.split(x @ kernel + bias + (h * scale) @ recurrent, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(x, state, kernel, recurrent, bias, scale, reset_after=True):
    h, = state
    bias, inner = bias if np.ndim(bias) == 2 else (bias, np.zeros(kernel.shape[1]))
    x_z, x_r, x_n = np.split(x @ kernel + bias, 3, axis=1)
    h_z, h_r, h_n = np.split((h * scale) @ recurrent + inner, 3, axis=1)
    z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
    h_n = r * h_n if reset_after else (r * h * scale) @ recurrent[:, -h.shape[1]:]
    return (z * h + (1 - z) * np.tanh(x_n + h_n),)


def before_step(*args):
    return gru_step(*args, reset_after=False)


def written_out(step, x, kernel, recurrent, bias, state, mask=None, reverse=False, scale=1.0):
    stacked = np.zeros((*x.shape[:2], recurrent.shape[0]))
    for t in range(x.shape[1])[::-1 if reverse else 1]:
        new = step(x[:, t], state, kernel, recurrent, bias, scale)
        keep = np.ones((len(x), 1), bool) if mask is None else mask[:, t, None]
        state = tuple(np.where(keep, n, s) for n, s in zip(new, state, strict=True))
        stacked[:, t] = state[0]
    return stacked, state[0] if len(state) == 1 else state


STEPS = {"rnn": (nn.rnn, rnn_step), "lstm": (nn.lstm, lstm_step), "gru": (nn.gru, gru_step),
         "gru before": (lambda *a, **k: nn.gru(*a, reset_after=False, **k), before_step)}


def weights(name, features=3, units=4, bias=True):
    gates = GATES[name.split()[0]]
    shape = (2, gates * units) if name == "gru" else (gates * units,)
    return (numbers(features, gates * units) / 2, numbers(units, gates * units) / 2,
            numbers(*shape) / 2 if bias else np.zeros(gates * units))


def start(name, batch, units):
    return tuple(numbers(batch, units) for _ in range(2 if name == "lstm" else 1))


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize(("batch", "time", "features", "units"), [(7, 5, 3, 4), (1, 1, 1, 1), (2, 3, 5, 17)])
def test_the_states_are_those_of_the_steps_written_out(name, batch, time, features, units):
    function, step = STEPS[name]
    x, given, state = numbers(batch, time, features), weights(name, features, units), start(name, batch, units)
    begin = state if len(state) > 1 else state[0]
    mask = RNG.random((batch, time)) < 0.6
    for options in ({}, {"reverse": True}, {"mask": mask}, {"mask": mask, "reverse": True}):
        expected = written_out(step, x, *given, state, **options)
        for run in (lambda f, *a: f(*a), reference, lambda f, *a: jit(f)(*a)):
            stacked, last = run(lambda x, w, s, options=options: function(x, *w, s, **options), x, given, begin)
            assert_same(stacked, expected[0], scale=64)
            for got, wanted in zip(np.reshape(last, (-1, batch, units)), np.reshape(expected[1], (-1, batch, units)),
                                   strict=True):
                assert_same(got, wanted, scale=64)


@pytest.mark.parametrize("name", STEPS)
def test_zero_states_no_bias_scales_and_time_first(name):
    function, step = STEPS[name]
    x, (kernel, recurrent, _) = numbers(5, 4, 3), weights(name)
    zero = tuple(np.zeros((5, 4)) for _ in range(2 if name == "lstm" else 1))
    scale = RNG.random((5, 4))
    nothing = np.zeros(kernel.shape[1])
    expected, _ = written_out(step, x, kernel, recurrent, nothing, zero)
    assert_same(function(x, kernel, recurrent)[0], expected, scale=64)
    scaled, _ = written_out(step, x, kernel, recurrent, nothing, zero, scale=scale)
    each = np.broadcast_to(scale, (kernel.shape[1] // 4, 5, 4))
    assert_same(function(x, kernel, recurrent, recurrent_scale=scale)[0], scaled, scale=64)
    assert_same(jit(lambda *a: function(*a, recurrent_scale=each)[0])(x, kernel, recurrent), scaled, scale=64)
    mask = RNG.random((5, 4)) < 0.5
    masked, _ = written_out(step, x, kernel, recurrent, nothing, zero, mask=mask)
    got, _ = function(np.swapaxes(x, 0, 1), kernel, recurrent, mask=mask.T, time_major=True)
    assert_same(np.swapaxes(got, 0, 1), masked, scale=64)


@pytest.mark.parametrize("name", STEPS)
def test_gradients(name):
    function, _ = STEPS[name]
    x, given, state = numbers(2, 3, 2), weights(name, 2, 3), start(name, 2, 3)
    mask = np.array([[True, False, True], [True, True, False]])

    def f(x, w, s):
        stacked, last = function(x, *w, s if len(s) > 1 else s[0], mask=mask)
        last = last[1] if isinstance(last, tuple) else last
        return np.sum(np.sin(stacked)) + np.sum(last * last)
    check_grads(f, (x, given, state), order=1)
    slopes = [cr.grad(f, (0, 1, 2))(x, given, state), jit(cr.grad(f, (0, 1, 2)))(x, given, state)]
    for got, wanted in zip(*(cr.tree.flatten(s)[0] for s in slopes), strict=True):
        assert_same(got, wanted, scale=64)
    second = [run(cr.grad(lambda k: np.sum(np.cos(cr.grad(f, 1)(x, (k, *given[1:]), state)[0]))))(given[0])
              for run in (lambda g: g, jit)]
    assert_same(second[1], second[0], scale=256)


def test_gates_may_have_other_activations():
    x, (kernel, recurrent, bias) = numbers(2, 3, 2), weights("lstm", 2, 3)
    stacked, (h, c) = nn.lstm(x, kernel, recurrent, bias, activation=nn.relu, recurrent_activation=nn.hard_sigmoid)
    assert_same(stacked[:, -1], h)
    i, f, g, o = np.split(x[:, 0] @ kernel + bias, 4, axis=1)
    after = nn.hard_sigmoid(i) * nn.relu(g)
    assert_same(stacked[:, 0], nn.hard_sigmoid(o) * nn.relu(after), scale=64)


def test_a_batch_of_sequences_and_weights():
    x, given = numbers(3, 2, 4, 2), [numbers(3, *w.shape) for w in weights("lstm", 2, 3)]

    def slope(x, *w):
        return cr.grad(lambda w: np.sum(np.sin(nn.lstm(x, *w)[0])))(w)
    expected = [np.stack(s) for s in zip(*(slope(x[i], *(w[i] for w in given)) for i in range(3)), strict=True)]
    for run in (cr.vmap, lambda f: jit(cr.vmap(f))):
        for got, wanted in zip(run(slope)(x, *given), expected, strict=True):
            assert_same(got, wanted, scale=64)


def test_float32_stays():
    x, given = numbers(2, 3, 2).astype(np.float32), [w.astype(np.float32) for w in weights("gru", 2, 3)]
    assert nn.gru(x, *given)[1].dtype == np.float32
    assert jit(lambda *a: nn.gru(*a)[0])(x, *given).dtype == np.float32


def test_the_backward_loop_keeps_what_must_be_inside():
    """Weights' gradients are one product each after it, the gates' cotangents are written where they are read."""
    x, given = numbers(6, 5, 3).astype(np.float32), [w.astype(np.float32) for w in weights("lstm")]
    graph = cr.trace(cr.grad(lambda w, x: np.sum(nn.lstm(x, *w)[1][0])), tuple(given), x)
    statements = build(graph).statements
    loops = [s for s in statements if isinstance(s, Loop)]
    assert [sum(isinstance(s, Contract) for s in loop.body) for loop in loops] == [1, 1]
    assert sum(isinstance(s, Contract) for s in statements) == 3  # of all inputs; of both kernels
    assert not any("pad" in s.label or "zeros" in s.label for loop in loops for s in loop.body)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_layers_on_layers_run_once_each_way(count):
    """What one layer's loop gives as well is taken from it by the next layer's, whose loops are then found equal."""
    def loss(ws, x):
        for w in ws:
            x = nn.lstm(x, *w)[0]
        return np.sum(x * x)
    x, given = numbers(3, 5, 4), [weights("lstm", 4, 4) for _ in range(count)]
    statements = build(cr.trace(cr.grad(loss), given, x)).statements
    assert sum(isinstance(s, Loop) for s in statements) == 2 * count
    check_grads(loss, (given, x), order=1)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: nn.lstm(np.ones((2, 3)), np.ones((3, 8)), np.ones((2, 8))), ShapeError, "batch, time, features"),
    (lambda: nn.lstm(np.ones((2, 3, 4)), np.ones((4, 8)), np.ones((2, 6))), ShapeError, r"4 \* units"),
    (lambda: nn.gru(np.ones((2, 3, 4)), np.ones((4, 6)), np.ones((2, 6)), np.ones(8)), ShapeError, "bias"),
    (lambda: nn.gru(np.ones((2, 3, 4)), np.ones((4, 6)), np.ones((2, 6)), np.ones((2, 6)), reset_after=False),
     ShapeError, "bias"),
    (lambda: nn.rnn(np.ones((2, 3, 4)), np.ones((4, 2)), np.ones((2, 2)), None, np.ones((3, 2))), ShapeError,
     "initial state"),
    (lambda: nn.lstm(np.ones((2, 3, 4)), np.ones((4, 8)), np.ones((2, 8)), None, np.ones((3, 2, 2))), ShapeError,
     "h and c"),
    (lambda: nn.rnn(np.ones((2, 3, 4)), np.ones((4, 2)), np.ones((2, 2)), mask=np.ones((2, 3))), ChainruleTypeError,
     "bools"),
    (lambda: nn.rnn(np.ones((2, 3, 4)), np.ones((4, 2)), np.ones((2, 2)), mask=np.ones((3, 2), bool)), ShapeError,
     r"\(batch, time\)"),
    (lambda: nn.rnn(np.ones((2, 3, 4)), np.ones((4, 2)), np.ones((2, 2)), recurrent_scale=np.ones(3)), ShapeError,
     "recurrent_scale"),
])
def test_what_does_not_fit_is_an_error(call, error, message):
    with pytest.raises(error, match=message):
        call()
