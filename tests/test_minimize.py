"""Gradient descent on any function: where it stops, why, and what it gives back."""

import numpy as np
import pytest

import chainrule.numpy  # noqa: F401
from chainrule import optimizers, runtime
from chainrule.descent import minimize
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

CENTRE = np.array([1.0, -2.0, 0.5])


def bowl(x):
    return np.sum((x - CENTRE) ** 2 * np.array([1.0, 2.0, 4.0])) + 3.0


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def test_plain_gradient_descent_reaches_the_tolerance():
    result = minimize(bowl, np.zeros(3), SGD(0.1), tolerance=1e-8)
    assert result.reason == "gradient tolerance" and result.converged
    assert result.grad_norm <= 1e-8 and result.fun == pytest.approx(3.0) and 50 < result.steps < 200
    np.testing.assert_allclose(result.x, CENTRE, atol=1e-8)
    assert result.path is None and result.values is None


def test_every_step_is_the_optimizers():
    result = minimize(bowl, np.zeros(3), SGD(0.05), max_steps=3, tolerance=0)
    x = np.zeros(3)
    for _ in range(3):
        x -= 0.05 * 2 * np.array([1.0, 2.0, 4.0]) * (x - CENTRE)
    np.testing.assert_allclose(result.x, x, rtol=1e-14)
    assert (result.reason, result.steps, result.converged) == ("step limit", 3, False)
    assert result.fun == pytest.approx(bowl(x))
    assert result.grad_norm == pytest.approx(np.linalg.norm(2 * np.array([1.0, 2.0, 4.0]) * (x - CENTRE)))


@pytest.mark.parametrize("optimizer", [None, "adam", SGD(5e-4, momentum=0.9, nesterov=True), Adam(0.1), RMSprop(0.001),
                                       Adagrad(0.5), AdamW(0.1, weight_decay=0.0)], ids=str)
def test_optimizers_go_down_on_rosenbrocks_valley(optimizer):
    result = minimize(rosenbrock, [-1.0, 2.0], optimizer, max_steps=20_000)
    assert result.fun < 0.1 and result.reason != "not finite"
    assert type(result.x) is list


def test_compiled_is_what_python_does():
    runs = [minimize(rosenbrock, [-1.0, 2.0], Adam(0.1), max_steps=50, record_path=True, jit=jit) for jit in (True,
                                                                                                              False)]
    np.testing.assert_allclose(runs[0].path, runs[1].path, rtol=1e-9)
    np.testing.assert_allclose(runs[0].values, runs[1].values, rtol=1e-9)
    assert runs[0].steps == runs[1].steps == 50


def test_target():
    result = minimize(bowl, np.zeros(3), SGD(0.05), target=4.0)
    assert result.reason == "target value" and result.converged and 3.0 < result.fun <= 4.0
    before = minimize(bowl, np.zeros(3), SGD(0.05), max_steps=result.steps - 1)
    assert before.fun > 4.0


def test_already_there():
    result = minimize(bowl, CENTRE, SGD(0.1))
    assert result.steps == 0 and result.reason == "gradient tolerance" and "at x0" in result.message
    result = minimize(bowl, np.zeros(3), SGD(0.1), max_steps=0)
    assert result.steps == 0 and result.reason == "step limit" and result.fun == bowl(np.zeros(3))


def test_path():
    result = minimize(bowl, np.zeros(3), SGD(0.1), tolerance=1e-6, record_path=True)
    assert result.path.shape == (result.steps + 1, 3) and result.values.shape == (result.steps + 1,)
    np.testing.assert_array_equal(result.path[0], np.zeros(3))
    np.testing.assert_array_equal(result.path[-1], result.x)
    assert result.values[0] == pytest.approx(bowl(np.zeros(3))) and result.values[-1] == result.fun
    assert (np.diff(result.values) <= 0).all()


def test_long_path_in_several_native_calls():
    result = minimize(lambda x: x**2, 1.0, SGD(1e-4), max_steps=3000, record_path=True)
    np.testing.assert_allclose(result.path, (1 - 2e-4) ** np.arange(3001), rtol=1e-10)


def test_callback():
    seen = []
    result = minimize(bowl, np.zeros(3), SGD(0.1), max_steps=5, tolerance=0,
                      callback=lambda step, x, value: seen.append((step, x.copy(), value)))
    assert [s for s, _, _ in seen] == [0, 1, 2, 3, 4, 5] and result.reason == "step limit"
    for _, x, value in seen:
        assert value == pytest.approx(bowl(x))
    steps = []
    result = minimize(bowl, np.zeros(3), SGD(0.1), max_steps=25, tolerance=0, callback_every=10, record_path=True,
                      callback=lambda step, x, value: steps.append(step))
    assert steps == [0, 10, 20, 25] and result.path.shape == (26, 3)
    result = minimize(bowl, np.zeros(3), SGD(0.1), callback=lambda step, x, value: step == 7)
    assert (result.steps, result.reason, result.converged) == (7, "callback", False)
    with pytest.raises(KeyboardInterrupt):
        minimize(bowl, np.zeros(3), SGD(0.1), callback=_interrupt)


def _interrupt(step, x, value):
    raise KeyboardInterrupt


def test_containers_shapes_and_dtypes():
    target = {"w": np.arange(6.0).reshape(2, 3), "b": (np.float64(2.0), [np.ones(2, np.float32)])}

    def f(p):
        return np.sum((p["w"] - target["w"]) ** 2) + (p["b"][0] - 2.0) ** 2 + np.sum((p["b"][1][0] - 1) ** 2)
    x0 = {"w": np.zeros((2, 3)), "b": (0.0, [np.zeros(2, np.float32)])}
    result = minimize(f, x0, SGD(0.1), record_path=True)
    assert result.converged
    assert result.x["w"].shape == (2, 3) and result.x["w"].dtype == np.float64
    assert isinstance(result.x["b"], tuple) and result.x["b"][1][0].dtype == np.float32
    np.testing.assert_allclose(result.x["w"], target["w"], atol=1e-6)
    assert result.path["w"].shape == (result.steps + 1, 2, 3)
    np.testing.assert_array_equal(x0["w"], 0)


def test_float32_stays_float32():
    seen = []

    def f(x):
        seen.append(x.dtype)
        return np.sum((x - 1) ** 2)
    result = minimize(f, np.zeros(3, np.float32), SGD(0.1), tolerance=1e-4)
    assert set(seen) == {np.dtype(np.float32)} and result.x.dtype == np.float32 and result.converged


def test_scalars():
    result = minimize(lambda x: (x - 3.0) ** 2, 0, SGD(0.2))
    assert result.x == pytest.approx(3.0) and np.ndim(result.x) == 0


def test_args_compile_nothing_when_they_change():
    def f(x, data, scale):
        return np.mean((data @ x - 1.0) ** 2) * scale
    rng = np.random.default_rng(0)
    first = minimize(f, np.zeros(4), SGD(0.1), max_steps=40, args=(rng.normal(size=(20, 4)), 2.0))
    compiled = runtime.Counters.compiled, runtime.Counters.loaded
    second = minimize(f, np.ones(4), SGD(0.2), max_steps=70, tolerance=1e-3, target=0.1,
                      args=(rng.normal(size=(20, 4)), 1.0))
    assert (runtime.Counters.compiled, runtime.Counters.loaded) == compiled
    assert first.fun != second.fun


def test_python_control_flow_without_jit():
    def f(x):
        return x**2 if x > 0 else x**4
    assert minimize(f, 1.0, SGD(0.1), jit=False).x == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("jit", [True, False])
def test_not_finite_says_where(jit):
    result = minimize(lambda x: -np.exp(x * x), 1.0, SGD(0.5), jit=jit)
    assert result.reason == "not finite" and not result.converged
    assert f"at step {result.steps}" in result.message and "learning_rate" in result.message
    result = minimize(lambda x: np.log(x), -1.0, SGD(0.1), jit=jit)
    assert result.steps == 0 and "f is nan at x0" in result.message


def test_repr():
    text = repr(minimize(bowl, np.zeros(3), SGD(0.1)))
    assert text.startswith("Converged: the gradient's norm fell to the tolerance 1e-06 at step") and "f(x): 3" in text
    assert repr(minimize(bowl, {"a": np.zeros(3), "b": 1.0}["a"], max_steps=2)).startswith("Stopped: max_steps=2")


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"f": 3}, ArgumentError, "int as f"),
    ({"x0": []}, ArgumentError, "no numbers"),
    ({"x0": np.zeros(3, int)}, ChainruleTypeError, "int64"),
    ({"x0": ["a"]}, ChainruleTypeError, "x0 holds a str"),
    ({"x0": np.array([1.0, np.nan, 0.0])}, ArgumentError, "NaN"),
    ({"optimizer": "adma"}, ArgumentError, "unknown optimizer"),
    ({"optimizer": SGD}, ArgumentError, "a class"),
    ({"max_steps": -1}, ArgumentError, "max_steps=-1"),
    ({"max_steps": 2.5}, ArgumentError, "max_steps=2.5"),
    ({"tolerance": -1.0}, ArgumentError, "tolerance=-1.0"),
    ({"tolerance": "small"}, ArgumentError, "tolerance='small'"),
    ({"target": np.nan}, ArgumentError, "target=nan"),
    ({"callback": 3}, ArgumentError, "callback=3"),
    ({"callback_every": 0}, ArgumentError, "callback_every=0"),
    ({"f": lambda x: x}, ShapeError, "scalar result"),
    ({"f": lambda x: "a"}, ShapeError, "a str"),
    ({"f": lambda x: np.argmax(x)}, ChainruleTypeError, "dtype int64"),
    ({"f": lambda x: np.sum(x) if x[0] > 0 else x[1]}, TypeError, "jit"),
])
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=f"(?i){message}"):
        minimize(**{"f": bowl, "x0": np.zeros(3), **arguments})


@pytest.mark.parametrize("name", sorted(optimizers._CLASSES))
def test_every_optimizer_goes_down(name):
    rule = optimizers.get(name)
    rate = {"lbfgs": 1.0, "adadelta": 50.0, "sgd": 0.1, "momentum": 0.02, "adafactor": 0.3, "ftrl": 1.0}.get(name, 0.05)
    rule.learning_rate = rate

    def bowl(x):
        return np.sum((x["kernel"] - 1.0) ** 2 * np.array([[1.0, 2.0], [3.0, 0.5]])) + np.sum(x["bias"] ** 2)
    x0 = {"kernel": np.full((2, 2), 2.0), "bias": np.array([0.7, -0.4, 0.2])}
    result = minimize(bowl, x0, rule, max_steps=150)
    assert result.fun < 0.05 * bowl(x0) and np.isfinite(result.x["kernel"]).all()


def test_lbfgs_in_python_and_compiled():
    def rosenbrock(x):
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    x0 = np.tile([-1.2, 1.0], 5)
    found = [minimize(rosenbrock, x0, optimizers.LBFGS(), max_steps=200, jit=jit) for jit in (True, False)]
    for result in found:
        assert result.converged and result.steps < 100
        np.testing.assert_allclose(result.x, 1.0, atol=1e-5)
    assert found[0].steps == found[1].steps
