"""A process that trains, and is killed: a server that forks a training for every line it reads.

Forking saves the time to import; nothing native has run in the server itself. Called with a folder; each line is the
name of a run in it, and the answer is the number of the process. What the run learned is saved to NAME.npz when it
ends. A run whose name begins with "own" trains by a step of the model's own, with two optimizers.
"""

import os
import sys
from pathlib import Path

import numpy as np

from chainrule import random
from chainrule.callbacks import BackupAndRestore, Callback
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.metrics import Mean
from chainrule.models import Model, Sequential
from chainrule.optimizers import SGD

EPOCHS = 40


class Trend(Callback):
    """Changes the learning rate by what it has seen: a state that must come back."""

    saved = ("best", "waited")

    def on_train_begin(self, logs=None):
        self.best, self.waited = float("inf"), 0

    def on_epoch_end(self, epoch, logs=None):
        self.waited = 0 if logs["loss"] < self.best else self.waited + 1
        self.best = min(self.best, logs["loss"])
        self.model.optimizer.learning_rate *= 0.7 if self.waited else 1.01


class Own(Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.norm, self.drop = Dense(12, activation="tanh"), BatchNormalization(), Dropout(0.3)
        self.out, self.second, self.seen = Dense(1, activation="sigmoid"), SGD(0.1, momentum=0.9), Mean("seen")

    def call(self, x):
        return self.out(self.drop(self.norm(self.hidden(x))))

    def train_step(self, data):
        x, y = data
        loss = self.compute_loss(x, y, self(x, training=True))
        last = self.out.trainable_weights
        rest = [w for w in self.trainable_weights if w not in last]
        slopes, steep = self.gradients(loss, rest), self.gradients(loss, last)
        self.optimizer.apply(slopes, rest)
        self.second.apply(steep, last)
        self.seen.update_state(loss)
        return {"loss": loss, "seen": self.seen.result()}


def train(folder, name, save_freq=2):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(61, 5)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    random.set_seed(7)
    model = Own() if name.startswith("own") else Sequential([
        Dense(12, activation="tanh", input_dim=5), Dropout(0.3), Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    calls = [Trend()] if save_freq is None else [BackupAndRestore(folder / name, save_freq), Trend()]
    history = model.fit(x, y, batch_size=8, epochs=EPOCHS, verbose=0, validation_split=0.2, callbacks=calls)
    beside = folder / f".{name}.npz"
    np.savez(beside, *model.get_weights(), **{f"history_{k}": v for k, v in history.history.items()},
             drawn=random.generator().random())
    os.replace(beside, folder / f"{name}.npz")


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if not child:
            train(Path(sys.argv[1]), line.strip())
            os._exit(0)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)
