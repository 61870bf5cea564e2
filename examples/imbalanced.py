"""An imbalanced problem: which of scikit-learn's handwritten digits are eights? One in ten is.

A network that always says no is right nine times of ten, so accuracy says little. Class weights make the few eights
count as much as all the others: more of them are found, at the price of more false alarms. What changes is recall and
precision at the threshold 0.5; the areas under the curves, which look at all thresholds, change less.
"""

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import chainrule as cr
from chainrule import metrics
from chainrule.layers import Dense
from chainrule.models import Sequential
from chainrule.optimizers import Adam
from chainrule.optimizers.schedules import CosineDecay

EPOCHS, BATCH = 40, 32


def load():
    """Blurred images as rows of 64 numbers, and 1 for an eight: for training, and held out."""
    digits = load_digits()
    noisy = digits.data / 16 + np.random.default_rng(0).normal(scale=0.35, size=digits.data.shape)
    return train_test_split(noisy, digits.target == 8, test_size=0.4, random_state=0, stratify=digits.target == 8)


def train(x, y, class_weight, epochs=EPOCHS):
    """A small network, whose learning rate falls to 0 over the training."""
    cr.set_seed(0)
    model = Sequential([Dense(16, activation="relu", input_shape=(64,)), Dense(1, activation="sigmoid")])
    steps = epochs * -(-len(x) // BATCH)
    model.compile(Adam(CosineDecay(0.01, steps), weight_decay=0.1), "binary_crossentropy",
                  metrics=["accuracy", metrics.Recall(name="recall"), metrics.Precision(name="precision"),
                           metrics.F1Score(average="micro", threshold=0.5, name="f1"),
                           metrics.AUC(name="roc"), metrics.AUC(curve="PR", name="pr")])
    model.fit(x, y, epochs=epochs, batch_size=BATCH, class_weight=class_weight, verbose=0)
    return model


def compare(epochs=EPOCHS):
    """What each way gives on images that were held out, by name."""
    x, x_held_out, y, y_held_out = load()
    rare = float(np.mean(y))
    balanced = {0: 0.5 / (1 - rare), 1: 0.5 / rare}  # both classes count alike, the mean weight is 1
    return {name: train(x, y, weights, epochs).evaluate(x_held_out, y_held_out, verbose=0, return_dict=True)
            for name, weights in (("all samples alike", None), ("class weights", balanced))}


def table_of(found):
    table = Table(title="Eights among digits that the network has not seen", title_justify="left")
    table.add_column("trained with")
    shown = ["accuracy", "recall", "precision", "f1", "roc", "pr"]
    for name in shown:
        table.add_column(name, justify="right")
    for name, values in found.items():
        table.add_row(name, *(f"{values[each]:.3f}" for each in shown))
    return table


if __name__ == "__main__":
    Console().print(table_of(compare()))
