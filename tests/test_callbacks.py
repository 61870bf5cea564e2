"""Callbacks: Keras's own numbers, what they write, what they are told."""

import csv
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from chainrule.callbacks import (
    BackupAndRestore,
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgbarLogger,
    ReduceLROnPlateau,
    TensorBoard,
    TerminateOnNaN,
)
from chainrule.errors import ArgumentError
from chainrule.layers import Dense, Input
from chainrule.models import Sequential, load_model
from chainrule.optimizers import SGD
from chainrule.runtime import Counters

GOLDEN = json.loads((Path(__file__).parent / "golden" / "callbacks.json").read_text())["callbacks"]


def wave(*shape, phase=0.0):
    n = int(np.prod(shape))
    return np.sin(phase + 1.7 * np.arange(n) ** 1.1).reshape(shape).astype(np.float32)


X = wave(53, 6)
Y = ((X @ wave(6, 3, phase=1.0))[:, 0] > 0).astype(np.float32)


def made(rate=0.5):
    model = Sequential([Input((6,)), Dense(8, activation="relu", name="first"),
                        Dense(1, activation="sigmoid", name="second")])
    model.set_weights([wave(6, 8, phase=2.0) * 0.5, np.zeros(8), wave(8, 1, phase=3.0) * 0.5, np.zeros(1)])
    model.compile(SGD(rate), "binary_crossentropy", metrics=["accuracy"])
    return model


def fitted(*callbacks, rate=0.5, model=None, **options):
    model = model or made(rate)
    history = model.fit(X, Y, **{"batch_size": 8, "epochs": 12, "shuffle": False, "verbose": 0,
                                 "validation_split": 0.2, "callbacks": list(callbacks), **options})
    return history, model


CASES = {
    "plateau": (0.5, lambda: ReduceLROnPlateau(factor=0.5, patience=1, min_delta=0.02, cooldown=1, min_lr=0.05)),
    "schedule": (0.5, lambda: LearningRateScheduler(lambda epoch, rate: rate * 0.8)),
    "early": (1.5, lambda: EarlyStopping(patience=2, min_delta=0.006, restore_best_weights=True)),
    "accuracy": (1.5, lambda: EarlyStopping(monitor="val_accuracy", patience=3, min_delta=0.05, start_from_epoch=2,
                                            restore_best_weights=True)),
    "baseline": (0.5, lambda: EarlyStopping(patience=2, baseline=0.01, min_delta=0.01)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_of_keras(name):
    rate, make = CASES[name]
    callback, expected = make(), GOLDEN[name]
    history, model = fitted(callback, rate=rate)
    assert len(history.epoch) == expected["epochs"]
    np.testing.assert_allclose(history.history["val_loss"], expected["val_loss"], atol=2e-5)
    np.testing.assert_allclose(history.history.get("learning_rate", []), expected["rates"], rtol=1e-5)
    assert sum(np.abs(w).sum() for w in model.get_weights()) == pytest.approx(expected["size"], abs=3e-3)
    if expected["stopped"] is not None:
        assert (callback.stopped_epoch, callback.best_epoch) == (expected["stopped"], expected["best"])


def test_a_callback_that_is_resumed_goes_on_where_it_was(tmp_path):
    """Kept rates, waiting and best weights come back with the run."""
    class Stopped(Exception):
        pass

    def stop(epoch, logs):
        if epoch == 4:
            raise Stopped

    def callbacks():
        return [LearningRateScheduler(lambda epoch, rate: rate * 0.9), CSVLogger(tmp_path / "log.csv"),
                ReduceLROnPlateau(patience=1, factor=0.5, min_delta=0.02),
                EarlyStopping(patience=4, min_delta=0.02, restore_best_weights=True)]
    expected, whole = fitted(*callbacks(), LambdaCallback())
    lines = (tmp_path / "log.csv").read_text()
    with pytest.raises(Stopped):
        fitted(*callbacks(), LambdaCallback(on_epoch_end=stop), BackupAndRestore(tmp_path, save_freq=4))
    found, again = fitted(*callbacks(), LambdaCallback(), BackupAndRestore(tmp_path, save_freq=4))
    assert found.history == expected.history and found.epoch == expected.epoch
    for a, b in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (tmp_path / "log.csv").read_text() == lines


def test_keras_own_callbacks_are_told_as_by_keras():
    """A class written for Keras, which knows nothing of ours: hooks of its base named Callback are no wish."""
    class Base:
        def __init__(self):
            self.calls = []
        set_params = set_model = lambda self, value: None
        on_train_begin = on_train_end = on_epoch_begin = lambda self, *args, **options: None

        def on_train_batch_end(self, batch, logs=None):
            raise AssertionError

        def on_epoch_end(self, epoch, logs=None):
            self.calls.append(epoch)
    foreign = type("Callback", (Base,), {"on_train_batch_end": Base.on_train_batch_end})
    mine = type("Mine", (foreign,), {})()
    fitted(mine, epochs=2)
    assert mine.calls == [0, 1]


def test_logs_are_shared_and_what_is_added_is_history():
    class Adds(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["extra"] = float(epoch)
    seen = []
    history, _ = fitted(Adds(), LambdaCallback(on_epoch_end=lambda e, logs: seen.append(logs["extra"])), epochs=2)
    assert seen == history.history["extra"] == [0.0, 1.0]


def test_progbar_logger_prints(capsys):
    fitted(ProgbarLogger(), epochs=1)
    assert "Epoch 1/1" in capsys.readouterr().out


def test_terminate_on_nan(capsys):
    x = np.ones((80, 2), np.float32)
    for interval, epochs in ((None, 2), (2, 0)):
        model = Sequential([Dense(1, input_dim=2)])
        model.compile(SGD(1e18), "mse")
        with pytest.warns(RuntimeWarning, match="the loss is"):
            history = model.fit(x, x[:, 0], batch_size=8, epochs=5, verbose=0,
                                callbacks=TerminateOnNaN(batch_interval=interval))
        assert len(history.epoch) <= epochs + 1 < 5
        assert "training ends" in capsys.readouterr().out


def test_best_epoch_and_gap(capsys):
    history, _ = fitted(rate=3.0, verbose=2)
    losses = history.history["val_loss"]
    best = int(np.argmin(losses))
    assert history.best_epoch == best and history.gap == losses[-1] - history.history["loss"][-1]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"Best val_loss: {losses[best]:.4f} in epoch {best + 1}")
    assert f"{abs(history.gap):.4f} {'above' if history.gap > 0 else 'below'} the training loss" in last
    plain, _ = fitted(validation_split=0.0)
    assert plain.best_epoch == int(np.argmin(plain.history["loss"])) and plain.gap is None


def test_evaluations_and_predictions_are_told_of():
    heard = []
    names = ("on_test_begin", "on_test_end", "on_predict_begin", "on_predict_end")
    callback = LambdaCallback(**{n: lambda logs, n=n: heard.append((n, sorted(logs))) for n in names})
    _, model = fitted(callback, epochs=1)
    model.evaluate(X, Y, verbose=0, callbacks=[callback])
    model.predict(X, callbacks=callback)
    tests = [("on_test_begin", []), ("on_test_end", ["accuracy", "loss"])]
    assert heard == [*tests, *tests, ("on_predict_begin", []), ("on_predict_end", [])]


def test_validation_freq():
    history, _ = fitted(validation_freq=3)
    assert len(history.history["val_loss"]) == 4 and len(history.history["loss"]) == 12
    history, _ = fitted(EarlyStopping(patience=0), validation_freq=[2], epochs=3)
    assert len(history.history["val_loss"]) == 1 and len(history.history["loss"]) == 3


# ---------------------------------------------------------------- files


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    history, model = fitted(CSVLogger(path, separator=";"), epochs=3)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert [float(row["val_loss"]) for row in rows] == history.history["val_loss"]
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    fitted(CSVLogger(path, separator=";", append=True), model=model, epochs=2)
    assert len(path.read_text().splitlines()) == 6
    fitted(CSVLogger(path), model=model, epochs=1)
    assert len(path.read_text().splitlines()) == 2


def test_model_checkpoint(tmp_path, capsys):
    fitted(ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.3f}.safetensors", verbose=1), epochs=2)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert [n[:3] for n in names] == ["01-", "02-"] and "saved" in capsys.readouterr().out
    path = tmp_path / "best.safetensors"
    history, model = fitted(ModelCheckpoint(path, save_best_only=True), rate=3.0)
    best = load_model(path)
    assert best.evaluate(X[42:], Y[42:], verbose=0)[0] == pytest.approx(min(history.history["val_loss"]), rel=1e-5)
    weights = tmp_path / "w.safetensors"
    fitted(ModelCheckpoint(weights, save_weights_only=True, save_freq=3), model=model, epochs=1)
    made().load_weights(weights)
    assert weights.stat().st_size < path.stat().st_size
    fitted(ModelCheckpoint(tmp_path / "none.safetensors", save_best_only=True, initial_value_threshold=0.0), epochs=1)
    assert not (tmp_path / "none.safetensors").exists()


def events(folder):
    """All summaries in the event files of a folder, by tag."""
    found = {}
    for path in Path(folder).glob("events*"):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = event_pb2.Event.FromString(data[at + 12:at + 12 + size])
            at += size + 16
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value))
    return found


def test_tensorboard(tmp_path):
    board = TensorBoard(tmp_path, histogram_freq=2, write_gradients=True, update_freq=3)
    history, model = fitted(board, epochs=3)
    train, validation = events(tmp_path / "train"), events(tmp_path / "validation")
    for name, values in history.history.items():
        of = validation if name.startswith("val_") else train
        found = of[f"epoch_{name.removeprefix('val_')}"]
        assert [step for step, _ in found] == [0, 1, 2]
        np.testing.assert_allclose([v.simple_value for _, v in found], values, rtol=1e-6)
    assert [step for step, _ in train["batch_loss"]] == [3, 6, 9, 12, 15, 18]
    assert [v.simple_value for _, v in train["epoch_learning_rate"]] == [0.5] * 3
    for tag in ("first/kernel", "first/kernel/gradient", "second/bias", "second/bias/gradient"):
        assert [step for step, _ in train[tag]] == [0, 2]
    histogram = train["first/kernel"][-1][1].histo
    weights = model.get_weights()[0]
    assert histogram.num == weights.size and histogram.max == pytest.approx(weights.max(), rel=1e-5)
    gradient = train["first/kernel/gradient"][0][1].histo
    assert gradient.num == weights.size and gradient.min < 0 < gradient.max


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize("make", [
    lambda: EarlyStopping(mode="up"), lambda: EarlyStopping(patience=-1), lambda: ReduceLROnPlateau(factor=1.0),
    lambda: LearningRateScheduler(0.1), lambda: ModelCheckpoint("model.keras"), lambda: ModelCheckpoint(3),
    lambda: ModelCheckpoint("m.safetensors", save_freq="batch"), lambda: BackupAndRestore("x", save_freq="step"),
    lambda: LambdaCallback(on_epoch=print), lambda: TensorBoard(update_freq="batch"),
    lambda: BackupAndRestore("x", save_freq=0)])
def test_arguments(make):
    with pytest.raises(ArgumentError, match="What fits"):
        make()


def test_a_number_that_is_not_there():
    with pytest.raises(ArgumentError, match=r"watches 'val_loss', which there is not[\s\S]*monitor='loss'"):
        fitted(EarlyStopping(), validation_split=0.0)
    with pytest.raises(ArgumentError, match="names 'val_f1'"):
        fitted(ModelCheckpoint("{val_f1}.safetensors"))
    with pytest.raises(ArgumentError, match="The schedule gave None"):
        fitted(LearningRateScheduler(lambda epoch, rate: None))
    with pytest.raises(ArgumentError, match="validation_freq"):
        fitted(validation_freq=0)


def test_callbacks_compile_nothing():
    callbacks = [EarlyStopping(patience=9), ReduceLROnPlateau(patience=1), LearningRateScheduler(lambda e, r: r * 0.9)]
    _, model = fitted(*callbacks)
    before = Counters.compiled, Counters.loaded, Counters.reused
    fitted(*callbacks, model=model)
    assert (Counters.compiled, Counters.loaded, Counters.reused) == before
