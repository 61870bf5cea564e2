"""Handwritten digits: trains a dense network on scikit-learn's 8 x 8 images and shows how it went.

A fifth of the images is held out: never trained on, and nothing is chosen by them. The others are also shown
to the network moved by one pixel in each direction, which teaches it that a digit stays the same digit.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import chainrule as cr
from chainrule.layers import Dense, Dropout
from chainrule.models import Sequential
from chainrule.optimizers import Adam

EPOCHS = 30
PICTURE = Path(__file__).parent / "output" / "digits.png"
MOVES = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))


def load():
    """Images as rows of 64 numbers from 0 to 1, and their digits: for training, and held out."""
    digits = load_digits()
    x, x_held_out, y, y_held_out = train_test_split(
        digits.data / 16, digits.target, test_size=0.2, random_state=0, stratify=digits.target
    )
    return np.concatenate([moved(x, *move) for move in MOVES]), np.tile(y, len(MOVES)), x_held_out, y_held_out


def moved(x, down, right):
    """The images moved by up to one pixel; what comes in is empty."""
    framed = np.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    return framed[:, 1 - down : 9 - down, 1 - right : 9 - right].reshape(-1, 64)


def build():
    model = Sequential(
        [
            Dense(512, activation="relu", input_shape=(64,)),
            Dropout(0.4),
            Dense(256, activation="relu"),
            Dropout(0.4),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        loss="sparse_categorical_crossentropy", optimizer=Adam(learning_rate=0.001), metrics=["accuracy"]
    )
    return model


def epoch_table(history):
    """A row per epoch."""
    table = Table(title="Training, epoch by epoch", title_justify="left")
    for heading in ("epoch", "loss", "accuracy", "held-out loss", "held-out accuracy"):
        table.add_column(heading, justify="right")
    columns = (history[key] for key in ("loss", "accuracy", "val_loss", "val_accuracy"))
    for epoch, (loss, accuracy, val_loss, val_accuracy) in enumerate(zip(*columns, strict=True), start=1):
        table.add_row(str(epoch), f"{loss:.4f}", f"{accuracy:.2%}", f"{val_loss:.4f}", f"{val_accuracy:.2%}")
    return table


def save_curves(history, file):
    """Loss and accuracy over the epochs, for the training and the held-out digits."""
    figure = Figure(figsize=(10, 4), layout="constrained")  # without pyplot: no window, no screen needed
    for panel, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        epochs = range(1, len(history[name]) + 1)
        panel.plot(epochs, history[name], label="training (with dropout)")
        panel.plot(epochs, history[f"val_{name}"], label="held out")
        panel.set(xlabel="epoch", ylabel=name, title=name.capitalize())
        panel.grid(alpha=0.3)
        panel.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def main():
    cr.set_seed(0)
    x, y, x_held_out, y_held_out = load()
    model = build()
    model.summary()
    history = model.fit(
        x, y, epochs=EPOCHS, batch_size=64, validation_data=(x_held_out, y_held_out), verbose=1
    ).history
    _, accuracy = model.evaluate(x_held_out, y_held_out, verbose=0)

    console = Console()
    console.print(epoch_table(history))
    console.print(f"Held-out accuracy: [bold]{accuracy:.2%}[/] of {len(y_held_out)} digits never trained on")
    save_curves(history, PICTURE)
    console.print(f"Curves saved to {PICTURE}", soft_wrap=True)


if __name__ == "__main__":
    main()
