"""Models in files: what comes back is what was saved; what cannot be read is refused; files of Keras."""

import io
import json
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import chainrule.layers
from chainrule.errors import ArgumentError, ChainruleError, FileError, ShapeError, UsageError
from chainrule.layers import Activation, Dense, Dropout, Flatten, Input
from chainrule.losses import Huber
from chainrule.models import Model, Sequential, load_model
from chainrule.optimizers import SGD, Adam, LossScaleOptimizer, schedules
from chainrule.training import keras_files, tensors

GOLDEN = Path(__file__).parent / "golden"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def sequential():
    return Sequential([Dense(4, activation="tanh", input_dim=3), Dropout(0.2), Dense(1)], name="mine")


def branched():
    x = Input((3,))
    shared = Dense(3, activation="relu")
    h = shared(shared(x))
    return Model(x, Sequential([Dense(2), Activation("tanh"), Flatten(), Dense(1)])(h + x))


def trained(model, optimizer="adam", loss="mse"):
    model.compile(optimizer, loss, metrics=["mae"])
    model.fit(X, Y, epochs=2, batch_size=7, verbose=0)
    return model


@pytest.mark.parametrize("make", [sequential, branched])
def test_a_model_comes_back(make, tmp_path):
    path = tmp_path / "model.safetensors"
    model = trained(make(), Adam(0.02, clipnorm=1.0), Huber(delta=0.5))
    model.save(path)
    found = load_model(path)
    assert found.name == model.name and repr(found.optimizer) == repr(model.optimizer)
    assert [layer.name for layer in found.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(found.predict(X), model.predict(X))
    assert found.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    options = dict(epochs=2, batch_size=7, shuffle=False, verbose=0)
    for each in (model, found):  # dropout draws from the seed of the process
        chainrule.set_seed(3)
        each.fit(X, Y, **options)
    for a, b in zip(found.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert load_model(path, compile=False).optimizer is None


def current_rate():
    return 0.125


def test_schedules_and_rates_come_back(tmp_path):
    path = tmp_path / "model.safetensors"
    model = trained(sequential(), SGD(schedules.ExponentialDecay(0.1, 10, 0.5), momentum=0.9))
    model.save(path)
    found = load_model(path)
    assert found.optimizer.schedule.decay_rate == 0.5 and found.optimizer.momentum == 0.9
    trained(sequential(), LossScaleOptimizer(SGD(schedules.ExponentialDecay(0.1, 10, 0.5)))).save(path)
    assert load_model(path).optimizer.inner_optimizer.schedule.decay_rate == 0.5
    trained(sequential(), SGD(current_rate)).save(path)
    found = load_model(path, custom_objects={"current_rate": current_rate}).optimizer
    assert found.learning_rate == current_rate() and not found.has_number
    model = trained(sequential(), SGD(0.1))
    model.optimizer.learning_rate = 0.025
    model.save(path)
    assert load_model(path).optimizer.learning_rate == 0.025


def test_weights_alone(tmp_path):
    path = tmp_path / "weights.safetensors"
    model = trained(sequential())
    model.save_weights(path)
    other = sequential()
    other.load_weights(path)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    with pytest.raises(FileError, match="holds no model, only weights"):
        load_model(path)
    whole = tmp_path / "model.safetensors"
    model.save(whole)
    sequential().load_weights(whole)


def test_weights_of_another_program_are_found_by_name(tmp_path):
    path = tmp_path / "weights.safetensors"
    model = sequential()
    arrays = {f"dense/{n}": a for n, a in zip(("kernel", "bias"), model.get_weights()[:2], strict=True)}
    tensors.extra("safetensors.numpy", "io", "").save_file(
        arrays | {"dense_1/kernel": np.ones((4, 1), np.float32), "dense_1/bias": np.zeros(1, np.float32)}, path)
    model.load_weights(path)
    np.testing.assert_array_equal(model.get_weights()[2], np.ones((4, 1)))


def test_a_subclass_that_is_registered(tmp_path):
    @chainrule.layers.register
    class Mine(Model):
        def __init__(self, units, **options):
            super().__init__(**options)
            self.units, self.inner, self.out = units, Dense(units), Dense(1)

        def call(self, x):
            return self.out(np.tanh(self.inner(x)))
    model = trained(Mine(5))
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(load_model(tmp_path / "m.safetensors").predict(X), model.predict(X))


def test_what_cannot_be_written_down(tmp_path):
    def mine(y_true, y_pred):
        return np.abs(y_true - y_pred)
    model = trained(sequential(), loss=lambda y_true, y_pred: np.abs(y_true - y_pred))
    with pytest.warns(UserWarning, match="how mine was compiled is not saved"):
        model.save(tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").optimizer is None
    trained(sequential(), loss=mine).save(tmp_path / "m.safetensors")
    with pytest.raises(ArgumentError, match=r"Unknown function 'mine'[\s\S]*custom_objects"):
        load_model(tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors", compile=False).optimizer is None
    assert load_model(tmp_path / "m.safetensors", custom_objects={"mine": mine})._recipe["loss"] is mine
    with pytest.raises(UsageError):
        trained(Sequential([Dense(1, activation=lambda x: x * x, input_dim=3)])).save(tmp_path / "n.safetensors")
    assert not (tmp_path / "n.safetensors").exists()
    with pytest.raises(UsageError, match="no weights"):
        Sequential([Dense(1)]).save(tmp_path / "n.safetensors")


def test_files_that_are_wrong(tmp_path):
    path = tmp_path / "m.safetensors"
    model = trained(sequential())
    before = model.get_weights()
    model.save(path)
    with pytest.raises(FileError, match="is there already"):
        model.save(path, overwrite=False)
    with pytest.raises(ArgumentError, match=r"ends in \.safetensors[\s\S]*m\.safetensors"):
        model.save(tmp_path / "m.h5")
    with pytest.raises(FileError, match="is no file"):
        load_model(tmp_path / "other.safetensors")
    with pytest.raises(ShapeError, match=r"shape \(3, 4\) for the weight dense/kernel of shape \(3, 5\)"):
        Sequential([Dense(5, input_dim=3), Dropout(0.2), Dense(1)]).load_weights(path)
    with pytest.raises(FileError, match="holds weights dense/bias"):
        Sequential([Dense(4, input_dim=3)]).load_weights(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], b"\xff" * 200, os.urandom(500)):
        path.write_bytes(damaged)
        with pytest.raises(FileError, match="damaged, or no"):
            model.load_weights(path)
    for facts in ({"format": 1, "weights": [], "model": {"class_name": "os.system", "config": {"command": "ls"}}},
                  {"format": 1, "weights": [], "model": {"class_name": "Dense", "config": {"units": 3}}},
                  {"format": 99, "weights": []}, {}):
        tensors.write(path, {"x": np.zeros(1)}, facts)
        with pytest.raises(ChainruleError):
            load_model(path)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------- Keras


def wave(*shape, phase=0.0):
    n = int(np.prod(shape))
    return np.sin(phase + 1.7 * np.arange(n) ** 1.1).reshape(shape).astype(np.float32)


OUTPUTS = json.loads((GOLDEN / "callbacks.json").read_text())["files"]


def test_a_model_of_keras():
    model = load_model(GOLDEN / "keras_dense.keras")
    assert [layer.name for layer in model.layers][-1] == "last" and model.layers[0].kernel_regularizer is not None
    np.testing.assert_allclose(model.predict(wave(3, 6, phase=9.0)), OUTPUTS["keras_dense"], atol=2e-5)
    model = load_model(GOLDEN / "keras_branched.keras")
    for found, expected in zip(model.predict(wave(3, 6, phase=9.0)), OUTPUTS["keras_branched"], strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_convolutions_of_keras():
    model = load_model(GOLDEN / "keras_images.keras")
    np.testing.assert_allclose(model.predict(wave(3, 8, 8, 2, phase=9.0)), OUTPUTS["keras_images"], atol=2e-5)


def test_weights_of_cells_come_in_keras_order():
    """Bidirectional LSTM, TimeDistributed and GRU: groups in groups, each array told by the wave it was filled with."""
    with zipfile.ZipFile(GOLDEN / "keras_series.keras") as archive:
        data = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(data) as file:
        groups = [file["layers"][name] for name in ("bidirectional", "time_distributed", "gru", "dense")]
        orders = [keras_files._ORDER.get(name, ()) for name in ("bidirectional", "", "", "")]
        found = [np.asarray(d) for group, order in zip(groups, orders, strict=True)
                 for d in keras_files._datasets(group, order, h5py, Path("f"), 0)]
    assert len(found) == 13
    for k, array in enumerate(found):
        np.testing.assert_array_equal(array, wave(*array.shape, phase=float(k)) * 0.5)


def test_weights_of_keras():
    for name in ("keras_dense.weights.h5", "keras_dense.keras"):
        model = Sequential([Dense(8, activation="relu", input_dim=6), Dropout(0.5), Dense(2, activation="softmax")])
        model.load_weights(GOLDEN / name)
        np.testing.assert_allclose(model.predict(wave(3, 6, phase=9.0)), OUTPUTS["keras_dense"], atol=2e-5)


def changed(path, target, change):
    """A copy of a .keras file with another config.json."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as out:
        for name in source.namelist():
            data = source.read(name)
            if name == "config.json":
                data = json.dumps(change(json.loads(data))).encode()
            out.writestr(name, data)
    return target


def test_files_of_keras_are_data(tmp_path):
    source, target = GOLDEN / "keras_dense.keras", tmp_path / "m.keras"

    def with_lambda(config):
        config["config"]["layers"][1] = {"class_name": "Lambda", "module": "keras.layers",
                                         "config": {"name": "l", "function": {"class_name": "__lambda__"}}}
        return config

    def with_function(config):
        config["config"]["layers"][1]["config"]["activation"] = {"class_name": "function", "config": "os.system",
                                                                 "module": "builtins"}
        return config

    def with_unknown(config):
        config["config"]["layers"][1]["config"]["sparse_activation"] = "yes"
        return config

    def with_class(config):
        config["config"]["layers"][1]["class_name"] = "Popen"
        return config
    for change, message in ((with_lambda, "holds code"), (with_function, "holds code"),
                            (with_unknown, "has sparse_activation='yes', which is not known"),
                            (with_class, "Unknown class 'Popen'"), (lambda config: {}, "where a model should be"),
                            (lambda config: 3, "where a model should be")):
        with pytest.raises(ChainruleError, match=message):
            load_model(changed(source, target, change))
    model = Sequential([Dense(8, input_dim=6), Dense(2)])
    before = model.get_weights()
    with pytest.raises(FileError, match="holds weights and no model"):
        load_model(GOLDEN / "keras_dense.weights.h5")
    for path, data in ((tmp_path / "a.keras", b"PK\x03\x04 no"), (tmp_path / "a.weights.h5", b"no")):
        path.write_bytes(data)
        with pytest.raises(FileError, match="damaged, or no"):
            model.load_weights(path)
    with pytest.raises(FileError, match="is no file"):
        model.load_weights(tmp_path / "none.weights.h5")
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_links_that_lead_out_of_a_file(tmp_path):
    model = Sequential([Dense(2, input_dim=3)])
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["secret"] = np.ones((3, 2), np.float32)

    def attack(name, spoil):
        path = tmp_path / f"{name}.weights.h5"
        with h5py.File(path, "w") as file:
            inner = file.create_group("layers/dense/vars")
            inner["1"] = np.zeros(2, np.float32)
            spoil(inner)
        with pytest.raises(FileError):
            model.load_weights(path)
    attack("external", lambda g: g.__setitem__("0", h5py.ExternalLink(str(outside), "/secret")))
    attack("soft", lambda g: g.__setitem__("0", h5py.SoftLink("/layers")))

    def raw(group):
        group.create_dataset("0", (3, 2), np.float32, external=[(str(outside), 0, 24)])
    attack("raw", raw)

    def virtual(group):
        layout = h5py.VirtualLayout((3, 2), np.float32)
        layout[:] = h5py.VirtualSource(str(outside), "secret", (3, 2))
        group.create_virtual_dataset("0", layout)
    attack("virtual", virtual)
    attack("huge", lambda g: g.create_dataset("0", (10**9, 10**6), np.float32, chunks=(1024, 1024)))
