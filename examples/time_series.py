"""A time series continued by an LSTM: three waves of different length with noise, one step ahead and a hundred.

The network sees 48 values and predicts the next one. Then it goes on alone: every prediction becomes part of what it
sees. A naive forecast, that the next value is the last one, is the measure.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.console import Console

import chainrule as cr
from chainrule.layers import LSTM, Dense
from chainrule.models import Sequential
from chainrule.optimizers import Adam

mpl.use("Agg")
import matplotlib.pyplot as plt

WINDOW, EPOCHS, AHEAD = 48, 15, 100
OUTPUT = Path(__file__).parent / "output"


def series(n=2000, seed=0):
    """A sum of three waves with a little noise."""
    t = np.arange(n)
    waves = np.sin(2 * np.pi * t / 25) + 0.5 * np.sin(2 * np.pi * t / 9) + 0.3 * np.sin(2 * np.pi * t / 60)
    return (waves + np.random.default_rng(seed).normal(scale=0.05, size=n)).astype(np.float32)


def windows(values):
    """All stretches of ``WINDOW`` values, (n, WINDOW, 1), and the value that follows each."""
    seen = np.lib.stride_tricks.sliding_window_view(values, WINDOW)[:-1]
    return np.ascontiguousarray(seen)[..., None], values[WINDOW:]


def train(values, units=32, epochs=EPOCHS):
    cr.set_seed(0)
    model = Sequential([LSTM(units, input_shape=(WINDOW, 1)), Dense(1)])
    model.compile(Adam(0.005), "mse")
    x, y = windows(values)
    history = model.fit(x, y, epochs=epochs, batch_size=32, verbose=0)
    return model, history.history["loss"]


def errors(model, values):
    """Mean squared error of the network, and of the forecast that nothing changes."""
    x, y = windows(values)
    return float(np.mean((model.predict(x)[:, 0] - y) ** 2)), float(np.mean((x[:, -1, 0] - y) ** 2))


def continued(model, start, steps=AHEAD):
    """What the network makes of its own predictions."""
    seen = list(start[-WINDOW:])
    for _ in range(steps):
        seen.append(float(model.predict(np.array(seen[-WINDOW:], np.float32)[None, :, None])[0, 0]))
    return np.array(seen[WINDOW:])


def draw(path, values, forecast):
    figure, ax = plt.subplots(figsize=(9, 3), layout="constrained")
    past = np.arange(-WINDOW, 0)
    ax.plot(past, values[:WINDOW], color="gray", label="seen")
    ax.plot(np.arange(len(forecast)), values[WINDOW:WINDOW + len(forecast)], color="tab:blue", label="what came")
    ax.plot(np.arange(len(forecast)), forecast, color="tab:red", linestyle="--", label="forecast")
    ax.set_xlabel("step")
    ax.legend(loc="upper right", ncols=3)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    values = series()
    past, future = values[:1600], values[1600:]
    model, losses = train(past)
    network, naive = errors(model, future)
    draw(OUTPUT / "time_series.png", future, continued(model, future[:WINDOW]))
    console = Console(soft_wrap=True)
    console.print(f"Training loss {losses[0]:.4f} → {losses[-1]:.4f}; noise alone has 0.0025")
    console.print(f"One step ahead, on values never trained on: {network:.4f}, naive forecast {naive:.4f}")
    console.print(f"Forecast of {AHEAD} steps saved to {OUTPUT / 'time_series.png'}")


if __name__ == "__main__":
    main()
