"""An autoencoder: the digits of scikit-learn squeezed into eight numbers each, and drawn again from them.

The encoder and the decoder are models of their own that share their layers with the whole: each can be used alone. The
picture shows held-out digits above, and what is left of them below.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.console import Console
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

import chainrule as cr
from chainrule.layers import Dense, Input
from chainrule.models import Model, Sequential
from chainrule.optimizers import Adam

mpl.use("Agg")
import matplotlib.pyplot as plt

CODE, EPOCHS = 8, 60
OUTPUT = Path(__file__).parent / "output"


def load():
    """Images as rows of 64 numbers from 0 to 1: for training, and held out."""
    return train_test_split((load_digits().data / 16).astype(np.float32), test_size=0.2, random_state=0)


def build(code=CODE):
    """The whole, the encoder and the decoder."""
    encoder = Sequential([Dense(64, activation="relu", input_shape=(64,)), Dense(code)], name="encoder")
    decoder = Sequential([Dense(64, activation="relu", input_shape=(code,)), Dense(64, activation="sigmoid")],
                         name="decoder")
    image = Input((64,))
    model = Model(image, decoder(encoder(image)), name="autoencoder")
    model.compile(Adam(0.003), "mse")
    return model, encoder, decoder


def by_components(x, x_held_out, code=CODE):
    """The mean squared error of the same number of principal components: the best that is linear."""
    components = PCA(code).fit(x)
    again = components.inverse_transform(components.transform(x_held_out))
    return float(np.mean((again - x_held_out) ** 2))


def draw(path, images, again, count=12):
    figure, axes = plt.subplots(2, count, figsize=(count, 2.2), layout="constrained")
    for row, pictures in zip(axes, (images, again), strict=True):
        for ax, picture in zip(row, pictures, strict=False):
            ax.imshow(picture.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            ax.set_axis_off()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main():
    cr.set_seed(0)
    x, x_held_out = load()
    model, encoder, decoder = build()
    model.fit(x, x, epochs=EPOCHS, batch_size=32, validation_data=(x_held_out, x_held_out), verbose=0)
    again = decoder.predict(encoder.predict(x_held_out))
    draw(OUTPUT / "autoencoder.png", x_held_out, again)
    console = Console(soft_wrap=True)
    console.print(f"Mean squared error on held-out digits: {np.mean((again - x_held_out) ** 2):.4f}; "
                  f"of {CODE} principal components: {by_components(x, x_held_out):.4f}")
    console.print(f"Digits before and after saved to {OUTPUT / 'autoencoder.png'}")


if __name__ == "__main__":
    main()
