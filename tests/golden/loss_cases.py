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
    "ctc_gap": (np.array([[1, 0, 2], [3, 0, 3], [1, 3, 0]]), 2 * wave(3, 8, 4)),
    "unit": (LABELS, Z / np.sqrt(np.sum(Z * Z, axis=-1, keepdims=True))),
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
    ("CTC", {}, ["ctc_gap"]),
    ("Circle", {}, ["unit"]),
    ("Circle", {"gamma": 3.0, "margin": 0.2, "remove_diagonal": False}, ["unit"]),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.3}, ["labels"]),
]


def key(index, data, weighted):
    return f"{index}-{LOSSES[index][0]}-{data}{'-weighted' if weighted else ''}"


def loss_cases():
    """Index, data, whether weighted."""
    return [(index, data, weighted) for index, (kind, options, names) in enumerate(LOSSES) for data in names
            for weighted in (False, True) if not weighted or (
                data in WEIGHTS and kind not in ("Dice", "Tversky") and options.get("axis", -1) == -1)]


PICKED = np.array([0, 1, 1, 3, 2, 0, 2])
METRIC_DATA = {
    **{name: DATA[name] for name in ("numbers", "bits", "bit", "one_hot", "labels", "positive", "signs")},
    "sorted": (LABELS, np.argsort(-Z, axis=-1)),
    "beyond": (LABELS * 2 - 1, np.array([0, 1, 1, 3, 9, 0, 5])),
    "equal": (LABELS[:, None].astype(float), PICKED[:, None].astype(float)),
    "classes": (LABELS, PICKED),
    "one_hot_scores": (np.eye(4)[LABELS], softmax(2 * wave(7, 4, phase=4.0))),
}
METRICS = [  # class, arguments, data, whether also with weights
    ("Accuracy", {}, "equal", True),
    ("BinaryAccuracy", {"threshold": 0.6}, "bits", True),
    ("CategoricalAccuracy", {}, "one_hot_scores", True),
    ("SparseCategoricalAccuracy", {}, "labels", True),
    ("TopKCategoricalAccuracy", {"k": 2}, "one_hot_scores", True),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, "labels", True),
    ("MeanSquaredError", {}, "numbers", True),
    ("RootMeanSquaredError", {}, "numbers", True),
    ("MeanAbsoluteError", {}, "numbers", True),
    ("MeanAbsolutePercentageError", {}, "positive", False),
    ("MeanSquaredLogarithmicError", {}, "positive", False),
    ("LogCoshError", {}, "numbers", False),
    ("CosineSimilarity", {}, "numbers", True),
    ("KLDivergence", {}, "one_hot", False),
    ("Poisson", {}, "positive", False),
    ("Hinge", {}, "signs", False),
    ("SquaredHinge", {}, "signs", False),
    ("CategoricalHinge", {}, "one_hot", False),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, "bits", True),
    ("CategoricalCrossentropy", {}, "one_hot", True),
    ("SparseCategoricalCrossentropy", {}, "labels", True),
    ("R2Score", {}, "numbers", True),
    ("R2Score", {"class_aggregation": None}, "numbers", False),
    ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 2}, "numbers", False),
    ("TruePositives", {}, "bits", True),
    ("FalsePositives", {"thresholds": 0.3}, "bits", True),
    ("TrueNegatives", {"thresholds": [0.2, 0.7]}, "bits", False),
    ("FalseNegatives", {}, "bits", False),
    ("Precision", {}, "bits", True),
    ("Precision", {"thresholds": [0.7, 0.2, 0.5], "class_id": 2}, "bits", False),
    ("Precision", {"top_k": 2}, "bits", False),
    ("Recall", {}, "bit", True),
    ("Recall", {"top_k": 1, "class_id": 1}, "one_hot_scores", False),
    ("AUC", {}, "bit", True),
    ("AUC", {"num_thresholds": 7, "summation_method": "minoring"}, "bits", True),
    ("AUC", {"num_thresholds": 7, "summation_method": "majoring", "curve": "PR"}, "bits", False),
    ("AUC", {"curve": "PR", "num_thresholds": 20}, "bits", True),
    ("AUC", {"thresholds": [0.3, 0.1, 0.8]}, "bits", False),
    ("AUC", {"from_logits": True}, "signs", False),
    ("SensitivityAtSpecificity", {"specificity": 0.4, "num_thresholds": 30}, "bits", True),
    ("SpecificityAtSensitivity", {"sensitivity": 0.7}, "bits", False),
    ("PrecisionAtRecall", {"recall": 0.5}, "bits", False),
    ("RecallAtPrecision", {"precision": 0.55}, "bits", False),
    ("F1Score", {}, "one_hot_scores", False),
    ("F1Score", {"average": "macro", "threshold": 0.5}, "bits", True),
    ("F1Score", {"average": "weighted"}, "one_hot_scores", False),
    ("FBetaScore", {"average": "micro", "beta": 2.0, "threshold": 0.4}, "bits", False),
    ("MeanIoU", {"num_classes": 4}, "classes", False),
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 2]}, "classes", False),
    ("MeanIoU", {"num_classes": 4, "ignore_class": 1}, "classes", False),
    ("BinaryIoU", {"threshold": 0.4}, "bit", False),
    ("OneHotIoU", {"num_classes": 4, "target_class_ids": [1, 3]}, "one_hot_scores", False),
    ("OneHotMeanIoU", {"num_classes": 4}, "one_hot_scores", False),
    ("AUC", {"multi_label": True, "num_thresholds": 30}, "bits", True),
    ("AUC", {"multi_label": True, "curve": "PR", "label_weights": [1.0, 0.5, 2.0, 0.0]}, "bits", False),
    ("AUC", {"label_weights": [1.0, 0.5, 2.0, 0.0], "num_thresholds": 30}, "bits", False),
    ("AUC", {"curve": "PRGAIN", "num_thresholds": 30}, "bits", True),
    ("Precision", {"top_k": 2, "thresholds": 0.3}, "bits", True),
    ("PearsonCorrelation", {}, "numbers", True),
    ("ConcordanceCorrelation", {}, "numbers", False),
    ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, "sorted", False),
    ("SparseCategoricalCrossentropy", {"ignore_class": 2}, "labels", True),
    ("MeanIoU", {"num_classes": 4}, "beyond", False),
]
METRIC_WEIGHTS = np.abs(wave(9, phase=9.0))


def metric_cases():
    """Index, whether weighted."""
    return [(index, weighted) for index, (*_, both) in enumerate(METRICS) for weighted in (False, True)
            if not weighted or both]


def metric_key(index, weighted):
    """The name of its entry."""
    return f"{index}-{METRICS[index][0]}{'-weighted' if weighted else ''}"
