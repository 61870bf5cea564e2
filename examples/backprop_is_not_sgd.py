"""Backpropagation is not gradient descent: one network trained every way.

Backpropagation computes gradients; forward mode and finite differences compute the same ones, at a price. SGD, Adam and
L-BFGS use gradients to train; a genetic algorithm, an evolution strategy, random search train without any. Same model,
same data, same loop, all compiled. The table says what a step costs, how many steps and how much time it takes to reach
the target loss, and how far each gradient is from the one in double precision.
"""

import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import chainrule as cr
from chainrule.layers import Dense
from chainrule.models import Sequential
from chainrule.optimizers import LBFGS, SGD, Adam, EvolutionStrategy, Genetic, RandomSearch

TARGET = 0.1
PICTURE = Path(__file__).parent / "output" / "backprop_is_not_sgd.png"

RUNS = {  # what finds the gradient, what uses it
    "backpropagation + SGD": ("backprop", lambda: SGD(0.5, momentum=0.9)),
    "forward mode + SGD": ("forward", lambda: SGD(0.5, momentum=0.9)),
    "finite differences + SGD": ("finite_difference", lambda: SGD(0.5, momentum=0.9)),
    "backpropagation + Adam": ("backprop", lambda: Adam(0.03)),
    "backpropagation + L-BFGS": ("backprop", lambda: LBFGS()),
    "evolution strategy": (None, lambda: EvolutionStrategy(1.0, samples=32, sigma=0.1, seed=0)),
    "genetic algorithm": (None, lambda: Genetic(0.4, population=48, seed=0)),
    "random search": (None, lambda: RandomSearch(0.1, samples=16, seed=0)),
}


def load(n=200):
    """Two half moons, one in the other."""
    rng = np.random.default_rng(0)
    angle, inner = rng.uniform(0, np.pi, n), np.arange(n) % 2
    x = np.where(inner[:, None], np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1),
                 np.stack([np.cos(angle), np.sin(angle)], 1))
    return (x + rng.normal(scale=0.15, size=x.shape)).astype(np.float32), inner.astype(np.float32)[:, None]


def build():
    """Two inputs, eight hidden units, one output: 33 parameters, always the same ones at the start."""
    cr.set_seed(3)
    return Sequential([Dense(8, activation="tanh", input_dim=2), Dense(1, activation="sigmoid")])


def gradient_error(way, x, y):
    """How far the gradient at the start, found in single precision, is from the exact one, relative to its size."""
    model = build()
    before = model.get_weights()
    model.compile(SGD(1.0), "binary_crossentropy")
    model.fit(x, y, batch_size=len(x), gradient=way, verbose=0)
    found = np.concatenate([(a - b).ravel() for a, b in zip(before, model.get_weights(), strict=True)])

    def loss(weights):
        hidden = np.tanh(x.astype(float) @ weights[0] + weights[1])
        return cr.losses.BinaryCrossentropy(from_logits=True)(y.astype(float), hidden @ weights[2] + weights[3])
    exact = np.concatenate([g.ravel() for g in cr.grad(loss)([w.astype(float) for w in before])])
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def train(way, optimizer, x, y, steps):
    """The loss before each step, and the seconds that a step took in the steady state."""
    model = build()
    model.compile(optimizer, "binary_crossentropy")
    options = {"batch_size": len(x), "gradient": way or "backprop", "verbose": 0}
    model.fit(x, y, initial_epoch=1, epochs=1, **options)  # no step, but from here on all is compiled
    begin = time.perf_counter()
    history = model.fit(x, y, epochs=steps, **options).history["loss"]
    return history, (time.perf_counter() - begin) / steps


def compare(steps=1000):
    """A row for each way: name, seconds a step, losses, error of the gradient (None without one)."""
    x, y = load()
    return [(name, *reversed(train(way, make(), x, y, steps)), None if way is None else gradient_error(way, x, y))
            for name, (way, make) in RUNS.items()]


def steps_to_target(losses):
    """The first step whose loss is at most the target; None if there is none."""
    below = np.flatnonzero(np.asarray(losses) <= TARGET)
    return int(below[0]) + 1 if len(below) else None


def table_of(rows):
    table = Table(title=f"One network of 33 parameters, trained to a loss of {TARGET}", title_justify="left")
    for heading in ("way", "a step", "steps to the target", "time to the target", "error of the gradient"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for name, seconds, losses, error in rows:
        steps = steps_to_target(losses)
        table.add_row(name, f"{seconds * 1e6:,.0f} µs", "never" if steps is None else f"{steps:,}",
                      "" if steps is None else f"{steps * seconds * 1e3:,.1f} ms",
                      "uses none" if error is None else f"{error:.0e}")
    return table


def draw(rows, path):
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    by_steps, by_time = figure.subplots(1, 2, sharey=True)
    for name, seconds, losses, error in rows:
        style = "--" if error is None else "-"
        counts = np.arange(1, len(losses) + 1)
        by_steps.plot(counts, losses, style, label=name)
        by_time.plot(counts * seconds * 1e3, losses, style, label=name)
    for axes, label in ((by_steps, "steps"), (by_time, "milliseconds")):
        axes.set(xscale="log", yscale="log", xlabel=label, ylim=(TARGET / 10, None))
        axes.axhline(TARGET, color="gray", linewidth=0.8)
        axes.grid(alpha=0.3)
    by_steps.set_ylabel("loss")
    by_time.legend(fontsize=8)
    figure.suptitle("Backpropagation finds gradients, an optimizer uses them (dashed: no gradients at all)")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    found = compare()
    Console().print(table_of(found))
    draw(found, PICTURE)
    print(f"Picture: {PICTURE}")
