"""Layers that compute in half numbers and keep their weights as float32."""

import numpy as np
import pytest
from samples import HALF

from chainrule import dtypes, layers, mixed_precision, random
from chainrule.compiler.loops import Contract
from chainrule.compiler.pipeline import build
from chainrule.errors import ArgumentError
from chainrule.layers import deserialize, serialize
from chainrule.models import Model, Sequential, clone_model, load_model
from chainrule.optimizers import SGD, Adam, LossScaleOptimizer
from chainrule.trace import record

RNG = np.random.default_rng(0)
X = RNG.normal(size=(128, 12)).astype(np.float32)
Y = (X[:, :1] * X[:, 1:2] > 0).astype(np.float32)
ROWS, IMAGES, IDS = RNG.normal(size=(4, 7, 5)), RNG.normal(size=(4, 8, 8, 3)), RNG.integers(0, 9, (4, 7))
FAMILIES = {
    "Dense": ((4,), {}, X), "Conv2D": ((6, 3), {"strides": 2, "padding": "same"}, IMAGES),
    "DepthwiseConv2D": ((3,), {}, IMAGES), "Conv2DTranspose": ((4, 3), {"strides": 2}, IMAGES),
    "LSTM": ((4,), {"return_sequences": True}, ROWS), "GRU": ((4,), {}, ROWS), "Embedding": ((9, 4), {}, IDS),
    "LayerNormalization": ((), {}, ROWS), "BatchNormalization": ((), {}, X), "MaxPooling2D": ((), {}, IMAGES),
    "AveragePooling1D": ((), {}, ROWS), "Softmax": ((), {}, ROWS), "Flatten": ((), {}, IMAGES), "PReLU": ((), {}, X)}

half = pytest.mark.parametrize("dtype", HALF)


@half
@pytest.mark.parametrize("name", FAMILIES)
def test_layers_give_half_numbers_near_those_of_float32(name, dtype):
    args, options, x = FAMILIES[name]
    layer = getattr(layers, name)(*args, **options, dtype=f"mixed_{dtype}")
    plain = getattr(layers, name)(*args, **options)
    x = x.astype(np.float32) if x.dtype == np.float64 else x
    out = layer(x)
    plain(x)
    plain.set_weights(layer.get_weights())
    wanted = plain(x)
    assert out.dtype == dtype and wanted.dtype == np.float32
    assert all(w.dtype == np.float32 for w in layer.get_weights())
    np.testing.assert_allclose(out.astype(np.float64), wanted, rtol=0,
                               atol=12 * dtypes.finfo(np.dtype(dtype)).eps * max(1, np.abs(wanted).max()))


def model(dtype):
    policy = {"dtype": f"mixed_{dtype}"}
    return Sequential([layers.Input((12,)), layers.Dense(32, activation="relu", **policy),
                       layers.LayerNormalization(**policy), layers.Dense(32, activation="tanh", **policy),
                       layers.BatchNormalization(**policy), layers.Dense(1, activation="sigmoid")])


@half
def test_training_in_half_numbers(dtype):
    random.set_seed(1)
    net, optimizer = model(dtype), Adam(0.01)
    if dtype == "float16":
        optimizer = LossScaleOptimizer(optimizer)
    net.compile(loss="binary_crossentropy", optimizer=optimizer)
    losses = net.fit(X, Y, epochs=25, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < 0.15 < losses[0]
    assert net.predict(X, verbose=0).dtype == np.float32  # of the last layer, which computes in float32
    assert all(w.dtype == np.float32 for w in net.get_weights())


class Inside(layers.Layer):
    """A layer of one's own that knows nothing of dtypes, with a layer inside."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units, self.dense = units, layers.Dense(units)

    def call(self, x):
        return self.dense(x) * 2


class Own(Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.inside, self.out = Inside(8), layers.Dense(1, activation="sigmoid", dtype="float32")

    def call(self, x):
        return self.out(self.inside(x))


@pytest.fixture
def policy(request):
    before = mixed_precision.set_dtype_policy(f"mixed_{request.param}")
    yield request.param
    mixed_precision.set_dtype_policy(before)


@pytest.mark.parametrize("policy", HALF, indirect=True)
@pytest.mark.parametrize("kind", ["sequential", "functional", "subclass"])
def test_a_policy_for_all_layers(policy, kind, tmp_path):
    given = layers.Input((12,))
    assert given.dtype == np.float32 and mixed_precision.dtype_policy() == f"mixed_{policy}"
    last = {"activation": "sigmoid", "dtype": "float32"}
    net = Own() if kind == "subclass" else Model(given, layers.Dense(1, **last)(Inside(8)(given))) if (
        kind == "functional") else Sequential([Inside(8), layers.Dense(1, **last)])
    net.compile(Adam(0.01), "binary_crossentropy")
    assert isinstance(net.optimizer, LossScaleOptimizer) == (policy == "float16")
    net.fit(X, Y, verbose=0)
    first = next(layer for layer in net.layers if isinstance(layer, Inside))
    assert first(X).dtype == policy and net.predict(X).dtype == np.float32
    net.save(tmp_path / "model.safetensors")
    mixed_precision.set_global_policy("float32")
    copies = load_model(tmp_path / "model.safetensors", custom_objects={"Inside": Inside, "Own": Own}), clone_model(net)
    copies[1](X)
    copies[1].set_weights(net.get_weights())
    for found in copies:  # what was made under a policy keeps it
        np.testing.assert_array_equal(found.predict(X), net.predict(X))
    plain = Sequential([layers.Dense(2)])
    plain.compile("sgd", "mse")
    assert plain(X).dtype == np.float32 and isinstance(plain.optimizer, SGD)
    mixed_precision.set_dtype_policy(f"mixed_{policy}")
    assert clone_model(plain)(X).dtype == np.float32
    net.compile(Adam(0.01), "binary_crossentropy", auto_scale_loss=False)
    assert isinstance(net.optimizer, Adam)


def test_a_policy_that_is_none():
    for wrong in ("float64", "half", None, 16):
        with pytest.raises(ArgumentError, match="mixed_bfloat16"):
            mixed_precision.set_dtype_policy(wrong)
    assert mixed_precision.global_policy() == "float32"


@half
def test_what_lies_between_layers_is_half_numbers(dtype):
    net = Sequential([layers.Dense(96, activation="relu", dtype=f"mixed_{dtype}") for _ in range(3)])
    net.build((None, 96))
    x = np.ones((64, 96), np.float32)
    program = build(record(lambda w, x: net.stateless_call(w, [], x)[0], (net.get_weights(), x))[0])
    assert sum(isinstance(s, Contract) for s in program.statements) == 3
    assert program.outputs[0].dtype == dtype and all(b.dtype == dtype for b in program.temps)


@half
def test_the_gradient_of_an_overflowing_loss_is_scaled(dtype):
    net = Sequential([layers.Dense(1, dtype=f"mixed_{dtype}")])
    net.compile(loss="mse", optimizer=LossScaleOptimizer(SGD(0.01), initial_scale=2.0**30))
    net.fit(X, Y, epochs=8, batch_size=8, verbose=0)  # the first steps overflow float16, and are left out
    assert all(np.isfinite(w).all() for w in net.get_weights())
    assert net.evaluate(X, Y, verbose=0) < 0.5


@half
def test_the_policy_is_part_of_the_configuration(dtype):
    layer = deserialize(serialize(layers.Dense(3, dtype=f"mixed_{dtype}")))
    assert layer.compute_dtype == dtype and layer(X).dtype == dtype
    assert all(layers.Dense(3, dtype=d).compute_dtype == np.float32 for d in (None, "float32", np.float32, X.dtype))
    assert layer.kernel.dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "mixed", np.float16])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ArgumentError, match="mixed_bfloat16"):
        layers.Dense(3, dtype=dtype)
