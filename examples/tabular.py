"""Tables of numbers: a regression and a classification with validation and early stopping, beside scikit-learn.

The regression predicts the course of diabetes from ten measurements, the classification whether a tumour is benign.
A fifth of each table is held out. Training stops when the validation loss no longer falls, and goes back to the best
weights.
"""

from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import chainrule as cr
from chainrule.callbacks import EarlyStopping
from chainrule.layers import Dense, Dropout
from chainrule.models import Sequential
from chainrule.optimizers import Adam

EPOCHS = 200


@dataclass
class Task:
    """A table split into training and held-out rows, all columns of mean 0 and variance 1."""

    name: str
    x: np.ndarray
    x_held_out: np.ndarray
    y: np.ndarray
    y_held_out: np.ndarray
    classes: bool


def tasks():
    for name, table, classes in (("diabetes", load_diabetes(), False), ("tumours", load_breast_cancer(), True)):
        x, x_held_out, y, y_held_out = train_test_split(table.data, table.target, test_size=0.2, random_state=0)
        scaler = StandardScaler().fit(x)
        if not classes:
            y, y_held_out = ((t - y.mean()) / y.std() for t in (y, y_held_out))
        yield Task(name, scaler.transform(x), scaler.transform(x_held_out), y, y_held_out, classes)


def train(task, epochs=EPOCHS):
    """The network with its best weights, and the history of its training."""
    cr.set_seed(0)
    hidden = Dense(32, activation="relu", input_shape=task.x.shape[1:], kernel_regularizer="l2")
    model = Sequential([hidden, Dropout(0.3), Dense(1, activation="sigmoid" if task.classes else None)])
    model.compile(Adam(0.003), "binary_crossentropy" if task.classes else "mse",
                  metrics=["accuracy"] if task.classes else ["mae"])
    stop = EarlyStopping(patience=20, restore_best_weights=True)
    history = model.fit(task.x, task.y, epochs=epochs, batch_size=16, validation_split=0.2, callbacks=[stop], verbose=0)
    return model, history


def score(task, predicted):
    """The share of right answers, or of the variance that is explained."""
    if task.classes:
        return float(np.mean((predicted > 0.5) == task.y_held_out))
    return float(1 - np.mean((predicted - task.y_held_out) ** 2) / np.var(task.y_held_out))


def baseline(task):
    """What a linear model of scikit-learn reaches."""
    linear = LogisticRegression() if task.classes else Ridge()
    return score(task, linear.fit(task.x, task.y).predict(task.x_held_out))


def main():
    table = Table(title="On rows never trained on", title_justify="left")
    for heading in ("table", "measure", "network", "linear model", "best epoch", "epochs run"):
        table.add_column(heading)
    for task in tasks():
        model, history = train(task)
        table.add_row(task.name, "accuracy" if task.classes else "R²",
                      f"{score(task, model.predict(task.x_held_out)[:, 0]):.3f}", f"{baseline(task):.3f}",
                      str(history.best_epoch), str(len(history.epoch)))
    Console().print(table)


if __name__ == "__main__":
    main()
