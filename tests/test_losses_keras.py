"""Losses against Keras's own numbers; their derivatives; compiled against plain; weights, masks and reductions."""

from pathlib import Path

import numpy as np
import pytest
from golden.loss_cases import DATA, LABELS, LOSSES, WEIGHTS, Z, key, loss_cases, wave

import chainrule.numpy  # noqa: F401
from chainrule import losses
from chainrule.autodiff import grad
from chainrule.check import check_grads
from chainrule.errors import ArgumentError, ShapeError
from chainrule.runtime import jit

GOLDEN = np.load(Path(__file__).parent / "golden" / "losses.npz")


def made(index):
    kind, options, _ = LOSSES[index]
    return getattr(losses, kind)(**options)


@pytest.mark.parametrize("case", loss_cases(), ids=lambda case: key(*case))
def test_value_of_keras(case):
    index, data, weighted = case
    (y, p), weights = DATA[data], WEIGHTS[data] if weighted else None
    found = made(index)(y, p, sample_weight=weights)
    np.testing.assert_allclose(found, GOLDEN[key(*case)], rtol=2e-6)


def each_once():
    return [(index, names[0]) for index, (_, options, names) in enumerate(LOSSES) if "reduction" not in options]


@pytest.mark.parametrize(("index", "data"), each_once(), ids=lambda x: str(x))
def test_derivatives_and_compiled_values(index, data):
    loss, (y, p) = made(index), DATA[data]
    weights = WEIGHTS.get(data) if (index, data, True) in loss_cases() else None

    def f(p):
        return loss(y, p, sample_weight=weights)
    check_grads(f, (p,), order=1)
    y = y.astype(np.float32) if y.dtype == np.float64 else y  # read by f from here on
    value, gradient = jit(lambda p: (f(p), grad(f)(p)))(p.astype(np.float32))
    assert value.dtype == gradient.dtype == np.float32
    np.testing.assert_allclose(value, f(p), rtol=1e-4)
    np.testing.assert_allclose(gradient, grad(f)(p), rtol=2e-3, atol=1e-5)


def test_names_of_keras():
    for name in ("bce", "mse", "MSE", "mape", "MSLE", "kld", "kl_divergence", "hinge", "CategoricalHinge", "log_cosh",
                 "logcosh", "cosine_similarity", "binary_focal_crossentropy", "ctc", "dice", "poisson"):
        assert isinstance(losses.get(name), losses.Loss)
    assert losses.get("kld").name == "kl_divergence" and losses.CTC().name == "ctc"
    assert type(losses.get(losses.poisson)) is losses.Poisson


@pytest.mark.parametrize("mask", [np.array([1, 0, 1, 1, 0, 0, 1], bool), np.zeros(7, bool)], ids=["some", "none"])
def test_a_mask_leaves_values_out(mask):
    y, p = DATA["numbers"]
    loss, each = losses.MeanSquaredError(), np.mean((y - p) ** 2, axis=-1)
    expected = each[mask].mean() if mask.any() else 0.0
    assert float(loss(y, p, mask=mask)) == pytest.approx(expected)
    assert float(jit(lambda p: loss(y, p, mask=mask))(p)) == pytest.approx(expected)
    weighted = (each * WEIGHTS["numbers"])[mask].sum() / max(mask.sum(), 1)
    assert float(loss(y, p, sample_weight=WEIGHTS["numbers"], mask=mask)) == pytest.approx(weighted)
    assert np.isfinite(grad(lambda p: loss(y, p, mask=mask))(p)).all()


def test_weights_of_the_wrong_shape():
    y, p = DATA["cube"]
    with pytest.raises(ShapeError, match=r"Weights or a mask of shape \(3,\)"):
        losses.MeanSquaredError()(y, p, sample_weight=np.ones(3))
    one = losses.MeanSquaredError()(y, p, sample_weight=np.array([[1.0], [0.0]]))
    assert float(one) == pytest.approx(np.sum((y[0] - p[0]) ** 2) / 30)
    assert float(losses.MeanSquaredError()(y, p, sample_weight=np.array([1.0, 0.0]))) == pytest.approx(float(one))


def test_bad_options():
    for make in (lambda: losses.MeanSquaredError(reduction="average"), lambda: losses.CosineSimilarity(axis=True),
                 lambda: losses.BinaryFocalCrossentropy(gamma=-1.0), lambda: losses.Tversky(alpha=-1.0)):
        with pytest.raises(ArgumentError, match="What fits"):
            make()


def test_the_focus_on_what_is_wrong_is_the_plain_loss_at_gamma_0():
    y, p = DATA["one_hot"]
    plain = losses.categorical_crossentropy(y, p)
    np.testing.assert_allclose(losses.categorical_focal_crossentropy(y, p, alpha=1.0, gamma=0.0), plain, rtol=1e-12)


def brute_force(labels, logits):
    """The probability of all paths, one by one."""
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    time, classes = p.shape
    total = 0.0
    for path in np.ndindex(*[classes] * time):
        folded = [c for i, c in enumerate(path) if c and (i == 0 or c != path[i - 1])]
        if folded == list(labels):
            total += np.prod(p[np.arange(time), path])
    return -np.log(total)


@pytest.mark.parametrize("labels", [[1], [1, 2], [2, 2], [1, 2, 1], []])
def test_ctc_against_all_paths(labels):
    logits = 2 * wave(5, 3)
    padded = np.array([labels + [0] * (4 - len(labels))])
    np.testing.assert_allclose(losses.ctc(padded, logits[None])[0], brute_force(labels, logits), rtol=1e-9)


def test_ctc_of_labels_that_do_not_fit_is_large_and_has_a_gradient():
    g = grad(lambda z: losses.CTC()(np.array([[1, 1, 1]]), z))(wave(1, 3, 3))
    assert np.isfinite(g).all() and float(losses.CTC()(np.array([[1, 1, 1]]), wave(1, 3, 3))) > 1e8


def test_ignored_labels_may_be_out_of_range():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    some = np.where(np.arange(7) % 2, LABELS, -1)
    chosen = LABELS[1::2]
    expected = losses.SparseCategoricalCrossentropy(from_logits=True)(chosen, Z[1::2])
    assert float(loss(some, Z)) == pytest.approx(float(expected))


def test_classes_along_another_axis():
    y, p = DATA["labels_cube"]
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, axis=1)
    plain = losses.SparseCategoricalCrossentropy(from_logits=True)(y, p)
    assert float(loss(y, np.moveaxis(p, -1, 1))) == pytest.approx(float(plain))
