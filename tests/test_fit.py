"""Training end to end: numbers of Keras, the same numbers by hand, seeds, data splits, callbacks, printing, Ctrl-C."""

import io
import os
import signal
import threading
import time

import numpy as np
import pytest

import chainrule.numpy  # noqa: F401
from chainrule import losses, random
from chainrule.autodiff import value_and_grad
from chainrule.callbacks import LearningRateScheduler
from chainrule.layers import Activation, Dense, Dropout, Flatten, Input
from chainrule.models import Sequential
from chainrule.optimizers import SGD, Adagrad, Adam, AdamW, LossScaleOptimizer, RMSprop
from chainrule.runtime import Counters
from chainrule.training import Callback, LambdaCallback
from chainrule.training.progress import Progress, Record, duration, number


def wave(*shape, phase=0.0):
    n = int(np.prod(shape))
    return np.sin(phase + 1.7 * np.arange(n) ** 1.1).reshape(shape).astype(np.float32)


X = wave(53, 6)
SCORES = X @ wave(6, 3, phase=1.0)
TARGETS = {"binary": (SCORES[:, 0] > 0).astype(np.float32), "classes": SCORES.argmax(1), "numbers": SCORES,
           "one_hot": np.eye(3, dtype=np.float32)[SCORES.argmax(1)]}

CASES = {
    "sgd": (lambda: SGD(0.1, momentum=0.9, nesterov=True), "binary_crossentropy", "sigmoid", "binary", ["accuracy"]),
    "rmsprop": (lambda: RMSprop(0.01, momentum=0.5, centered=True), "binary_crossentropy", "sigmoid", "binary",
                ["accuracy"]),
    "adagrad": (lambda: Adagrad(0.1), "categorical_crossentropy", "softmax", "one_hot", ["acc"]),
    "adam": (lambda: Adam(0.01), "sparse_categorical_crossentropy", "softmax", "classes", ["accuracy"]),
    "adamw": (lambda: AdamW(0.01), "mse", None, "numbers", ["mae"]),
    "huber": (lambda: SGD(0.1), "huber", "tanh", "numbers", []),
}
# History of Keras 3.15.1 (JAX backend) for the model, weights and data of `keras_like` below, fit(X, y, batch_size=8,
# epochs=3, shuffle=False, validation_split=0.2), and the sum of the absolute weights afterwards. Made by running the
# same code with `from keras import ...`.
KERAS = {
    "sgd": ({"accuracy": [0.857143, 0.880952, 0.880952], "loss": [0.579593, 0.307272, 0.224594],
             "val_accuracy": [1.0, 1.0, 1.0], "val_loss": [0.325342, 0.122311, 0.063672]}, 26.138),
    "rmsprop": ({"accuracy": [0.857143, 0.904762, 0.904762], "loss": [0.495074, 0.265323, 0.226978],
                 "val_accuracy": [1.0, 1.0, 1.0], "val_loss": [0.211353, 0.122549, 0.092465]}, 25.9798),
    "adagrad": ({"acc": [0.571429, 0.785714, 0.809524], "loss": [1.017509, 0.704117, 0.552873],
                 "val_acc": [0.818182, 0.909091, 0.909091], "val_loss": [0.633703, 0.410349, 0.297182]}, 26.7645),
    "adam": ({"accuracy": [0.261905, 0.785714, 0.809524], "loss": [1.122148, 0.932089, 0.783057],
              "val_accuracy": [0.818182, 0.909091, 0.818182], "val_loss": [0.930293, 0.750967, 0.598834]}, 24.3493),
    "adamw": ({"loss": [0.213619, 0.119704, 0.070312], "mae": [0.377301, 0.278541, 0.205535],
               "val_loss": [0.18137, 0.101361, 0.051344], "val_mae": [0.341919, 0.253064, 0.171407]}, 23.0214),
    "huber": ({"loss": [0.110987, 0.090558, 0.075543], "val_loss": [0.10947, 0.090041, 0.074779]}, 22.8381),
}


def keras_like(units, activation):
    model = Sequential([Input((6,)), Dense(8, activation="relu"), Dense(units, activation=activation)])
    model.set_weights([wave(6, 8, phase=2.0) * 0.5, np.zeros(8), wave(8, units, phase=3.0) * 0.5, np.zeros(units)])
    return model


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_of_keras(name):
    optimizer, loss, activation, target, metrics = CASES[name]
    y = TARGETS[target]
    model = keras_like(1 if target == "binary" else 3, activation)
    model.compile(optimizer=optimizer(), loss=loss, metrics=metrics)
    history = model.fit(X, y, batch_size=8, epochs=3, shuffle=False, verbose=0, validation_split=0.2)
    expected, size = KERAS[name]
    assert list(history.history) == list(expected) and history.epoch == [0, 1, 2]
    for key, values in expected.items():
        assert all(type(v) is float for v in history.history[key])
        np.testing.assert_allclose(history.history[key], values, atol=1e-5, err_msg=key)
    assert sum(np.abs(w).sum() for w in model.get_weights()) == pytest.approx(size, abs=2e-3)
    last = {k[4:]: v[-1] for k, v in history.history.items() if k.startswith("val_")}
    assert model.evaluate(X[42:], y[42:], verbose=0, return_dict=True) == pytest.approx(last)


# ---------------------------------------------------------------- against a loop written by hand


def by_hand(weights, x, y, batches, rate):
    """Plain gradient descent in Python, with reference derivatives; the mean loss over all samples."""
    def loss(w, x, y):
        z = np.tanh(x @ w[0] + w[1]) @ w[2] + w[3]
        return losses.BinaryCrossentropy(from_logits=True)(y, z)
    total = 0.0
    for rows in batches:
        value, g = value_and_grad(loss)(weights, x[rows], y[rows])
        weights = [w - np.float32(rate) * d for w, d in zip(weights, g, strict=True)]
        total += float(value) * len(rows)
    return weights, total / len(x)


def two_layers():
    return Sequential([Dense(5, activation="tanh", input_dim=6), Dense(1, activation="sigmoid")])


@pytest.mark.parametrize(("n", "batch"), [(53, 8), (48, 8), (5, 8), (9, 8), (53, 53), (53, 1000), (53, 1)])
def test_every_sample_is_trained_on_the_short_last_batch_too(n, batch):
    x, y = X[:n], TARGETS["binary"][:n, None]
    model = two_layers()
    weights = model.get_weights()
    model.compile(SGD(0.5), "binary_crossentropy")
    history = model.fit(x, y, batch_size=batch, epochs=2, shuffle=False, verbose=0)
    for epoch in range(2):
        weights, loss = by_hand(weights, x, y, np.split(np.arange(n), range(batch, n, batch)), 0.5)
        assert history.history["loss"][epoch] == pytest.approx(loss, rel=1e-5)
    for ours, hand in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(ours, hand, rtol=1e-4, atol=1e-5)


def test_shuffling_visits_every_sample_once_in_another_order_each_epoch():
    x = np.arange(23.0)[:, None]
    model = Sequential([Dense(1, use_bias=False, kernel_initializer="ones", input_dim=1)])
    model.compile(SGD(0.0), lambda y, p: p)  # the loss is the mean of x: every sample counts once
    assert model.fit(x, x, batch_size=5, epochs=4, verbose=0).history["loss"] == [11.0] * 4
    orders = []
    for seed in (1, 1, 2):
        random.set_seed(seed)
        model = two_layers()
        model.set_weights([np.ones(w.shape) for w in model.weights])
        model.compile(SGD(0.1), "binary_crossentropy")
        orders.append(model.fit(X, TARGETS["binary"], batch_size=4, epochs=3, verbose=0).history["loss"])
    assert orders[0] == orders[1] != orders[2]


def test_same_seed_same_numbers():
    def run(seed):
        random.set_seed(seed)
        model = Sequential([Dense(16, activation="relu", input_dim=6), Dropout(0.5), Dense(3, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        history = model.fit(X, TARGETS["classes"], batch_size=8, epochs=3, verbose=0).history["loss"]
        return history, model.get_weights()
    first, again, other = run(11), run(11), run(12)
    assert first[0] == again[0] != other[0]
    for a, b in zip(first[1], again[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_learns():
    random.set_seed(0)
    x = np.random.default_rng(0).normal(size=(400, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)  # not linearly separable
    model = Sequential([Dense(16, activation="tanh", input_dim=2), Dense(2), Activation("softmax")])
    model.compile(Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:300], y[:300], epochs=150, verbose=0)
    loss, accuracy = model.evaluate(x[300:], y[300:], verbose=0)
    assert accuracy > 0.93 and loss < 0.25
    assert np.mean(model.predict(x[300:]).argmax(axis=1) == y[300:]) == pytest.approx(accuracy)


def test_inputs_of_several_axes_and_integer_data():
    x = np.random.default_rng(0).integers(0, 255, size=(40, 4, 3))
    model = Sequential([Flatten(input_shape=(4, 3)), Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit((x / 255).tolist(), [int(v) for v in x[:, 0, 0] > 128], batch_size=16, verbose=0)
    assert history.history["loss"][0] < 1.5


# ---------------------------------------------------------------- what stays, what compiles


def test_a_second_fit_goes_on_and_compiles_nothing():
    def model():
        random.set_seed(4)
        made = two_layers()
        made.compile(Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
        return made
    once, twice = model(), model()
    y = TARGETS["binary"]
    whole = once.fit(X, y, batch_size=8, epochs=4, shuffle=False, verbose=0).history["loss"]
    parts = twice.fit(X, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"]
    before = Counters.compiled, Counters.loaded, Counters.reused
    twice.optimizer.learning_rate = 0.01
    history = twice.fit(X, y, batch_size=8, epochs=4, initial_epoch=2, shuffle=False, verbose=0)
    assert (Counters.compiled, Counters.loaded, Counters.reused) == before
    assert history.epoch == [2, 3] and parts + history.history["loss"] == pytest.approx(whole)
    assert twice.history is history
    once.compile(Adam(0.01), "binary_crossentropy")  # the optimizer starts anew, the weights stay
    kept = once.get_weights()
    once.fit(X, y, epochs=1, initial_epoch=1, verbose=0)
    for a, b in zip(once.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_learning_rate_can_change_while_training():
    model = two_layers()
    model.compile(SGD(0.1), "binary_crossentropy")
    model.fit(X, TARGETS["binary"], verbose=0)
    before, weights = (Counters.compiled, Counters.loaded), []

    def stop_moving(epoch, logs):
        weights.append(model.get_weights()[0])
        model.optimizer.learning_rate = 0.0
    model.fit(X, TARGETS["binary"], epochs=3, verbose=0, callbacks=[LambdaCallback(on_epoch_end=stop_moving)])
    np.testing.assert_array_equal(weights[0], weights[2])
    assert (Counters.compiled, Counters.loaded) == before


@pytest.mark.parametrize("make", [SGD, lambda rate: LossScaleOptimizer(SGD(rate))], ids=["plain", "scaled"])
def test_a_function_that_knows_the_learning_rate(make):
    y, rates = TARGETS["binary"], [0.5, 0.0, 0.25]
    asked, told = two_layers(), two_layers()
    told.set_weights(asked.get_weights())
    now = {"rate": rates[0]}
    asked.compile(make(lambda: now["rate"]), "binary_crossentropy")
    told.compile(make(rates[0]), "binary_crossentropy")
    options = dict(batch_size=8, epochs=3, shuffle=False, verbose=0)
    random.set_seed(5)
    asked.fit(X, y, **options, callbacks=LambdaCallback(on_epoch_begin=lambda e, _: now.update(rate=rates[e])))
    random.set_seed(5)
    told.fit(X, y, **options, callbacks=LearningRateScheduler(lambda epoch: rates[epoch]))
    for a, b in zip(asked.get_weights(), told.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    before, weights = Counters.compiled, []
    now["rate"] = 0.0
    asked.train_on_batch(X, y)  # a program of its own, and no step
    asked.fit(X, y, batch_size=8, verbose=0, callbacks=LambdaCallback(
        on_train_batch_begin=lambda i, _: now.update(rate=0.1 * (i == 3)),
        on_train_batch_end=lambda i, _: weights.append(asked.get_weights()[0])))
    moved = [bool((a != b).any()) for a, b in zip([told.get_weights()[0], *weights], weights, strict=False)]
    assert moved == [i == 3 for i in range(7)] and asked.optimizer.learning_rate == 0.0
    assert Counters.compiled - before <= 1
    asked.optimizer.learning_rate = 0.5
    assert asked.optimizer.learning_rate == 0.5


def test_data_stay_as_they_are():
    x, y = X.copy(), TARGETS["binary"].copy()
    x.flags.writeable = y.flags.writeable = False
    model = two_layers()
    model.compile("adam", "binary_crossentropy")
    model.fit(x, y, epochs=2, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x)
    np.testing.assert_array_equal(x, X)


# ---------------------------------------------------------------- validation, callbacks


def test_validation_split_takes_the_last_samples():
    y = TARGETS["binary"]
    runs = []
    for options in (dict(x=X, y=y, validation_split=0.2), dict(x=X[:42], y=y[:42], validation_data=(X[42:], y[42:]))):
        random.set_seed(1)
        model = two_layers()
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        runs.append(model.fit(epochs=3, batch_size=8, verbose=0, **options).history)
    assert runs[0] == runs[1] and list(runs[0]) == ["accuracy", "loss", "val_accuracy", "val_loss"]


class Recorder(Callback):
    def __init__(self):
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append(("train_begin", self.params["epochs"], self.params["steps"]))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("end", epoch, sorted(logs)))
        self.model.stop_training = epoch == 2

    def on_train_end(self, logs=None):
        self.calls.append(("train_end", sorted(logs)))


def test_callbacks():
    model = two_layers()
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    recorder, seen = Recorder(), []
    history = model.fit(X, TARGETS["binary"], batch_size=8, epochs=9, initial_epoch=1, verbose=0,
                        callbacks=[recorder, LambdaCallback(on_epoch_end=lambda e, logs: seen.append(logs["loss"]))])
    names = ["accuracy", "loss"]
    assert recorder.calls == [("train_begin", 9, 7), ("begin", 1), ("end", 1, names), ("begin", 2), ("end", 2, names),
                              ("train_end", names)]
    assert history.epoch == [1, 2] and history.history["loss"] == seen


def test_callbacks_see_and_may_change_the_weights():
    model = two_layers()
    model.compile(SGD(0.1), "binary_crossentropy")
    features = Sequential(model.layers[:1])

    def look(epoch, logs):
        kernel, bias = model.get_weights()[:2]
        np.testing.assert_allclose(features.predict(X), np.tanh(X @ kernel + bias), rtol=1e-5)
        assert model.evaluate(X, TARGETS["binary"], verbose=0) < 5
        model.set_weights([np.zeros(w.shape) for w in model.weights])
    history = model.fit(X, TARGETS["binary"], batch_size=53, epochs=3, verbose=0,
                        callbacks=[LambdaCallback(on_epoch_end=look)])
    assert history.history["loss"][1:] == pytest.approx([np.log(2)] * 2)


def test_a_loss_that_is_not_finite_is_reported():
    model = Sequential([Dense(1, input_dim=6)])
    model.compile(SGD(1e30), "mse")
    with pytest.warns(RuntimeWarning, match="the loss is (nan|inf) from epoch 2 on"):
        model.fit(X, SCORES[:, 0], batch_size=53, epochs=4, verbose=0)


# ---------------------------------------------------------------- printing


def test_silence_and_lines(capsys):
    model = two_layers()
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(X, TARGETS["binary"], epochs=2, verbose=0)
    model.evaluate(X, TARGETS["binary"], verbose=0)
    model.predict(X)
    assert capsys.readouterr().out == ""
    for verbose in (1, 2, "auto"):
        history = model.fit(X, TARGETS["binary"], epochs=3, validation_split=0.2, verbose=verbose).history
        lines = capsys.readouterr().out.splitlines()
        assert lines[:6:2] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"] and len(lines) == 7
        assert lines[6].startswith(f"Best val_loss: {min(history['val_loss']):.4f} in epoch ")
        assert lines[5].startswith("2/2 ") and lines[5].endswith(
            f"- accuracy: {history['accuracy'][-1]:.4f} - loss: {history['loss'][-1]:.4f} - val_accuracy: "
            f"{history['val_accuracy'][-1]:.4f} - val_loss: {history['val_loss'][-1]:.4f}")
    model.evaluate(X, TARGETS["binary"])
    assert "accuracy: " in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_the_epoch_that_runs():
    state = {"step": np.array(100), "sums": {"loss": np.array(0.0)}}
    def results(sums, samples):
        return {"loss": float(sums["loss"]) / samples}
    record = Record(0, 2, 100, 10, {"loss": []}, state, results)
    out = Terminal()
    progress = Progress(1, record, out)
    state["step"][...] = 150
    state["sums"]["loss"][...] = 250.0
    progress.draw()
    assert "Epoch 1/2 50/100 ━━━━━━━━━━──────────" in out.getvalue() and "loss: 0.5000" in out.getvalue()
    record.columns["loss"].append(0.25)
    record.seconds.append(2.0)
    progress.draw(last=True)
    assert out.getvalue().splitlines()[-1].endswith("2s 20ms/step - loss: 0.2500")


def test_printed_numbers():
    assert [number(v) for v in (0.5, 0.0, 0.00012345)] == ["0.5000", "0.0000", "1.2345e-04"]
    assert [duration(s) for s in (1.23e-5, 0.0031, 2.2, 65)] == ["12.3us", "3.1ms", "2s", "1:05"]


# ---------------------------------------------------------------- Ctrl-C


def interrupted(model, x, y, capsys, **options):
    """Fit in the expectation of KeyboardInterrupt; what was printed."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0, **options)
    assert signal.getsignal(signal.SIGINT) is before
    assert all(np.isfinite(w).all() for w in model.get_weights())
    return capsys.readouterr().out


def test_interrupt_within_an_epoch_keeps_the_steps_made(capsys):
    rng = np.random.default_rng(0)
    rows = 1_000_000  # so many that no machine does an epoch at once
    x, y = rng.normal(size=(rows, 6)), rng.integers(2, size=rows)
    model = two_layers()
    model.compile(SGD(0.01), "binary_crossentropy")
    model.fit(x, y, batch_size=1, verbose=0)  # compiled
    _, step = model._held
    made = int(step)
    epochs = 1000

    def send():  # once the long fit is under way
        while int(step) < made + 1000:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=send)
    thread.start()
    begin = time.perf_counter()
    text = interrupted(model, x, y, capsys, batch_size=1, epochs=epochs)
    thread.join()
    assert 1000 <= int(step) - made < rows * epochs and time.perf_counter() - begin < 20
    part = (int(step) - made) % rows
    assert text.startswith("Interrupted: the model keeps all it learned up to epoch ")
    assert f"step {part:d} of {rows}" in text
    model.fit(x[:100], y[:100], verbose=0)  # and goes on


def test_interrupt_between_epochs(capsys):
    model = two_layers()
    model.compile("adam", "binary_crossentropy")
    model.fit(X, TARGETS["binary"], verbose=0)
    text = interrupted(model, X, TARGETS["binary"], capsys, epochs=5, callbacks=[LambdaCallback(
        on_epoch_end=lambda epoch, logs: epoch == 1 and os.kill(os.getpid(), signal.SIGINT))])
    assert text == "Interrupted: the model keeps all it learned up to the end of epoch 2 of 5.\n"
    assert model.history.epoch == [0, 1]


def test_interrupt_of_many_short_epochs(capsys):
    model = two_layers()
    model.compile("adam", "binary_crossentropy")
    model.fit(X, TARGETS["binary"], verbose=0)
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    text = interrupted(model, X, TARGETS["binary"], capsys, epochs=10_000_000)
    timer.join()
    assert text.startswith("Interrupted") and len(model.history.epoch) == len(model.history.history["loss"]) > 10


def test_interrupt_of_an_evaluation():
    x = np.zeros((3_000_000, 6), np.float32)
    model = two_layers()
    model.compile("adam", "binary_crossentropy")
    model.evaluate(x, x[:, 0], batch_size=1, verbose=0)
    begin = time.perf_counter()
    model.evaluate(x, x[:, 0], batch_size=1, verbose=0)
    whole = time.perf_counter() - begin
    timer = threading.Timer(whole / 3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.evaluate(x, x[:, 0], batch_size=1, verbose=0)
        time.sleep(10)  # where the machine was so fast that the timer comes late
    timer.join()


def test_a_handler_of_ones_own_is_heard():
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        model = two_layers()
        model.compile("adam", "binary_crossentropy")
        timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        while not heard:
            history = model.fit(X, TARGETS["binary"], epochs=500, verbose=0)
            assert len(history.epoch) == 500
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)


def test_fit_in_another_thread():
    model = two_layers()
    model.compile("adam", "binary_crossentropy")
    found = []
    thread = threading.Thread(target=lambda: found.append(model.fit(X, TARGETS["binary"], epochs=3, verbose=0)))
    thread.start()
    thread.join()
    assert found[0].epoch == [0, 1, 2]


def test_an_error_in_a_callback_comes_out():
    def fail(epoch, logs):
        raise LookupError("mine")
    model = two_layers()
    model.compile("adam", "binary_crossentropy")
    with pytest.raises(LookupError, match="mine"):
        model.fit(X, TARGETS["binary"], verbose=1, callbacks=LambdaCallback(on_epoch_end=fail))
