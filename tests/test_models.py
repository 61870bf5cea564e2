"""Models made from symbols and by subclassing: shapes, sharing, state, freezing, masks, copies, training."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import random
from chainrule.errors import ArgumentError, DataError, ShapeError, UsageError
from chainrule.layers import Activation, Dense, Dropout, Flatten, Input, Layer, serialize
from chainrule.models import Model, Sequential, clone_model
from chainrule.optimizers import SGD
from chainrule.runtime import jit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(13, 6)).astype(np.float32)
Y = RNG.normal(size=(13, 2)).astype(np.float32)


def residual():
    x = Input(shape=(6,))
    h = Dense(6, activation="tanh")(x)
    return Model(x, Dense(2)(x + h))


def test_a_model_of_symbols_is_its_formula():
    model = residual()
    w1, b1, w2, b2 = model.get_weights()
    expected = (X + np.tanh(X @ w1 + b1)) @ w2 + b2
    np.testing.assert_allclose(model(X), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jit(model)(X), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-6)
    assert model.input_shape == (None, 6) and model.output_shape == (None, 2)
    assert [layer.name for layer in model.layers] == ["input_layer", "dense", "add", "dense_1"]
    assert model.get_layer("dense_1").output_shape == (None, 2)


def test_training_a_model_of_symbols():
    random.set_seed(1)
    model = residual()
    w = model.get_weights()
    model.compile(SGD(0.1), "mse")
    history = model.fit(X, Y, batch_size=13, epochs=3, verbose=0).history["loss"]

    def loss(w):
        return np.mean((((X + np.tanh(X @ w[0] + w[1])) @ w[2] + w[3]) - Y) ** 2)
    for value in history:
        assert value == pytest.approx(float(loss(w)), rel=1e-4)
        w = [p - 0.1 * g for p, g in zip(w, cr.grad(loss)(w), strict=True)]
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(float(loss(w)), rel=1e-4)


def test_operators_and_functions_of_symbols():
    x, y = Input((6,)), Input((6,))
    z = np.concatenate([x[:, :2] * 2 - 1, np.tanh(y) / (1 + abs(x)), y.reshape(-1, 6)], axis=-1)
    assert z.shape == (None, 14)
    model = Model([x, y], z.sum(axis=1, keepdims=True) @ np.ones((1, 3), np.float32))
    both = [X, X[::-1].copy()]
    expected = np.concatenate([X[:, :2] * 2 - 1, np.tanh(both[1]) / (1 + abs(X)), both[1]], axis=-1).sum(
        axis=1, keepdims=True) @ np.ones((1, 3))
    np.testing.assert_allclose(model(both), expected, rtol=1e-5)
    np.testing.assert_allclose(model.predict(both), expected, rtol=1e-4)
    copy = Model.from_config(model.get_config())
    np.testing.assert_allclose(copy(both), expected, rtol=1e-5)


def test_several_inputs_and_outputs():
    a, b = Input((6,), name="a"), Input((3,), name="b")
    shared = Dense(4, activation="relu")
    h = np.concatenate([shared(a), Dense(4)(b)], axis=1)
    model = Model(inputs=[a, b], outputs={"sum": Dense(1)(h), "gate": Activation("sigmoid")(h)})
    assert model.output_shape == {"sum": (None, 1), "gate": (None, 8)}
    out = model.predict([X, X[:, :3]])
    assert out["sum"].shape == (13, 1) and out["gate"].shape == (13, 8)
    by_name = model.predict({"b": X[:, :3], "a": X})
    np.testing.assert_array_equal(out["sum"], by_name["sum"])
    with pytest.raises(DataError, match="has one array for the 2 inputs"):
        model.predict(X)
    with pytest.raises(DataError, match=r"has no entry 'b'"):
        model.predict({"a": X})
    with pytest.raises(ShapeError, match=r"x\['b'\] has 6 features per sample \(shape \(13, 6\)\), and layer 'b'"):
        model.predict({"a": X, "b": X})
    with pytest.raises(DataError, match=r"x\[0\] has 13 samples and x\[1\] has 12"):
        model.predict([X, X[:12, :3]])
    with pytest.raises(ArgumentError, match="got 1 inputs for a model with 2|Got 1 inputs"):
        model(X)


def test_shared_layers_count_once():
    x, y = Input((6,)), Input((6,))
    shared = Dense(3, use_bias=False)
    model = Model([x, y], Dense(1, use_bias=False)(shared(x) * shared(y)))
    assert model.count_params() == 18 + 3 and len(model.weights) == 2
    model.compile(SGD(0.1), "mse")
    w = model.get_weights()
    model.fit([X, Y @ np.ones((2, 6))], Y[:, :1], batch_size=13, verbose=0)
    g = cr.grad(lambda w: np.mean((((X @ w[0]) * (Y @ np.ones((2, 6)) @ w[0])) @ w[1] - Y[:, :1]) ** 2))(w)
    for after, before, gradient in zip(model.get_weights(), w, g, strict=True):
        np.testing.assert_allclose(after, before - 0.1 * gradient, rtol=1e-3, atol=1e-5)
    with pytest.raises(ArgumentError, match="was applied 2 times"):
        _ = shared.output


class Block(Layer):
    """A layer of layers, in an attribute and in a list."""

    def __init__(self, units, depth, **options):
        super().__init__(**options)
        self.units = units
        self.hidden = [Dense(units, activation="tanh") for _ in range(depth)]
        self.drop = Dropout(0.5)

    def build(self, input_shape):
        self.scale = self.add_weight((input_shape[-1],), "ones")
        self.calls = self.add_weight((), "zeros", trainable=False, dtype="int32")

    def call(self, x, training=False):
        if training:
            self.calls = self.calls + 1
        y = x * self.scale
        for layer in self.hidden:
            y = layer(y)
        return x + self.drop(y)


class Net(Model):
    def __init__(self, units=6):
        super().__init__()
        self.first = Block(units, 2)
        self.out = Dense(2)

    def call(self, x):
        return self.out(self.first(x))


def test_a_model_of_ones_own():
    random.set_seed(2)
    model = Net()
    assert model.weights == [] and not model.built
    y = model(X)
    assert y.shape == (13, 2) and [w.name for w in model.weights] == ["scale", "calls", "kernel", "bias"] * 1 + [
        "kernel", "bias"] * 2
    assert (model(X, training=True) != y).any() and int(model.first.calls) == 1
    np.testing.assert_allclose(jit(model)(X), y, rtol=1e-4, atol=1e-6)
    model.compile("adam", "mse")
    losses = model.fit(X, Y, batch_size=4, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and int(model.first.calls) == 1 + 4 * 30
    assert model.first.calls.dtype == np.int32
    np.testing.assert_allclose(model.predict(X), model(X), rtol=1e-4, atol=1e-5)
    assert int(model.first.calls) == 121


def test_a_model_of_ones_own_takes_any_structure():
    class Two(Model):
        def __init__(self):
            super().__init__()
            self.layer = Dense(2)

        def call(self, inputs):
            return self.layer(inputs["x"]) * inputs["n"]
    model = Two()
    data = {"x": X, "n": np.arange(13)[:, None]}
    out = model.predict(data)
    np.testing.assert_allclose(out, (X @ model.layer.kernel) * data["n"], rtol=1e-4, atol=1e-4)
    model.compile("sgd", "mse")
    model.fit(data, Y, epochs=2, verbose=0)
    assert model.output_shape == (None, 2)


def test_state_is_kept_and_returned():
    block = Block(6, 1)
    block(X)
    trained, state = [w.array for w in block.trainable_weights], [w.array for w in block.non_trainable_weights]
    call = jit(lambda t, s, x: block.stateless_call(t, s, x, training=True, key=random.key(1)))
    _, after = call(trained, state, X)
    assert int(after[0]) == 1 and int(block.calls) == 0

    class Sums(Layer):
        def build(self, input_shape):
            self.total = self.add_weight((), "zeros", trainable=False)

        def call(self, x):
            self.total = self.total + np.sum(x)
            return x
    layer = Sums()
    with pytest.raises(UsageError, match="cannot return it"):
        jit(layer)(X)
    layer(X)
    assert float(layer.total) == pytest.approx(X.sum(), rel=1e-4)
    with pytest.raises(ShapeError, match=r"'calls' of shape \(\) was assigned an array of shape \(2,\)"):
        block.calls = np.zeros(2)
    block.calls = 7
    assert int(block.calls) == 7
    gradients = cr.grad(lambda t: np.sum(block.stateless_call(t, state, X)[0]))(trained)
    assert [g.shape for g in gradients] == [w.shape for w in block.trainable_weights]


def test_state_that_prediction_changes_is_kept():
    class Counter(Layer):
        def build(self, input_shape):
            self.rows = self.add_weight((), "zeros", trainable=False, dtype="int32")
            self.frozen = self.add_weight((2,), "ones", trainable=False)

        def call(self, x):
            self.rows = self.rows + x.shape[0]
            return x * self.frozen[0]
    model = Sequential([Counter(input_dim=6), Dense(2)])
    for n, rows in ((4, 4), (4, 8), (260, 268)):
        model.predict(np.zeros((n, 6)), batch_size=4)
        assert int(model.layers[0].rows) == rows
    np.testing.assert_array_equal(model.layers[0].frozen, [1, 1])


def test_freezing():
    random.set_seed(3)
    model = Sequential([Dense(4, activation="tanh", input_dim=6), Sequential([Dense(4), Dropout(0.1)]), Dense(2)])
    model.layers[1].trainable = False
    assert not model.layers[1].layers[0].trainable
    assert len(model.trainable_weights) == 4 and len(model.non_trainable_weights) == 2 and len(model.weights) == 6
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(X, Y, epochs=2, verbose=0)
    moved = [bool((a != b).any()) for a, b in zip(before, model.get_weights(), strict=True)]
    assert moved == [True, True, False, False, True, True]
    model.layers[1].trainable = True  # takes effect at the next fit
    before = model.get_weights()
    model.fit(X, Y, epochs=1, verbose=0)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    np.testing.assert_allclose(model.predict(X), model(X), rtol=1e-4, atol=1e-6)
    model.trainable, before = False, model.get_weights()
    with pytest.warns(UserWarning, match="no trainable weights"):
        model.fit(X, Y, verbose=0)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_constraints_and_regularizers_act_in_the_epoch():
    model = Sequential([Dense(3, input_dim=6, kernel_constraint="non_neg", kernel_regularizer="l2",
                              activity_regularizer=cr.regularizers.L1(0.1)), Dense(2, bias_constraint="unit_norm")])
    kernel = model.get_weights()[0]
    penalty = 0.01 * np.sum(kernel ** 2) + 0.1 * np.abs(X @ kernel).sum() / 13  # of activities per sample
    model.compile(SGD(0.0), "mse")
    plain = np.mean((model.predict(X) - Y) ** 2)
    loss = model.fit(X, Y, batch_size=13, verbose=0).history["loss"][0]
    assert loss == pytest.approx(plain + penalty, rel=1e-4)
    np.testing.assert_allclose(model.get_weights()[0], np.maximum(kernel, 0))
    model.compile(SGD(0.1), "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    assert model.get_weights()[0].min() == 0
    np.testing.assert_allclose(np.linalg.norm(model.get_weights()[3]), 1, rtol=1e-4)
    assert len(model.losses) == 1


def test_models_in_models_and_parts_of_models():
    inner = residual()
    x = Input((6,))
    model = Model(x, Dense(1)(inner(x)))
    assert model.output_shape == (None, 1) and len(model.weights) == 6
    features = Model(inner.input, inner.get_layer("dense").output)
    np.testing.assert_allclose(features.predict(X), np.tanh(X @ inner.layers[1].kernel), rtol=1e-4, atol=1e-6)
    later = Model(inner.get_layer("add").output, inner.output)
    np.testing.assert_allclose(later(X), X @ inner.get_layer("dense_1").kernel, rtol=1e-5, atol=1e-6)
    model.compile("sgd", "mse")
    before = features.predict(X)
    model.fit(X, Y[:, :1], verbose=0)
    assert (features.predict(X) != before).any()


@pytest.mark.parametrize("make", [
    residual, lambda: Sequential([Input((6,)), Dense(3, activation="relu"), Dropout(0.1), Dense(2)], name="s"),
    lambda: Sequential([Flatten(input_shape=(6,)), residual(), Sequential([Dense(2)])])])
def test_configurations_and_clones(make):
    model = make()
    for copy in (clone_model(model), type(model).from_config(model.get_config()),
                 cr.layers.deserialize(serialize(model))):
        assert copy.get_config() == model.get_config() and [w.shape for w in copy.weights] == [
            w.shape for w in model.weights]
        copy.set_weights(model.get_weights())
        np.testing.assert_array_equal(copy(X), model(X))
        assert not {id(w) for w in copy.weights} & {id(w) for w in model.weights}


def test_extents_that_vary():
    x = Input(shape=(None, 3))
    model = Model(x, Dense(4)(x)[:, -1])
    assert Dense(4)(x).shape == (None, None, 4) and model.output_shape == (None, 4)
    for length in (1, 5):
        data = RNG.normal(size=(7, length, 3)).astype(np.float32)
        np.testing.assert_allclose(model.predict(data), model(data), rtol=1e-4, atol=1e-6)
    with pytest.raises(ShapeError, match="features|shape"):
        model.predict(np.zeros((7, 5, 4)))


def test_summary_counts_flops_and_trained_parameters():
    model = residual()
    model.layers[1].trainable = False
    lines = []
    model.summary(line_length=100, print_fn=lines.append)
    for part in ("input_layer (InputLayer)", "dense (Dense)", "(None, 6)", "42", "Parameters: 56 (224 B)",
                 ", of which 14 are trained", "Operations for one sample: "):
        assert part in lines[0]
    Net().summary(print_fn=lines.append)
    assert "?" in lines[-1]


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Model(Input((3,)), np.ones(3)), "hold array"),
    (lambda: Model(Input((3,)), Dense(2)(Input((3,)))), "need the input 'input_layer'"),
    (lambda: Model(outputs=Input((3,))), "inputs or outputs only"),
    (lambda: Model().predict(X), "is called without layers"),
    (lambda: np.asarray(Input((3,))), r"Lambda\(function\)\(x\)"),
    (lambda: bool(Input((3,)) > 0), "np.where"),
    (lambda: list(Input((3,))), "loop|iterable|len"),
    (lambda: residual().get_layer("dens"), "has no layer 'dens'"),
    (lambda: Model().inputs, "knows no symbols"),
    (lambda: Sequential().pop(), "without layers"),
    (lambda: Dense(2, dtype="float16"), "dtype='float16'"),
    (lambda: serialize(Dense(2, activation=lambda x: x)), "cannot be written"),
    (lambda: cr.layers.deserialize({"class_name": "Dens", "config": {}}), "unknown class 'Dens'|Unknown class 'Dens'")])
def test_bad_models(make, message):
    with pytest.raises((ArgumentError, UsageError, TypeError), match=message):
        make()


def test_errors_inside_of_models_name_the_layer():
    x = Input((6,))
    with pytest.raises(ShapeError, match="batch of vectors") as caught:
        Sequential([Dense(4, input_dim=3), Flatten(), Dense(2, name="last")]).add(Activation("relu"))
        Dense(2, name="flat")(np.sum(x, axis=1))
    assert any("In layer 'flat' (Dense), input shape (None,)" in note for note in caught.value.__notes__)
