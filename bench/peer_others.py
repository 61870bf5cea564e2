"""Whole networks from sizes: Chainrule's `fit`, scikit-learn, and C as anyone would write it."""

from __future__ import annotations

import atexit
import json
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from workloads import Workload

Train = Callable[[int], list[float]]

EPSILON = 1e-7  # Keras's default in Adam, given to all
PLAIN_C = Path(__file__).parent / "plain.c"
C_FLAGS = ["-O3", "-march=native", "-ffast-math", "-fno-finite-math-only"]  # else its roots of 0 may be NaN


def fit(work: Workload) -> Train:
    """The Keras script as its author wrote it: only the imports differ. x comes in float64."""
    from chainrule import layers, models, optimizers

    inputs, *hidden, outputs = work.sizes
    model = models.Sequential()
    model.add(layers.Dense(hidden[0], input_dim=inputs, activation="relu"))
    for units in hidden[1:]:
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dense(outputs, activation="sigmoid" if work.loss == "binary" else "softmax"))
    model.compile(
        loss="binary_crossentropy" if work.loss == "binary" else "sparse_categorical_crossentropy",
        optimizer=optimizers.Adam(learning_rate=work.learning_rate),
        metrics=["accuracy"],
    )
    x, y = work.arrays()
    x = x.astype(np.float64)

    def train(epochs: int) -> list[float]:
        return model.fit(x, y, epochs=epochs, batch_size=work.batch, verbose=0).history["loss"]

    return train


def sklearn(work: Workload) -> Train:
    """MLPClassifier, told to run all its epochs."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    x, y = work.arrays()

    def train(epochs: int) -> list[float]:
        classifier = MLPClassifier(
            work.sizes[1:-1],
            batch_size=work.batch,
            learning_rate_init=work.learning_rate,
            epsilon=EPSILON,
            alpha=0,
            max_iter=epochs,
            n_iter_no_change=epochs + 1,
        )
        return classifier.fit(x, y.ravel()).loss_curve_

    return train


def plain_c(work: Workload) -> Train:
    """`plain.c`, compiled here; it knows one workload only."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    program, data = Path(folder.name) / "plain", Path(folder.name) / "data"
    subprocess.run(["gcc", *C_FLAGS, str(PLAIN_C), "-o", str(program), "-lm"], check=True)
    data.write_bytes(b"".join(np.ascontiguousarray(a, np.float32).tobytes()
                              for a in (*work.arrays(), *work.parameters())))

    def train(epochs: int) -> list[float]:
        arguments = [str(program), str(data), str(epochs), "1"]
        return json.loads(subprocess.run(arguments, check=True, capture_output=True).stdout)["loss"]

    return train
