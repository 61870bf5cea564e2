"""What Keras's own tests of trainers, models and callbacks ask for, beside what other files test."""

import copy
import csv
import importlib
import inspect
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers, metrics
from chainrule.callbacks import (
    Callback,
    CSVLogger,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from chainrule.errors import ArgumentError, DataError, UsageError
from chainrule.layers import BatchNormalization, Dense, Dropout, Flatten, Input
from chainrule.models import Model, Sequential, clone_model, load_model, model_from_json
from chainrule.optimizers import SGD, Adam, LossScaleOptimizer, schedules
from chainrule.utils import PyDataset

RNG = np.random.default_rng(0)
X = RNG.normal(size=(53, 3)).astype(np.float32)
Y = X[:, :1] - X[:, 1:2]


def compiled(model=None, optimizer="sgd", **options):
    model = model or Sequential([Dense(2, activation="tanh", input_dim=3), Dense(1)])
    model.compile(optimizer, "mse", **options)
    return model


class Seen(Callback):
    """Notes all hooks of batches."""

    def __init__(self, interval=1):
        self.batch_interval, self.seen = interval, []

    def on_test_batch_begin(self, batch, logs=None):
        self.seen.append(("begin", batch))

    def on_test_batch_end(self, batch, logs=None):
        self.seen.append(("end", batch))
        self.logs = logs

    def on_predict_batch_begin(self, batch, logs=None):
        self.seen.append(("ask", batch))

    def on_predict_batch_end(self, batch, logs=None):
        self.seen.append(("answer", batch, len(logs["outputs"])))

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(("train", batch))


def batches():
    for i in range(0, 50, 10):
        yield X[i:i + 10], Y[i:i + 10]


POSITIONS = json.loads((Path(__file__).parent / "golden" / "positions.json").read_text())
OF_OUR_OWN = {"metrics.Metric"}  # (name, dtype), as all metrics have it; Keras's base has dtype first


def test_arguments_by_position_mean_what_they_mean_in_keras():
    """Further ones are taken by name alone: then a call by position is an error, and means nothing else."""
    seen = 0
    for path, theirs in POSITIONS.items():
        room, name = path.split(".")
        ours = getattr(importlib.import_module(f"chainrule.{room}"), name, None)
        if isinstance(ours, type) and path not in OF_OUR_OWN:
            parameters = list(inspect.signature(ours.__init__).parameters.values())[1:]
            by_position = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
            assert by_position[:len(theirs)] == theirs[:len(by_position)], path
            seen += 1
    assert seen > 200


def test_hooks_of_batches_of_evaluations_and_predictions():
    model, seen = compiled(metrics=["mae"]), Seen()
    plain = model.evaluate(X, Y, batch_size=20, verbose=0, return_dict=True)
    assert model.evaluate(X, Y, batch_size=20, verbose=0, return_dict=True, callbacks=[seen]) == pytest.approx(plain)
    every = [(what, i) for i in range(3) for what in ("begin", "end")]
    assert seen.seen == every and seen.logs == pytest.approx(plain)
    rare = Seen(2)
    assert model.evaluate(X, Y, batch_size=20, verbose=0, return_dict=True, callbacks=[rare]) == pytest.approx(plain)
    assert rare.seen == [("begin", 0), ("end", 1), ("begin", 2)]
    seen.seen.clear()
    model.evaluate(batches(), verbose=0, callbacks=[seen])
    assert seen.seen == [(what, i) for i in range(5) for what in ("begin", "end")]
    seen.seen.clear()
    out = model.predict(X, batch_size=20, callbacks=[seen])
    np.testing.assert_allclose(out, model.predict(X), rtol=1e-5)
    assert seen.seen == [("ask", 0), ("answer", 0, 20), ("ask", 1), ("answer", 1, 20), ("ask", 2), ("answer", 2, 13)]
    seen.seen.clear()
    assert model.predict(batches(), callbacks=[seen]).shape == (50, 1)
    assert [s for s in seen.seen if s[0] == "answer"] == [("answer", i, 10) for i in range(5)]
    seen.seen.clear()
    model.fit(X, Y, batch_size=20, verbose=0, validation_data=(X, Y), callbacks=[seen])
    assert seen.seen == [("train", 0), ("train", 1), ("train", 2), *every]


def test_several_steps_at_a_time():
    model, seen = compiled(steps_per_execution=4), Seen()
    model.fit(X, Y, batch_size=10, verbose=0, callbacks=[seen])
    assert seen.seen == [("train", 3), ("train", 7)]  # the last execution is shorter, its number is not
    assert np.array_equal(model.predict_on_batch(X), model.predict(X, batch_size=53))
    with pytest.raises(ArgumentError, match="run_eagerly=True"):
        compiled(run_eagerly=True)


class OwnStep(Model):
    def train_step(self, data):
        x, y = data
        loss = self.compute_loss(x, y, self(x, training=True))
        self.optimizer.apply(self.gradients(self.optimizer.scale_loss(loss)), self.trainable_weights)
        return {"loss": loss}


@pytest.mark.parametrize("kind", [Model, OwnStep])
def test_fit_of_a_model_that_learns_nothing(kind, tmp_path):
    given = Input((3,))
    normal = BatchNormalization(center=False, scale=False, momentum=0.5)
    for layer, optimizer in ((Flatten(), SGD(0.1, momentum=0.9)), (normal, LossScaleOptimizer(Adam()))):
        model = kind(given, layer(given))
        model.compile(optimizer, "mse", metrics=["mae"])
        with pytest.warns(UserWarning, match="no trainable weights"):
            history = model.fit(X, X + 1, batch_size=8, epochs=2, verbose=0, validation_data=(X, X + 1)).history
        assert set(history) == {"loss", "val_loss", "val_mae"} | ({"mae"} if kind is Model else set())
        assert history["val_loss"][-1] == pytest.approx(np.mean((model.predict(X) - X - 1) ** 2), rel=1e-5)
        if kind is Model:
            model.save(tmp_path / "model.safetensors")
            np.testing.assert_array_equal(load_model(tmp_path / "model.safetensors").predict(X), model.predict(X))
    assert normal.moving_mean.any()  # its state is part of the step


def test_metrics_and_losses_inside_of_a_model():
    class Mine(Model):
        def __init__(self):
            super().__init__()
            self.out, self.mean = Dense(1, activity_regularizer="l2"), metrics.Mean("four")

        def call(self, x):
            return self.out(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            loss = super().compute_loss(x, y, y_pred, sample_weight)
            self.mean.update_state(loss * 4)
            return loss
    model = compiled(Mine())
    scores = model.evaluate(X, Y, batch_size=53, verbose=0, return_dict=True)
    assert scores["four"] == pytest.approx(4 * scores["loss"])
    history = model.fit(X, Y, batch_size=53, verbose=0).history
    assert history["four"][0] == pytest.approx(4 * history["loss"][0])

    class Penalty(layers.Layer):
        def call(self, x):
            self.add_loss(np.mean(x ** 2))
            return x
    alone = Sequential([Dense(2, input_dim=3), Penalty()])
    alone.compile(SGD(0.1))
    losses = alone.fit(X, epochs=5, batch_size=53, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and alone.evaluate(X, verbose=0) < losses[-1]
    with pytest.raises(UsageError, match="compiled without a loss, and its layers add none"):
        silent = Sequential([Dense(1, input_dim=3)])
        silent.compile("sgd")
        silent.fit(X, Y, verbose=0)
    with pytest.raises(UsageError, match="Graph of a model compiled without a loss"):
        silent.graph(X, Y)


def test_names_of_outputs_and_of_weighted_metrics():
    x = Input((3,))
    one = Model(x, Dense(1, name="a")(x))
    one.compile("sgd", {"a": "mse"}, metrics={"a": ["mse"]}, weighted_metrics={"a": ["mse"]})
    found = one.evaluate(X, {"a": Y}, verbose=0, return_dict=True, sample_weight=np.linspace(0, 1, 53))
    assert sorted(found) == ["loss", "mse", "weighted_mse"] and found["mse"] != found["weighted_mse"]
    h = Dense(1, name="b")(x)
    two = Model(x, [h, Dense(1, name="c")(x)])
    two.compile("sgd", [["mse"], None])
    assert two.evaluate(X, Y, verbose=0, return_dict=True)["loss"] > 0  # the targets of the one loss
    two.compile("sgd", {"b": ["mse", "mae"], "c": "mse"})
    with pytest.raises(ArgumentError, match="Several losses for the output 'b'"):
        two.fit(X, [Y, Y], verbose=0)


def test_a_sequence_of_several_inputs():
    class Both(layers.Layer):
        def call(self, inputs):
            return inputs["a"] + inputs["b"]
    model = compiled(Sequential([Both(), Dense(1)]))
    data = {"a": X, "b": X}
    model.fit(data, Y, verbose=0)
    assert model.predict(data).shape == (53, 1)
    np.testing.assert_allclose(model(data), model.predict(data), rtol=1e-5, atol=1e-6)


def test_shapes_without_a_call():
    assert Dense(4).compute_output_shape((None, 3)) == (None, 4)
    assert layers.Conv2D(3, 3).compute_output_shape((2, 8, 8, 1)) == (2, 6, 6, 3)
    assert layers.Add().compute_output_shape([(None, 3), (None, 3)]) == (None, 3)
    deferred = Sequential([Dense(4), Dense(8)])
    assert deferred.compute_output_shape((1, 2)) == (1, 8) and not deferred.weights


def test_a_table_of_a_model_with_a_model_inside():
    model, lines = Sequential([Dense(2, input_dim=3), Sequential([Dense(4, name="inner"), Dense(1)])]), []
    model.layers[0].trainable = False
    model.summary(print_fn=lines.append, expand_nested=True, show_trainable=True, line_length=100)
    assert "  inner (Dense)" in lines[0] and "Trained" in lines[0] and "Operations for one sample: 43" in lines[0]
    model.summary(print_fn=lines.append, layer_range=["seq", "seq"], line_length=100)
    assert "inner" not in lines[1] and "dense (Dense)" not in lines[1] and "Sequential" in lines[1]
    with pytest.raises(ArgumentError, match="fits no layer"):
        model.summary(layer_range=["other", "seq"])


def test_states_of_a_model():
    model = Sequential([Input((3, 1)), Sequential([layers.LSTM(2, stateful=True, batch_size=2)]), Dense(1)])
    x = np.ones((2, 3, 1), np.float32)
    first = model.predict(x, batch_size=2)
    assert not np.array_equal(model.predict(x, batch_size=2), first)
    model.reset_states()
    np.testing.assert_array_equal(model.predict(x, batch_size=2), first)


def test_copies():
    model = compiled(Sequential([Dense(4, input_dim=3), Dropout(0.2), Sequential([Dense(1)])]), Adam(0.1))
    model.fit(X, Y, verbose=0)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        before = model.get_weights()
        assert other.optimizer.iterations == 2
        other.fit(X, Y, verbose=0)
        assert other.optimizer.iterations == 4 and model.optimizer.iterations == 2
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    made = clone_model(model)
    assert made.compiled and made.optimizer is not model.optimizer and isinstance(made.optimizer, Adam)
    assert model_from_json(model.to_json()).get_config() == model.get_config()
    with pytest.raises(ArgumentError, match="no JSON"):
        model_from_json("{")

    def bent(layer):
        more = {"activation": "relu"} if isinstance(layer, Dense) else {}
        return type(layer).from_config({**layer.get_config(), **more})
    made = clone_model(model, clone_function=bent, recursive=True)
    assert made.layers[0].get_config()["activation"] == made.layers[2].layers[0].get_config()["activation"] == "relu"
    called = []

    def call(layer, *args, **options):
        called.append(layer.name)
        return layer(*args, **options)
    x = Input((3,))
    network = Model(x, Dense(1, name="last")(Dense(2, name="first")(x)))
    replaced = Input((3,), name="other")
    made = clone_model(network, input_tensors=replaced, call_function=call)
    assert called == ["first", "last"] and made.inputs == [replaced]
    with pytest.raises(ArgumentError, match="another structure"):
        clone_model(network, input_tensors=[x, x])


def test_classes_of_ones_own_by_custom_objects(tmp_path):
    class Twice(layers.Layer):
        def call(self, x):
            return 2 * x

    def error(y_true, y_pred):
        return np.mean(np.abs(y_true - y_pred) ** 3, axis=-1)
    model = Sequential([Twice(input_shape=(3,)), Dense(1)])
    model.compile(Adam(schedules.OneCycle(0.1, 50)), error, metrics=[error, metrics.MeanAbsoluteError("off")])
    model.fit(X, Y, verbose=0)
    path, mine = tmp_path / "m.safetensors", {"Twice": Twice, "error": error}
    model.save(path)
    found = load_model(path, mine)
    assert found.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert found.optimizer.schedule.total_steps == 50 and found.optimizer.iterations == 2
    with pytest.raises(ArgumentError, match="Unknown class 'Twice'"):
        load_model(path)
    assert isinstance(Sequential.from_config(model.get_config(), custom_objects=mine).layers[0], Twice)
    with pytest.raises(ArgumentError, match="safe_mode=False"):
        load_model(path, safe_mode=False)


def test_callbacks_as_in_keras(tmp_path):
    rates, model = [], compiled(optimizer=SGD(0.5))
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[
        LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)),
        LambdaCallback(on_epoch_end=lambda epoch, logs: rates.append(model.optimizer.learning_rate), note="mine")])
    assert rates == pytest.approx([0.1, 0.05, 0.1 / 3])
    model.compile(SGD(schedules.CosineDecay(0.1, 10)), "mse")
    for callback in (LearningRateScheduler(lambda epoch: 0.1), ReduceLROnPlateau("loss")):
        with pytest.raises(UsageError, match="an optimizer with the schedule"):
            model.fit(X, Y, verbose=0, callbacks=[callback])
    model.compile(SGD(0.01), "mse")
    model.fit(X, Y, epochs=3, verbose=0, validation_data=(X, Y), validation_freq=2,
              callbacks=[CSVLogger(tmp_path / "log.csv")])
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["val_loss"] == "NA" for row in rows] == [True, False, True]
    model.compile(SGD(1e20), "mse")
    with pytest.raises(DataError, match="The loss is"), pytest.warns(RuntimeWarning):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[TerminateOnNaN(raise_error=True)])


def test_a_data_set_that_names_its_batches():
    class Given(PyDataset):
        @property
        def num_batches(self):
            return 3

        def __getitem__(self, index):
            return X[index * 10:index * 10 + 10], Y[index * 10:index * 10 + 10]
    cr.set_seed(0)
    model = compiled()
    model.fit(Given(), epochs=2, verbose=0)
    assert model.optimizer.iterations == 6
