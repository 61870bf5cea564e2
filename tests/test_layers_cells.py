"""Cells and the loop around them; spectral normalisation, alpha dropout, masks between layers; all of it in ``fit``."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers as L
from chainrule.errors import ArgumentError, ShapeError
from chainrule.models import Model, Sequential
from chainrule.optimizers import SGD, Adam, MultiOptimizer, OptimizerMap

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5, 3)).astype(np.float32)
MASK = RNG.random((4, 5)) < 0.7


@L.register
class Sums(L.Layer):
    """A cell of one's own: the state is a weighted sum of all inputs so far."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units))

    def call(self, x, states):
        total = states[0] * 0.5 + x @ self.kernel
        return total * 2.0, [total]


def summed(kernel, x, mask):
    """What :class:`Sums` makes of a sequence, step by step."""
    state = out = np.zeros((len(x), kernel.shape[1]), np.float32)
    outs = []
    for t in range(x.shape[1]):
        new = state * 0.5 + x[:, t] @ kernel
        keep = mask[:, t, None]
        out, state = np.where(keep, new * 2, state), np.where(keep, new, state)
        outs.append(out)
    return np.stack(outs, 1), state


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_a_cell_in_a_loop_is_the_layer(kind):
    layer = getattr(L, kind)(4, return_sequences=True, return_state=True, go_backwards=True)
    loop = L.RNN(getattr(L, f"{kind}Cell")(4), return_sequences=True, return_state=True, go_backwards=True)
    expected = layer(X, mask=MASK)
    loop(X)
    loop.set_weights(layer.get_weights())
    for found, each in zip(loop(X, mask=MASK), expected, strict=True):
        np.testing.assert_array_equal(found, each)
    cell, states = loop.cell, loop.cell.get_initial_state(4)
    for t in range(5):
        out, states = cell(X[:, t], states)
    np.testing.assert_allclose(out, L.RNN(cell)(X), rtol=1e-5, atol=1e-6)


def test_a_cell_of_ones_own():
    loop = L.RNN(Sums(2), return_sequences=True, return_state=True)
    loop(X)
    found, state = loop(X, mask=MASK)
    expected, last = summed(loop.cell.kernel, X, MASK)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(state, last, rtol=1e-5, atol=1e-5)
    again = L.RNN.from_config(loop.get_config())
    assert again.cell.units == 2 and again.return_state

    def loss(kernel):
        return np.sum(loop.stateless_call([kernel], [], X, mask=MASK)[0][0] ** 2)
    by_steps = cr.grad(lambda kernel: np.sum(summed(kernel, X, MASK)[0] ** 2))(loop.cell.kernel)
    np.testing.assert_allclose(cr.grad(loss)(loop.cell.kernel), by_steps, rtol=1e-4, atol=1e-3)


def test_stacked_cells_are_stacked_layers():
    first, second = L.LSTM(4, return_sequences=True), L.GRU(3)
    expected = second(first(X, mask=MASK), mask=MASK)
    stack = L.RNN([L.LSTMCell(4), L.GRUCell(3)], return_state=True)
    stack(X)
    stack.set_weights([*first.get_weights(), *second.get_weights()])
    out, (h, c), state = stack(X, mask=MASK)
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)
    assert h.shape == c.shape == (4, 4) and state[0].shape == (4, 3)
    mixed = L.RNN([Sums(4), L.GRUCell(3)], return_sequences=True, stateful=True)
    whole = L.RNN([mixed.cell.cells[0], mixed.cell.cells[1]], return_sequences=True)
    parts = np.concatenate([mixed(X[:, :2]), mixed(X[:, 2:])], axis=1)
    np.testing.assert_allclose(parts, whole(X), rtol=1e-5, atol=1e-6)


def test_spectral_normalization_divides_by_the_largest_singular_value():
    layer = L.SpectralNormalization(L.Conv2D(3, 2), power_iterations=30)
    x = RNG.normal(size=(2, 4, 4, 2)).astype(np.float32)
    layer(x)
    trained, state = [w.array for w in layer.trainable_weights], [w.array for w in layer.non_trainable_weights]
    out, after = layer.stateless_call(trained, state, x, training=True)
    kernel = next(w for w in trained if w.ndim == 4)
    largest = np.linalg.norm(kernel.reshape(-1, 3).astype(float), 2)
    np.testing.assert_allclose(out, layer.layer(x) / largest, rtol=1e-3, atol=1e-4)
    assert abs(np.linalg.norm(after[0]) - 1) < 1e-5


def test_alpha_dropout_keeps_mean_and_variance():
    out = L.AlphaDropout(0.3, seed=1)(RNG.normal(size=(400, 500)), training=True)
    assert abs(out.mean()) < 0.02 and abs(out.std() - 1) < 0.02
    assert len(np.unique(L.AlphaDropout(0.5, noise_shape=(None, 1), seed=1)(np.ones((9, 7)), training=True))) == 2


def test_masks_go_from_call_to_call():
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    embedding, layer = L.Embedding(5, 3, mask_zero=True), L.LSTM(4)
    apart = layer(embedding(ids))
    np.testing.assert_array_equal(apart, Sequential([embedding, layer])(ids))
    assert np.abs(apart - layer(np.array(embedding(ids)))).max() > 1e-4


def test_merging_with_masks():
    a, b = np.full((1, 3, 2), -1.0, np.float32), np.full((1, 3, 2), -3.0, np.float32)
    masks = [np.array([[True, False, False]]), np.array([[True, True, False]])]
    largest = L.Maximum()([a, b], mask=masks)
    np.testing.assert_array_equal(largest[0, :2], [[-1, -1], [-3, -3]])
    np.testing.assert_array_equal(L.Multiply()([a, b], mask=masks)[0], [[3, 3], [-3, -3], [0, 0]])
    np.testing.assert_array_equal(L.add([a, b]), a + b)
    np.testing.assert_array_equal(L.concatenate([a, b], axis=1), np.concatenate([a, b], 1))
    with pytest.raises(ArgumentError, match="for each of a list"):
        L.Maximum()([a, b], mask=masks[:1])


def test_shapes_of_outputs_leave_the_layer_as_it_is():
    layer = L.Conv2D(8, 3, strides=2)
    assert layer.compute_output_shape((None, None, 9, 3)) == (None, None, 4, 8) and not layer.built
    attention = L.MultiHeadAttention(2, 3, output_shape=5)
    assert attention.compute_output_shape(query_shape=(2, 4, 6), value_shape=(2, 7, 6)) == (2, 4, 5)
    assert L.LSTM(4, return_state=True).compute_output_shape((2, 5, 3)) == ((2, 4), (2, 4), (2, 4))
    assert L.Reshape((3, 5)).compute_output_shape((None, None)) == (None, 3, 5)


def test_data_in_batches_are_adapted_to():
    data = RNG.normal(3.0, 2.0, size=(60, 4))
    whole, parts = L.Normalization(), L.Normalization()
    whole.adapt(data)
    parts.adapt((data[i:i + 13], None) for i in range(0, 60, 13))
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-5)
    np.testing.assert_allclose(parts.variance, whole.variance, rtol=1e-5)
    with pytest.raises(ShapeError, match="built for"):
        parts.adapt(data[:, :2])


def test_kernels_of_several_axes_begin_with_the_right_variance():
    kernel = L.MultiHeadAttention(8, 16, kernel_initializer="lecun_normal")
    kernel.build((None, 10, 32), (None, 10, 32))
    assert abs(kernel.query_kernel.std() - 32 ** -0.5) < 0.02


def models():
    """One model for each layer, loss or optimizer that is new here."""
    def on_steps(*stack):
        return Sequential([L.Input((5, 3)), *stack, L.Flatten(), L.Dense(1)])
    x = L.Input((5, 3))
    attention = L.MultiHeadAttention(2, 2, use_gate=True, sliding_window=2, attention_axes=1)(
        x, x, use_causal_mask=True)
    image = Sequential([L.Input((2, 2, 3)), L.UpSampling2D(2, interpolation="bicubic"), L.Flatten(), L.Dense(1)])
    return {
        "RNN": on_steps(L.RNN(Sums(2))), "stack": on_steps(L.Masking(), L.RNN([L.LSTMCell(3, dropout=0.2), Sums(2)])),
        "stateful": Sequential([L.Input(batch_shape=(4, 5, 3)), L.RNN(L.GRUCell(2), stateful=True), L.Dense(1)]),
        "spectral": on_steps(L.SpectralNormalization(L.Dense(2))), "alpha": on_steps(L.AlphaDropout(0.3), L.Dense(2)),
        "renorm": on_steps(L.BatchNormalization(renorm=True)), "image": image,
        "attention": Model(x, L.Dense(1)(L.Flatten()(attention))),
        "merge": Model(x, L.Dense(1)(L.Flatten()(L.maximum([L.Masking()(x), L.multiply([x, L.Masking()(x)])])))),
        "timed": on_steps(L.Masking(), L.TimeDistributed(L.BatchNormalization()), L.Bidirectional(L.GRU(2))),
        "activations": on_steps(*(L.Activation(name) for name in ("sparsemax", "soft_shrink", "sparse_plus"))),
    }


@pytest.mark.parametrize("name", models())
def test_fit(name):
    model, x = models()[name], X
    if name == "image":
        x = RNG.normal(size=(4, 2, 2, 3))
    model.compile("sgd", "mse")
    found = model.fit(x, np.arange(4.0), batch_size=4, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(found).all() and found[-1] != found[0]


def test_each_part_has_its_optimizer():
    model = Sequential([L.Dense(4, name="first", input_dim=3), L.Dense(2, name="second")])
    model.compile(MultiOptimizer(OptimizerMap(SGD(0.0), {"first/.*": Adam(0.1, use_ema=True)})), "mse")
    before = model.get_weights()
    model.fit(X[:, 0], X[:, 0, :2], epochs=2, verbose=0)
    after = model.get_weights()
    assert np.abs(after[0] - before[0]).max() > 0.01
    np.testing.assert_array_equal(after[2], before[2])
    with pytest.raises(ArgumentError, match=r"matches 'a\.\*' and '\.\*b'"):
        OptimizerMap(SGD(), {"a.*": SGD(), ".*b": SGD()})["ab"]


@pytest.mark.parametrize("loss", ["mse", "sparse_categorical_crossentropy"])
def test_steps_whose_number_varies(loss):
    x = L.Input((None, 3))
    h = L.Conv1D(4, 2)(L.Masking()(x))
    model = Model(x, L.Dense(2, activation="softmax")(h))
    model.compile("sgd", loss)
    y = np.zeros((4, 4), int) if loss[0] == "s" else np.zeros((4, 4, 2))
    for steps in (5, 3):
        model.fit(X[:, :steps], y[:, :steps - 1], verbose=0)
    assert model.predict(X, verbose=0).shape == (4, 4, 2) and model.layers[2].input_shape == (None, None, 3)
    ordered = Sequential([L.Input((None, 3)), L.Conv1D(2, 2), L.LSTM(2), L.Dense(1)])
    ordered.compile("sgd", "mse")
    ordered.fit(X, np.zeros(4), verbose=0)
    if loss == "mse":
        with pytest.raises(ShapeError, match=r"of shape \(n, n, 2\)"):
            model.fit(X, np.zeros((4, 4, 3)), verbose=0)


def test_weights_without_decay():
    model = Sequential([L.Dense(2, input_dim=3), L.Dense(2)])
    rule = SGD(0.0, weight_decay=0.5)
    rule.exclude_from_weight_decay(var_list=[model.layers[1].weights[0]])
    rule.learning_rate = 1e-3
    model.compile(rule, lambda y, p: np.sum(p, axis=-1) * 0.0)
    before = model.get_weights()
    model.fit(X[:, 0], X[:, 0, :2], batch_size=4, verbose=0)
    after = model.get_weights()
    np.testing.assert_allclose(after[0], before[0] * (1 - 5e-4), rtol=1e-6)
    np.testing.assert_array_equal(after[2], before[2])
