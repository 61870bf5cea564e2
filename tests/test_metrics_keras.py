"""Metrics against Keras's own numbers: over two batches, in one call, and compiled."""

from pathlib import Path

import numpy as np
import pytest
from golden.loss_cases import METRIC_DATA, METRIC_WEIGHTS, METRICS, metric_cases, metric_key

import chainrule.numpy  # noqa: F401
from chainrule import metrics
from chainrule.errors import ArgumentError
from chainrule.runtime import jit

GOLDEN = np.load(Path(__file__).parent / "golden" / "metrics.npz")
POSITIONAL = {"specificity", "sensitivity", "recall", "precision"}


def made(index):
    kind, options, _, _ = METRICS[index]
    first = [v for k, v in options.items() if k in POSITIONAL]
    return getattr(metrics, kind)(*first, **{k: v for k, v in options.items() if k not in POSITIONAL})


@pytest.mark.parametrize("case", metric_cases(), ids=lambda case: metric_key(*case))
def test_value_of_keras(case):
    index, weighted = case
    y, p = METRIC_DATA[METRICS[index][2]]
    weights = METRIC_WEIGHTS[:len(y)] if weighted else None
    metric, expected = made(index), GOLDEN[metric_key(*case)]
    for rows in (slice(0, 4), slice(4, None)):
        metric.update_state(y[rows], p[rows], None if weights is None else weights[rows])
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-5, atol=1e-6)
    metric.reset_state()
    np.testing.assert_allclose(metric(y, p, weights), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("index", range(len(METRICS)), ids=lambda i: metric_key(i, False))
def test_sums_compiled(index):
    metric = made(index)
    y, p = METRIC_DATA[METRICS[index][2]]
    y, p = (a.astype(np.float32) if a.dtype == np.float64 else a for a in (y, p))
    both = METRICS[index][3]
    weights = METRIC_WEIGHTS[:len(y)].astype(np.float32) if both else None
    found = jit(lambda y, p: metric.measure(y, p, weights))(y, p)
    shapes = metric.sums((None, *y.shape[1:]), (None, *p.shape[1:]), both)
    assert {k: v.shape for k, v in found.items()} == shapes
    for name, value in metric.measure(y, p, weights).items():
        np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=1e-6)


def test_names_of_keras():
    for name in ("auc", "precision", "f1_score", "r2_score", "rmse", "AUC", "top_k_categorical_accuracy", "kld",
                 "cosine_similarity", "BinaryIoU"):
        assert metrics.get(name).name == name
    assert metrics.AUC().name == "auc" and metrics.R2Score().name == "r2_score" and metrics.IoU(2, [0]).name == "io_u"
    assert type(metrics.get("crossentropy", (5,), (None, 3))) is metrics.SparseCategoricalCrossentropy
    assert type(metrics.get("ce", (5, 1), (None, 1))) is metrics.BinaryCrossentropy


@pytest.mark.parametrize("make", [
    lambda: metrics.AUC(curve="DET"), lambda: metrics.AUC(summation_method="exact"), lambda: metrics.Precision(1.5),
    lambda: metrics.AUC(num_thresholds=1), lambda: metrics.Precision([]), lambda: metrics.F1Score(average="mean"),
    lambda: metrics.IoU(2, [2]), lambda: metrics.R2Score("sum"), lambda: metrics.TopKCategoricalAccuracy(k=0),
    lambda: metrics.FBetaScore(beta=0), lambda: metrics.SensitivityAtSpecificity(1.5)])
def test_bad_options(make):
    with pytest.raises(ArgumentError, match="What fits"):
        make()


def test_means_of_values():
    mean, total = metrics.Mean(), metrics.Sum()
    for metric in (mean, total):
        metric.update_state([1.0, 2.0], sample_weight=[1.0, 3.0])
        metric.update_state(5)
    assert mean.result() == pytest.approx(12 / 5) and total.result() == pytest.approx(12)


def test_nothing_and_no_positives():
    assert metrics.Precision()([0.0, 0.0], [0.1, 0.2]) == 0.0
    assert metrics.AUC().result() == 0.0 and metrics.AUC()([0.0, 0.0], [0.1, 0.2]) == 0.0
    assert metrics.R2Score()([[1.0], [1.0]], [[1.0], [2.0]]) == 0.0


def test_overlap_with_weights():
    """Of one's own: Keras rounds the weights of IoU to whole numbers."""
    y, p, weights = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([0.3, 0.3, 0.3, 0.1])
    expected = (0.3 / (0.6 + 0.6 - 0.3) + 0.1 / (0.4 + 0.4 - 0.1)) / 2
    assert float(metrics.MeanIoU(2)(y, p, weights)) == pytest.approx(expected)
