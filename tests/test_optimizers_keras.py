"""Optimizers and schedules against Keras's own trajectories, plain in float64 and compiled in float32."""

from pathlib import Path

import numpy as np
import pytest
from golden.optimizer_cases import KEPT, NAMES, OPTIMIZERS, SCHEDULE_STEPS, SCHEDULES, SHAPES, STEPS, gradient, start

from chainrule import optimizers
from chainrule.errors import ArgumentError
from chainrule.optimizers.layout import Layout
from chainrule.runtime import Counters, jit

GOLDEN = np.load(Path(__file__).parent / "golden" / "optimizers.npz")
LAYOUT = Layout(NAMES, SHAPES)
START = LAYOUT.join([start(i) for i in range(len(SHAPES))])


def made(name):
    kind, options = OPTIMIZERS[name]
    options = dict(options)
    if isinstance(options["learning_rate"], tuple):
        schedule, args, more = options["learning_rate"]
        options["learning_rate"] = getattr(optimizers.schedules, schedule)(*args, **more)
    rule = getattr(optimizers, kind)(**options)
    if name == "excluded_decay":
        rule.exclude_from_weight_decay(var_names=["bias", "embeddings"])
    return rule


def trajectory(rule, p, update):
    state, kept, p = rule.init(p, LAYOUT), [], p.copy()
    for step in range(STEPS):
        g = LAYOUT.join([gradient(np.asarray(part), step) for part in LAYOUT.split(p)]).astype(p.dtype)
        p, state = update(p, g, state, rule.rate, np.int64(step))
        if step in KEPT:
            kept.append(p.copy())
    if rule.use_ema:
        rule.finalize(p, state)
        kept.append(p)
    return np.stack(kept)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trajectory_of_keras(name):
    rule = made(name)
    rule.rate = np.float64(0 if rule.schedule else rule.learning_rate)
    found = trajectory(rule, START, lambda *args: rule.update(*args, LAYOUT))
    np.testing.assert_allclose(found, GOLDEN[name], rtol=2e-6, atol=1e-7)
    assert np.abs(found[-1] - START).max() > 1e-2


# One of each kind: what is common to all is compiled with one of them
@pytest.mark.parametrize("name", ["adadelta", "adamax", "nadam", "lion", "adafactor", "lamb", "muon", "ftrl_options",
                                  "clipnorm", "global_clipnorm", "ema_overwriting", "accumulation", "excluded_decay",
                                  "schedule"])
def test_trajectory_compiled_in_single_precision(name):
    rule = made(name)
    update = jit(lambda *args: rule.update(*args, LAYOUT))
    found = trajectory(rule, START.astype(np.float32), update)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, GOLDEN[name], rtol=2e-3 if name == "muon" else 3e-4, atol=2e-4)
    assert len(update._programs) == 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_of_keras(name):
    kind, args, options = SCHEDULES[name]
    schedule = getattr(optimizers.schedules, kind)(*args, **options)
    expected = GOLDEN[f"schedule_{name}"]
    found = [float(schedule(step)) for step in range(SCHEDULE_STEPS)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    compiled = jit(lambda steps: schedule(steps))
    np.testing.assert_allclose(compiled(np.arange(SCHEDULE_STEPS)), found, rtol=1e-12)


def test_one_cycle():
    torch_like = optimizers.schedules.OneCycle(0.1, total_steps=40, pct_start=0.25)
    rates = np.array([float(torch_like(step)) for step in range(60)])
    turn = 0.25 * 40 - 1
    up = [0.1 / 25 + (0.1 - 0.1 / 25) * (1 - np.cos(np.pi * k / turn)) / 2 for k in range(10)]
    end = 0.1 / 25 / 1e4
    down = [end + (0.1 - end) * (1 + np.cos(np.pi * (k - turn) / (39 - turn))) / 2 for k in range(10, 40)]
    np.testing.assert_allclose(rates, up + down + [end] * 20, rtol=1e-9)


@pytest.mark.parametrize("make", [
    lambda s: s.ExponentialDecay(-0.1, 10, 0.5), lambda s: s.ExponentialDecay(0.1, 0, 0.5),
    lambda s: s.PiecewiseConstantDecay([1, 2], [0.1, 0.2]), lambda s: s.PiecewiseConstantDecay([2, 1], [1, 2, 3]),
    lambda s: s.CosineDecay(0.1, 10, warmup_target=0.2, warmup_steps=-1), lambda s: s.OneCycle(0.1, 1),
    lambda s: s.CosineDecayRestarts(0.1, 10, t_mul=0.5)])
def test_bad_schedules(make):
    with pytest.raises(ArgumentError, match="What fits"):
        make(optimizers.schedules)


@pytest.mark.parametrize("options", [
    {"clipnorm": 1.0, "clipvalue": 1.0}, {"clipnorm": 0.0}, {"ema_momentum": 1.5}, {"gradient_accumulation_steps": 1},
    {"ema_overwrite_frequency": 0}, {"loss_scale_factor": -1.0}, {"clip_norm": 1.0}])
def test_bad_options(options):
    with pytest.raises(ArgumentError, match="What fits"):
        optimizers.Adam(0.1, **options)


def test_loss_scaling_finds_its_factor():
    rule = optimizers.LossScaleOptimizer(optimizers.Adam(0.1), initial_scale=8.0, dynamic_growth_steps=3)
    inner = optimizers.Adam(0.1)
    update = jit(lambda *args: rule.update(*args))
    p = q = np.ones(3, np.float32)
    state, alone = rule.init(p), inner.init(q)
    scales = []
    made_steps = 0
    for step in range(9):
        g = np.full(3, np.inf if step in (1, 7) else 0.5 + step, np.float32)
        before = p
        p, state = update(p, g, state, rule.rate, np.int64(step))
        if step in (1, 7):
            np.testing.assert_array_equal(p, before)
        else:
            q, alone = inner.update(q, g, alone, np.float32(0.1), made_steps)
            made_steps += 1
        scales.append(float(state["scale"]))
    assert scales == [8, 4, 4, 4, 8, 8, 8, 4, 4] and int(state["steps"]) == made_steps == 7
    np.testing.assert_allclose(p, q, rtol=1e-5)
    assert rule.learning_rate == 0.1 and float(rule.loss_scale(state)) == 4


def test_the_rate_of_a_schedule_is_that_of_the_next_step():
    rule = optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 1, 0.5))
    rule.iterations = np.int64(2)
    assert rule.learning_rate == pytest.approx(0.025)
    assert repr(rule).startswith("SGD(learning_rate=ExponentialDecay(initial_learning_rate=0.1, ")
    rule.learning_rate = 0.3
    assert rule.schedule is None and rule.learning_rate == 0.3


def test_updates_compile_once_whatever_the_step():
    rule = made("schedule")
    update = jit(lambda *args: rule.update(*args))
    p, state = np.ones(3, np.float32), rule.init(np.ones(3, np.float32))
    update(p, p, state, rule.rate, np.int64(0))
    before = Counters.compiled, Counters.loaded
    for step in range(1, 4):
        p, state = update(p, p, state, rule.rate, np.int64(step))
    assert (Counters.compiled, Counters.loaded) == before


@pytest.mark.parametrize("name", ["sgd_nesterov", "rmsprop_centered", "adagrad", "adadelta", "adam_amsgrad", "adamax",
                                  "nadam", "lion", "ftrl", "global_clipnorm", "ema_overwriting", "accumulation_ema",
                                  "excluded_decay", "schedule"])
def test_elementwise_rules_are_one_loop_over_all_parameters(name, capsys):
    rule, p = made(name), START.astype(np.float32)
    update = jit(lambda p, g, s, rate, step: rule.update(p, g, s, rate, step, LAYOUT), donate=(0, 2))
    update.show("loops", p, p + 1, rule.init(p, LAYOUT), rule.rate, np.int64(0))
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("  for ") for line in lines) == 1


def test_loss_scaling_reads_the_schedule_of_the_inner_optimizer():
    rule = optimizers.LossScaleOptimizer(optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)))
    rule.iterations = np.int64(3)
    assert rule.learning_rate == pytest.approx(0.0125)
