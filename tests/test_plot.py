"""The ways of optimizers over contours."""

import re
import sys

import matplotlib
import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, MissingExtra

matplotlib.use("Agg")


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def bowl(p):
    return (p["a"] - 1) ** 2 + 3 * (p["b"] + 2) ** 2


@pytest.fixture(autouse=True)
def closed():
    yield
    matplotlib.pyplot.close("all")


def descend(f, x0, optimizer=None, **options):
    return cr.minimize(f, x0, optimizer, max_steps=20, record_path=True, jit=False, **options)


def test_one_way():
    result = descend(rosenbrock, [-1.0, 1.5], cr.optimizers.SGD(1e-3))
    ax = cr.plot.path(rosenbrock, result, points=20)
    line, = ax.get_lines()
    np.testing.assert_array_equal(line.get_xydata(), result.path if isinstance(result.path, np.ndarray)
                                  else np.stack(result.path, axis=1))
    assert line.get_label() == "20 steps" and ax.get_xlim()[0] < -1 < ax.get_xlim()[1]


def test_several_ways_over_each_other(tmp_path):
    ways = {name: descend(bowl, {"a": 4.0, "b": 1.0}, optimizer)
            for name, optimizer in {"SGD": cr.optimizers.SGD(0.05), "Adam": cr.optimizers.Adam(0.2)}.items()}
    ax = cr.plot.path(bowl, ways, points=12, limits=((-1, 5), (-4, 2)))
    assert [line.get_label() for line in ax.get_lines()] == ["SGD: 20 steps", "Adam: 20 steps"]
    assert ax.get_xlim() == (-1, 5)
    ax.figure.savefig(tmp_path / "ways.png")
    again = cr.plot.path(bowl, list(ways.values()), points=12, ax=ax)
    assert again is ax and len(ax.get_lines()) == 4


def test_arguments_of_the_function_and_points_outside_its_domain():
    def f(x, scale):
        return np.sum(scale * x**2) - np.log(x[0])
    result = descend(f, np.array([1.0, 1.0]), cr.optimizers.SGD(0.1), args=(np.array([1.0, 2.0]),))
    cr.plot.path(f, result, args=(np.array([1.0, 2.0]),), points=10, limits=((-1, 2), (-1, 2)))


def test_without_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "chainrule.plot", raising=False)
    monkeypatch.delattr(cr, "plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for _ in range(2):
        with pytest.raises(MissingExtra, match=re.escape("pip install 'chainrule[pictures]'")):
            _ = cr.plot


def test_wrong_results():
    with pytest.raises(ArgumentError, match="record_path=True"):
        cr.plot.path(rosenbrock, cr.minimize(rosenbrock, [0.0, 0.0], max_steps=1, jit=False))
    with pytest.raises(ArgumentError, match=re.escape("3 variables")):
        cr.plot.path(np.sum, descend(lambda x: np.sum(x * x), np.ones(3)))
    with pytest.raises(ArgumentError, match="no result".capitalize()):
        cr.plot.path(rosenbrock, {})
