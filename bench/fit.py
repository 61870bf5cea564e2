"""What `fit` costs beside the step itself: per step, epoch, call, hook of a batch; with a train_step of one's own too.

The step by hand is the same network and rule as a NumPy-style function over minibatches in `cr.scan`, compiled whole.

`python bench/fit.py`, with `--quick` for a glance. One thread.
"""

import argparse
import time

import numpy as np

import chainrule as cr
from chainrule.callbacks import Callback
from chainrule.layers import Dense
from chainrule.losses import SparseCategoricalCrossentropy
from chainrule.models import Model, Sequential
from chainrule.optimizers import Adam

# widths, batch, steps of an epoch, epochs
NETWORKS = (((10, 32, 16, 2), 10, 500, 20), ((64, 128, 10), 32, 200, 10), ((784, 512, 512, 10), 128, 50, 1))


class Stepped(Model):
    """The network with a train_step of its own."""

    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x

    def train_step(self, data):
        x, y = data
        loss = self.compute_loss(x, y, self(x, training=True))
        self.optimizer.apply(self.gradients(loss), self.trainable_weights)
        return {"loss": loss}


class EachBatch(Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.seen = logs["loss"]


class EachTenth(EachBatch):
    batch_interval = 10


def dense(widths):
    return [Dense(n, activation="softmax" if k == len(widths) - 2 else "relu") for k, n in enumerate(widths[1:])]


def compiled(model):
    model.compile(Adam(1e-4), "sparse_categorical_crossentropy")
    return model


def by_hand(widths, batch, x, y):
    """A function that trains for one epoch, and a state that native code updates in place."""
    rng = np.random.default_rng(0)
    weights = [w for a, b in zip(widths, widths[1:], strict=False)
               for w in (0.1 * rng.normal(size=(a, b)).astype(np.float32), np.zeros(b, np.float32))]
    flat = np.concatenate([w.reshape(-1) for w in weights])
    rule, loss_of, ends = Adam(1e-4), SparseCategoricalCrossentropy(), np.cumsum([w.size for w in weights])[:-1]

    def loss(flat, x, y):
        parts = [p.reshape(w.shape) for p, w in zip(np.split(flat, ends), weights, strict=True)]
        for k in range(0, len(parts), 2):
            x = x @ parts[k] + parts[k + 1]
            x = np.maximum(x, 0) if k < len(parts) - 2 else cr.activations.softmax(x)
        return loss_of(y, x)

    def step(state, rows):
        flat, opt, step, total = state
        value, slope = cr.value_and_grad(loss)(flat, np.take(x_, rows, axis=0), np.take(y_, rows, axis=0))
        flat, opt = rule.update(flat, slope, opt, 1e-4, step)
        return (flat, opt, step + 1, total + value), None
    x_ = y_ = None

    def epoch(state, x, y, order):
        nonlocal x_, y_
        x_, y_ = x, y
        return cr.scan(step, state, order)[0]
    order = np.random.default_rng(1).permutation(len(x)).reshape(-1, batch)
    state = flat, rule.init(flat), np.zeros((), np.int64), np.zeros((), np.float32)
    program = cr.jit(epoch, donate=(0,)).bind(state, x, y, order)
    return program


def best(function, seconds):
    """The fastest call, in seconds."""
    function()
    fastest, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        function()
        fastest = min(fastest, time.perf_counter() - begin)
    return fastest


def per_epoch(fit, many):
    """Seconds of an epoch within a long call: two calls apart, so that what a call costs once does not count."""
    short = min(timed(lambda: fit(1)) for _ in range(5))
    return (min(timed(lambda: fit(many + 1)) for _ in range(5)) - short) / many


def timed(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def network(widths, batch, steps, epochs, seconds):
    """Microseconds a step, by name."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(steps * batch, widths[0])).astype(np.float32)
    y = rng.integers(0, widths[-1], steps * batch).astype(np.int32)
    usual = compiled(Sequential(dense(widths)))
    own = compiled(Stepped(dense(widths)))
    found = {}
    found["by hand"] = best(by_hand(widths, batch, x, y), seconds) / steps
    for name, model, shuffle in (("fit, not shuffled", usual, False), ("fit", usual, True),
                                 ("fit, train_step of one's own", own, True)):
        def fit(model=model, shuffle=shuffle):
            model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0, shuffle=shuffle)
        found[name] = best(fit, seconds) / steps / epochs
    return {name: value * 1e6 for name, value in found.items()}


def overheads(seconds):
    """Microseconds beside the steps."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 4)).astype(np.float32), rng.integers(0, 2, 8)
    model = compiled(Sequential([Dense(2, activation="softmax", input_dim=4)]))
    many = 5_000
    found = {"an epoch of one step": per_epoch(lambda n: model.fit(x, y, batch_size=8, epochs=n, verbose=0), many),
             "an epoch of one step, validated": per_epoch(
                 lambda n: model.fit(x, y, batch_size=8, epochs=n, verbose=0, validation_data=(x, y)), many),
             "an epoch of two steps, shuffled": per_epoch(
                 lambda n: model.fit(x, y, batch_size=4, epochs=n, verbose=0), many),
             "a call of fit": best(lambda: model.fit(x, y, batch_size=8, verbose=0), seconds),
             "a call of train_on_batch": best(lambda: model.train_on_batch(x, y), seconds),
             "a call of evaluate": best(lambda: model.evaluate(x, y, verbose=0), seconds)}
    x, y = np.repeat(x, 100, 0), np.repeat(y, 100)
    plain = per_epoch(lambda n: model.fit(x, y, batch_size=8, epochs=n, verbose=0), 50)
    hooks = ("a hook after each batch", EachBatch(), 100), ("a hook after each tenth", EachTenth(), 10)
    for name, hook, calls in hooks:
        def fit(n, hook=hook):
            model.fit(x, y, batch_size=8, epochs=n, verbose=0, callbacks=[hook])
        found[name] = (per_epoch(fit, 50) - plain) / calls
    return {name: value * 1e6 for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a glance")
    seconds = 0.5 if parser.parse_args().quick else 3.0
    cr.set_threads(1)
    for widths, batch, steps, epochs in NETWORKS:
        found = network(widths, batch, steps, epochs, seconds)
        print(f"{'-'.join(map(str, widths))}, batch {batch}, {steps} steps an epoch: µs a step, times by hand")
        for how, value in found.items():
            print(f"  {how:32}{value:10.2f}{value / found['by hand']:8.2f}")
    print("Beside the steps: µs")
    for name, value in overheads(seconds).items():
        print(f"  {name:32}{value:10.2f}")


if __name__ == "__main__":
    main()
