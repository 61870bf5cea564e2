"""A small residual network: learns scikit-learn's 8 x 8 digits with convolutions, and shows which ones it gets wrong.

Two residual blocks, the second of which halves the picture: its shortcut is a convolution of its own. A fifth of the
images is held out: never trained on.
"""

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import chainrule as cr
from chainrule.layers import BatchNormalization, Conv2D, Dense, Dropout, GlobalAveragePooling2D, Input, ReLU, Residual
from chainrule.models import Model
from chainrule.optimizers import Adam

EPOCHS = 12


def load():
    """Images (n, 8, 8, 1) of numbers from 0 to 1, and their digits: for training, and held out."""
    digits = load_digits()
    images = (digits.images / 16)[..., None]
    return train_test_split(images, digits.target, test_size=0.2, random_state=0, stratify=digits.target)


def block(filters, strides=1):
    """Two convolutions and a way around them."""
    branch = [
        Conv2D(filters, 3, strides=strides, padding="same", use_bias=False),
        BatchNormalization(momentum=0.9),
        ReLU(),
        Conv2D(filters, 3, padding="same", use_bias=False),
        BatchNormalization(momentum=0.9),
    ]
    shortcut = Conv2D(filters, 1, strides=strides, use_bias=False) if strides > 1 else None
    return Residual(branch, shortcut=shortcut, activation="relu")


def build(filters=16):
    image = Input((8, 8, 1))
    h = Conv2D(filters, 3, padding="same", activation="relu")(image)
    h = block(filters)(h)
    h = block(2 * filters, strides=2)(h)
    h = Dropout(0.2)(GlobalAveragePooling2D()(h))
    model = Model(image, Dense(10, activation="softmax")(h), name="residual")
    model.compile(loss="sparse_categorical_crossentropy", optimizer=Adam(learning_rate=0.003), metrics=["accuracy"])
    return model


def mistakes(model, x, y):
    """A row for each held-out digit that is taken for another."""
    probabilities = model.predict(x)
    found = probabilities.argmax(axis=1)
    table = Table(title="Held-out digits taken for another", title_justify="left")
    for heading in ("number", "is", "taken for", "probability"):
        table.add_column(heading, justify="right")
    for i in np.flatnonzero(found != y):
        table.add_row(str(i), str(y[i]), str(found[i]), f"{probabilities[i, found[i]]:.0%}")
    return table


def main():
    cr.set_seed(0)
    x, x_held_out, y, y_held_out = load()
    model = build()
    model.summary()
    model.fit(x, y, epochs=EPOCHS, batch_size=32, validation_data=(x_held_out, y_held_out), verbose=1)
    _, accuracy = model.evaluate(x_held_out, y_held_out, verbose=0)
    console = Console()
    console.print(mistakes(model, x_held_out, y_held_out))
    console.print(f"Held-out accuracy: [bold]{accuracy:.2%}[/] of {len(y_held_out)} digits never trained on")


if __name__ == "__main__":
    main()
