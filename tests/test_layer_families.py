"""Layers trained: each family compiled in the epoch equals the reference; noise, masks, state, bad input."""

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers as L
from chainrule import nn, random
from chainrule.errors import ArgumentError, ChainruleError, DataError, ShapeError, UsageError
from chainrule.models import Model, Sequential
from chainrule.optimizers import SGD
from chainrule.runtime import jit
from chainrule.training.epoch import LAYERS

RNG = np.random.default_rng(0)
RATE = np.float32(0.05)


def images():
    model = Sequential([
        L.Input((9, 8, 3)), L.Conv2D(4, 3, padding="same", kernel_regularizer="l2"), L.BatchNormalization(),
        L.ReLU(6.0), L.DepthwiseConv2D(3, padding="same"), L.MaxPooling2D(2, padding="same"), L.SeparableConv2D(6, 2),
        L.GroupNormalization(3), L.AveragePooling2D(2, 1), L.UpSampling2D(2, interpolation="bilinear"),
        L.Conv2DTranspose(4, 3, strides=2), L.Cropping2D(1), L.ZeroPadding2D(1), L.GlobalAveragePooling2D(),
        L.Dense(2)])
    return model, RNG.normal(size=(8, 9, 8, 3))


def sequences():
    ids = L.Input((7,), dtype="int32")
    x = L.Embedding(11, 6, mask_zero=True)(ids)
    h = L.LayerNormalization()(L.Conv1D(6, 3, padding="causal")(x))
    x = L.Add()([x, L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)])
    x = L.Attention(use_scale=True)([x, h])
    return Model(ids, L.Dense(2)(L.GlobalAveragePooling1D()(x))), RNG.integers(1, 11, size=(8, 7)) * (np.arange(7) < 5)


def vectors():
    x = L.Input((6,))
    a = L.PReLU()(L.Dense(6)(L.Rescaling(0.5, 0.1)(x)))
    b = L.Residual([L.Dense(5, activation="tanh", activity_regularizer="l2"), L.Dense(6)], activation="relu")(x)
    square = L.Permute((2, 1))(L.Reshape((2, 3))(L.Multiply()([a, b])))
    c = L.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d")(square)
    d = L.Dot(1)([L.RMSNormalization()(a), L.RepeatVector(6)(b)])
    merged = L.Concatenate()([L.Flatten()(c), d, L.Maximum()([a, b]), L.Average()([a, b])])
    return Model(x, L.Dense(2)(L.Softmax()(merged))), RNG.normal(size=(8, 6))


def volumes():
    return Sequential([L.Input((5, 4, 4, 2)), L.Conv3D(3, 2), L.MaxPooling3D(2), L.Conv3DTranspose(2, 2), L.Activation(
        "tanh"), L.GlobalMaxPooling3D(), L.Dense(2)]), RNG.normal(size=(8, 5, 4, 4, 2))


def noises():
    return Sequential([L.Input((5, 6)), L.GaussianNoise(0.3), L.Dense(6), L.SpatialDropout1D(0.3),
                       L.GaussianDropout(0.2), L.Dropout(0.4, noise_shape=(None, 1, None)),
                       L.Dense(4), L.Dropout(0.5, seed=3), L.Flatten(),
                       L.Dense(2)]), RNG.normal(size=(8, 5, 6))


@pytest.mark.parametrize("make", [images, sequences, vectors, volumes, noises])
def test_a_compiled_epoch_is_the_reference(make):
    random.set_seed(7)
    model, x = make()
    x = x.astype(np.float32) if x.dtype.kind == "f" else x
    y = RNG.normal(size=(8, 2)).astype(np.float32)
    trained, state = ([w.array.copy() for w in ws] for ws in (model.trainable_weights, model.non_trainable_weights))
    model.compile(SGD(float(RATE)), "mse")
    random.set_seed(8)
    history = model.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0).history["loss"]
    random.set_seed(8)
    key, total = random.fold_in(random.key(), LAYERS), 0.0
    for step in range(2):
        xb, yb = x[4 * step:4 * step + 4], y[4 * step:4 * step + 4]

        def loss(trained, state=state, step=step, xb=xb, yb=yb):
            out, after, losses = model.stateless_call(trained, state, xb, training=True, return_losses=True, step=step,
                                                      key=random.fold_in(key, step))
            return np.mean(np.square(out - yb)) + sum(losses, np.float32(0))
        value, grads = cr.autodiff.value_and_grad(loss)(trained)
        state = model.stateless_call(trained, state, xb, training=True, step=step, key=random.fold_in(key, step))[1]
        trained = [w - RATE * g for w, g in zip(trained, grads, strict=True)]
        total += float(value) / 2
    assert history[0] == pytest.approx(total, rel=1e-4)
    for kind, values in ((model.trainable_weights, trained), (model.non_trainable_weights, state)):
        for w, value in zip(kind, values, strict=True):
            np.testing.assert_allclose(w.array, value, rtol=2e-3, atol=2e-5, err_msg=w.name)
    np.testing.assert_allclose(model.predict(x), model(x), rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize("layer", [L.Dropout(0.4), L.SpatialDropout1D(0.4), L.GaussianNoise(0.5),
                                   L.GaussianDropout(0.3)], ids=lambda layer: layer.name)
def test_noise_has_its_moments_and_only_while_training(layer):
    x = np.full((200, 20, 30), 2.0, np.float32)
    np.testing.assert_array_equal(layer(x), x)
    random.set_seed(3)
    y = layer(x, training=True)
    assert np.mean(y) == pytest.approx(2.0, abs=0.05)
    spread = {"dropout": 2 * np.sqrt(0.4 / 0.6), "spatial_dropout1d": 2 * np.sqrt(0.4 / 0.6), "gaussian_noise": 0.5,
              "gaussian_dropout": 2 * np.sqrt(0.3 / 0.7)}[layer.name]
    assert np.std(y) == pytest.approx(spread, rel=0.05)
    if layer.name.startswith("spatial"):
        assert (y == y[:, :1]).all()
    random.set_seed(3)
    np.testing.assert_array_equal(y, layer(x, training=True))
    assert (layer(x, training=True) != y).any()


def test_a_seed_of_ones_own():
    x = np.ones((4, 50), np.float32)
    first, second = L.Dropout(0.5, seed=1), L.Dropout(0.5, seed=1)
    np.testing.assert_array_equal(first(x, training=True), second(x, training=True))
    assert (first(x, training=True) != L.Dropout(0.5, seed=2)(x, training=True)).any()


# ---------------------------------------------------------------- state


def test_batch_normalization_uses_its_running_statistics_when_frozen():
    layer = L.BatchNormalization(momentum=0.5)
    x = RNG.normal(3.0, 2.0, size=(50, 4)).astype(np.float32)
    y = layer(x, training=True)
    np.testing.assert_allclose(layer.moving_mean, 0.5 * x.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, 0.5 + 0.5 * x.var(axis=0), rtol=1e-4)
    before = layer.moving_mean.copy()
    layer.trainable = False
    assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 4
    assert (layer(x, training=True) != y).any()
    np.testing.assert_array_equal(layer.moving_mean, before)


def test_normalization_adapts():
    layer = L.Normalization()
    data = RNG.normal(5.0, 3.0, size=(100, 2, 3))
    layer.adapt(data)
    out = layer(data)
    np.testing.assert_allclose(out.mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=(0, 1)), 1, rtol=1e-5)
    assert layer.trainable_weights == [] and int(layer.count) == 100
    model = Sequential([layer, L.Flatten(), L.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(data, data[:, 0, 0], verbose=0)
    np.testing.assert_allclose(layer.adapted_mean, data.mean(axis=(0, 1)), rtol=1e-5)
    with pytest.raises(UsageError, match="was given its mean"):
        L.Normalization(mean=0.0, variance=1.0).adapt(data)
    with pytest.raises(ArgumentError, match="both in one shape"):
        L.Normalization(mean=0.0)


# ---------------------------------------------------------------- masks


def test_masks_travel():
    class Steps(L.Layer):
        """How many steps are not skipped."""

        def call(self, x, mask=None):
            return np.sum(x, axis=(1, 2)) * 0 - 1 if mask is None else np.sum(np.where(mask, 1.0, 0.0), axis=1)
    ids = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [1, 1, 1, 0]])
    found = Sequential([L.Embedding(5, 3, mask_zero=True), L.Dense(2), L.Dropout(0.1), L.LayerNormalization(), Steps()])
    np.testing.assert_array_equal(found(ids), [2, 1, 3])
    np.testing.assert_array_equal(found.predict(ids), [2, 1, 3])
    lost = Sequential([L.Embedding(5, 3, mask_zero=True), L.Conv1D(2, 1), Steps()])
    np.testing.assert_array_equal(lost(ids), [-1, -1, -1])
    x, y = L.Input((4,), dtype="int32"), L.Input((4,), dtype="int32")
    shared = L.Embedding(5, 3, mask_zero=True)
    one, two = shared(x), shared(y)
    both = Model([x, y], [Steps()(L.Add()([one, two])), Steps()(L.Concatenate(axis=1)([one, two]))])
    either, joined = both([ids, ids[::-1]])
    np.testing.assert_array_equal(either, [3, 1, 3])
    np.testing.assert_array_equal(joined, [5, 2, 5])
    steps = RNG.normal(size=(2, 3, 4)).astype(np.float32)
    steps[0, 1:] = 0.5
    np.testing.assert_array_equal(Sequential([L.Masking(0.5), Steps()])(steps), [1, 3])
    np.testing.assert_array_equal(Steps()(steps, mask=np.ones((2, 3), bool)), [3, 3])


def test_masked_keys_are_not_seen():
    layer = L.MultiHeadAttention(2, 4)
    x, z = (RNG.normal(size=(2, 5, 6)).astype(np.float32) for _ in range(2))
    mask = np.arange(5) < 3
    y = layer(x, z, value_mask=np.stack([mask, mask]))
    np.testing.assert_allclose(y, layer(x, z[:, :3]), rtol=1e-4, atol=1e-5)
    out, scores = layer(x, z, return_attention_scores=True, attention_mask=np.broadcast_to(mask, (2, 5, 5)))
    np.testing.assert_allclose(out, y, rtol=1e-4, atol=1e-5)
    assert scores.shape == (2, 2, 5, 5) and (scores[..., 3:] == 0).all()
    assert (layer(x, z, key=x) != layer(x, z)).any()


def test_attention_with_values_of_another_extent_is_its_formula():
    layer = L.MultiHeadAttention(2, 3, value_dim=5, output_shape=4, use_bias=False)
    x, z = (RNG.normal(size=(2, n, 6)).astype(np.float32) for n in (4, 5))
    y = layer(x, z)
    query, key, value, out = layer.get_weights()
    assert value.shape == (6, 2, 5) and out.shape == (2, 5, 4)
    logits = np.einsum("bqd,dhk,bvc,chk->bhqv", x, query, z, key) / np.sqrt(3)
    weights = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(y, np.einsum("bhqv,bvc,che,hef->bqf", weights, z, value, out), rtol=1e-4, atol=1e-5)


def test_layers_can_be_copied():
    model = Sequential([L.Dense(3, input_dim=4), L.BatchNormalization(), L.Residual(L.Dense(3))])
    other = copy.deepcopy(model)
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(other(x), model(x))
    other.set_weights([w + 1 for w in model.get_weights()])
    assert (other(x) != model(x)).any()


def test_numbers_without_a_vector_are_refused():
    ids = L.Input((2,), dtype="int32")
    for model in (Sequential([L.Embedding(10, 4, name="words"), L.Flatten(), L.Dense(1)]),
                  Model(ids, L.Dense(1)(L.Flatten()(L.Embedding(10, 4, name="words")(ids))))):
        model.predict(np.array([[0, 9]]))
        with pytest.raises(DataError, match=r"x\[1, 0\] is 10, which layer 'words' \(Embedding\) has no vector for"):
            model.predict(np.array([[1, 2], [10, 3]]))
        with pytest.raises(DataError, match=r"x\[0, 1\] is -1[\s\S]*x = x - x.min\(\)"):
            model.predict(np.array([[1, -1]]))


# ---------------------------------------------------------------- functions of one's own


def test_lambda_and_functions_in_models():
    layer = L.Lambda(lambda x, power: x ** power, arguments={"power": 2})
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_allclose(jit(layer)(x), x * x, rtol=1e-6)
    a = L.Input((4,))
    model = Model(a, L.Lambda(lambda x: nn.softmax(x, axis=0))(a))
    np.testing.assert_allclose(model(x).sum(axis=0), 1, rtol=1e-5)
    with pytest.raises(UsageError, match="cannot be written as plain data"):
        model.get_config()

    @L.register
    def doubled(x):
        return 2 * x
    again = L.deserialize(L.serialize(L.Lambda(doubled)))
    np.testing.assert_array_equal(again(x), 2 * x)


@pytest.mark.parametrize("name", [n for n in L.__all__ if n[0].isupper() and n not in (
    "Weight", "Layer", "Input", "InputLayer", "Wrapper")])
def test_every_layer_has_a_configuration(name):
    given = {
        "Activation": ("relu",), "Conv1D": (3, 2), "Conv2D": (3, 2), "Conv3D": (3, 2), "Conv1DTranspose": (3, 2),
        "Conv2DTranspose": (3, 2), "Conv3DTranspose": (3, 2), "Dense": (3,), "DepthwiseConv1D": (2,),
        "DepthwiseConv2D": (2,), "Dot": (1,), "Dropout": (0.5,), "EinsumDense": ("ab,bc->ac", 3), "Embedding": (5, 3),
        "GaussianDropout": (0.5,), "GaussianNoise": (0.5,), "Lambda": (np.tanh,), "MultiHeadAttention": (2, 3),
        "Permute": ((2, 1),), "RepeatVector": (3,), "Rescaling": (2.0,), "Reshape": ((2, 3),),
        "Residual": ([L.Dense(3)],), "SeparableConv1D": (3, 2), "SeparableConv2D": (3, 2), "SpatialDropout1D": (0.5,),
        "SpatialDropout2D": (0.5,), "SpatialDropout3D": (0.5,), "GRU": (3,), "LSTM": (3,), "SimpleRNN": (3,),
        "AlphaDropout": (0.5,), "GRUCell": (3,), "LSTMCell": (3,), "SimpleRNNCell": (3,), "RNN": (L.LSTMCell(3),),
        "StackedRNNCells": ([L.GRUCell(3), L.LSTMCell(2)],), "SpectralNormalization": (L.Dense(3),),
        "Bidirectional": (L.LSTM(3),), "TimeDistributed": (L.Dense(3),)}.get(
            name, (3, 2) if "Convolution" in name else ())
    layer = getattr(L, name)(*given, name="mine")
    config = layer.get_config()
    again = L.deserialize({"class_name": type(layer).__name__, "config": config})
    assert again.get_config() == config and config["name"] == "mine" and config["trainable"] is True
    assert repr(again) == repr(layer)


# ---------------------------------------------------------------- bad input


BAD = [
    (lambda: L.Conv2D(8, 3)(np.zeros((2, 28, 28))), r"'conv2d' \(Conv2D\) got an input of shape \(None, 28, 28\)"),
    (lambda: L.Conv2D(8, 3, padding="sane"), r"padding='sane'[\s\S]*'valid', 'same'"),
    (lambda: L.Conv2D(8, (3, 3, 3)), r"kernel_size=\(3, 3, 3\) for 2 spatial axes"),
    (lambda: L.Conv2D(8, 0), "kernel_size=0"), (lambda: L.Conv1D(8, 3, groups=3), "multiple of groups"),
    (lambda: L.Conv1D(6, 3, groups=3)(np.zeros((1, 9, 4))), "got 4 channels for groups=3"),
    (lambda: L.Conv2D(8, 3, data_format="last"), "data_format='last'"),
    (lambda: L.Conv2D(8, 9)(np.zeros((1, 5, 5, 1))), "a window that fits"),
    (lambda: L.MaxPooling2D()(np.zeros((2, 5, 5))),
     r"'max_pooling2d' \(MaxPooling2D\) got a batch of shape \(2, 5, 5\)"),
    (lambda: L.MaxPooling2D(padding="causal"), "padding='causal'"),
    (lambda: L.GlobalMaxPooling1D()(np.zeros((2, 5))), "the batch, 1 spatial ones"),
    (lambda: L.Add()(np.zeros((2, 3))), r"\(Add\) got one batch"),
    (lambda: L.Add()([np.zeros((2, 3)), np.zeros((2, 4))]), r"shapes \(2, 3\), \(2, 4\)"),
    (lambda: L.Subtract()([np.zeros((2, 3))] * 3), "list of 2"),
    (lambda: L.Concatenate()([np.zeros((2, 3)), np.zeros((2, 3, 1))]), "differ along axis -1 only"),
    (lambda: L.Dot(1)([np.zeros((2, 3)), np.zeros((2, 4))]), "equal extents along axes"),
    (lambda: L.Dot((0, 1))([np.zeros((2, 3)), np.zeros((2, 4))]), "which are not the batch"),
    (lambda: L.Reshape((4, 5))(np.zeros((2, 6))), r"target_shape=\(4, 5\)"),
    (lambda: L.Reshape((-1, -1)), "one of them -1"),
    (lambda: L.Permute((1, 3)), "permutation of 1, 2"), (lambda: L.Permute((2, 1))(np.zeros((2, 3))), "2 axes"),
    (lambda: L.RepeatVector(2)(np.zeros((2, 3, 4))), "vectors"), (lambda: L.ZeroPadding2D((1, 2, 3)), "padding"),
    (lambda: L.Cropping1D(3)(np.zeros((2, 6, 1))), "something that remains"),
    (lambda: L.UpSampling2D(interpolation="cubic"), "'nearest', 'bilinear'"),
    (lambda: L.Embedding(0, 4), "input_dim=0"), (lambda: L.Embedding(5, 4)(np.array([[7]])), "index|range|row"),
    (lambda: L.BatchNormalization(axis=3)(np.zeros((2, 3))), r"axis=\[3\]"),
    (lambda: L.GroupNormalization(3)(np.zeros((2, 4))), "groups that divide"),
    (lambda: L.LayerNormalization(epsilon=-1.0), "epsilon=-1.0"),
    (lambda: L.MultiHeadAttention(2, 3)(np.zeros((2, 3)), np.zeros((2, 3))), r"\(batch, steps, features\)"),
    (lambda: L.Attention(score_mode="sum"), "'dot' or 'concat'"),
    (lambda: L.Attention()(np.zeros((2, 3, 4))), r"\[query, value\]"),
    (lambda: L.EinsumDense("ab,bc", 3), "one input, one kernel"),
    (lambda: L.EinsumDense("ab,bc->ac", (None,))(np.zeros((2, 3))), "known extents of c"),
    (lambda: L.Residual([]), "a layer or a list"), (lambda: L.Residual(L.Dense(3))(np.zeros((2, 4))), "shortcut=Dense"),
    (lambda: L.Dense(3, kernel_constraint="positive"), "unknown constraint|Unknown constraint"),
    (lambda: L.Dense(3, kernel_regularizer="l3"), "unknown regularizer|Unknown regularizer"),
    (lambda: L.Dropout(0.5, noise_shape=(1,))(np.zeros((2, 3)), training=True), "as many axes"),
    (lambda: L.SpatialDropout2D(0.5)(np.zeros((2, 3)), training=True), "2 spatial ones"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[m[:25] for _, m in BAD])
def test_bad_input(make, message):
    with pytest.raises((ArgumentError, ShapeError, ChainruleError, IndexError), match=f"(?i){message}"):
        make()
