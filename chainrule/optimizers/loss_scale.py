"""Loss scaling that finds its factor: for gradients in half precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import tree
from chainrule.arguments import positive, whole
from chainrule.errors import ArgumentError
from chainrule.ops import elementwise as ew
from chainrule.optimizers.base import Optimizer, Rate, State
from chainrule.optimizers.layout import Layout


class LossScaleOptimizer(Optimizer):
    """Multiplies the loss by a factor before it is differentiated, and divides the gradients by it.

    Where a gradient is not finite the step is left out and the factor halved; after ``dynamic_growth_steps`` steps
    in a row that were made it is doubled.

    Args:
        inner_optimizer: makes the steps. Clipping, decay and the like are its own options.
        initial_scale: the first factor.
        dynamic_growth_steps: see above.
        name: of the optimizer.

    Example:
        >>> optimizer = LossScaleOptimizer(SGD(0.1))
        >>> optimizer.learning_rate = 0.2
        >>> optimizer.inner_optimizer.learning_rate
        0.2

    Source: Micikevicius et al., "Mixed precision training", ICLR 2018.
    """

    def __init__(self, inner_optimizer: Optimizer, initial_scale: float = 2.0**15, dynamic_growth_steps: int = 2000,
                 name: str | None = None) -> None:
        if not isinstance(inner_optimizer, Optimizer) or inner_optimizer.evaluates:
            raise ArgumentError.of(f"LossScaleOptimizer got {inner_optimizer!r}", "an optimizer that uses gradients",
                                   "LossScaleOptimizer(Adam(0.001))")
        self.inner_optimizer = inner_optimizer
        inner_optimizer.loss_scale_factor = None
        super().__init__(0.0, name=name)
        self.rate = inner_optimizer.rate
        self.initial_scale = positive("initial_scale", initial_scale)
        self.dynamic_growth_steps = whole("dynamic_growth_steps", dynamic_growth_steps)

    @property
    def learning_rate(self) -> float:
        """That of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        if "initial_scale" in vars(self):  # not while the base class is being made
            self.inner_optimizer.learning_rate = value

    @property
    def has_number(self) -> bool:
        """Whether that of the inner optimizer is one."""
        return self.inner_optimizer.has_number

    def ask(self) -> None:
        """The inner optimizer does."""
        self.inner_optimizer.ask()

    @property
    def iterations(self) -> Any:
        """That of the inner optimizer."""
        return self.inner_optimizer.iterations

    @iterations.setter
    def iterations(self, value: Any) -> None:
        self.inner_optimizer.iterations = value

    @property
    def key(self) -> tuple[Any, ...]:
        """That of the inner optimizer."""
        return self.inner_optimizer.key

    def init(self, params: Any, layout: Layout | None = None) -> State:
        """The inner optimizer's state, its steps, the factor, and the steps since it changed."""
        return {"inner": self.inner_optimizer.init(params, layout), "steps": np.zeros((), np.int64),
                "scale": np.full((), self.initial_scale, np.float32), "counter": np.zeros((), np.int64)}

    def update(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any = 0,
               layout: Layout | None = None) -> tuple[Any, State]:
        """A step of the inner optimizer if all gradients are finite."""
        fine = np.all(np.isfinite(grads))
        moved, inner = self.inner_optimizer.update(params, grads, state["inner"], learning_rate, state["steps"], layout)
        moved, inner = tree.map_leaves(lambda new, old: ew.select(fine, new, old), (moved, inner),
                                       (params, state["inner"]))
        grow = ew.eq(state["counter"] + 1, self.dynamic_growth_steps)
        scale = state["scale"] * ew.select(fine, ew.select(grow, np.float32(2.0), np.float32(1.0)), np.float32(0.5))
        counter = ew.select(ew.bit_and(fine, ew.bit_not(grow)), state["counter"] + 1, np.int64(0))
        steps = state["steps"] + ew.select(fine, np.int64(1), np.int64(0))
        return moved, {"inner": inner, "steps": steps, "scale": scale, "counter": counter}

    def finalize(self, params: np.ndarray, state: State) -> None:
        """As the inner optimizer says."""
        self.inner_optimizer.finalize(params, state["inner"])

    def loss_scale(self, state: State) -> Any:
        """The factor."""
        return state["scale"]

    def __repr__(self) -> str:
        return f"LossScaleOptimizer({self.inner_optimizer!r}, initial_scale={self.initial_scale:g})"


__all__ = ["LossScaleOptimizer"]
