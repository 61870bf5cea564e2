"""The ways that optimizers take over three functions of two variables, drawn over each other.

Same function, same start, same gradients (those of backpropagation): what differs is only what is done with them. The
third function is noisy: every evaluation shifts the bowl at random, as minibatches do with a loss.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console
from rich.table import Table

import chainrule as cr

plt.switch_backend("Agg")

OUTPUT = Path(__file__).parent / "output" / "descent_paths.png"


def rosenbrock(x):
    """A bent valley; the minimum is at (1, 1)."""
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def beale(x):
    """Flat with steep corners; the minimum is at (3, 0.5)."""
    return sum((a - x[0] + x[0] * x[1] ** k) ** 2 for k, a in ((1, 1.5), (2, 2.25), (3, 2.625)))


def bowl(x):
    """Ten times as steep along one axis as along the other; the minimum is at (0, 0)."""
    return (x[0] ** 2 + 10 * x[1] ** 2) / 2


def noisy(rng):
    """The bowl, shifted anew by every evaluation."""
    return lambda x: bowl(x + rng.normal(scale=0.3, size=2))


def optimizers(rate):
    """Four ways to use a gradient; the adaptive ones scale it themselves, and take larger rates."""
    return {"SGD": cr.optimizers.SGD(rate), "Momentum": cr.optimizers.SGD(rate, momentum=0.9),
            "RMSProp": cr.optimizers.RMSprop(0.02), "Adam": cr.optimizers.Adam(0.1)}


def ways(steps):
    """Results by function and optimizer: (name, what is drawn, {optimizer: result})."""
    cases = [("Rosenbrock", rosenbrock, None, [-1.0, 1.5], 1e-3), ("Beale", beale, None, [1.0, 1.5], 1e-3),
             ("Noisy bowl", bowl, noisy, [-3.0, 1.5], 0.02)]
    for name, f, random, start, rate in cases:
        found = {}
        for label, optimizer in optimizers(rate).items():
            # a new random shift at every step is for Python: what is compiled is the same every time
            evaluated, compiled = (f, True) if random is None else (random(np.random.default_rng(0)), False)
            found[label] = cr.minimize(evaluated, np.array(start), optimizer, max_steps=steps, tolerance=1e-4,
                                       record_path=True, jit=compiled)
        yield name, f, found


def draw(results):
    """The picture: a part for each function."""
    figure, axes = plt.subplots(1, 3, figsize=(17, 5.2), layout="constrained")
    for ax, (name, f, found) in zip(axes, results, strict=True):
        cr.plot.path(f, found, ax=ax, points=60).set_title(name)
    return figure


def main(steps=1000):
    results = list(ways(steps))
    table = Table(title="Where they stopped (steps)", title_justify="left")
    for heading in ("", *results[0][2]):
        table.add_column(heading, justify="right")
    for name, f, found in results:
        table.add_row(name, *(f"{float(f(r.x)):.1e} ({r.steps:,})" for r in found.values()))
    Console().print(table)
    OUTPUT.parent.mkdir(exist_ok=True)
    draw(results).savefig(OUTPUT, dpi=110)
    print(f"The picture is {OUTPUT}")


if __name__ == "__main__":
    main()
