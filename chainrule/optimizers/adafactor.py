"""Adafactor."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule.arguments import not_negative, positive
from chainrule.errors import ArgumentError
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype
from chainrule.optimizers.layout import Layout


class Adafactor(Optimizer):
    """Adaptive steps with little memory: the mean squares of a matrix are kept as those of its rows and columns.

    With ``β = 1 - t^beta_2_decay`` and ``s = g² + ε₁``: for an array with two axes or more, running means r of s over
    rows and c over columns and ``v = r c / mean(r)``; else v is a running mean of s. Then ``u = g / √v``, scaled down
    so that its root mean square is at most ``clip_threshold``, and ``p ← p - max(ε₂, rms(p)) ρ u`` with
    ``ρ = min(η, 1/√t)``.

    Args:
        learning_rate: η, at most 1/√t counts.
        beta_2_decay: below 0.
        epsilon_1: ε₁.
        epsilon_2: ε₂.
        clip_threshold: see above.
        relative_step: of Keras; η is limited by 1/√t either way.
        weight_decay: the share of the parameters, times η, that each step takes away first.
        options: those of every :class:`Optimizer`.

    Example:
        >>> state = Adafactor().init(np.zeros(24), Layout(["kernel"], [(4, 6)]))
        >>> sum(a.size for a in state["rows"] + state["columns"] + state["squares"])
        10

    Source: Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", ICML 2018.
    """

    def __init__(self, learning_rate: Rate = 0.001, beta_2_decay: float = -0.8, epsilon_1: float = 1e-30,
                 epsilon_2: float = 1e-3, clip_threshold: float = 1.0, relative_step: bool = True,
                 weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        if not beta_2_decay < 0:
            raise ArgumentError.of(f"got beta_2_decay={beta_2_decay!r}", "a number below 0", "beta_2_decay=-0.8")
        self.beta_2_decay = float(beta_2_decay)
        self.epsilon_1, self.epsilon_2 = not_negative("epsilon_1", epsilon_1), not_negative("epsilon_2", epsilon_2)
        self.clip_threshold = positive("clip_threshold", clip_threshold)
        self.relative_step = bool(relative_step)

    def start(self, params: Any, layout: Layout) -> State:
        """Running means at 0: of rows and columns where there are two axes, else of the elements."""
        matrices = [shape for shape in layout.shapes if len(shape) > 1]
        dtype = params.dtype
        return {"rows": [np.zeros(shape[:-1], dtype) for shape in matrices],
                "columns": [np.zeros((*shape[:-2], shape[-1]), dtype) for shape in matrices],
                "squares": [np.zeros(shape, dtype) for shape in layout.shapes if len(shape) < 2]}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step."""
        count = np.float64(1.0) * (step + 1)
        fresh = as_dtype(np.exp(np.log(count) * self.beta_2_decay), params)  # 1 - β
        rate = as_dtype(np.minimum(learning_rate, 1.0 / np.sqrt(count)), params)
        rows, columns, squares = iter(state["rows"]), iter(state["columns"]), iter(state["squares"])
        new: State = {"rows": [], "columns": [], "squares": []}
        moved = []
        for p, g in zip(layout.split(params), layout.split(grads), strict=True):
            s = g * g + self.epsilon_1
            if len(p.shape) > 1:
                r = _mixed(next(rows), np.mean(s, axis=-1), fresh)
                c = _mixed(next(columns), np.mean(s, axis=-2), fresh)
                new["rows"].append(r)
                new["columns"].append(c)
                v = (r / np.mean(r, axis=-1, keepdims=True))[..., None] * c[..., None, :]
            else:
                v = _mixed(next(squares), s, fresh)
                new["squares"].append(v)
            change = g / np.sqrt(v)
            change = change / np.maximum(_rms(change) * (1.0 / self.clip_threshold), 1.0)
            moved.append(p - change * (np.maximum(_rms(p), self.epsilon_2) * rate))
        return layout.join(moved), new


def _mixed(old: Any, new: Any, fresh: Any) -> Any:
    return old * (1 - fresh) + new * fresh


def _rms(x: Any) -> Any:
    return np.sqrt(np.mean(x * x))


__all__ = ["Adafactor"]
