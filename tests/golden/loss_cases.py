"""The losses and metrics compared with Keras's: a class, its arguments and the data, in both libraries."""

import numpy as np


def wave(*shape, phase=0.0):
    n = int(np.prod(shape))
    return np.sin(phase + 1.7 * np.arange(n) ** 1.1).reshape(shape)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


Z = 2 * wave(7, 4)
CUBE = 2 * wave(2, 5, 3, phase=0.4)
LABELS = np.array([0, 3, 1, 2, 2, 0, 1])
DATA = {
    "numbers": (3 * wave(7, 4, phase=1.0), Z),
    "column": (wave(9, 1, phase=2.0), 2 * wave(9, 1)),
    "cube": (wave(2, 5, 3, phase=3.0), CUBE),
    "positive": (np.abs(wave(7, 4, phase=1.0)) * 3, np.abs(Z) + 0.01),
    "bits": ((wave(7, 4, phase=5.0) > 0).astype(float), 1 / (1 + np.exp(-Z))),
    "bit": ((wave(9, 1, phase=5.0) > 0).astype(float), 1 / (1 + np.exp(-2 * wave(9, 1)))),
    "bit_logits": ((wave(7, 4, phase=5.0) > 0).astype(float), Z),
    "signs": (np.sign(wave(7, 4, phase=5.0)), Z),
    "one_hot": (np.eye(4)[LABELS], softmax(Z)),
    "one_hot_logits": (np.eye(4)[LABELS], Z),
    "one_hot_cube": (np.eye(3)[np.arange(10).reshape(2, 5) % 3], softmax(CUBE)),
    "one_hot_axis": (np.moveaxis(np.eye(3)[np.arange(10).reshape(2, 5) % 3], -1, 1), np.moveaxis(CUBE, -1, 1)),
    "labels": (LABELS, softmax(Z)),
    "labels_logits": (LABELS, Z),
    "labels_cube": (np.arange(10).reshape(2, 5) % 3, CUBE),
    "ctc": (np.array([[1, 2, 2], [3, 0, 0], [1, 3, 0]]), 2 * wave(3, 8, 4)),
}
WEIGHTS = {"numbers": np.abs(wave(7, phase=9.0)), "cube": np.abs(wave(2, 5, phase=9.0)),
           "bits": np.abs(wave(7, phase=9.0)), "labels": np.abs(wave(7, phase=9.0)),
           "labels_logits": np.abs(wave(7, phase=9.0)), "labels_cube": np.abs(wave(2, 5, phase=9.0)),
           "one_hot": np.abs(wave(7, phase=9.0)), "column": np.abs(wave(9, phase=9.0)),
           "bit": np.abs(wave(9, phase=9.0))}

LOSSES = [  # class, arguments, names of data
    ("MeanSquaredError", {}, ["numbers", "column", "cube"]),
    ("MeanAbsoluteError", {}, ["numbers", "cube"]),
    ("MeanAbsolutePercentageError", {}, ["numbers", "positive"]),
    ("MeanSquaredLogarithmicError", {}, ["positive", "numbers"]),
    ("Huber", {"delta": 0.7}, ["numbers", "cube"]),
    ("LogCosh", {}, ["numbers"]),
    ("Poisson", {}, ["positive"]),
    ("KLDivergence", {}, ["one_hot", "bits"]),
    ("CosineSimilarity", {}, ["numbers", "cube"]),
    ("CosineSimilarity", {"axis": 1}, ["cube"]),
    ("Hinge", {}, ["signs", "bit_logits"]),
    ("SquaredHinge", {}, ["signs", "bit_logits"]),
    ("CategoricalHinge", {}, ["one_hot_logits", "one_hot_cube"]),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, ["bits", "bit"]),
    ("BinaryCrossentropy", {"from_logits": True}, ["bit_logits"]),
    ("BinaryFocalCrossentropy", {}, ["bits"]),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5, "label_smoothing": 0.1,
                                 "from_logits": True}, ["bit_logits"]),
    ("CategoricalCrossentropy", {}, ["one_hot", "one_hot_cube"]),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, ["one_hot_logits"]),
    ("CategoricalCrossentropy", {"from_logits": True, "axis": 1}, ["one_hot_axis"]),
    ("CategoricalFocalCrossentropy", {}, ["one_hot"]),
    ("CategoricalFocalCrossentropy", {"gamma": 1.5, "alpha": 0.4, "from_logits": True, "label_smoothing": 0.1},
     ["one_hot_logits"]),
    ("SparseCategoricalCrossentropy", {}, ["labels"]),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, ["labels_logits", "labels_cube"]),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 2}, ["labels_logits", "labels_cube"]),
    ("Dice", {}, ["bits"]),
    ("Dice", {"axis": [1]}, ["bits"]),
    ("Tversky", {"alpha": 0.3, "beta": 0.8}, ["bits"]),
    ("CTC", {}, ["ctc"]),
    ("MeanSquaredError", {"reduction": "sum"}, ["numbers", "cube"]),
    ("MeanSquaredError", {"reduction": "mean_with_sample_weight"}, ["numbers", "cube"]),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1,
                                       "reduction": "mean_with_sample_weight"}, ["labels_cube"]),
    ("MeanAbsoluteError", {"reduction": "none"}, ["numbers", "cube"]),
]


def key(index, data, weighted):
    return f"{index}-{LOSSES[index][0]}-{data}{'-weighted' if weighted else ''}"


def loss_cases():
    """Index, data, whether weighted."""
    return [(index, data, weighted) for index, (kind, options, names) in enumerate(LOSSES) for data in names
            for weighted in (False, True) if not weighted or (
                data in WEIGHTS and kind not in ("Dice", "Tversky") and options.get("axis", -1) == -1)]
