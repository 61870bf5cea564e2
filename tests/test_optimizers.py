"""Optimizers: trajectories against Keras's formulas written out in float64, purity, names, bad hyperparameters."""

import math

import numpy as np
import pytest

from chainrule import optimizers
from chainrule.errors import ArgumentError
from chainrule.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop, schedules
from chainrule.runtime import jit

CURVATURE = np.linspace(0.1, 4.0, 11)
START = np.linspace(-2.0, 2.0, 11)
STEPS = 20


def gradient(p):
    return CURVATURE * p + 0.3 * np.cos(3 * p)


def sgd(p, g, s, t, lr=0.01, momentum=0.0, nesterov=False, weight_decay=0.0):
    p = p - weight_decay * lr * p
    if not momentum:
        return p - lr * g
    s["m"] = momentum * s.get("m", 0) - lr * g
    return p + momentum * s["m"] - lr * g if nesterov else p + s["m"]


def rmsprop(p, g, s, t, lr=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    s["v"] = rho * s.get("v", 0) + (1 - rho) * g**2
    denominator = s["v"] + epsilon
    if centered:
        s["a"] = rho * s.get("a", 0) + (1 - rho) * g
        denominator = denominator - s["a"] ** 2
    step = lr * g / np.sqrt(denominator)
    if momentum:
        step = s["m"] = momentum * s.get("m", 0) + step
    return p - step


def adagrad(p, g, s, t, lr=0.001, initial=0.1, epsilon=1e-7):
    s["a"] = s.get("a", initial) + g**2
    return p - lr * g / np.sqrt(s["a"] + epsilon)


def adam(p, g, s, t, lr=0.001, b1=0.9, b2=0.999, epsilon=1e-7, amsgrad=False, weight_decay=0.0):
    p = p - weight_decay * lr * p
    s["m"] = s.get("m", 0) + (g - s.get("m", 0)) * (1 - b1)
    s["v"] = s.get("v", 0) + (g**2 - s.get("v", 0)) * (1 - b2)
    alpha = lr * math.sqrt(1 - b2**t) / (1 - b1**t)
    v = s["v"]
    if amsgrad:
        v = s["largest"] = np.maximum(s.get("largest", 0), v)
    return p - s["m"] * alpha / (np.sqrt(v) + epsilon)


RULES = {
    "SGD": (SGD(), sgd, {}),
    "SGD-momentum": (SGD(0.05, momentum=0.9), sgd, dict(lr=0.05, momentum=0.9)),
    "SGD-nesterov": (SGD(0.05, 0.9, True), sgd, dict(lr=0.05, momentum=0.9, nesterov=True)),
    "SGD-decay": (SGD(0.05, weight_decay=0.1), sgd, dict(lr=0.05, weight_decay=0.1)),
    "RMSprop": (RMSprop(), rmsprop, {}),
    "RMSprop-centered": (RMSprop(0.01, 0.8, 0.5, 1e-5, True), rmsprop,
                         dict(lr=0.01, rho=0.8, momentum=0.5, epsilon=1e-5, centered=True)),
    "Adagrad": (Adagrad(), adagrad, {}),
    "Adagrad-initial": (Adagrad(0.3, 0.5, 1e-3), adagrad, dict(lr=0.3, initial=0.5, epsilon=1e-3)),
    "Adam": (Adam(), adam, {}),
    "Adam-options": (Adam(0.1, 0.7, 0.9, 1e-4), adam, dict(lr=0.1, b1=0.7, b2=0.9, epsilon=1e-4)),
    "Adam-amsgrad": (Adam(0.3, 0.5, 0.6, amsgrad=True), adam, dict(lr=0.3, b1=0.5, b2=0.6, amsgrad=True)),
    "AdamW": (AdamW(), adam, dict(weight_decay=0.004)),
    "AdamW-decay": (AdamW(0.1, 0.5), adam, dict(lr=0.1, weight_decay=0.5)),
}


def expected(formula, options):
    p, state = START.copy(), {}
    for t in range(1, STEPS + 1):
        p = formula(p, gradient(p), state, t, **options)
    return p


@pytest.mark.parametrize("name", RULES)
def test_trajectory_in_double_precision(name):
    rule, formula, options = RULES[name]
    p, state = START.copy(), rule.init(START)
    for step in range(STEPS):
        p, state = rule.update(p, gradient(p), state, rule.learning_rate, step)
    np.testing.assert_allclose(p, expected(formula, options), rtol=1e-12)
    assert np.abs(p - START).max() > 1e-4


@pytest.mark.parametrize("name", RULES)
def test_trajectory_compiled_in_single_precision(name):
    rule, formula, options = RULES[name]
    update = jit(lambda p, g, state, rate: rule.update(p, g, state, rate))
    p = START.astype(np.float32)
    state = rule.init(p)
    for _ in range(STEPS):
        before = p.copy()
        q, state = update(p, gradient(p).astype(np.float32), state, np.float32(rule.learning_rate))
        np.testing.assert_array_equal(p, before)  # what it was given stays as it was
        p = q
    np.testing.assert_allclose(p, expected(formula, options), rtol=2e-5, atol=2e-6)
    assert all(a.dtype == (np.float32 if a.ndim else np.float64) for a in state.values())
    assert len(update._programs) == 1


def test_learning_rate_is_an_input():
    rule = SGD(0.5)
    update = jit(lambda p, g, rate: rule.update(p, g, {}, rate)[0])
    one = np.ones(3, np.float32)
    for rate in (0.5, 0.25):
        rule.learning_rate = rate
        np.testing.assert_array_equal(update(one, one, rule.rate), one - np.float32(rate))
    assert len(update._programs) == 1 and rule.learning_rate == 0.25


def test_names_and_defaults():
    for name, kind in (("sgd", SGD), ("RMSprop", RMSprop), ("adagrad", Adagrad), ("Adam", Adam), ("adamw", AdamW)):
        assert type(optimizers.get(name)) is kind
    assert [optimizers.get(n).learning_rate for n in ("sgd", "rmsprop", "adagrad", "adam", "adamw")] == [
        0.01, 0.001, 0.001, 0.001, 0.001]
    rule = Adam(0.5)
    assert optimizers.get(rule) is rule
    assert repr(SGD(0.1, weight_decay=0.2)) == "SGD(learning_rate=0.1, momentum=0.0, nesterov=False, weight_decay=0.2)"


def test_unknown_names_and_wrong_things():
    with pytest.raises(ArgumentError, match=r"Unknown optimizer 'adm'[\s\S]*optimizer='adam'"):
        optimizers.get("adm")
    with pytest.raises(ArgumentError, match=r"optimizer=Adam, a class[\s\S]*Adam\(learning_rate"):
        optimizers.get(Adam)
    with pytest.raises(ArgumentError, match="a name or an Optimizer"):
        optimizers.get(3)


@pytest.mark.parametrize("make", [
    lambda: SGD(-0.1), lambda: SGD(math.nan), lambda: SGD("fast"), lambda: SGD(True), lambda: SGD(momentum=1.5),
    lambda: SGD(momentum=-0.1), lambda: RMSprop(rho=1.0), lambda: RMSprop(epsilon=0), lambda: Adagrad(math.inf),
    lambda: Adagrad(initial_accumulator_value=-1), lambda: Adam(beta_1=1.0), lambda: Adam(beta_2=-0.1),
    lambda: Adam(epsilon=-1e-7), lambda: AdamW(weight_decay=-1), lambda: Adam([0.1])])
def test_bad_hyperparameters(make):
    with pytest.raises(ArgumentError, match="What fits"):
        make()


def test_learning_rate_cannot_be_set_to_nonsense():
    rule = Adam()
    with pytest.raises(ArgumentError, match="learning_rate"):
        rule.learning_rate = -1
    assert rule.learning_rate == 0.001
    for function in (lambda step: 0.1, schedules.ExponentialDecay, lambda: "fast", lambda: -1.0):
        with pytest.raises(ArgumentError, match="learning_rate"):
            rule.learning_rate = function
    assert rule.learning_rate == 0.001
