"""Layers and how a model is put together: shapes, weights, names, building, sharing, calls."""

import numpy as np
import pytest

import chainrule.numpy  # noqa: F401
from chainrule import random
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers import Activation, Dense, Dropout, Flatten, Input, Layer
from chainrule.models import Sequential
from chainrule.optimizers import SGD
from chainrule.runtime import jit

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_dense_is_its_formula():
    layer = Dense(4, activation="tanh", bias_initializer="random_normal")
    y = layer(X)
    kernel, bias = layer.get_weights()
    assert kernel.shape == (3, 4) and bias.shape == (4,) and layer.count_params() == 16
    np.testing.assert_allclose(y, np.tanh(X @ kernel + bias), rtol=1e-6)
    np.testing.assert_allclose(jit(layer)(X), y, rtol=1e-6, atol=1e-7)
    assert [w.name for w in layer.weights] == ["kernel", "bias"]
    assert Dense(4, use_bias=False)(X).shape == (5, 4)
    assert Dense(4)(np.zeros((5, 2, 3))).shape == (5, 2, 4)


def test_initial_weights():
    layer = Dense(50, kernel_initializer="ones")
    layer(X)
    np.testing.assert_array_equal(layer.kernel, np.ones((3, 50)))
    np.testing.assert_array_equal(layer.bias, np.zeros(50))
    default = Dense(50)
    default(X)
    assert 0.2 < np.abs(default.kernel).max() <= np.sqrt(6 / 53)


def test_activation_and_flatten():
    np.testing.assert_array_equal(Activation("relu")(X), np.maximum(X, 0))
    images = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(Flatten()(images), images.reshape(2, 12))


def test_dropout():
    layer = Dropout(0.25)
    ones = np.ones((400, 50), np.float32)
    np.testing.assert_array_equal(layer(ones), ones)
    random.set_seed(3)
    y = layer(ones, training=True)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.01)
    random.set_seed(3)
    np.testing.assert_array_equal(y, layer(ones, training=True))
    assert (layer(ones, training=True) != y).any()
    np.testing.assert_array_equal(Dropout(0.0)(ones, training=True), ones)


def test_names_are_unique_in_a_model():
    model = Sequential([Dense(2), Dense(2), Dense(2, name="mine"), Dense(2), Flatten()])
    assert [layer.name for layer in model.layers] == ["dense", "dense_1", "mine", "dense_2", "flatten"]


@pytest.mark.parametrize("make", [
    lambda: Sequential([Input((3,)), Dense(4), Dense(2)]),
    lambda: Sequential([Input(shape=(3,)), Dense(4), Dense(2)]),
    lambda: Sequential([Dense(4, input_shape=(3,)), Dense(2)]),
    lambda: Sequential([Dense(4, input_dim=3), Dense(2)])], ids=["Input", "shape", "input_shape", "input_dim"])
def test_ways_to_give_the_input_shape(make):
    model = make()
    assert model.built and model.input_shape == (None, 3) and model.output_shape == (None, 2)
    assert [w.shape for w in model.get_weights()] == [(3, 4), (4,), (4, 2), (2,)] and model.count_params() == 26
    assert len(model.layers) == 2


def test_building_waits_for_the_first_data():
    model = Sequential([Flatten(), Dense(2)])
    assert not model.built and model.output_shape is None and model.get_weights() == []
    assert model.predict(np.zeros((4, 3, 2))).shape == (4, 2)
    assert model.input_shape == (None, 3, 2) and model.count_params() == 14
    model.add(Dense(5))
    assert model.output_shape == (None, 5)
    later = Sequential([Dense(2)])
    later.build((None, 7))
    assert later.count_params() == 16


def test_a_model_is_a_function_of_arrays_and_tracers():
    model = Sequential([Dense(4, activation="relu", input_dim=3), Dropout(0.5), Dense(2, activation="softmax")])
    y = model(X)
    k1, b1, k2, b2 = model.get_weights()
    z = np.maximum(X @ k1 + b1, 0) @ k2 + b2
    np.testing.assert_allclose(y, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(jit(model)(X), y, rtol=1e-5)
    np.testing.assert_allclose(model.predict(X), y, rtol=1e-5)
    assert (model(X, training=True) != y).any()


def test_predict_takes_any_number_of_samples_with_few_programs():
    model = Sequential([Dense(4, activation="relu", input_dim=3), Dense(2)])
    x = np.random.default_rng(1).normal(size=(300, 3)).astype(np.float32)
    y = model(x)
    for n in (1, 31, 32, 33, 100, 300):
        np.testing.assert_allclose(model.predict(x[:n]), y[:n], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.predict(x, batch_size=4), y, rtol=1e-4, atol=1e-6)
    assert len(model._programs._known) == 4  # a row alone; 32 at a time; 4 at a time, single and in blocks


def test_weights_can_be_read_and_replaced():
    model = Sequential([Dense(4, input_dim=3), Dense(2)])
    before = model.get_weights()
    copies = [w + 1 for w in before]
    model.set_weights(copies)
    before[0][:] = 99  # a copy: nothing happens to the model
    for a, b in zip(model.get_weights(), copies, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(model(X), (X @ copies[0] + copies[1]) @ copies[2] + copies[3], rtol=1e-5)
    model.layers[1].set_weights([np.zeros((4, 2)), np.ones(2)])
    np.testing.assert_array_equal(model.predict(X), np.ones((5, 2)))


def test_wrong_weights_change_nothing():
    model = Sequential([Dense(4, input_dim=3), Dense(2, name="head")])
    before = model.get_weights()
    with pytest.raises(ArgumentError, match="3 arrays for 4 weights"):
        model.set_weights(before[:3])
    wrong = [w + 1 for w in before]
    wrong[2] = wrong[2].T
    with pytest.raises(ShapeError, match=r"shape \(2, 4\) for weight 2, 'kernel'[\s\S]*shape \(4, 2\)"):
        model.set_weights(wrong)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ArgumentError, match="one that is not built has none"):
        Sequential([Dense(2)]).set_weights(before)


def test_a_layer_of_ones_own():
    class Scale(Layer):
        def build(self, input_shape):
            self.factor = self.add_weight((input_shape[-1],), "ones")

        def call(self, x, training=False):
            return x * self.factor

    model = Sequential([Scale(input_dim=3), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, 0], epochs=2, verbose=0)
    assert [w.shape for w in model.get_weights()] == [(3,), (3, 1), (1,)]
    assert (model.layers[0].factor != 1).all() and isinstance(model.layers[0].factor, np.ndarray)
    with pytest.raises(AttributeError, match="'Scale' object has no attribute 'facter'"):
        _ = model.layers[0].facter


def test_models_share_layers():
    model = Sequential([Dense(4, activation="tanh", input_dim=3), Dense(1)])
    features = Sequential(model.layers[:1])
    model.compile("sgd", "mse")
    for _ in range(2):
        model.fit(X, X[:, 0], epochs=2, verbose=0)
        kernel, bias = model.get_weights()[:2]
        np.testing.assert_allclose(features.predict(X), np.tanh(X @ kernel + bias), rtol=1e-5)
    other = Sequential([*features.layers, Dense(2)])
    other.compile("sgd", "mse")
    other.fit(X, X[:, :2], epochs=1, verbose=0)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    assert (model.get_weights()[0] != kernel).any()
    before = model.get_weights()[0]
    model.fit(X, X[:, 0], epochs=1, verbose=0)
    assert (model.get_weights()[0] != before).any()
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def test_a_model_in_a_model():
    random.set_seed(3)
    inner = Sequential([Dense(8, activation="tanh"), Dropout(0.1)])
    model = Sequential([Input((3,)), inner, Dense(1)])
    assert len(model.get_weights()) == 4 and model.output_shape == (None, 1)
    model.compile(SGD(0.1), "mse")
    history = model.fit(X, X[:, 0], epochs=100, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]


def test_summary_and_repr():
    model = Sequential([Dense(32, activation="relu", input_dim=10), Dropout(0.5), Dense(1)], name="net")
    assert repr(model) == "Sequential([Dense(32, activation='relu'), Dropout(0.5), Dense(1)])"
    lines = []
    model.summary(line_length=80, print_fn=lines.append)
    text = "\n".join(lines)
    for part in ("net", "dense (Dense)", "(None, 32)", "352", "dropout (Dropout)", "dense_1 (Dense)", "33",
                 "Parameters: 385 (1.50 KiB)"):
        assert part in text
    Sequential([Dense(2)]).summary(print_fn=lines.append)
    assert "?" in lines[-1]


@pytest.mark.parametrize("make", [
    lambda: Dense(0), lambda: Dense(-3), lambda: Dense(2.5), lambda: Dense("ten"), lambda: Dense(True),
    lambda: Dense(2, input_dim=0), lambda: Dense(2, input_shape=(3, -1)), lambda: Input(), lambda: Dropout(1.5),
    lambda: Dropout(-0.1), lambda: Dense(2, activation="rleu"), lambda: Dense(2, kernel_initializer="glorot"),
    lambda: Sequential([Dense]), lambda: Sequential([3]), lambda: Sequential([Dense(2), Input((3,))])])
def test_bad_arguments(make):
    with pytest.raises(ArgumentError, match="What fits"):
        make()


def test_shapes_that_do_not_fit_name_the_layer():
    layer = Dense(2, name="head")
    layer(X)
    with pytest.raises(ShapeError, match=r"(?i)layer 'head' \(Dense\) got an input of shape \(5, 4\)"):
        layer(np.zeros((5, 4)))
    with pytest.raises(ShapeError, match=r"(?i)layer 'head' \(Dense\)") as caught:
        Sequential([Dense(4, input_dim=3), layer])
    assert "input shape (None, 4)" in caught.value.__notes__[0]
