"""What all optimizers share: the learning rate, weight decay, and a pure interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.arguments import not_negative

State = dict[str, Any]


class Optimizer:
    """A rule that changes parameters by their gradients.

    The interface is a pair of pure functions on arrays of one shape, usually one flat vector of all parameters:
    ``init(params) -> state`` and ``update(params, grads, state, learning_rate, step) -> (params, state)``. They work on
    concrete and on recorded arrays alike. A subclass defines :meth:`init` and :meth:`rule`.

    The learning rate is an input of what is compiled: changing it compiles nothing.
    """

    def __init__(self, learning_rate: float, weight_decay: float | None = None, name: str | None = None) -> None:
        self.rate = np.zeros((), np.float32)  # read by the running program
        self.learning_rate = learning_rate
        self.weight_decay = None if weight_decay is None else not_negative("weight_decay", weight_decay)
        self.name = name or type(self).__name__.lower()

    @property
    def learning_rate(self) -> float:
        """The size of a step; may be set at any time, also by a callback while ``fit`` runs."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = not_negative("learning_rate", value)
        self.rate[...] = self._learning_rate

    def init(self, params: Any) -> State:
        """The state before the first step, for parameters like ``params``."""
        return {}

    def update(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any = 0) -> tuple[Any, State]:
        """One step: the new parameters and the new state.

        Args:
            params: the parameters, in one array.
            grads: the gradient of what is minimized, of the same shape.
            state: from :meth:`init` or from the last step.
            learning_rate: a scalar; usually ``self.learning_rate``.
            step: how many steps were made before.
        """
        if self.weight_decay:
            params = params - params * as_dtype(learning_rate * self.weight_decay, params)
        return self.rule(params, grads, state, learning_rate, step)

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any) -> tuple[Any, State]:
        """The step itself, after weight decay."""
        raise NotImplementedError

    def __repr__(self) -> str:
        shown = {k.lstrip("_"): v for k, v in vars(self).items() if k not in ("rate", "name", "weight_decay")}
        if self.weight_decay is not None:
            shown["weight_decay"] = self.weight_decay
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def as_dtype(scalar: Any, like: Any) -> Any:
    """A scalar in the dtype of an array."""
    return scalar.astype(like.dtype) if hasattr(scalar, "astype") else np.asarray(scalar, like.dtype)
