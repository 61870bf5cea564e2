"""Losses and metrics: against closed forms in NumPy, their gradients, their stability, what is recorded of them."""

import numpy as np
import pytest

from chainrule import activations, losses, metrics
from chainrule.autodiff import finite_difference, grad, gradients
from chainrule.errors import ArgumentError, ShapeError
from chainrule.graph import topological
from chainrule.ops.declare import input_node
from chainrule.runtime import jit
from chainrule.trace import Tracer, trace

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(7, 4)) * 3
LABELS = RNG.integers(4, size=7)
ONE_HOT = np.eye(4)[LABELS]
BITS = RNG.integers(2, size=(7, 4)).astype(float)
NUMBERS = RNG.normal(size=(7, 4))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


CE = -np.log(softmax(Z)[np.arange(7), LABELS])
BCE = np.mean(-BITS * np.log(sigmoid(Z)) - (1 - BITS) * np.log(1 - sigmoid(Z)), axis=-1)
ERROR = Z - NUMBERS
CASES = [  # loss, targets, predictions from z, expected per sample
    (losses.SparseCategoricalCrossentropy(from_logits=True), LABELS, lambda z: z, CE),
    (losses.SparseCategoricalCrossentropy(from_logits=True), LABELS[:, None], lambda z: z, CE),
    (losses.SparseCategoricalCrossentropy(), LABELS, activations.softmax, CE),
    (losses.CategoricalCrossentropy(from_logits=True), ONE_HOT, lambda z: z, CE),
    (losses.CategoricalCrossentropy(), ONE_HOT, activations.softmax, CE),
    (losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2), ONE_HOT, lambda z: z,
     -np.sum((ONE_HOT * 0.8 + 0.05) * np.log(softmax(Z)), axis=-1)),
    (losses.BinaryCrossentropy(from_logits=True), BITS, lambda z: z, BCE),
    (losses.BinaryCrossentropy(), BITS, activations.sigmoid, BCE),
    (losses.BinaryCrossentropy(label_smoothing=0.2), BITS, activations.sigmoid, np.mean(
        -(BITS * 0.8 + 0.1) * np.log(sigmoid(Z)) - (0.9 - BITS * 0.8) * np.log(1 - sigmoid(Z)), axis=-1)),
    (losses.MeanSquaredError(), NUMBERS, lambda z: z, np.mean(ERROR**2, axis=-1)),
    (losses.MeanAbsoluteError(), NUMBERS, lambda z: z, np.mean(np.abs(ERROR), axis=-1)),
    (losses.Huber(), NUMBERS, lambda z: z,
     np.mean(np.where(np.abs(ERROR) <= 1, ERROR**2 / 2, np.abs(ERROR) - 0.5), axis=-1)),
    (losses.Huber(delta=2.0), NUMBERS, lambda z: z,
     np.mean(np.where(np.abs(ERROR) <= 2, ERROR**2 / 2, 2 * np.abs(ERROR) - 2), axis=-1)),
]
IDS = [f"{i}-{case[0].name}" for i, case in enumerate(CASES)]


@pytest.mark.parametrize(("loss", "y", "predict", "expected"), CASES, ids=IDS)
def test_value(loss, y, predict, expected):
    np.testing.assert_allclose(loss.call(y, predict(Z)), expected, rtol=1e-6)
    assert float(loss(y, predict(Z))) == pytest.approx(expected.mean(), rel=1e-6)
    np.testing.assert_allclose(jit(lambda z: loss(y, predict(z)))(Z), expected.mean(), rtol=1e-12)


@pytest.mark.parametrize(("loss", "y", "predict", "expected"), CASES, ids=IDS)
def test_gradient(loss, y, predict, expected):
    def f(z):
        return loss(y, predict(z))
    np.testing.assert_allclose(grad(f)(Z), finite_difference(f, (Z,)), rtol=1e-5, atol=1e-8)


def test_gradients_of_cross_entropies_are_prediction_minus_target():
    sparse = losses.SparseCategoricalCrossentropy()
    found = grad(lambda z: sparse(LABELS, activations.softmax(z)))(Z)
    np.testing.assert_allclose(found, (softmax(Z) - ONE_HOT) / 7, rtol=1e-12, atol=1e-16)
    binary = losses.BinaryCrossentropy()
    found = grad(lambda z: binary(BITS, activations.sigmoid(z)))(Z)
    np.testing.assert_allclose(found, (sigmoid(Z) - BITS) / 28, rtol=1e-12, atol=1e-16)


EXTREME = np.array([[1000.0, -1000.0, 0.0, 500.0]])


@pytest.mark.parametrize(("loss", "y", "activation"), [
    (losses.BinaryCrossentropy(), np.array([[0.0, 1.0, 1.0, 1.0]]), activations.sigmoid),
    (losses.CategoricalCrossentropy(), np.array([[0.0, 1.0, 0.0, 0.0]]), activations.softmax),
    (losses.SparseCategoricalCrossentropy(), np.array([1]), activations.softmax)],
    ids=["binary", "categorical", "sparse"])
def test_hopeless_predictions_have_a_finite_loss_and_a_useful_gradient(loss, y, activation):
    f = jit(lambda z: loss(y, activation(z)))
    assert 400 < float(f(EXTREME)) <= 2000
    g = grad(lambda z: loss(y, activation(z)))(EXTREME)
    assert np.isfinite(g).all() and g[0, 1] < -0.2 and g[0, 0] > 0.2


def test_probabilities_of_unknown_origin_are_clipped():
    assert float(losses.BinaryCrossentropy()([[1.0]], [[0.0]])) == pytest.approx(-np.log(1e-7))
    assert float(losses.CategoricalCrossentropy()([[1.0, 0.0]], [[0.0, 3.0]])) == pytest.approx(-np.log(1e-7))
    assert float(losses.SparseCategoricalCrossentropy()([0], [[1.0, 3.0]])) == pytest.approx(np.log(4))


@pytest.mark.parametrize(("loss", "y", "activation", "most"), [
    (losses.BinaryCrossentropy(), BITS[:, :1], activations.sigmoid, 16),
    (losses.SparseCategoricalCrossentropy(), LABELS, activations.softmax, 28),
    (losses.CategoricalCrossentropy(), ONE_HOT, activations.softmax, 28)], ids=["binary", "sparse", "categorical"])
def test_little_is_recorded(loss, y, activation, most):
    z = Tracer(input_node((7, 1 if activation is activations.sigmoid else 4), np.float64))
    value = loss(y, activation(z))
    found = gradients(value.node, [z.node])[z.node]
    nodes = [n for n in topological([found.node]) if n.op.name not in ("constant", "input", "broadcast", "reshape")]
    assert len(nodes) <= most, [n.op.name for n in nodes]
    assert not any(n.op.name in ("maximum", "minimum") for n in topological([value.node]))


def test_targets_without_the_last_axis_do_not_broadcast():
    y, p = np.arange(5.0), np.arange(5.0)[:, None]
    for name in ("mse", "mae", "huber"):
        assert float(losses.get(name)(y, p)) == 0.0
    with pytest.raises(ShapeError, match="Targets of shape"):
        losses.mean_squared_error(np.zeros(5), np.zeros((5, 3)))
    with pytest.raises(ShapeError, match="Class labels"):
        losses.sparse_categorical_crossentropy(np.zeros((5, 2), int), np.zeros((5, 3)))


def test_names():
    for name, kind in (("binary_crossentropy", losses.BinaryCrossentropy), ("mse", losses.MeanSquaredError),
                       ("MeanAbsoluteError", losses.MeanAbsoluteError), (losses.huber, losses.Huber),
                       (losses.Huber, losses.Huber)):
        assert type(losses.get(name)) is kind
    with pytest.raises(ArgumentError, match=r"Unknown loss 'binary_crossentropi'[\s\S]*loss='binary_crossentropy'"):
        losses.get("binary_crossentropi")
    for wrong in (dict(delta=0), dict(delta=-1)):
        with pytest.raises(ArgumentError):
            losses.Huber(**wrong)
    with pytest.raises(ArgumentError):
        losses.BinaryCrossentropy(label_smoothing=2)


def test_a_function_is_a_loss():
    loss = losses.get(lambda y, p: np.mean((y - p) ** 4, axis=-1))
    assert float(loss(NUMBERS, Z)) == pytest.approx(np.mean(ERROR**4))
    assert float(losses.get(lambda y, p: np.sum(p))(NUMBERS, Z)) == pytest.approx(Z.sum())


# ---------------------------------------------------------------- metrics


@pytest.mark.parametrize(("y_shape", "output_shape", "kind"), [
    ((5,), (None, 1), metrics.BinaryAccuracy), ((5, 1), (None, 1), metrics.BinaryAccuracy),
    ((5,), (None, 3), metrics.SparseCategoricalAccuracy), ((5, 1), (None, 3), metrics.SparseCategoricalAccuracy),
    ((5, 3), (None, 3), metrics.CategoricalAccuracy)])
def test_accuracy_is_the_kind_that_fits(y_shape, output_shape, kind):
    found = metrics.get("acc", y_shape, output_shape)
    assert type(found) is kind and found.name == "acc"


@pytest.mark.parametrize("record", [False, True])
def test_accuracies(record):
    run = jit if record else lambda f: f
    p = softmax(Z)
    right = np.mean(p.argmax(axis=-1) == LABELS)
    for activation in (lambda z: z, activations.softmax):
        assert run(lambda z, a=activation: metrics.SparseCategoricalAccuracy()(LABELS, a(z)))(Z) == pytest.approx(right)
        assert run(lambda z, a=activation: metrics.CategoricalAccuracy()(ONE_HOT, a(z)))(Z) == pytest.approx(right)
    for threshold in (0.5, 0.8):
        expected = np.mean((sigmoid(Z) > threshold) == BITS)
        found = run(lambda z, t=threshold: metrics.BinaryAccuracy(threshold=t)(BITS, activations.sigmoid(z)))(Z)
        assert found == pytest.approx(expected)
    assert run(lambda z: metrics.get("mse")(NUMBERS, z))(Z) == pytest.approx(np.mean(ERROR**2))
    assert run(lambda z: metrics.get("mae")(NUMBERS, z))(Z) == pytest.approx(np.mean(np.abs(ERROR)))


def test_ties_and_nan():
    assert int(metrics.argmax(np.array([1.0, 3.0, 3.0]))) == 1
    assert float(metrics.SparseCategoricalAccuracy()([0, 0], [[0.5, 0.5], [np.nan, 1.0]])) == 0.5


def test_sums_and_counts_of_batches_make_the_whole():
    metric = metrics.SparseCategoricalAccuracy()
    parts = [metric.measure(LABELS[a:b], Z[a:b]) for a, b in ((0, 3), (3, 7))]
    assert sum(float(p["total"]) for p in parts) / 7 == pytest.approx(float(metric(LABELS, Z)))
    for a, b in ((0, 3), (3, 7)):
        metric.update_state(LABELS[a:b], Z[a:b])
    assert metric.result() == pytest.approx(float(metric(LABELS, Z)))
    metric.reset_state()
    assert metric.result() == 0.0


def test_metric_names():
    with pytest.raises(ArgumentError, match=r"Unknown metric 'acuracy'[\s\S]*metrics='accuracy'"):
        metrics.get("acuracy")
    assert metrics.get(lambda y, p: np.abs(y - p)).call(1.0, np.ones(3)).shape == (3,)
    assert float(metrics.get("binary_crossentropy")(BITS, sigmoid(Z))) == pytest.approx(BCE.mean(), rel=1e-6)


def test_a_recorded_metric_needs_no_softmax():
    graph = trace(lambda z: metrics.SparseCategoricalAccuracy()(LABELS, activations.softmax(z)), Z)
    assert not any(n.op.name in ("exp", "div") for n in graph.nodes)
