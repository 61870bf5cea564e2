"""The example programs do what they say, in a shorter form."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_backprop_is_not_sgd(tmp_path):
    example = load("backprop_is_not_sgd")
    rows = {name: (seconds, losses, error) for name, seconds, losses, error in example.compare(steps=120)}
    losses = {name: row[1] for name, row in rows.items()}
    sgd = losses["backpropagation + SGD"]
    for name in ("forward mode + SGD", "finite differences + SGD"):  # another way to the same gradients
        np.testing.assert_allclose(losses[name][:50], sgd[:50], rtol=1e-2)
    assert rows["backpropagation + SGD"][2] < 1e-5 and rows["finite differences + SGD"][2] < 1e-2
    assert example.steps_to_target(losses["backpropagation + L-BFGS"]) is not None
    for name in ("evolution strategy", "genetic algorithm", "random search"):
        assert losses[name][-1] < 0.7 * losses[name][0] and rows[name][2] is None
    example.draw([(name, *row) for name, row in rows.items()], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    assert example.table_of([(name, *row) for name, row in rows.items()]).row_count == 8


def test_imbalanced():
    example = load("imbalanced")
    found = example.compare(epochs=12)
    plain, weighted = found.values()
    assert weighted["recall"] > plain["recall"] + 0.05 and plain["precision"] > weighted["precision"]
    assert example.table_of(found).row_count == 2
    x, x_held_out, y, y_held_out = example.load()
    model = example.train(x, y, None, epochs=2)
    values, p = model.evaluate(x_held_out, y_held_out, verbose=0, return_dict=True), model.predict(x_held_out)[:, 0]
    for name, expected in (("recall", recall_score(y_held_out, p > 0.5)), ("f1", f1_score(y_held_out, p > 0.5)),
                           ("precision", precision_score(y_held_out, p > 0.5))):
        assert values[name] == pytest.approx(expected, abs=1e-6), name
    assert values["roc"] == pytest.approx(roc_auc_score(y_held_out, p), abs=5e-3)  # 200 thresholds


def test_residual():
    example = load("residual")
    example.cr.set_seed(1)
    x, x_held_out, y, y_held_out = example.load()
    model = example.build(filters=4)
    history = model.fit(x, y, epochs=3, batch_size=32, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    wrong = (model.predict(x_held_out).argmax(axis=1) != y_held_out).sum()
    assert example.mistakes(model, x_held_out, y_held_out).row_count == wrong < 0.8 * len(y_held_out)


def test_tabular():
    example = load("tabular")
    for task in example.tasks():
        model, history = example.train(task, epochs=60)
        found = example.score(task, model.predict(task.x_held_out)[:, 0])
        assert found > (0.9 if task.classes else 0.2) and example.baseline(task) > (0.9 if task.classes else 0.2)
        assert history.best_epoch == int(np.argmin(history.history["val_loss"]))


def test_time_series(tmp_path):
    example = load("time_series")
    values = example.series(700)
    x, y = example.windows(values)
    assert x.shape == (700 - example.WINDOW, example.WINDOW, 1) and (x[1:, -1, 0] == y[:-1]).all()
    model, losses = example.train(values, units=16, epochs=12)
    network, naive = example.errors(model, example.series(400, seed=1))
    assert losses[-1] < 0.5 * losses[0] and network < naive
    forecast = example.continued(model, values, steps=5)
    assert forecast.shape == (5,) and np.abs(forecast).max() < 3
    example.draw(tmp_path / "picture.png", values, forecast)
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_language_model():
    example = load("language_model")
    example.cr.set_seed(0)
    characters, numbers = example.encoded(example.text())
    x, y = example.samples(numbers[:6000])
    assert (x[:, 1:] == y[:, :-1]).all()
    model = example.build(len(characters), width=16, blocks=1)
    losses = model.fit(x, y, epochs=4, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < 0.85 * losses[0]
    before = x[:1].copy()
    before[0, 40:] = 0  # causal: what comes later changes nothing
    np.testing.assert_allclose(model.predict(before)[0, :40], model.predict(x[:1])[0, :40], rtol=1e-4, atol=1e-5)
    assert example.written(model, characters, "The ", length=5)[:4] == "The "


def test_autoencoder(tmp_path):
    example = load("autoencoder")
    example.cr.set_seed(0)
    x, x_held_out = example.load()
    model, encoder, decoder = example.build()
    model.fit(x, x, epochs=20, batch_size=32, verbose=0)
    again = decoder.predict(encoder.predict(x_held_out))
    np.testing.assert_allclose(again, model.predict(x_held_out), rtol=1e-5, atol=1e-6)
    assert np.mean((again - x_held_out) ** 2) < 1.2 * example.by_components(x, x_held_out)
    example.draw(tmp_path / "picture.png", x_held_out, again)
    assert (tmp_path / "picture.png").stat().st_size > 5_000


def test_descent_paths(tmp_path):
    example = load("descent_paths")
    results = list(example.ways(steps=40))
    assert [name for name, _, _ in results] == ["Rosenbrock", "Beale", "Noisy bowl"]
    for _, f, found in results:
        assert all(f(r.x) < f(r.path[0]) for r in found.values())
    figure = example.draw(results)
    assert [len(ax.get_lines()) for ax in figure.axes] == [4, 4, 4]
    example.plt.close(figure)


def test_heat_equation():
    example = load("heat_equation")
    rng = np.random.default_rng(0)
    params, points = example.initial(rng), example.data(rng)
    result = example.train(steps=300)
    assert result.fun < 0.1 * example.loss(params, *points)
    assert example.error(result.x) < 0.2
    # the residual, derived by hand for one point with finite differences
    x, t, h = 0.8, 0.3, 1e-4
    u = lambda x, t: float(example.network(params, x, t))
    numeric = (u(x, t + h) - u(x, t - h)) / (2 * h) - (u(x + h, t) - 2 * u(x, t) + u(x - h, t)) / h**2
    np.testing.assert_allclose(example.residual(params, x, t), numeric, atol=1e-6)
