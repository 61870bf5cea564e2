"""Recurrent layers: Keras's numbers (``golden/make_recurrent.py`` asked Keras), states that stay, dropout, wrappers."""

from pathlib import Path

import numpy as np
import pytest
from golden.recurrent_cases import BATCH, CASES, IDS, MASK, UNITS, given, layer_of, wave

import chainrule as cr
from chainrule import layers, random
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    Dense,
    Embedding,
    GRUCell,
    Input,
    LSTMCell,
    Masking,
    SimpleRNN,
    TimeDistributed,
)
from chainrule.models import Sequential
from chainrule.runtime import jit

GOLDEN = np.load(Path(__file__).parent / "golden" / "recurrent.npz")
X = wave((BATCH, 5, 2))


@pytest.mark.parametrize("i", range(len(CASES)), ids=IDS)
def test_the_numbers_of_keras(i):
    case = CASES[i]
    layer = layer_of(layers, case)
    x, call = given(case)
    layer(x, **call)
    trained = [0.7 * wave(w.shape, k) for k, w in enumerate(layer.trainable_weights)]

    def loss(trained, x):
        out, _ = layer.stateless_call(trained, [], x, **call)
        out = list(out) if isinstance(out, tuple) else [out]
        return sum(np.sum(o * wave(o.shape, 5.0 + k)) for k, o in enumerate(out)), out
    (_, out), (grads, by_x) = jit(cr.value_and_grad(loss, argnums=(0, 1), has_aux=True))(trained, x)
    for k, found in enumerate(out):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, GOLDEN[f"{i}-out{k}"], rtol=2e-5, atol=2e-6)
    for k, found in enumerate((*grads, by_x)):
        np.testing.assert_allclose(found, GOLDEN[f"{i}-gradient{k}"], rtol=2e-4, atol=2e-5)


def test_masks_reach_the_layer_and_go_on():
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    embedded = Embedding(5, 3, mask_zero=True)
    whole, last = GRU(4, return_sequences=True), GRU(4)
    y = Sequential([embedded, whole, last])(ids)
    short = last(whole(embedded(ids[1:, :1])))
    np.testing.assert_allclose(y[1:], short, rtol=1e-5, atol=1e-6)
    padded = np.where(MASK[:, :, None], X, 0)
    layer = LSTM(4)
    np.testing.assert_allclose(Sequential([Masking(), layer])(padded), layer(padded, mask=MASK), rtol=1e-5, atol=1e-6)


def test_a_stateful_layer_goes_on_where_it_ended():
    layer = LSTM(4, stateful=True, batch_size=BATCH)
    whole = LSTM(4)
    first, second = layer(X[:, :2]), layer(X[:, 2:])
    whole(X)
    whole.set_weights(layer.get_weights()[:3])
    np.testing.assert_allclose(second, whole(X), rtol=1e-5, atol=1e-6)
    layer.reset_state()
    np.testing.assert_array_equal(layer(X[:, :2]), first)
    model = Sequential([GRU(4, stateful=True, batch_size=2), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X[[0, 1, 2, 0]], np.zeros((4, 1)), batch_size=2, verbose=0)
    assert np.abs(model.layers[0].state_0).max() > 0
    with pytest.raises(ShapeError, match="keeps states"):
        layer(X[:2])
    with pytest.raises(ArgumentError, match="batch_size=32"):
        GRU(4, stateful=True)(Input((5, 2)))
    assert GRU(4, stateful=True)(Input(batch_shape=(6, 5, 2))).shape == (6, 4)
    np.testing.assert_array_equal(GRU(4, stateful=True)(X).shape, (BATCH, 4))


@pytest.mark.parametrize("layer", [LSTM(4), GRU(4, go_backwards=True), SimpleRNN(4, return_state=True),
                                   RNN([GRUCell(3), LSTMCell(4)]), Bidirectional(LSTM(4))], ids=repr)
@pytest.mark.parametrize("masked", [False, True])
def test_the_last_output_is_a_state(layer, masked):
    options = {"mask": MASK} if masked else {}
    layer(X, **options)

    def loss(trained, factor):
        out = layer.stateless_call(trained, [], X, **options)[0]
        return np.sum(factor * (out[0] if isinstance(out, tuple) else out))
    graph = cr.jit(cr.grad(loss)).graph([w.array for w in layer.trainable_weights], np.float32(2))
    assert not [n for n in graph.nodes if n.op.name == "pad" and X.shape[1] in n.shape]  # zeros for the other steps


def test_dropout_is_the_same_in_all_steps():
    layer = SimpleRNN(50, activation=None, dropout=0.5, recurrent_dropout=0.25, return_sequences=True, seed=1,
                      kernel_initializer="ones", recurrent_initializer="zeros")
    ones = np.ones((40, 3, 7), np.float32)
    np.testing.assert_array_equal(layer(ones), np.full((40, 3, 50), 7))
    y = layer(ones, training=True)
    assert set(np.unique(y)) <= set(range(0, 15, 2)) and np.std(y[:, 0, 0]) > 0
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    random.set_seed(2)
    again = LSTM(8, recurrent_dropout=0.5)
    plain = again(X)
    assert np.abs(again(X, training=True) - plain).max() > 1e-3


def test_it_trains():
    random.set_seed(0)
    x = np.random.default_rng(0).normal(size=(256, 6, 2)).astype(np.float32)
    y = x[:, :, 0].sum(1, keepdims=True)
    model = Sequential([Bidirectional(LSTM(8, return_sequences=True)), TimeDistributed(Dense(4)), GRU(8), Dense(1)])
    model.compile("adam", "mse")
    history = model.fit(x, y, epochs=12, batch_size=16, verbose=0).history["loss"]
    assert history[-1] < 0.6 * history[0]


def test_weights_begin_as_in_keras():
    layer = LSTM(UNITS)
    layer.build((None, 5, 2))
    np.testing.assert_array_equal(layer.bias, np.repeat([0, 1, 0, 0], UNITS))
    np.testing.assert_allclose(layer.recurrent_kernel @ layer.recurrent_kernel.T, np.eye(UNITS), atol=1e-5)
    assert GRU(3).bias_shape == (2, 9) and GRU(3, reset_after=False).bias_shape == (9,)
    copy = LSTM.from_config(LSTM(3, "relu", go_backwards=True, dropout=0.1).get_config())
    assert (copy.units, copy.activation, copy.go_backwards, copy.dropout) == (3, cr.activations.relu, True, 0.1)


def test_time_distributed_is_the_layer_at_every_step():
    layer = TimeDistributed(Dense(3))
    y = layer(X)
    np.testing.assert_allclose(y[:, 2], layer.layer(X[:, 2]), rtol=1e-5, atol=1e-6)
    assert Bidirectional(GRU(2), merge_mode=None)(X)[1].shape == (BATCH, 2)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: LSTM(4)(X[:, 0]), ShapeError, "batch, steps, features"),
    (lambda: LSTM(0), ArgumentError, "units"),
    (lambda: Bidirectional(Dense(3)), ArgumentError, "recurrent"),
    (lambda: Bidirectional(LSTM(3), merge_mode="max"), ArgumentError, "merge_mode"),
    (lambda: Bidirectional(LSTM(3), backward_layer=LSTM(3)), ArgumentError, "go_backwards"),
    (lambda: TimeDistributed(3), ArgumentError, "a layer"),
    (lambda: TimeDistributed(Dense(3))(X[:, 0]), ShapeError, "batch, steps"),
])
def test_what_does_not_fit_is_an_error(call, error, message):
    with pytest.raises(error, match=message):
        call()
