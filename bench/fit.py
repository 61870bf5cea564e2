"""What `fit` costs beside the step itself: per step, epoch, call, hook of a batch; with a train_step of one's own too.

The step by hand is the same network, loss and rule from functions over minibatches in `cr.scan`, compiled whole
(`peer_chainrule.py`). A call of `fit` is 50 ms long or one epoch, and its step is a share of all that it takes; what a
call costs once stands beside it. All are run in turn; the fastest of many counts.

`python bench/fit.py`, with `--quick` for a glance. One thread.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
from peer_chainrule import epoch_of
from peer_layers import model_of
from workloads import WORKLOADS

import chainrule as cr
from chainrule.callbacks import Callback
from chainrule.layers import Dense
from chainrule.models import Model, Sequential
from chainrule.optimizers import Adam

NETWORKS = [name for name, work in WORKLOADS.items() if work.loss != "burgers"]  # which no loss of layers' outputs is


class Stepped(Model):
    """A network with a train_step of its own."""

    def train_step(self, data):
        x, y = data
        predicted = self(x, training=True)
        loss = self.compute_loss(x, y, predicted)
        self.optimizer.apply(self.gradients(loss), self.trainable_weights)
        return {"loss": loss, **self.compute_metrics(x, y, predicted)}


WAYS = ("fit", Model), ("train_step of one's own", Stepped)


class EachBatch(Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.seen = logs["loss"]


class EachTenth(EachBatch):
    batch_interval = 10


def compiled(model):
    model.compile(Adam(1e-4), "sparse_categorical_crossentropy")
    return model


def best(function, seconds):
    """The fastest call, in seconds."""
    function()
    return in_turn({"": function}, seconds)[""]


def per_epoch(fit, many):
    """Seconds of an epoch within a long call: two calls apart, so that what a call costs once does not count."""
    short = min(timed(lambda: fit(1)) for _ in range(5))
    return (min(timed(lambda: fit(many + 1)) for _ in range(5)) - short) / many


def in_turn(functions, seconds):
    """The fastest call of each, in seconds; a turn is several calls of short ones."""
    fastest, end = dict.fromkeys(functions, np.inf), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, function in functions.items():
            turn = time.perf_counter() + 0.02
            while True:
                fastest[name] = min(fastest[name], timed(function))
                if time.perf_counter() > turn:
                    break
    return fastest


def timed(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def network(work, seconds):
    """Seconds a step by hand; for each way to fit, seconds a step, and what a call costs once.

    The latter is None where it is lost in an epoch of many milliseconds.
    """
    work = replace(work, learning_rate=1e-6)  # moments of what is learned get too small to be normal, and take longer
    epoch, arguments = epoch_of(work)
    by_hand = cr.jit(epoch, donate=(0,)).bind(*arguments)
    x, y = work.arrays()
    by_hand()
    many = max(1, round(0.05 / timed(by_hand)))

    def epochs_by_hand():
        for _ in range(many):
            by_hand()
    calls = {"by hand": epochs_by_hand}
    for name, kind in WAYS:
        model = model_of(work, kind)
        for epochs in {1, many}:
            def fit(model=model, epochs=epochs):
                model.fit(x, y, batch_size=work.batch, epochs=epochs, verbose=0)
            fit()
            calls[name, epochs] = fit
    found = in_turn(calls, seconds)
    ways = {}
    for name, _ in WAYS:
        each = found[name, many] / many
        ways[name] = each / work.steps, None if many == 1 else (found[name, 1] - each) * many / (many - 1)
    return found["by hand"] / many / work.steps, ways


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
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=NETWORKS, metavar="NETWORK",
                        help=", ".join(NETWORKS))
    options = parser.parse_args()
    cr.set_threads(1)
    print(f"{'µs':28}{'by hand':>12}{'within fit':>12}{'ratio':>8}{'own step':>12}{'ratio':>8}{'a call once':>14}")
    for name in options.networks:
        work = WORKLOADS[name]
        hand, ways = network(work, 2.0 if options.quick else 20.0)
        (step, once), (own, _) = ways.values()
        call = "" if once is None else f"{1e6 * once:.0f}"
        print(f"{name + f', {work.steps} steps':28}{1e6 * hand:12.2f}{1e6 * step:12.2f}{step / hand:8.3f}"
              f"{1e6 * own:12.2f}{own / hand:8.3f}{call:>14}", flush=True)
    print("Beside the steps: µs")
    for name, value in overheads(0.5 if options.quick else 3.0).items():
        print(f"  {name:32}{value:10.2f}")


if __name__ == "__main__":
    main()
