"""Training without gradients: these ask for the loss at many points and for nothing else.

They show that backpropagation and optimization are two things: the same model and the same loop, and no derivative.
They need many more evaluations than gradient methods, the more so the more parameters there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from chainrule import random
from chainrule.arguments import positive, share, whole
from chainrule.control import scan
from chainrule.ops import elementwise as ew
from chainrule.ops.index import take
from chainrule.optimizers.base import Options, Rate, Search, State, as_dtype
from chainrule.optimizers.layout import Layout

Evaluate = Callable[[Any], tuple[Any, Any]]


class _Blind(Search):
    """Base of what uses no gradient: keeps a key for its random numbers."""

    uses_gradient = False

    def __init__(self, learning_rate: Rate, seed: int | None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, None, **options)
        self.seed = seed

    def start(self, params: Any, layout: Layout) -> State:
        """A key; its numbers depend on it and on the step."""
        return {"key": random.key() if self.seed is None else random.key(self.seed)}


class RandomSearch(_Blind):
    """Tries random points around the present one and goes to the best of them, if it is better.

    Args:
        learning_rate: the standard deviation of the steps tried.
        samples: how many points a step tries.
        seed: of the random numbers; None continues those that ``cr.set_seed`` seeds.
        options: ``name``, ``use_ema`` and the like of every :class:`Optimizer`.

    Example:
        >>> import chainrule as cr
        >>> rule = RandomSearch(0.3, seed=0)
        >>> cr.minimize(lambda x: np.sum((x - 1.0) ** 2), np.zeros(2), rule, max_steps=200).fun < 1e-2
        True
    """

    def __init__(self, learning_rate: Rate = 0.05, samples: int = 16, seed: int | None = None,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, seed, **options)
        self.samples = whole("samples", samples)

    def search(self, evaluate: Evaluate, params: Any, value: Any, grads: Any, state: State, learning_rate: Any,
               step: Any) -> tuple[Any, State]:
        """One step."""
        key = random.fold_in(state["key"], step)
        noise = random.normal(key, (self.samples, *params.shape)).astype(params.dtype)
        points = params + noise * as_dtype(learning_rate, params)
        values = _values(evaluate, points)
        best = np.argmin(values)
        return ew.select(ew.lt(np.min(values), value), take(points, best, axis=0), params), state


class EvolutionStrategy(_Blind):
    """Estimates a direction from the loss at random points and steps along it: ``p ← p - η Σ (f₊ - f₋) ε / (2 σ n)``.

    With ``f± = f(p ± σ ε)`` for n random directions ε.

    Args:
        learning_rate: η.
        samples: n; a step evaluates the loss 2 n times.
        sigma: σ.
        seed: of the random numbers; None continues those that ``cr.set_seed`` seeds.
        options: ``name``, ``use_ema`` and the like of every :class:`Optimizer`.

    Example:
        >>> import chainrule as cr
        >>> rule = EvolutionStrategy(0.1, seed=0)
        >>> cr.minimize(lambda x: np.sum((x - 1.0) ** 2), np.zeros(2), rule, max_steps=100).fun < 1e-3
        True

    Source: Salimans et al., "Evolution strategies as a scalable alternative to reinforcement learning", 2017.
    """

    def __init__(self, learning_rate: Rate = 0.05, samples: int = 16, sigma: float = 0.05, seed: int | None = None,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, seed, **options)
        self.samples, self.sigma = whole("samples", samples), positive("sigma", sigma)

    def search(self, evaluate: Evaluate, params: Any, value: Any, grads: Any, state: State, learning_rate: Any,
               step: Any) -> tuple[Any, State]:
        """One step."""
        key = random.fold_in(state["key"], step)
        noise = random.normal(key, (self.samples, *params.shape)).astype(params.dtype)
        moves = noise * self.sigma
        rise = _values(evaluate, np.concatenate([params + moves, params - moves]))
        slopes = (rise[:self.samples] - rise[self.samples:]) * (0.5 / self.sigma / self.samples)
        return params - (slopes @ noise) * as_dtype(learning_rate, params), state


class Genetic(_Blind):
    """A population of parameter vectors: the fit ones have children, which mix their parents' genes and mutate.

    Each step judges all; the best ``elite`` live on unchanged; each other place goes to the child of two parents, each
    the fitter one of two picked at random. A child takes every number from either parent, and ``learning_rate`` times a
    normal number is added to a share ``mutation`` of them. The model is the best of the population.

    Args:
        learning_rate: the size of mutations.
        population: how many there are.
        elite: how many live on.
        mutation: the share of numbers that mutate.
        spread: the standard deviation of the first population around the first parameters.
        seed: of the random numbers; None continues those that ``cr.set_seed`` seeds.
        options: ``name`` of every :class:`Optimizer`.

    Example:
        >>> import chainrule as cr
        >>> rule = Genetic(0.1, seed=0)
        >>> cr.minimize(lambda x: np.sum((x - 1.0) ** 2), np.zeros(2), rule, max_steps=100).fun < 1e-2
        True

    Source: Holland, "Adaptation in natural and artificial systems", 1975.
    """

    def __init__(self, learning_rate: Rate = 0.05, population: int = 32, elite: int = 2, mutation: float = 0.1,
                 spread: float = 0.3, seed: int | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, seed, **options)
        self.population = whole("population", population, least=2)
        self.elite = min(whole("elite", elite), self.population - 1)
        self.mutation, self.spread = share("mutation", mutation, one=True), positive("spread", spread)

    def start(self, params: Any, layout: Layout) -> State:
        """The first population, the parameters themselves among it."""
        state = super().start(params, layout)
        noise = np.asarray(random.normal(random.fold_in(state["key"], -1), (self.population, *params.shape)))
        noise[0] = 0.0
        return {**state, "genes": (params + self.spread * noise).astype(params.dtype)}

    def search(self, evaluate: Evaluate, params: Any, value: Any, grads: Any, state: State, learning_rate: Any,
               step: Any) -> tuple[Any, State]:
        """One generation."""
        n, width = self.population, params.shape[0]
        order = np.argsort(_values(evaluate, state["genes"]))
        genes = take(state["genes"], order, axis=0)  # the fittest first
        picks, mix, which, size = (random.fold_in(random.fold_in(state["key"], step), i) for i in range(4))
        children = n - self.elite
        drawn = np.floor(random.uniform(picks, (2, 2, children)) * n).astype(np.int32)
        mother, father = np.minimum(drawn[0, 0], drawn[0, 1]), np.minimum(drawn[1, 0], drawn[1, 1])
        chosen = random.uniform(mix, (children, width)) < 0.5
        child = ew.select(chosen, take(genes, mother, axis=0), take(genes, father, axis=0))
        mutated = (random.uniform(which, (children, width)) < self.mutation).astype(params.dtype)
        change = random.normal(size, (children, width)).astype(params.dtype) * as_dtype(learning_rate, params)
        new = np.concatenate([genes[:self.elite], child + change * mutated])
        return genes[0], {**state, "genes": new}


def _values(evaluate: Evaluate, points: Any) -> Any:
    """The loss at each point, one after the other."""
    return scan(lambda carry, point: (carry, evaluate(point)[0]), np.zeros((), np.int32), points)[1]


__all__ = ["EvolutionStrategy", "Genetic", "RandomSearch"]
