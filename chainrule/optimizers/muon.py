"""Muon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from chainrule.arguments import not_negative, positive, share, whole
from chainrule.optimizers.base import Optimizer, Options, Rate, State, as_dtype, norm, power
from chainrule.optimizers.layout import Layout


class Muon(Optimizer):
    """Steps of matrices made orthogonal; all that is no matrix is trained by AdamW.

    For a matrix ``m ← μ m + g`` (``g + μ m`` counts if ``nesterov``), all of whose singular values are brought near 1
    by Newton and Schulz's iteration ``X ← a X + (b XXᵀ + c (XXᵀ)²) X``, and
    ``p ← p - η √max(rows, columns) · rms_rate · X``.

    Args:
        learning_rate: η.
        adam_beta_1: of AdamW, for the rest.
        adam_beta_2: likewise.
        adam_weight_decay: likewise.
        epsilon: likewise.
        weight_decay: of matrices: the share of the parameters, times η, that each step takes away first.
        exclude_layers: regular expressions; matrices whose name holds one are trained by AdamW. Usually the last layer.
        exclude_embeddings: whether matrices with "embedding" in their name are too.
        muon_a: a.
        muon_b: b.
        muon_c: c.
        adam_lr_ratio: the learning rate of AdamW as a multiple of η.
        momentum: μ.
        ns_steps: the turns of the iteration.
        nesterov: see above.
        rms_rate: see above; None leaves X as it is.
        options: those of every :class:`Optimizer`.

    Example:
        >>> rule, layout = Muon(0.1, rms_rate=None, weight_decay=0.0), Layout(["kernel"], [(2, 2)])
        >>> g = np.array([3.0, 0.0, 0.0, 0.1])
        >>> (rule.update(np.zeros(4), g, rule.init(g, layout), 0.1, 0, layout)[0] / 0.1).round(1) + 0.0
        array([-0.7,  0. ,  0. , -1.1])

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; Liu et al., "Muon is
    scalable for LLM training", 2025.
    """

    def __init__(self, learning_rate: Rate = 0.001, adam_beta_1: float = 0.9, adam_beta_2: float = 0.999,
                 adam_weight_decay: float | None = 0.004, epsilon: float = 1e-7, weight_decay: float | None = 0.004,
                 *, exclude_layers: Sequence[str] | None = None, exclude_embeddings: bool = True,
                 muon_a: float = 3.4445, muon_b: float = -4.7750, muon_c: float = 2.0315, adam_lr_ratio: float = 1.0,
                 momentum: float = 0.95, ns_steps: int = 5, nesterov: bool = True, rms_rate: float | None = 0.2,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, weight_decay, **options)
        self.adam_beta_1, self.adam_beta_2 = share("adam_beta_1", adam_beta_1), share("adam_beta_2", adam_beta_2)
        self.adam_weight_decay = not_negative("adam_weight_decay", adam_weight_decay or 0.0)
        self.epsilon = positive("epsilon", epsilon)
        self.exclude_layers, self.exclude_embeddings = list(exclude_layers or ()), bool(exclude_embeddings)
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.adam_lr_ratio = not_negative("adam_lr_ratio", adam_lr_ratio)
        self.momentum, self.nesterov = share("momentum", momentum, one=True), bool(nesterov)
        self.ns_steps = whole("ns_steps", ns_steps)
        self.rms_rate = None if rms_rate is None else positive("rms_rate", rms_rate)

    def start(self, params: Any, layout: Layout) -> State:
        """The momentum of all arrays, and the mean squares of those that AdamW trains."""
        rest = [shape for shape, matrix in zip(layout.shapes, self._matrices(layout), strict=True) if not matrix]
        return {"momentum": np.zeros_like(params), "squares": [np.zeros(shape, params.dtype) for shape in rest]}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """One step."""
        rate, squares = as_dtype(learning_rate, params), iter(state["squares"])
        corrected = as_dtype(self.adam_lr_ratio * learning_rate * np.sqrt(1.0 - power(self.adam_beta_2, step + 1))
                             / (1.0 - power(self.adam_beta_1, step + 1)), params)
        moved, momenta, seconds = [], [], []
        parts = zip(layout.split(params), layout.split(grads), layout.split(state["momentum"]), self._matrices(layout),
                    strict=True)
        for p, g, m, matrix in parts:
            if matrix:
                m = m * self.momentum + g
                step_of = self.orthogonal(g + m * self.momentum if self.nesterov else m)
                scale = 1.0 if self.rms_rate is None else max(p.shape) ** 0.5 * self.rms_rate
                moved.append(p - step_of * (rate * scale))
            else:
                v = next(squares)
                m = m + (g - m) * (1 - self.adam_beta_1)
                v = v + (g * g - v) * (1 - self.adam_beta_2)
                seconds.append(v)
                moved.append(p - m * corrected / (np.sqrt(v) + self.epsilon))
            momenta.append(m)
        return layout.join(moved), {"momentum": layout.join(momenta), "squares": seconds}

    def orthogonal(self, x: Any) -> Any:
        """The matrix with singular values near 1."""
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / (norm(x) + 1e-7)
        for _ in range(self.ns_steps):
            square = x @ x.T
            x = x * self.muon_a + (square * self.muon_b + (square @ square) * self.muon_c) @ x
        return x.T if tall else x

    def _matrices(self, layout: Layout) -> list[bool]:
        """Which arrays are matrices that are not excluded."""
        patterns = [*self.exclude_layers, *(["(?i)embedding"] if self.exclude_embeddings else [])]
        return [len(shape) == 2 and not out for shape, out in zip(layout.shapes, layout.matches(patterns), strict=True)]

    def _decays(self, layout: Layout) -> list[float]:
        return [(self.weight_decay or 0.0) if matrix else self.adam_weight_decay for matrix in self._matrices(layout)]


__all__ = ["Muon"]
