"""What ``compile`` and ``fit`` make of losses, metrics, weights, optimizers, against Keras; compile counts."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "golden"))
from golden.training_cases import BITS, CASES, FIT, SCORES, WEIGHTS, X, network  # noqa: E402

import chainrule as cr  # noqa: E402
from chainrule import layers, losses, metrics, models, optimizers, regularizers  # noqa: E402
from chainrule.errors import ArgumentError, DataError, UsageError  # noqa: E402
from chainrule.layers.base import Layer  # noqa: E402
from chainrule.optimizers import LBFGS, SGD, Adam  # noqa: E402
from chainrule.runtime import Counters  # noqa: E402
from chainrule.training import LambdaCallback  # noqa: E402

OURS = SimpleNamespace(Sequential=models.Sequential, Model=models.Model, layers=layers, optimizers=optimizers,
                       metrics=metrics, regularizers=regularizers)
GOLDEN = json.loads((Path(__file__).parent / "golden" / "training.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_history_of_keras(name):
    model, history = CASES[name](OURS)
    expected = GOLDEN[name]
    assert list(history.history) == sorted(expected["history"], key=lambda k: (k.startswith("val_"), k))
    for key, values in expected["history"].items():
        np.testing.assert_allclose(history.history[key], values, rtol=1e-4, atol=2e-5, err_msg=key)
    assert sum(np.abs(w).sum() for w in model.get_weights()) == pytest.approx(expected["size"], abs=3e-3)


def compiles():
    return Counters.compiled, Counters.loaded


def test_a_new_learning_rate_compiles_nothing():
    model = network(OURS, 3, None)
    model.compile(optimizers.Lamb(0.1), "mse")
    model.fit(X, SCORES, **FIT)
    before = compiles()
    for rate in (0.05, 0.01):
        model.optimizer.learning_rate = rate
        model.fit(X, SCORES, **FIT)
    assert compiles() == before


def test_a_schedule_compiles_once_and_the_rate_can_be_read():
    schedule = optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)
    model = network(OURS, 3, None)
    model.compile(SGD(schedule), "mse")
    rates, counts = [], []

    def look(epoch, logs):
        rates.append(model.optimizer.learning_rate)
        counts.append(compiles())
    model.fit(X, SCORES, callbacks=[LambdaCallback(on_epoch_end=look)], **FIT)  # 5 steps an epoch
    assert rates == pytest.approx([0.05, 0.025, 0.0125]) and counts[0] == counts[-1]
    model.optimizer.learning_rate = 0.1  # a number in its place is another program
    model.fit(X, SCORES, **FIT)
    assert model.optimizer.learning_rate == 0.1 and compiles() != counts[-1]


def test_own_functions_of_all_kinds():
    model = models.Sequential([layers.Dense(3, input_dim=6, kernel_regularizer=lambda w: 0.01 * np.sum(np.abs(w)))])

    def worst(y, p):
        return np.max(np.abs(y - p), axis=-1)

    def gap(y, p):
        return np.mean(np.abs(y - p))
    model.compile("sgd", worst, metrics=[gap, metrics.FunctionMetric(worst, "again")])
    history = model.fit(X, SCORES, epochs=1, batch_size=37, verbose=0).history
    assert history["loss"][0] > history["again"][0] > history["gap"][0] > 0


def test_one_batch_at_a_time_is_what_fit_does():
    runs = [network(OURS, 3, None) for _ in range(2)]
    for model in runs:
        model.compile(Adam(0.05), "mse", metrics=["mae"])
    history = runs[0].fit(X[:32], SCORES[:32], batch_size=8, epochs=2, shuffle=False, verbose=0).history
    for epoch in range(2):
        parts = [runs[1].train_on_batch(X[i:i + 8], SCORES[i:i + 8], return_dict=True) for i in range(0, 32, 8)]
        for key, values in history.items():
            assert np.mean([part[key] for part in parts]) == pytest.approx(values[epoch], rel=1e-5)
    before = compiles()
    loss, mae = runs[1].test_on_batch(X[:8], SCORES[:8])
    assert [loss, mae] == pytest.approx(runs[0].evaluate(X[:8], SCORES[:8], batch_size=8, verbose=0), rel=1e-4)
    runs[1].train_on_batch(X[:8], SCORES[:8])
    assert compiles()[0] <= before[0] + 1
    weighted = runs[1].test_on_batch(X[:8], SCORES[:8], sample_weight=WEIGHTS[:8])
    assert weighted[0] != pytest.approx(loss) and weighted[1] == pytest.approx(mae, rel=0.5)


def test_weights_of_ones_change_nothing_and_zeros_leave_samples_out():
    def trained(x, y, **options):
        model = network(OURS, 3, None)
        model.compile(SGD(0.1), losses.MeanSquaredError("mean_with_sample_weight"), weighted_metrics=["mae"])
        model.fit(x, y, batch_size=len(x), epochs=2, verbose=0, **options)
        return model.get_weights()
    plain = trained(X, SCORES)
    for a, b in zip(trained(X, SCORES, sample_weight=np.ones(37)), plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    some = (np.arange(37) < 20).astype(float)
    for a, b in zip(trained(X, SCORES, sample_weight=some), trained(X[:20], SCORES[:20]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


class Cut(Layer):
    """Masks the times from the third on."""

    def call(self, x):
        return x * 1.0

    def compute_mask(self, inputs, previous_mask):
        return np.broadcast_to(np.arange(5) < 3, (inputs.shape[0], 5))


@pytest.mark.parametrize("weighted", [False, True])
def test_masked_times_do_not_count(weighted):
    x = np.random.default_rng(0).normal(size=(9, 5, 4)).astype(np.float32)
    y = np.random.default_rng(1).normal(size=(9, 5, 2)).astype(np.float32)
    w = WEIGHTS[:9] if weighted else None
    kernel = np.full((4, 2), 0.3)
    results = []
    for make, rows in ((lambda: [Cut(), layers.Dense(2)], slice(None)), (lambda: [layers.Dense(2)], slice(3))):
        model = models.Sequential([layers.Input((5, 4) if make()[0].__class__ is Cut else (3, 4)), *make()])
        model.set_weights([kernel, np.zeros(2)])
        model.compile(SGD(0.1), "mse", metrics=["mae"], weighted_metrics=["mse"])
        history = model.fit(x[:, rows], y[:, rows], sample_weight=w, batch_size=4, epochs=2, shuffle=False, verbose=0)
        results.append((history.history, model.get_weights(),
                        model.evaluate(x[:, rows], y[:, rows], sample_weight=w, verbose=0)))
    (cut, cut_weights, cut_values), (short, short_weights, values) = results
    for key, value in short.items():
        np.testing.assert_allclose(cut[key], value, rtol=1e-5, err_msg=key)
    np.testing.assert_allclose(cut_values, values, rtol=1e-5)
    np.testing.assert_allclose(cut_weights[0], short_weights[0], rtol=1e-5)


def two_headed(**options):
    x = layers.Input((6,))
    model = models.Model(x, [layers.Dense(3, name="a")(x), layers.Dense(1, activation="sigmoid", name="b")(x)])
    model.compile("sgd", **options)
    return model


def test_several_outputs_by_list_or_name():
    cr.set_seed(1)
    one = two_headed(loss=["mse", "binary_crossentropy"], loss_weights=[1.0, 0.5], metrics=[["mae"], ["accuracy"]])
    cr.set_seed(1)
    two = two_headed(loss={"a": "mse", "b": "bce"}, loss_weights={"b": 0.5}, metrics={"a": "mae", "b": ["accuracy"]})
    w = {"a": WEIGHTS}
    first = one.fit(X, [SCORES, BITS], sample_weight=[WEIGHTS, np.ones(37)], **FIT).history
    second = two.fit(X, {"a": SCORES, "b": BITS}, sample_weight=w, **FIT).history
    assert list(first) == ["a_loss", "a_mae", "b_accuracy", "b_loss", "loss"] and list(second) == list(first)
    for key, values in first.items():
        assert second[key] == pytest.approx(values)
    parts = np.array(first["a_loss"]) + 0.5 * np.array(first["b_loss"])
    np.testing.assert_allclose(first["loss"], parts, rtol=1e-5)
    held = two.fit(X, {"a": SCORES, "b": BITS}, validation_split=0.2, **FIT).history
    assert "val_b_accuracy" in held
    only = two_headed(loss={"a": "mse"})
    assert list(only.fit(X, {"a": SCORES}, **FIT).history) == ["a_loss", "loss"]
    both = two_headed(loss="mse")
    assert list(both.fit(X, [SCORES, BITS], **FIT).history) == ["a_loss", "b_loss", "loss"]


@pytest.mark.parametrize(("options", "y", "message"), [
    ({"loss": {"c": "mse"}}, [SCORES, BITS], "entry 'c'"),
    ({"loss": ["mse"]}, [SCORES, BITS], "Loss has 1 entries for 2 outputs"),
    ({"loss": "mse"}, SCORES, "one array for the 2 outputs"),
    ({"loss": "mse"}, {"a": SCORES}, "no entry 'b'"),
    ({"loss": {"a": "mse"}, "metrics": {"b": "mae"}}, {"a": SCORES}, "has no targets"),
    ({"loss": "mse", "metrics": "mae"}, [SCORES, BITS], "One entry of metrics for 2 outputs")])
def test_what_does_not_fit_several_outputs(options, y, message):
    with pytest.raises((ArgumentError, DataError, UsageError), match=message):
        two_headed(**options).fit(X, y, **FIT)


def test_bad_weights():
    model = network(OURS, 1, "sigmoid")
    model.compile("sgd", "bce")
    for options, message in (({"sample_weight": np.ones(3)}, "sample_weight has shape"),
                             ({"class_weight": {0: 1.0}, "sample_weight": WEIGHTS}, "together"),
                             ({"class_weight": {"a": 1.0}}, "class_weight"),
                             ({"class_weight": {0: -1.0}}, "class_weight"),
                             ({"sample_weight": np.full(37, np.nan)}, "sample_weight"),
                             ({"gradient": "magic"}, "Unknown gradient")):
        with pytest.raises((ArgumentError, DataError), match=message):
            model.fit(X, BITS, **options, **FIT)
    with pytest.raises(ArgumentError, match="reduction=None"):
        model.compile("sgd", losses.MeanSquaredError(reduction=None))


def test_metrics_with_several_values():
    model = network(OURS, 3, "softmax")
    one_hot = np.eye(3, dtype=np.float32)[SCORES.argmax(1)]
    model.compile("adam", "categorical_crossentropy", metrics=[metrics.F1Score(), metrics.Recall([0.2, 0.6], name="r")])
    history = model.fit(X, one_hot, batch_size=8, epochs=2, verbose=2).history
    assert history["f1_score"][0].shape == (3,) and history["r"][1].shape == (2,)
    values = model.evaluate(X, one_hot, verbose=0, return_dict=True)
    p = model.predict(X)
    np.testing.assert_allclose(values["f1_score"], metrics.F1Score()(one_hot, p), rtol=1e-5)


@pytest.mark.parametrize("optimizer", [
    lambda: optimizers.LossScaleOptimizer(Adam(0.05), initial_scale=1024.0, dynamic_growth_steps=3),
    lambda: Adam(0.05, loss_scale_factor=128.0)])
def test_a_scaled_loss_trains_alike(optimizer):
    found = []
    for made in (optimizer(), Adam(0.05)):
        model = network(OURS, 3, None)
        model.compile(made, "mse")
        found.append(model.fit(X, SCORES, **FIT).history["loss"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_lbfgs_wants_all_samples_at_once_and_is_quick():
    model = network(OURS, 3, None)
    model.compile(LBFGS(), "mse")
    with pytest.raises(UsageError, match="all samples as one batch"):
        model.fit(X, SCORES, batch_size=8, verbose=0)
    history = model.fit(X, SCORES, batch_size=37, epochs=40, verbose=0).history["loss"]
    assert history[-1] < 2e-4 < history[0]


@pytest.mark.parametrize(("way", "rtol"), [("forward", 1e-4), ("finite_difference", 5e-3)])
def test_the_way_to_the_gradient_does_not_matter(way, rtol):
    found = []
    for gradient in ("backprop", way):
        model = network(OURS, 1, "sigmoid")
        model.compile(Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
        found.append(model.fit(X, BITS, gradient=gradient, **FIT).history["loss"])
    np.testing.assert_allclose(found[0], found[1], rtol=rtol)


def test_decay_can_leave_out_biases_by_name():
    model = network(OURS, 3, None)
    model.set_weights([np.ones_like(w) for w in model.get_weights()])
    rule = SGD(0.1, weight_decay=0.5)
    rule.exclude_from_weight_decay(var_names=["bias"])
    model.compile(rule, lambda y, p: np.sum(p, axis=-1) * 0.0)
    model.fit(X, SCORES, epochs=1, batch_size=37, verbose=0)
    for w in model.get_weights():
        np.testing.assert_allclose(w, 1.0 if w.ndim == 1 else 0.95, rtol=1e-6)


def test_orthogonal_rows():
    penalty = regularizers.OrthogonalRegularizer(factor=1.0)
    assert float(penalty(np.eye(3))) == 0.0 and float(penalty(np.ones((2, 4)))) == pytest.approx(0.5 * 2 / 1 / 2 * 2)


@pytest.mark.parametrize("name", ["Genetic", "EvolutionStrategy", "RandomSearch"])
def test_training_without_gradients(name):
    def run():
        model = network(OURS, 1, "sigmoid")
        model.compile(getattr(optimizers, name)(0.2, seed=3), "binary_crossentropy", metrics=["accuracy"])
        return model.fit(X, BITS, batch_size=37, epochs=60, verbose=0).history["loss"]
    first = run()
    assert first[-1] < 0.6 * first[0] and run() == first  # a seed of its own: the same again


def test_labels_to_ignore_need_not_be_classes():
    labels = np.where(np.arange(37) % 3 == 0, -1, SCORES.argmax(1))
    model = network(OURS, 3, "softmax")
    model.compile("sgd", losses.SparseCategoricalCrossentropy(ignore_class=-1))
    kept = labels >= 0
    loss = model.evaluate(X, labels, batch_size=37, verbose=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert loss == pytest.approx(model.evaluate(X[kept], labels[kept], batch_size=37, verbose=0), rel=1e-5)


def test_averages_before_the_first_step_change_nothing():
    model = network(OURS, 3, None)
    before = model.get_weights()
    model.compile(Adam(0.1, use_ema=True), "mse")
    model.fit(X, SCORES, initial_epoch=1, epochs=1, verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_sequences_of_labels_are_learned_with_ctc():
    """Each class is spread over some times; the model finds which, without being told when."""
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 4, size=(60, 2)).astype(np.int32)
    times = np.repeat(labels, 3, axis=1)
    x = (np.eye(4)[times] + rng.normal(scale=0.3, size=(60, 6, 4))).astype(np.float32)
    cr.set_seed(0)
    model = models.Sequential([layers.Input((6, 4)), layers.Dense(4)])
    model.compile(Adam(0.05), "ctc")
    history = model.fit(x, labels, batch_size=20, epochs=60, verbose=0).history["loss"]
    assert history[-1] < 0.2 * history[0]


def test_minimize_follows_a_schedule():
    rule = SGD(optimizers.schedules.PiecewiseConstantDecay([1], [0.25, 0.0]))
    result = cr.minimize(lambda x: np.sum(x**2), np.ones(2), rule, max_steps=10, tolerance=0.0)
    np.testing.assert_allclose(result.x, 0.25)  # two steps of half the way, then none
