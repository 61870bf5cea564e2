"""Learning rate schedules: functions of the number of steps made, compiled into the program that trains.

A schedule works on a concrete step, for a look at it, and on the recorded count of steps. Rates are float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import chainrule.numpy  # noqa: F401  from here on NumPy functions record themselves
from chainrule import configuration
from chainrule.arguments import not_negative, positive, share, whole
from chainrule.configuration import Configured, serialize
from chainrule.errors import ArgumentError
from chainrule.ops.declare import Traced


class LearningRateSchedule(Configured):
    """A learning rate that depends on the step. A subclass defines ``rate(step)``, ``step`` a float64.

    Example:
        >>> class Halving(LearningRateSchedule):
        ...     def rate(self, step):
        ...         return 0.1 * 0.5 ** np.floor(step / 100)
        >>> float(Halving()(250))
        0.025
    """

    kind = "schedule"

    def __call__(self, step: Any) -> Any:
        """The rate of the step after ``step`` steps."""
        if isinstance(step, Traced):
            return self.rate(step.astype(np.float64))  # type: ignore[attr-defined]
        return self.rate(np.float64(step))

    def rate(self, step: Any) -> Any:
        """The rate of the step after ``step`` steps, a float64 from 0 on."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items() if k != 'name')})"


class ExponentialDecay(LearningRateSchedule):
    """``η₀ · decay_rate^(step / decay_steps)``; with ``staircase`` the exponent is rounded down.

    Example:
        >>> float(ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)(200))
        0.025
    """

    def __init__(self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False,
                 name: str = "ExponentialDecay") -> None:
        self.initial_learning_rate = not_negative("initial_learning_rate", initial_learning_rate)
        self.decay_steps, self.decay_rate = positive("decay_steps", decay_steps), positive("decay_rate", decay_rate)
        self.staircase, self.name = bool(staircase), name

    def rate(self, step: Any) -> Any:
        """The rate."""
        turns = _turns(step, self.decay_steps, self.staircase)
        return self.initial_learning_rate * np.exp(turns * math.log(self.decay_rate))


class InverseTimeDecay(LearningRateSchedule):
    """``η₀ / (1 + decay_rate · step / decay_steps)``; with ``staircase`` the quotient is rounded down.

    Example:
        >>> float(InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)(10))
        0.05
    """

    def __init__(self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False,
                 name: str = "InverseTimeDecay") -> None:
        self.initial_learning_rate = not_negative("initial_learning_rate", initial_learning_rate)
        self.decay_steps, self.decay_rate = positive("decay_steps", decay_steps), not_negative("decay_rate", decay_rate)
        self.staircase, self.name = bool(staircase), name

    def rate(self, step: Any) -> Any:
        """The rate."""
        return self.initial_learning_rate / (1.0 + self.decay_rate * _turns(step, self.decay_steps, self.staircase))


class PolynomialDecay(LearningRateSchedule):
    """From η₀ to ``end_learning_rate`` in ``decay_steps`` steps: ``(η₀ - end)(1 - step / decay_steps)^power + end``.

    With ``cycle`` the span of the decay doubles, triples, … when its end is reached, and the rate rises again.

    Example:
        >>> float(PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)(5))
        0.05
    """

    def __init__(self, initial_learning_rate: float, decay_steps: float, end_learning_rate: float = 0.0001,
                 power: float = 1.0, cycle: bool = False, name: str = "PolynomialDecay") -> None:
        self.initial_learning_rate = not_negative("initial_learning_rate", initial_learning_rate)
        self.decay_steps = positive("decay_steps", decay_steps)
        self.end_learning_rate = not_negative("end_learning_rate", end_learning_rate)
        self.power, self.cycle, self.name = positive("power", power), bool(cycle), name

    def rate(self, step: Any) -> Any:
        """The rate."""
        span = np.float64(self.decay_steps)
        if self.cycle:
            span = span * np.maximum(np.ceil(step / self.decay_steps), 1.0)
        left = 1.0 - np.minimum(step, span) / span
        if self.power != 1.0:
            left = left ** self.power
        return (self.initial_learning_rate - self.end_learning_rate) * left + self.end_learning_rate


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]`` up to and with step ``boundaries[i]``, the last value after them.

    Example:
        >>> schedule = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
        >>> [float(schedule(step)) for step in (100, 101, 201)]
        [0.1, 0.01, 0.001]
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        self.boundaries = [not_negative("boundaries", b) for b in boundaries]
        self.values, self.name = [not_negative("values", v) for v in values], name
        if len(self.boundaries) != len(self.values) - 1 or not self.boundaries:
            raise ArgumentError.of(f"got {len(self.boundaries)} boundaries and {len(self.values)} values",
                                   "one value more than boundaries", "PiecewiseConstantDecay([100], [0.1, 0.01])")
        if sorted(self.boundaries) != self.boundaries:
            raise ArgumentError.of(f"got boundaries={self.boundaries}", "rising steps", f"{sorted(self.boundaries)}")

    def rate(self, step: Any) -> Any:
        """The rate."""
        out: Any = np.float64(self.values[-1])
        for boundary, value in zip(reversed(self.boundaries), reversed(self.values[:-1]), strict=True):
            out = np.where(step <= boundary, value, out)
        return out


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial rate down to ``alpha`` times it in ``decay_steps`` steps, after a linear warm-up.

    With ``warmup_target`` the rate first rises from the initial one to the target in ``warmup_steps`` steps, and falls
    from there.

    Example:
        >>> float(CosineDecay(0.1, decay_steps=100)(50).round(6))
        0.05
        >>> float(CosineDecay(0.0, 100, warmup_target=0.1, warmup_steps=10)(5))
        0.05

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017.
    """

    def __init__(self, initial_learning_rate: float, decay_steps: float, alpha: float = 0.0, name: str = "CosineDecay",
                 warmup_target: float | None = None, warmup_steps: int = 0) -> None:
        self.initial_learning_rate = not_negative("initial_learning_rate", initial_learning_rate)
        self.decay_steps, self.name = positive("decay_steps", decay_steps), name
        self.alpha = not_negative("alpha", alpha)
        self.warmup_target = None if warmup_target is None else not_negative("warmup_target", warmup_target)
        self.warmup_steps = whole("warmup_steps", warmup_steps, least=0)

    def rate(self, step: Any) -> Any:
        """The rate."""
        top = self.initial_learning_rate if self.warmup_target is None else self.warmup_target
        warm = self.warmup_steps if self.warmup_target is not None else 0
        done = np.minimum(np.maximum(step - warm, 0.0), self.decay_steps) / self.decay_steps
        falling = top * _half_cosine(done, self.alpha)
        if not warm:
            return falling
        rising = self.initial_learning_rate + (top - self.initial_learning_rate) * (step / warm)
        return np.where(step < warm, rising, falling)


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines one after the other, each ``t_mul`` times as long and ``m_mul`` times as high as the one before.

    All end at ``alpha`` times the initial rate.

    Example:
        >>> schedule = CosineDecayRestarts(0.1, first_decay_steps=100, m_mul=0.5)
        >>> [round(float(schedule(step)), 6) for step in (0, 50, 100, 200)]
        [0.1, 0.05, 0.05, 0.025]

    Source: as :class:`CosineDecay`.
    """

    def __init__(self, initial_learning_rate: float, first_decay_steps: float, t_mul: float = 2.0, m_mul: float = 1.0,
                 alpha: float = 0.0, name: str = "SGDRDecay") -> None:
        self.initial_learning_rate = not_negative("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = positive("first_decay_steps", first_decay_steps)
        self.alpha = share("alpha", alpha, one=True)
        self.t_mul, self.m_mul, self.name = positive("t_mul", t_mul), positive("m_mul", m_mul), name
        if self.t_mul < 1:
            raise ArgumentError.of(f"got t_mul={t_mul}", "1 or more", "t_mul=2.0")

    def rate(self, step: Any) -> Any:
        """The rate."""
        turns = step / self.first_decay_steps
        if self.t_mul == 1.0:
            restarts = np.floor(turns)
            done = turns - restarts
        else:  # the end of restart i is at (t_mul^(i+1) - 1) / (t_mul - 1) first spans
            restarts = np.floor(np.log(1.0 + turns * (self.t_mul - 1.0)) * (1.0 / math.log(self.t_mul)))
            length = np.exp(restarts * math.log(self.t_mul))
            done = (turns - (1.0 - length) / (1.0 - self.t_mul)) / length
        height = np.exp(restarts * math.log(self.m_mul))
        return self.initial_learning_rate * ((1.0 - self.alpha) * height * _half_cosine(done, 0.0) + self.alpha)


class OneCycle(LearningRateSchedule):
    """One rise to ``max_learning_rate`` and one fall to almost nothing, both along half a cosine.

    Args:
        max_learning_rate: the top.
        total_steps: the length of the whole cycle; the rate stays at its end after it.
        pct_start: the share of the steps that rise.
        div_factor: the first rate is the top divided by it.
        final_div_factor: the last rate is the first one divided by it.
        name: of the schedule.

    Example:
        >>> schedule = OneCycle(1.0, total_steps=100, pct_start=0.31)
        >>> [round(float(schedule(step)), 6) for step in (0, 15, 30, 99)]
        [0.04, 0.52, 1.0, 4e-06]

    Source: Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates",
    2018.
    """

    def __init__(self, max_learning_rate: float, total_steps: int, pct_start: float = 0.3, div_factor: float = 25.0,
                 final_div_factor: float = 1e4, name: str = "OneCycle") -> None:
        self.max_learning_rate = not_negative("max_learning_rate", max_learning_rate)
        self.total_steps, self.pct_start = whole("total_steps", total_steps, least=2), share("pct_start", pct_start)
        self.div_factor, self.name = positive("div_factor", div_factor), name
        self.final_div_factor = positive("final_div_factor", final_div_factor)

    def rate(self, step: Any) -> Any:
        """The rate."""
        last = self.total_steps - 1.0
        turn = max(self.pct_start * self.total_steps - 1.0, 0.0)
        first = self.max_learning_rate / self.div_factor
        end = first / self.final_div_factor
        falling = end + (self.max_learning_rate - end) * _half_cosine(
            np.minimum(np.maximum(step - turn, 0.0) / (last - turn), 1.0), 0.0)
        if not turn:
            return falling
        rising = self.max_learning_rate + (first - self.max_learning_rate) * _half_cosine(
            np.minimum(step / turn, 1.0), 0.0)
        return np.where(step <= turn, rising, falling)


def deserialize(config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The schedule that ``serialize`` wrote down.

    Args:
        config: what it gave.
        custom_objects: classes and functions of the program by their names.

    Example:
        >>> deserialize(serialize(OneCycle(1.0, total_steps=100))).total_steps
        100
    """
    return configuration.deserialize(config, custom_objects, "schedule")


def _turns(step: Any, steps: float, whole_ones: bool) -> Any:
    turns = step / steps
    return np.floor(turns) if whole_ones else turns


def _half_cosine(done: Any, alpha: float) -> Any:
    """From 1 down to ``alpha`` while ``done`` goes from 0 to 1."""
    return (1.0 - alpha) * (0.5 * (1.0 + np.cos(math.pi * done))) + alpha


__all__ = ["CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "LearningRateSchedule",
           "OneCycle", "PiecewiseConstantDecay", "PolynomialDecay", "deserialize", "serialize"]
